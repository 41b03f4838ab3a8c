"""Ways of asking by their names, as `study` is given them, and as a run is told of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hrlaif.errors import UsageError
from hrlaif.records import Row
from hrlaif.settings import Settings, kind_of

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


def next_step(row: Row, out: Path, models: Sequence[Any], ways: Sequence[Any]) -> str:
    """What to do after a study: the run that learns from labels of its judge, as a line to paste.

    Of several judges that which is best on the dev half.
    """
    from hrlaif.study.write import file_names

    best = (row.get("together", {}).get("against_best") or {}).get("judge", models[0].name)
    one, judge = row["judges"][best], next(m for m in models if m.name == best)
    calibration = one["calibration"] or {}
    if calibration.get("slope") == 0:
        return (
            "next: another judge, another way of asking or more pairs: calibrated, every label of "
            f"{best} would be 0.5 and teach nothing"
        )
    way = _told(next(w.labeler for w in ways if w.name == one["chosen"]))
    changes = {"judge": _told(judge), "labeling.labeler": way, "evaluation.labeler": way}
    if "temperature" in calibration:
        name = file_names([model.name for model in models])[best]
        path = out / "calibration" / f"{name}.temperature.json"
        changes |= {
            "labeling.calibrations": _flow([str(path)]),
            "reward.probabilities": "temperature",
        }
    given = [word for name, value in changes.items() for word in ("--set", f"{name}={value}")]
    return (
        "next, if the judge is good enough: hrlaif init RUN --recipe rlaif && "
        f"{shlex.join(['hrlaif', 'run', 'RUN', *given])}"
    )


def _told(part: Settings) -> str:
    """A part as `--set` takes it: its kind, and what is not as by default."""
    from hrlaif.llm import open_model

    name = str(getattr(part, "name", ""))
    try:
        if name and open_model(name) == part:
            return name
    except UsageError:
        pass  # a class of one's own
    return _flow({"kind": kind_of(part), **part.model_dump(mode="json", exclude_defaults=True)})


def _flow(value: object) -> str:
    """YAML on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    )
    return text.strip()
