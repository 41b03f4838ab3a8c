"""What does a study leave behind? study.json, a page, labels, calibrations, rows to check."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hrlaif.protocols import LanguageModel
from hrlaif.records import Preference, Row
from hrlaif.rows import write_rows
from hrlaif.run import write_json
from hrlaif.study.calibrate import with_calibrated
from hrlaif.study.core import Judged


def write(
    folder: Path, row: Row, judges: Sequence[LanguageModel], judged: Sequence[Judged]
) -> None:
    """labels/JUDGE/VARIANT.jsonl with calibrated beside raw, calibration/, checks/, study.json.

    What a judge did not answer lies in VARIANT.abstentions.jsonl.
    """
    for judge, one in zip(judges, judged, strict=True):
        name = file_name(judge.name)
        home = folder / "labels" / name
        home.mkdir(parents=True, exist_ok=True)
        for variant, made in one.labels.items():
            own = one.maps if variant == one.chosen else {}
            answers = with_calibrated(made.answers, own)
            told = [a.row() for a in answers if isinstance(a, Preference)]
            silent = [a.row() for a in answers if not isinstance(a, Preference)]
            write_rows(home / f"{variant}.jsonl", told)
            write_rows(home / f"{variant}.abstentions.jsonl", silent)
        for method, calibration in one.maps.items():
            path = folder / "calibration" / f"{name}.{method}.json"
            path.parent.mkdir(exist_ok=True)
            write_json(path, calibration.row())
        (folder / "checks").mkdir(exist_ok=True)
        write_rows(folder / "checks" / f"{name}.jsonl", one.checks)
    write_json(folder / "study.json", row)


def file_name(name: str) -> str:
    """A judge's name as a file's: what is neither letter, digit, dot nor sign becomes `_`."""
    return re.sub(r"[^\w.=+-]+", "_", name)
