"""Ways of asking by their names, as `study` is given them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hrlaif.errors import UsageError

DEFAULT = "base,base-1shot,base-2shot,detailed,detailed-2shot,base-single"
PAPER = (
    "base,base-1shot,base-2shot,base-rationale,detailed,detailed-1shot,detailed-2shot,"
    "detailed-8shot,detailed-rationale,detailed-1shot-rationale,detailed-2shot-rationale"
)
_WAY = re.compile(
    r"(?P<preamble>base|detailed)(?:-(?P<shots>[0-8])shot)?(?P<rationale>-rationale)?"
    r"(?:-x(?P<samples>\d+))?(?P<single>-single)?"
)


def ways_of(names: str, asking: Mapping[str, Any]) -> list[Any]:
    """The ways that a list with commas names, or `paper`; each has these settings besides."""
    listed = PAPER if names.strip() == "paper" else names
    return [_variant(name.strip(), asking) for name in listed.split(",")]


def _variant(name: str, asking: Mapping[str, Any]) -> Any:
    """`detailed-2shot-rationale-x4` as a labeler; raises UsageError saying how names are made."""
    from hrlaif.labeling import Pairwise
    from hrlaif.study import Variant

    found = _WAY.fullmatch(name)
    if not found:
        raise UsageError(
            f"variant {name!r}: begin with base or detailed, then -Nshot, -rationale, -xK and "
            "-single in this order, such as detailed-2shot-rationale"
        )
    samples = int(found["samples"] or 1)
    values = {
        **asking,
        "preamble": found["preamble"],
        "shots": int(found["shots"] or 0),
        "rationale": bool(found["rationale"]) or samples > 1,
        "samples": samples,
        "single_order": bool(found["single"]),
    }
    return Variant(name, Pairwise.parse(values, where=f"variant {name}"))
