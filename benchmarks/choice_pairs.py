"""Pairs of a right and a wrong answer to multiple-choice questions, sampled from a model.

    python benchmarks/choice_pairs.py DATA -o pairs.jsonl [--questions 100 --samples 6]
    hrlaif label pairs.jsonl -o hybrid.jsonl --labeler hybrid --judge JUDGE
    hrlaif label pairs.jsonl -o basic.jsonl --judge JUDGE

DATA holds arc/, openbookqa/ and mmlu/. The model is told to end with `Answer: ` and a letter; a
text that does not end so, with a letter or the words of one option, is left out, so that which one
is right is known without any check of ours.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

from hrlaif.llm import open_model
from hrlaif.records import Chat, Completion
from hrlaif.rows import read_rows

FILES = ("arc/reference_arc_challenge", "openbookqa/reference_openbookqa", "mmlu/reference_test")
_LETTER = re.compile(r"\(?([A-E])\)?\.?")
_FORM = "Give a reason in one or two sentences. Then end with a line of this form: Answer: X"


def questions(data: Path, count: int) -> list[dict[str, Any]]:
    """As many of each file as make `count`, drawn by lot."""
    found = []
    for name in FILES:
        rows = [dict(row.values) for row in read_rows(data / f"{name}.jsonl.gz")]
        found += random.Random(0).sample(rows, min(len(rows), -(-count // len(FILES))))
    return found[:count]


def asked(row: dict[str, Any]) -> str:
    """The question, its options, and the form of the answer."""
    labels = row.get("choice_labels") or "ABCDE"
    options = "\n".join(f"{k}. {text}" for k, text in zip(labels, row["choices"], strict=False))
    return f"{row['prompt'][-1]['content']}\n{options}\n{_FORM}"


def chosen(text: str, row: dict[str, Any]) -> str | None:
    """The letter of an answer that ends as it was told to, or with one option's words."""
    said = text.strip().rpartition("Answer: ")[2].strip() if "Answer: " in text else ""
    if found := _LETTER.fullmatch(said):
        return found[1]
    options = [str(option).lower().strip(" .") for option in row["choices"]]
    same = [i for i, option in enumerate(options) if option == said.lower().strip(" .")]
    return (row.get("choice_labels") or "ABCDE")[same[0]] if len(same) == 1 else None


def pairs(row: dict[str, Any], texts: list[str], stream: random.Random) -> list[dict[str, Any]]:
    """At most two pairs of a right and a wrong answer, sides by lot."""
    right = [t for t in dict.fromkeys(texts) if chosen(t, row) == row["reference_answer"]]
    wrong = [
        t for t in dict.fromkeys(texts) if chosen(t, row) not in (None, row["reference_answer"])
    ]
    found = []
    for number, sides in enumerate(list(zip(right, wrong, strict=False))[:2]):
        first = stream.random() < 0.5
        found.append(
            {
                "id": f"{row['id']}/{number}",
                "prompt": asked(row),
                "responses": list(sides if first else sides[::-1]),
                "gold_preference": 1.0 if first else 0.0,
                "category": "multiple_choice",
                "choices": row["choices"],
                "reference_answer": row["reference_answer"],
            }
        )
    return found


def main() -> None:
    """Writes the pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", default="packaged:qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--samples", type=int, default=6)
    given = parser.parse_args()
    model, stream = open_model(given.model), random.Random(1)
    rows = questions(given.data, given.questions)
    chats = [Chat.user(asked(row), sample=k) for row in rows for k in range(given.samples)]
    answers = model.generate(chats, temperature=0.8, max_tokens=120, seed=0)
    texts = [a.text if isinstance(a, Completion) else "" for a in answers]
    found = []
    for i, row in enumerate(rows):
        found += pairs(row, texts[i * given.samples : (i + 1) * given.samples], stream)
    given.out.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    told = sum(chosen(text, rows[i // given.samples]) is not None for i, text in enumerate(texts))
    print(f"{len(found)} pairs; {told} of {len(texts)} answers ended as they were told to")


if __name__ == "__main__":
    main()
