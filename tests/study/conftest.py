"""Pairs whose better side is known, and labels of them."""

from __future__ import annotations

import random

import pytest

from hrlaif.labeling import Pairwise
from hrlaif.records import Candidate, Comparison, Message, Prompt
from hrlaif.study.pairs import Item

WORDS = [
    "river",
    "stone",
    "lamp",
    "garden",
    "winter",
    "paper",
    "engine",
    "window",
    "music",
    "bread",
]


def make(count, *, seed=0, per_prompt=1, votes=None, **more):
    """Items of short texts; a is the better one in about half of them."""
    coins = random.Random(seed)
    items = []
    for n in range(count):
        prompt = Prompt(
            id=f"p{n // per_prompt}",
            messages=(Message(role="user", content=f"Say something about {n // per_prompt}."),),
            language="en",
            **more,
        )
        texts = [
            f"{n} {' '.join(coins.choices(WORDS, k=coins.randint(3, 30)))}. Side {side}."
            for side in "ab"
        ]
        comparison = Comparison(
            id=f"c{n}",
            prompt=prompt,
            a=Candidate(text=texts[0], model=("x", "y", "z")[n % 3]),
            b=Candidate(text=texts[1], model=("y", "z", "x")[n % 3]),
            human_preference=float(coins.random() < 0.5),
        )
        models = (comparison.a.model, comparison.b.model)
        items.append(Item(comparison, (votes or (lambda i: {}))(n), models))
    return items


def labels(items, judge, labeler=None):
    """What the judge says of them."""
    return (labeler or Pairwise()).label([item.comparison for item in items], judge)


@pytest.fixture
def rows(write):
    """A file of pairs as the command reads them."""

    def written(count, name="pairs.jsonl", **more):
        return write(
            name,
            [
                {
                    "id": item.comparison.id,
                    "prompt": item.comparison.prompt.messages[0].content,
                    "responses": [item.comparison.a.text, item.comparison.b.text],
                    "models": list(item.models),
                    "language": "en",
                    "human_preference": item.comparison.human_preference,
                    **more,
                }
                for item in make(count)
            ],
        )

    return written
