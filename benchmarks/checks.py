"""How often are the checks right on public data? And what do a judge's labels add or lose?

    python benchmarks/checks.py DATA [--json]

DATA holds gsm8k/, svamp/ and mawps/ as JSON Lines with `reference_answer`, `reference_rationale`
and pairs with `gold_preference`. Figures that need no model: references read, rationales right,
verdicts on right and wrong solutions, and agreement of verified labels with the gold.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from hrlaif.checks import Number
from hrlaif.labeling import Verified
from hrlaif.llm import Scripted
from hrlaif.records import Message, Preference, Prompt, Response
from hrlaif.rows import comparisons_from, read_rows
from hrlaif.statistics import Figure, mean

REFERENCES = ("gsm8k/reference_train", "gsm8k/reference_test", "svamp/reference", "mawps/reference")


def verdict(text: str, reference: str) -> tuple[bool | None, str]:
    """What `Number` says of one response."""
    turn = Message(role="user", content="Q")
    prompt = Prompt(id="q", messages=(turn,), reference_answer=reference)
    (found,) = Number().check([Response(prompt=prompt, text=text)], None)
    return found.passed, found.reason


def rows(data: Path, name: str) -> Iterator[dict[str, object]]:
    """The rows of a gzipped file."""
    for _, row in read_rows(data / f"{name}.jsonl.gz"):
        yield row


def references(data: Path) -> dict[str, dict[str, Figure]]:
    """A file -> the share of references, and of rationales, that give the reference again."""
    found = {}
    for name in REFERENCES:
        known = list(rows(data, name))
        read = [
            float(verdict(str(r["reference_answer"]), str(r["reference_answer"]))[0] is True)
            for r in known
        ]
        told = [
            float(verdict(str(r["reference_rationale"]), str(r["reference_answer"]))[0] is True)
            for r in known
            if r.get("reference_rationale")
        ]
        found[name] = {"references": mean(read, share=True), "rationales": mean(told, share=True)}
    return found


def verdicts(data: Path) -> Figure:
    """Share of right verdicts on right and wrong solutions; no verdict is not right."""
    right = []
    for row in rows(data, "gsm8k/pairs_correct_vs_wrong"):
        reference = str(row["meta"]["reference_answer"])  # type: ignore[index]
        first = row["gold_preference"] == 1.0
        for text, known in zip(row["responses"], (first, not first), strict=True):  # type: ignore[call-overload]
            right.append(float(verdict(text, reference)[0] is known))
    return mean(right, share=True)


def agreement(data: Path, limit: int = 200) -> Figure:
    """Verified labels against the gold; an abstention is not right. No judge is asked."""
    known = comparisons_from(
        read_rows(data / "gsm8k" / "pairs_correct_vs_wrong.jsonl.gz", limit=limit)
    )
    told = Verified(check=Number()).label(known, Scripted())
    right = [
        float(
            isinstance(label, Preference)
            and label.evidence is not None
            and label.evidence.source == "verified"
            and (label.prob_a > 0.5) == (label.comparison.gold_preference == 1.0)
        )
        for label in told
    ]
    return mean(right, share=True)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {
        "read": {
            name: {what: figure.row() for what, figure in figures.items()}
            for name, figures in references(given.data).items()
        },
        "verdicts": verdicts(given.data).row(),
        "agreement": agreement(given.data).row(),
    }
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found["read"].items():
        shown = ", ".join(
            f"{what} {f['value']} of {f['n']}" for what, f in figures.items() if f["n"]
        )
        print(f"{name:24} {shown}")
    for name in ("verdicts", "agreement"):
        f = found[name]
        print(f"{name:24} {f['value']:.4f} ({f['low']:.4f} to {f['high']:.4f}), n {f['n']}")


if __name__ == "__main__":
    main()
