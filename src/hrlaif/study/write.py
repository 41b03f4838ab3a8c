"""What does a study leave behind? study.json, a page, labels, calibrations, rows to check."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hrlaif.messages import digest
from hrlaif.progress import say
from hrlaif.protocols import LanguageModel
from hrlaif.records import Preference, Row
from hrlaif.rows import write_rows
from hrlaif.run import write_json
from hrlaif.study.calibrate import with_calibrated
from hrlaif.study.core import Judged

_ASKED = ("sha256", "task", "reward_base", "variants", "judges", "settings")


def write(
    folder: Path, row: Row, judges: Sequence[LanguageModel], judged: Sequence[Judged]
) -> None:
    """labels/JUDGE/VARIANT.jsonl with calibrated beside raw, calibration/, checks/, study.json.

    What a judge did not answer lies in VARIANT.abstentions.jsonl. What an earlier study left here
    is removed, and said where it asked something else.
    """
    names = file_names([judge.name for judge in judges])
    _forget(folder, row)
    for judge, one in zip(judges, judged, strict=True):
        name = names[judge.name]
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


def file_names(names: Sequence[str]) -> dict[str, str]:
    """Judges' names as files': what is neither letter, digit, dot nor sign becomes `_`.

    Of names that would share a file, each has a digest of itself behind.
    """
    files = {name: re.sub(r"[^\w.=+-]+", "_", name) for name in names}
    shared = Counter(file.casefold() for file in files.values())
    return {
        name: file if shared[file.casefold()] == 1 else f"{file}-{digest(name, length=6)}"
        for name, file in files.items()
    }


def _forget(folder: Path, row: Row) -> None:
    """Removes the files of the study that stands here, and no other."""
    try:
        earlier = json.loads((folder / "study.json").read_text("utf-8"))["about"]
        judges, variants = list(earlier["judges"]), list(earlier["variants"])
    except (OSError, ValueError, LookupError, TypeError):
        return
    if any(earlier.get(name) != row["about"].get(name) for name in _ASKED):
        say(f"{folder} held a study of other pairs, judges or settings, which is replaced")
    for name in file_names(judges).values():
        home = folder / "labels" / name
        for variant in variants:
            (home / f"{variant}.jsonl").unlink(missing_ok=True)
            (home / f"{variant}.abstentions.jsonl").unlink(missing_ok=True)
        with suppress(OSError):  # where a person put something beside them
            home.rmdir()
        for method in ("temperature", "isotonic"):
            (folder / "calibration" / f"{name}.{method}.json").unlink(missing_ok=True)
        (folder / "checks" / f"{name}.jsonl").unlink(missing_ok=True)
