"""What happened, in one run or in several, as one page that needs no network."""

from hrlaif.report.compared import write_comparison
from hrlaif.report.page import write, write_votes
from hrlaif.report.runs import side_by_side, told, write_runs

__all__ = ["side_by_side", "told", "write", "write_comparison", "write_runs", "write_votes"]
