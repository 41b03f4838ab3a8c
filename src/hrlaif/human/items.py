"""What are people asked? Rows of any file become items: a question about one to four responses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from hrlaif.errors import DataError, UsageError
from hrlaif.human.beside import Beside, Judged, judgement
from hrlaif.progress import number, say
from hrlaif.records import Candidate, Comparison, Prompt, Record, Response
from hrlaif.rows import comparisons_and_rows, read_rows, responses_from
from hrlaif.rows.files import SourceRow
from hrlaif.rows.names import named
from hrlaif.rows.turns import Turns

Mode = Literal["preference", "ranking", "satisfaction", "harmless"]
MODES: tuple[Mode, ...] = ("preference", "ranking", "satisfaction", "harmless")
_MOST_RANKED = 4
_RUN_SIDES = ("evaluation/sft_responses.jsonl", "evaluation/policy_responses.jsonl")
_RUN_FILES = ("preferences.jsonl", "responses.jsonl")
# What a reader must do to show that it reads: the answer is in the text.
_INSTRUCTIONS: dict[str, dict[Mode, str]] = {
    "en": {
        "preference": "This response is here to see that each text is read. Please prefer it.",
        "ranking": "This response is here to see that each text is read. Please rank it first.",
        "satisfaction": "This response is here to see that each text is read. Please give it a 1.",
        "harmless": "This response is here to see that each text is read. Please answer Unsure.",
    },
    "zh": {
        "preference": "这个回答用来确认每段文字都有人读。请选择它。",
        "ranking": "这个回答用来确认每段文字都有人读。请把它排在第一位。",
        "satisfaction": "这个回答用来确认每段文字都有人读。请给它打 1 分。",
        "harmless": "这个回答用来确认每段文字都有人读。请选择“不确定”(Unsure)。",
    },
}


class Item(Record):
    """One question. Nothing but texts of `prompt` and `candidates` ever reaches a rater."""

    id: str
    """Of the row: the comparison's, the response's, or the prompt's where several are ranked."""
    mode: Mode
    prompt: Prompt
    candidates: tuple[Candidate, ...] = Field(min_length=1, max_length=_MOST_RANKED)
    sources: tuple[str, ...] = ()
    """The responses' ids, where the file has them."""
    judged: Judged | None = None
    gold: float | None = None
    """Probability that the first candidate is the better, where that is known."""
    check: bool = False
    """An attention check: the last candidate says what to answer."""
    also: Mapping[str, Any] | None = None
    """What a study of judges reads of the row: the `chance` that people are asked, `models`."""

    @property
    def key(self) -> str:
        """One a study."""
        return f"{'check ' if self.check else ''}{self.mode}/{self.id}"


class Pair(NamedTuple):
    """A comparison, what a judge said of it, and what is kept beside it."""

    comparison: Comparison
    judged: Judged | None
    also: Mapping[str, Any] | None


class Read(NamedTuple):
    """What a file holds, in the two forms that a question can take."""

    pairs: list[Pair]
    responses: list[Response]


def items_of(
    source: str, modes: Sequence[Mode] = (), *, beside: str | None = None, limit: int | None = None
) -> list[Item]:
    """The questions of a file or a run folder; without modes, those that fit what is in it.

    `beside` is a file of an AI judge on the same rows: preferences, verdicts or scores.
    """
    read = _read(source, limit)
    groups = _by_prompt(read.responses)
    chosen = modes or _fitting(read, groups)
    found = [item for mode in chosen for item in _asked(mode, read, groups, source)]
    twice = [key for key, many in Counter(item.key for item in found).items() if many > 1]
    if twice:
        raise DataError(
            f"{source}: {twice[0]!r:.80} stands for two items: give each prompt its own id"
        )
    if found and not with_responses(found):
        raise DataError(
            f"{source}: nothing to vote on, for draws failed (`finish_reason: error`): sample the "
            "responses again"
        )
    return _with_judge(found, source, beside) if beside else found


def with_responses(items: Sequence[Item]) -> list[Item]:
    """The items without failed draws, which have no text: a ranking of what is left, else none."""
    found = []
    for item in items:
        there = [n for n, side in enumerate(item.candidates) if side.finish_reason != "error"]
        if len(there) == len(item.candidates):
            found.append(item)
        elif item.mode == "ranking" and len(there) > 1:
            fields = {"candidates": item.candidates, "sources": item.sources}
            kept = {
                name: tuple(values[n] for n in there) for name, values in fields.items() if values
            }
            found.append(item.model_copy(update={**kept, "judged": None, "gold": None}))
    return found


def checks_of(items: Sequence[Item], every: int) -> list[Item]:
    """Attention checks, enough for a rater who answers everything to meet one in `every`."""
    checks: list[Item] = []
    if not every:
        return checks
    for mode in MODES:
        own = [item for item in items if item.mode == mode]
        many = min(len(own), len(own) // every + 5)
        for n in range(many):
            item = own[n * len(own) // many]
            chinese = any("\u4e00" <= c <= "\u9fff" for c in item.candidates[0].text)
            told = Candidate(text=_INSTRUCTIONS["zh" if chinese else "en"][mode])
            fields: dict[str, Any] = {"candidates": (*item.candidates[:-1], told), "check": True}
            fields |= {"judged": None, "gold": None, "sources": (), "also": None}
            checks.append(item.model_copy(update=fields))
    return checks


def _read(source: str, limit: int | None) -> Read:
    folder = Path(source)
    if folder.is_dir():
        sides = [folder / name for name in _RUN_SIDES]
        if all(side.exists() for side in sides):
            responses = [r for side in sides for r in responses_from(_of_side(side, limit))]
            judged = folder / "evaluation" / "comparisons.jsonl"
            pairs = _pairs(read_rows(judged, limit=limit)) if judged.exists() else []
            sides_named = [pair._replace(comparison=_named(pair.comparison)) for pair in pairs]
            return Read(sides_named, responses)
        found = [folder / name for name in _RUN_FILES if (folder / name).exists()]
        if not found:
            raise DataError(
                f"{source} holds none of {', '.join((*_RUN_SIDES, *_RUN_FILES))}: name a file, or "
                f"run `hrlaif run {source}` further"
            )
        source = str(found[0])
    rows = read_rows(source, limit=limit)
    try:
        return Read(_pairs(rows), [])
    except DataError as no_pairs:
        if "no responses" not in str(no_pairs):
            raise
    return Read([], responses_from(rows))


def _of_side(path: Path, limit: int | None) -> list[SourceRow]:
    """Rows of one policy of a run: its name stands in the file's, for both may share a base."""
    name = path.stem.removesuffix("_responses")
    return [
        row._replace(values={**row.values, "model": name, "id": f"{row.values.get('id')}/{name}"})
        for row in read_rows(path, limit=limit)
    ]


def _named(pair: Comparison) -> Comparison:
    """A comparison of a run: a is the policy before RL, b the one after."""
    sides = {"a": pair.a, "b": pair.b}
    names = {"a": "sft", "b": "policy"}
    return pair.model_copy(
        update={k: side.model_copy(update={"model": names[k]}) for k, side in sides.items()}
    )


def _pairs(rows: Sequence[SourceRow]) -> list[Pair]:
    """Comparisons, beside what a labeler said where the rows are preferences."""
    return [
        Pair(comparison, judgement(row.values, row.where), _also(row.values))
        for comparison, row in comparisons_and_rows(rows)
    ]


def _also(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    values = named(row)
    meta = values.get("meta")
    found = {"models": meta["models"]} if isinstance(meta, Mapping) and "models" in meta else {}
    found |= {name: values[name] for name in ("chance", "models") if name in values}
    return found or None


def _by_prompt(responses: Sequence[Response]) -> list[list[Response]]:
    groups: dict[str, list[Response]] = defaultdict(list)
    for response in responses:
        turns = [m.model_dump_json() for m in response.prompt.messages]
        groups["\n".join(turns)].append(response)
    return list(groups.values())


def _fitting(read: Read, groups: Sequence[Sequence[Response]]) -> tuple[Mode, ...]:
    if read.pairs:
        return ("preference",)
    most = max((len(group) for group in groups), default=0)
    return ("ranking",) if most > 2 else ("preference",) if most == 2 else ("satisfaction",)


def _asked(
    mode: Mode, read: Read, groups: Sequence[Sequence[Response]], source: str
) -> Iterable[Item]:
    if mode in ("satisfaction", "harmless"):
        return [_single(mode, response) for response in read.responses or _sides(read.pairs)]
    if read.pairs and (mode == "preference" or not read.responses):
        return [
            Item(
                id=pair.id, mode=mode, prompt=pair.prompt, candidates=(pair.a, pair.b),
                judged=judged, gold=pair.gold_preference, also=also,
            )
            for pair, judged, also in read.pairs
        ]  # fmt: skip
    most = 2 if mode == "preference" else _MOST_RANKED
    whole = [group for group in groups if 2 <= len(group) <= most]
    if not whole:
        raise UsageError(
            f"{source}: no prompt has 2 to {most} responses, which --mode {mode} compares: "
            "put the responses of several models to the same prompts into one file"
        )
    large = max(len(group) for group in groups)
    if large > most:
        raise UsageError(
            f"{source}: a prompt has {large} responses, and --mode {mode} takes 2 to {most}: "
            "keep fewer, or choose another --mode"
        )
    if alone := len(groups) - len(whole):
        say(f"{mode}: {alone} prompts with a single response are left out")
    return [_several(mode, group) for group in whole]


def _several(mode: Mode, group: Sequence[Response]) -> Item:
    """An item of responses to one prompt; those of one model among several are told apart by id."""
    sides = tuple(Candidate.of(response) for response in group)
    names = tuple(response.key for response in group)
    prompt = group[0].prompt
    return Item(id=prompt.id, mode=mode, prompt=prompt, candidates=sides, sources=names)


def _single(mode: Mode, response: Response) -> Item:
    return Item(
        id=response.key, mode=mode, prompt=response.prompt,
        candidates=(Candidate.of(response),), sources=(response.key,),
    )  # fmt: skip


def _sides(pairs: Sequence[Pair]) -> list[Response]:
    """Both sides of every pair as responses of their own; equal ones to the same turns once."""
    found: dict[tuple[Turns, str], Response] = {}
    for pair, *_ in pairs:
        for name, side in (("a", pair.a), ("b", pair.b)):
            fields = side.model_dump()
            response = Response(prompt=pair.prompt, id=f"{pair.id}/{name}", **fields)
            found.setdefault((pair.prompt.messages, side.text), response)
    return list(found.values())


def _with_judge(items: Sequence[Item], source: str, beside: str) -> list[Item]:
    """The items with what `beside` says of them; how many it says nothing of is told."""
    said, found = Beside(read_rows(beside)), []
    for item in items:
        names = (item.id, *(item.sources if len(item.sources) == 1 else ()))
        texts = tuple(side.text for side in item.candidates)
        found.append(said.of(names, (item.prompt.messages, texts)))
    silent = found.count(None)
    if silent == len(items):
        raise DataError(
            f"{beside} says nothing of any item of {source}: give what a judge said of the same "
            "rows, with their ids, or with their prompts and responses"
        )
    if silent:
        say(f"{beside} says nothing of {silent} of {number(len(items), 'item')}")
    return [
        item if judged is None else item.model_copy(update={"judged": judged})
        for item, judged in zip(items, found, strict=True)
    ]
