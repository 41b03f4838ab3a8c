"""Whom does the policy imitate? A teacher, references, or what people prefer: all as responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hrlaif.errors import DataError
from hrlaif.messages import spoken
from hrlaif.protocols import LanguageModel, texts_at_once
from hrlaif.reasons import counted
from hrlaif.records import (
    Chat,
    Completion,
    Preference,
    Prompt,
    Record,
    Response,
    Score,
    Unanswered,
    digest,
)
from hrlaif.rows.files import write_rows
from hrlaif.run import map_rows
from hrlaif.sft.settings import Sft

_THINKING = (
    "the teacher did not come to an end of its thoughts: raise sft.max_tokens, or name a teacher "
    "that does not think"
)

Grade = Callable[[Sequence[Response]], Sequence[Score]]


class Sources(NamedTuple):
    """Where demonstrations can come from; `Sft.source` says which is used."""

    prompts: Sequence[Prompt] = ()
    teacher: LanguageModel | None = None
    pairs: Sequence[Preference] = ()
    grade: Grade | None = None
    """How good each response is, for the best of several answers."""


class Demonstrations(NamedTuple):
    """Responses to imitate, and how many could not be had, by reason."""

    responses: list[Response]
    missing: dict[str, int]


class _Answer(Record):
    """What the teacher said to one prompt, or why it said nothing: a row on the way."""

    id: str
    text: str = ""
    finish_reason: str = "stop"
    tokens: int = 0
    reason: str = ""


def collect(settings: Sft, sources: Sources, folder: Path, *, seed: int) -> Demonstrations:
    """The demonstrations, also written to `folder/demonstrations.jsonl`.

    A teacher's answers, and why it gave none, are in `teacher_answers.jsonl`, saved a
    chunk at a time and never asked again. Test prompts are never used. Raises DataError where
    there is nothing to imitate.
    """
    path = folder / "demonstrations.jsonl"
    prompts = _used(settings, sources.prompts)
    if settings.source == "teacher":
        found = _from_teacher(settings, prompts, sources, path, seed=seed)
    elif settings.source == "references":
        found = _from_references(prompts)
    else:
        found = _from_pairs(settings, sources.pairs)
    if not any(r.prompt.split != "validation" for r in found.responses):
        raise DataError(
            f"sft.source = {settings.source!r} gives no demonstration to train on "
            f"({dict(found.missing)}): choose another source, or add what it needs to the prompts"
        )
    write_rows(path, (response.row() for response in found.responses))
    return found


def _used(settings: Sft, prompts: Iterable[Prompt]) -> list[Prompt]:
    train, validation = [], []
    for prompt in prompts:
        if prompt.split == "validation":
            validation.append(prompt)
        elif prompt.split != "test":
            train.append(prompt)
    return train[: settings.at_most] + validation


def _from_teacher(
    settings: Sft,
    prompts: Sequence[Prompt],
    sources: Sources,
    path: Path,
    *,
    seed: int,
) -> Demonstrations:
    teacher, several = sources.teacher, settings.best_of
    if teacher is None:
        raise DataError("sft.source = 'teacher' needs a teacher: name a model, or another source")

    def ask(group: Sequence[Prompt]) -> list[_Answer]:
        answers = teacher.generate(
            [Chat(messages=p.messages, sample=k) for p in group for k in range(several)],
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            seed=seed,
        )
        each = [_told(p, answers[n * several :][:several]) for n, p in enumerate(group)]
        return [a[0] for a in each] if several == 1 else _best(group, each, sources.grade)

    rows = map_rows(
        path.with_name("teacher_answers.jsonl"),
        prompts,
        ask,
        chunk=texts_at_once(teacher),
        key=lambda prompt: prompt.id,
        what="teacher",
        unit="answers",
    )
    answers = [_Answer.from_row(row) for row in rows]
    responses = [
        Response(
            prompt=prompt,
            text=answer.text,
            model=teacher.name,
            finish_reason=answer.finish_reason,
            tokens=answer.tokens,
        )
        for prompt, answer in zip(prompts, answers, strict=True)
        if not answer.reason
    ]
    return Demonstrations(responses, counted(a.reason for a in answers))


def _told(prompt: Prompt, answers: Sequence[Completion | Unanswered]) -> list[_Answer]:
    rows = []
    for answer in answers:
        if not isinstance(answer, Completion):
            rows.append(_Answer(id=prompt.id, reason=answer.reason))
        elif not spoken(answer.text).strip():
            thinking = answer.text.strip() and "</think>" not in answer.text
            reason = _THINKING if thinking else "the answer is empty"
            rows.append(_Answer(id=prompt.id, reason=reason))
        else:
            said = {"text": answer.text.strip(), "finish_reason": answer.finish_reason}
            rows.append(_Answer(id=prompt.id, tokens=answer.completion_tokens, **said))
    return rows


def _best(
    prompts: Sequence[Prompt], each: Sequence[Sequence[_Answer]], grade: Grade | None
) -> list[_Answer]:
    """To each prompt the answer graded best, of equal ones the first; without a grade none."""
    if grade is None:
        raise DataError("sft.best_of needs someone who grades the answers: name a judge")
    told = [(p, k, a) for p, some in zip(prompts, each, strict=True) for k, a in enumerate(some)]
    told = [(p, k, a) for p, k, a in told if not a.reason]
    scores = grade([Response(prompt=p, text=a.text, sample=k) for p, k, a in told])
    graded = dict(zip((id(a) for _, _, a in told), scores, strict=True))
    found = []
    for prompt, some in zip(prompts, each, strict=True):
        rated = [(a, graded[id(a)]) for a in some if id(a) in graded]
        known = [(a, score.value) for a, score in rated if score.value is not None]
        if known:
            found.append(max(known, key=lambda pair: pair[1])[0])
        else:
            why = f"no answer has a grade: {rated[0][1].reason}" if rated else some[0].reason
            found.append(_Answer(id=prompt.id, reason=why))
    return found


def _from_references(prompts: Sequence[Prompt]) -> Demonstrations:
    found, missing = [], 0
    for prompt in prompts:
        if prompt.reference_response and prompt.reference_response.strip():
            text = prompt.reference_response.strip()
            found.append(
                Response(prompt=prompt, text=text, model="reference", finish_reason="stop")
            )
        else:
            missing += 1
    return Demonstrations(
        found, {"the prompt has no reference_response": missing} if missing else {}
    )


def _from_pairs(settings: Sft, pairs: Sequence[Preference]) -> Demonstrations:
    """The preferred side of each pair; the same text is imitated once a prompt."""
    found: dict[str, Response] = {}
    train, ties = 0, 0
    for pair in pairs:
        comparison = pair.comparison
        if pair.prob_a == 0.5 or comparison.prompt.split == "test":
            ties += pair.prob_a == 0.5
            continue
        side = comparison.a if pair.prob_a > 0.5 else comparison.b
        key = digest([comparison.prompt.id, side.text])
        if key in found or not side.text.strip():
            continue
        if comparison.prompt.split != "validation":
            train += 1
            if settings.at_most is not None and train > settings.at_most:
                continue
        fields = side.model_dump()
        found[key] = Response(
            id=f"{comparison.prompt.id}/{key}", prompt=comparison.prompt, **fields
        )
    return Demonstrations(list(found.values()), {"the pair is a tie": ties} if ties else {})
