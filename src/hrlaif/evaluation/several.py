"""How do several models compare? Each with every other on the same prompts, asked as one job.

a is the model given first of the two, b the other; the first of all is the baseline where one is
needed. Comparisons carry the names of their models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from hrlaif.errors import DataError
from hrlaif.evaluation.ranking import Traits, ranked, with_difficulty
from hrlaif.evaluation.win_rate import PARTIAL, Answer, _one_prompt, ask, cut, pair, summarise, won
from hrlaif.messages import spoken
from hrlaif.progress import say, track
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.reasons import counted
from hrlaif.records import Abstention, Comparison, Preference, Prompt, Response, Row
from hrlaif.rows import write_rows
from hrlaif.run import write_json
from hrlaif.statistics import clusters, mean

Models = Mapping[str, Sequence[Response]]
"""Responses by model, in the order given."""


def by_model(files: Sequence[tuple[str, Sequence[Response]]]) -> dict[str, list[Response]]:
    """Responses under the `model` of a file's rows, or the file's own name, and so named.

    Raises DataError where a file holds two models, or two files hold the same one.
    """
    found: dict[str, list[Response]] = {}
    named: dict[str, str] = {}
    for file, responses in files:
        models = sorted({r.model for r in responses} - {""})
        if len(models) > 1:
            raise DataError(
                f"{file} holds responses of {models[0]} and {models[1]}: give a file a model"
            )
        name = models[0] if models else _stem(file)
        if name in named:
            raise DataError(
                f"{named[name]} and {file} are both {name}: give their rows different `model`s"
            )
        named[name] = file
        found[name] = [r.model_copy(update={"model": name}) for r in responses]
    return found


def _stem(file: str) -> str:
    return Path(file.removesuffix(".gz")).stem if Path(file).is_file() else file


def meetings(models: Models, *, first_only: bool = False) -> list[Comparison]:
    """Every model against every other, or the first against each, prompt by prompt.

    Raises DataError naming two models that answered no common prompt.
    """
    same = _same_prompts(models)
    found: list[Comparison] = []
    for one, other in list(combinations(same, 2))[: len(same) - 1 if first_only else None]:
        if not {r.prompt.id for r in same[one]} & {r.prompt.id for r in same[other]}:
            raise DataError(
                f"{one} and {other} answered no common prompt, by its id or its text: answer the "
                "same prompts with all models"
            )
        found += [
            c.model_copy(update={"id": f"{c.id}/{one}/{other}"})
            for c in pair(same[one], same[other])
        ]
    # All questions about a prompt stand together: a local model reads what they share once.
    order = {name: n for n, name in enumerate(dict.fromkeys(c.prompt.id for c in found))}
    return sorted(found, key=lambda c: order[c.prompt.id])


def _same_prompts(models: Models) -> dict[str, list[Response]]:
    """The responses, each with what any file knows of its prompt: the first that says it counts.

    Of ids that not all models share, prompts of the same text get the first one's everywhere.
    """
    shared = set.intersection(*({r.prompt.id for r in some} for some in models.values()))
    first: dict[object, str] = {}
    for responses in models.values():
        for r in responses:
            if r.prompt.id not in shared:
                first.setdefault(r.prompt.messages, r.prompt.id)

    def id_of(prompt: Prompt) -> str:
        return prompt.id if prompt.id in shared else first[prompt.messages]

    prompts = [r.prompt for responses in models.values() for r in responses]
    if any(id_of(prompt) != prompt.id for prompt in prompts):
        say("not all files share prompt ids: prompts of the same text are taken for the same")
    known: dict[object, Prompt] = {}
    for prompt in prompts:
        same = (id_of(prompt), prompt.messages)
        known[same] = _one_prompt(known.get(same, prompt), prompt, id_of(prompt))

    def told(r: Response) -> Response:
        return r.model_copy(update={"prompt": known[id_of(r.prompt), r.prompt.messages]})

    return {name: [told(r) for r in responses] for name, responses in models.items()}


def compare_several(
    models: Models,
    comparisons: Sequence[Comparison],
    labeler: Labeler,
    judge: LanguageModel,
    folder: Path,
    *,
    traits: Traits,
    seed: int = 0,
) -> Row:
    """Asks about what `meetings` paired; win rates of each pair, and a ranking of all.

    Writes folder/compare.json and folder/comparisons.jsonl, whose rows without `prob_a` are
    abstentions. A killed comparison goes on where it stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    answers = ask(comparisons, labeler, judge, folder / PARTIAL)
    write_rows(folder / "comparisons.jsonl", (answer.row() for answer in answers))
    metrics = {
        "judge": "+".join(one.name for one in (judge, *getattr(labeler, "others", ()))),
        "models": {name: _about(responses, seed) for name, responses in models.items()},
        **_told(answers),
        "ranking": ranked(answers, traits, seed=seed).row(),
        "pairs": _pairs(models, answers, seed),
        "with_difficulty": with_difficulty(answers, next(iter(models)), seed=seed).row(),
    }
    write_json(folder / "compare.json", metrics)
    (folder / PARTIAL).unlink(missing_ok=True)
    return metrics


def _about(responses: Sequence[Response], seed: int) -> Row:
    lengths = [float(len(spoken(r.text))) for r in responses]
    prompts = clusters([r.prompt for r in responses])
    return {
        "responses": len(responses),
        "characters": mean(lengths, clusters=prompts, seed=seed).row(),
    }


def _told(answers: Sequence[Answer]) -> Row:
    """How many comparisons there are, and which of them say nothing or name no winner."""
    identical = [a for a in answers if isinstance(a, Abstention) and won(a) is not None]
    silent = [a.reason for a in answers if isinstance(a, Abstention) and won(a) is None]
    return {
        "asked": len(answers),
        "identical": len(identical),
        "ties": sum(isinstance(a, Preference) and a.prob_a == 0.5 for a in answers),
        "abstentions": counted(silent),
        "abstained_share": len(silent) / max(len(answers) - len(identical), 1),
        "truncated": cut(answers),
        "labeler": answers[0].labeler if answers else "",
    }


def _pairs(models: Models, answers: Sequence[Answer], seed: int) -> list[Row]:
    """Of each two models the win rate of b over a, as of two files."""
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        one, other = answer.comparison.a.model, answer.comparison.b.model
        groups.setdefault((one, other), []).append(answer)
    rows = []
    with track("win rates", len(groups), unit="pairs of models") as bar:
        for one, other in combinations(models, 2):
            if group := groups.get((one, other)):
                won_by = summarise(
                    group,
                    unmatched=len(models[one]) + len(models[other]) - 2 * len(group),
                    names=(other, one, "no difference"),
                    seed=seed,
                )
                rows.append({"a": one, "b": other, "win_rate": won_by.row()})
                bar.advance(1)
    return rows
