"""What happened, as one page that needs no network."""

from hrlaif.report.page import write, write_comparison, write_votes

__all__ = ["write", "write_comparison", "write_votes"]
