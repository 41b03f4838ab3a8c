"""How far can this judge be trusted? Read `core.py` first: the study, part by part."""

from hrlaif.study.asked import Asked
from hrlaif.study.core import Judged, study
from hrlaif.study.labels import Variant
from hrlaif.study.learning import linear
from hrlaif.study.page import write_page
from hrlaif.study.pairs import Item, read_items
from hrlaif.study.settings import Study
from hrlaif.study.write import write

__all__ = [
    "Asked",
    "Item",
    "Judged",
    "Study",
    "Variant",
    "linear",
    "read_items",
    "study",
    "write",
    "write_page",
]
