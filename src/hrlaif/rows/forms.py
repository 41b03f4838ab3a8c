"""What forms may a row have? The contract's, TRL's, transcripts, and the common aliases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from hrlaif.errors import DataError
from hrlaif.progress import number, say
from hrlaif.records import Candidate, Comparison, Prompt, Record, Response, digest
from hrlaif.rows.files import SourceRow
from hrlaif.rows.known import file_of, probability, say_unread, unread, winner
from hrlaif.rows.names import named
from hrlaif.rows.sides import OF_THE_FIRST, sides
from hrlaif.rows.turns import MEND, PROMPT_NAMES, Turns, answer_of, asked_of, turns_of

_RESPONSE_NAMES = ("response", "output", "completion", "answer", "text")
_TWICE = "give each row its own id, or drop one of the two"
_HOW_SURE = ("prob_chosen", "prob_a")
# What some command reads of a row besides its record.
_ALSO_READ = (*OF_THE_FIRST, "labeler", "chance", "raters", "human_passed")

R = TypeVar("R", bound=Record)


def prompts_from(rows: Iterable[SourceRow]) -> list[Prompt]:
    """Prompts of rows in any form; the prompt of a pair or response row will do.

    Raises DataError for an id of two prompts, or of one with two sets of choices or right answers.
    """
    found: dict[str, tuple[Prompt, str]] = {}
    for where, values in rows:
        prompt = _prompt(named(values), where)
        first, place = found.setdefault(prompt.id, (prompt, where))
        if _question(first) != _question(prompt):
            raise DataError(f"{where}: id {prompt.id!r} is another prompt's on {place}: {_TWICE}")
    return [prompt for prompt, _ in found.values()]


def _question(prompt: Prompt) -> tuple[Any, ...]:
    """What is asked, and what the right answer is."""
    return prompt.messages, prompt.choices, prompt.reference_answer


def comparisons_from(rows: Iterable[SourceRow]) -> list[Comparison]:
    """Pairs of responses; rows that say the same are read once, and that is said.

    A row of a check (with a `chance`) that holds people's word takes the place of the same pair
    without it. Raises DataError for a row without exactly two responses, or an id of two different
    rows.
    """
    return [comparison for comparison, _ in comparisons_and_rows(rows)]


def comparisons_and_rows(rows: Iterable[SourceRow]) -> list[tuple[Comparison, SourceRow]]:
    """The same, each beside its row, for what else is known of it."""
    found: dict[str, tuple[Comparison, SourceRow]] = {}
    ignored: dict[tuple[str, str], None] = {}
    again, checked = 0, set[str]()
    for row in rows:
        values = named(row.values)
        comparison = _comparison(values, row.where)
        pair, earlier = (comparison, row), found.get(comparison.id)
        if earlier is not None and (stands := _after_check(earlier, pair)):
            found[comparison.id] = stands
            checked |= {comparison.id} if _has_word(stands) else set()
            again += not _has_word(stands)
        else:
            again += _met(found, comparison.id, pair)
        if comparison.human_preference is None and comparison.gold_preference is None:
            ignored |= dict.fromkeys((file_of(row.where), name) for name in unread(values))
    _say_again(again)
    if checked:
        say(f"{number(len(checked), 'checked row')} in the place of pairs without people's word")
    say_unread(ignored)
    return list(found.values())


_Pair = tuple[Comparison, SourceRow]


def _after_check(earlier: _Pair, new: _Pair) -> _Pair | None:
    """Of a pair and a row that a check drew of it, the one that stands; None of any other two."""
    both = (earlier, new)
    same = [(_question(c.prompt), c.a.text, c.b.text, c.gold_preference) for c, _ in both]
    drawn = [pair for pair in both if pair[1].values.get("chance") not in (None, "")]
    told = [pair for pair in both if _has_word(pair)]
    if same[0] != same[1] or not drawn or len(told) > 1:
        return None
    if told:
        return told[0] if told[0] in drawn else None
    # Nobody has come as far as this row of the check.
    return earlier if new in drawn else new


def _has_word(pair: _Pair) -> bool:
    """Whether people's word is in a row."""
    return pair[0].human_preference is not None or bool(pair[1].values.get("votes"))


def comparison_from(row: SourceRow) -> Comparison:
    """The pair of one row."""
    return _comparison(named(row.values), row.where)


def responses_from(rows: Iterable[SourceRow]) -> list[Response]:
    """Single responses; rows that say the same are read once, and that is said.

    Rows of one prompt and model without ids are its samples, in the order of the file. Raises
    DataError for a row without a response, or an id of two different rows.
    """
    return [response for response, _ in responses_and_rows(rows)]


def responses_and_rows(rows: Iterable[SourceRow]) -> list[tuple[Response, SourceRow]]:
    """The same, each beside its row, for what else is known of it."""
    found: dict[str, tuple[Response, SourceRow]] = {}
    samples: dict[str, list[str]] = defaultdict(list)
    again = 0
    for row in rows:
        values = named(row.values)
        response = _response(values, row.where)
        if not response.id and "sample" not in values:
            texts = samples[response.key]
            texts += [] if response.text in texts else [response.text]
            response = response.model_copy(update={"sample": texts.index(response.text)})
        again += _met(found, response.key, (response, row))
    _say_again(again)
    return list(found.values())


def _met(found: dict[str, tuple[R, SourceRow]], key: str, new: tuple[R, SourceRow]) -> bool:
    """Whether an earlier row says the same; one that says something else of its id is refused."""
    (record, row), (other, earlier) = new, found.setdefault(key, new)
    read = [[place.values.get(name) for name in _ALSO_READ] for place in (row, earlier)]
    if record != other or read[0] != read[1]:
        what = f"id {key!r} stands on {earlier.where} too, with other content"
        if named(row.values).get("id") in (None, ""):
            what = f"without an id, and the same texts stand on {earlier.where} with other content"
        raise DataError(f"{row.where}: {what}: {_TWICE}")
    return earlier is not row


def _say_again(count: int) -> None:
    if count:
        say(f"{number(count, 'row')} left out: an earlier row says the same")


def _comparison(values: Mapping[str, Any], where: str) -> Comparison:
    pair = sides(values, where)
    prompt = _prompt_record(values, pair.turns, values.get("prompt_id"), where)
    a, b = (
        _candidate(side, pair.turns, where, n) for n, side in ((1, pair.first), (2, pair.second))
    )
    given = values.get("id")
    key = str(given) if given not in (None, "") else digest([prompt.id, a.text, b.text])
    human = probability(values, "human_preference", where)
    if human is None:
        human = winner(values, where) if pair.preference is None else pair.preference
        # Beside `chosen` these say how sure a label was: a judge's, as `hrlaif export` wrote it.
        if pair.preference is not None and any(values.get(n) is not None for n in _HOW_SURE):
            human = None
    comparison = _checked(
        Comparison, where,
        id=key, prompt=prompt, a=a, b=b, human_preference=human,
        gold_preference=probability(values, "gold_preference", where),
    )  # fmt: skip
    return comparison.swapped() if pair.are_turned(key) else comparison


def _prompt(values: Mapping[str, Any], where: str) -> Prompt:
    known = any(name in values for name in PROMPT_NAMES)
    turns, values = asked_of(values, where) if known else (sides(values, where).turns, values)
    plain = "prompt_id" not in values
    return _prompt_record(values, turns, values.get("id" if plain else "prompt_id"), where)


def _prompt_record(values: Mapping[str, Any], turns: Turns, key: Any, where: str) -> Prompt:
    names = ("category", "choices", "harmful", "language", "split")
    fields = {name: values[name] for name in names if values.get(name) is not None}
    # Many data sets keep the right answer beside the row's own columns.
    meta = values.get("meta")
    beside = meta.get("reference_answer") if isinstance(meta, Mapping) else None
    if beside is not None:
        fields["reference_answer"] = str(beside)
    for ours, aliases in (
        ("reference_answer", ("reference_answer",)),
        ("reference_response", ("reference_response", "reference_output")),
    ):
        value = next((values[a] for a in aliases if values.get(a) is not None), None)
        if value is not None:
            fields[ours] = str(value)
    if "category" in fields:  # a number in JSON Lines is one in a table, and text there
        fields["category"] = str(fields["category"])
    if isinstance(fields.get("choices"), list):
        fields["choices"] = [str(choice) for choice in fields["choices"]]
    text: list[Any] = [[m.role, m.content] for m in turns]
    # A question that is asked again with other choices is another one.
    text += [fields[name] for name in ("choices", "reference_answer") if fields.get(name)]
    name = str(key) if key not in (None, "") else digest(text)
    return _checked(Prompt, where, id=name, messages=turns, **fields)


def _candidate(side: Any, turns: Turns, where: str, number: int) -> Candidate:
    if isinstance(side, Mapping) and side.get("text") is not None:
        return _checked(Candidate, where, **{k: v for k, v in side.items() if v is not None})
    if isinstance(side, Sequence) and not isinstance(side, str) and side:
        side = answer_of(side, turns, where, f"response {number}")
    if not isinstance(side, str):
        raise DataError(f"{where}: response {number} is not text: {MEND}")
    return Candidate(text=side)


def _response(values: Mapping[str, Any], where: str) -> Response:
    name = next((n for n in _RESPONSE_NAMES if n in values), None)
    if name is None:
        raise DataError(f"{where}: no response: name it `response`, or drop that row")
    turns = turns_of(values, where)
    text = _candidate(values[name], turns, where, 1).text
    own = {k: values[k] for k in ("model", "sample", "finish_reason", "tokens") if k in values}
    if "generator" in values:
        own.setdefault("model", values["generator"])
    if "model" in own:
        own["model"] = str(own["model"])
    key = values.get("id")
    prompt = _prompt_record(values, turns, values.get("prompt_id", key), where)
    fields = {"id": str(key)} if key not in (None, "") else {}
    return _checked(Response, where, prompt=prompt, text=text, **fields, **own)


def _checked(cls: type[R], where: str, /, **fields: Any) -> R:
    try:
        return cls(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or cls.__name__
        given = f"{first['input']!r:.60}"
        raise DataError(f"{where}: {name}: {first['msg']}, not {given}: {MEND}") from None
