"""What does each trainer send, and what does it want back? JSON in, responses; scores, JSON out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hrlaif.engines.markup import row_of
from hrlaif.errors import DataError
from hrlaif.records import Response, Row, Score
from hrlaif.rows import responses_from
from hrlaif.rows.files import SourceRow

_LONGEST_MARK = 64
_MARK_AT_END = re.compile(r"<[^<>\s]+>\s*\Z")

Body = Mapping[str, Any]
Numbers = list[float]


class Form(NamedTuple):
    """The request and the answer of one kind of client."""

    read: Callable[[Body], list[Response]]
    """Raises DataError naming what is wrong with the request."""
    write: Callable[[Body, list[Score], Numbers], Row]


def response_of(values: Mapping[str, Any], where: str) -> Response:
    """One response of a row in any of the forms that `hrlaif score` reads."""
    return responses_from([SourceRow(where, dict(values))])[0]


def _openrlhf(body: Body) -> list[Response]:
    """`query`: whole texts; `prompts`: their beginnings; `labels`: right answers, if known."""
    queries = _texts(body, "query")
    prompts = _texts(body, "prompts", like=queries)
    labels = body.get("labels") or [None] * len(queries)
    if not isinstance(labels, list):
        raise DataError("`labels` is no list of right answers")
    if len(labels) != len(queries):
        raise DataError(f"{len(labels)} labels of {len(queries)} texts: send one each, or none")
    rows = [_cut(row_of(q, p)) for q, p in zip(queries, prompts, strict=True)]
    return _parsed(
        row if label in (None, "") else row | {"reference_answer": str(label)}
        for row, label in zip(rows, labels, strict=True)
    )


def _openrlhf_answer(body: Body, scores: list[Score], numbers: Numbers) -> Row:
    answer: Row = {"rewards": numbers}
    shares = [_share(score) for score in scores]
    if None not in shares:  # else OpenRLHF filters by the rewards themselves
        answer["scores"] = shares
    missing = [float(score.value is None) for score in scores]
    return answer | {"extra_logs": {"missing": missing}}


def _share(score: Score) -> float | None:
    """The expected grade between 0 and 1; None where parts or members have values, not grades."""
    grades = score.distribution or {}
    if len(grades) < 2 or list(grades) != [str(n + 1) for n in range(len(grades))]:
        return None
    return round(sum(n * p for n, p in enumerate(grades.values())) / (len(grades) - 1), 6)


def _llama_factory(body: Body) -> list[Response]:
    return _parsed(_cut(row_of(text)) for text in _texts(body, "messages"))


def _cut(row: Row) -> Row:
    """The row of a client that leaves in what ended a response: where nothing did, it was cut.

    Not so of a prompt without a template, nor where it ends in a mark that we do not know.
    """
    if isinstance(row["prompt"], str) or _MARK_AT_END.search(row["response"][-_LONGEST_MARK:]):
        return row
    return {"finish_reason": "length", **row}


def _llama_factory_answer(body: Body, _: list[Score], numbers: Numbers) -> Row:
    model = str(body.get("model", ""))
    return {"id": "hrlaif", "object": "score.evaluation", "model": model, "scores": numbers}


def _align_anything(body: Body) -> list[Response]:
    prompts = _texts(body, "prompts")
    return _parsed(
        row_of(prompt + response, prompt)
        for prompt, response in zip(prompts, _texts(body, "responses", like=prompts), strict=True)
    )


def _align_anything_answer(_: Body, scores: list[Score], numbers: Numbers) -> Row:
    return {"rewards": numbers}


def _classify(body: Body) -> list[Response]:
    """vLLM's classification, by which verl asks a served reward model."""
    given = body.get("input")
    return _parsed(map(row_of, [given] if isinstance(given, str) else _texts(body, "input")))


def _classify_answer(body: Body, _: list[Score], numbers: Numbers) -> Row:
    data = [
        {"index": n, "label": "LABEL_0", "probs": [value], "num_classes": 1}
        for n, value in enumerate(numbers)
    ]
    model = str(body.get("model", ""))
    return {"id": "hrlaif", "object": "list", "model": model, "data": data, "usage": {}}


FORMS = {
    "/get_reward": Form(_openrlhf, _openrlhf_answer),
    "/v1/score/evaluation": Form(_llama_factory, _llama_factory_answer),
    "/rewards": Form(_align_anything, _align_anything_answer),
    "/classify": Form(_classify, _classify_answer),
}


def rows_read(body: Body) -> list[Response]:
    """`responses`: rows as in the input of `hrlaif score`."""
    rows = body.get("responses")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise DataError("`responses` is no list of rows with `prompt` and `response`")
    responses = _parsed(rows)
    for n, response in enumerate(responses, start=1):
        # The answer could not be written with it, after all had been asked and paid for.
        if response.key != response.key.encode("utf-8", "replace").decode("utf-8"):
            raise DataError(f"response {n}: its id holds half a character (a lone surrogate)")
    return responses


def rows_written(scores: Sequence[Score]) -> Row:
    """Whole scores; a missing one is null beside its reason."""
    return {"scores": [{"value": None, **score.row()} for score in scores]}


def _parsed(rows: Any) -> list[Response]:
    return [response_of(row, f"response {n}") for n, row in enumerate(rows, start=1)]


def _texts(body: Body, name: str, like: list[str] | None = None) -> list[str]:
    found = body.get(name)
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise DataError(f"`{name}` is no list of texts")
    if like is not None and len(found) != len(like):
        raise DataError(f"`{name}` has {len(found)} texts where there are {len(like)}")
    return found
