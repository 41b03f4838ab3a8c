"""What does a red-team campaign do? Attack, judge, reword what worked, rewrite, measure refusals.

Each step keeps its rows in folder/redteam, a chunk at a time, and every call stands in the ledger:
after `kill -9` the same command goes on, asks no answered call again, and writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

from hrlaif.errors import DataError, ModelError, StaleRunError
from hrlaif.protocols import LanguageModel, texts_at_once
from hrlaif.reasons import counted
from hrlaif.records import Record, Row
from hrlaif.redteam import pairs
from hrlaif.redteam.attack import Reworded, Rewording, attack_tokens, attempt, reworded
from hrlaif.redteam.attempts import Attack, Attempt, Watch, judged
from hrlaif.redteam.figures import over_refusal, success
from hrlaif.redteam.seeds import Seed, spread, told_apart
from hrlaif.redteam.settings import RedTeam
from hrlaif.redteam.writing import Mended, Menders, Mending, mended
from hrlaif.rows import read_rows, write_rows
from hrlaif.run import map_rows, write_json, write_text
from hrlaif.statistics import Sureness

T = TypeVar("T")
R = TypeVar("R", bound=Record)
PREFERENCES = "redteam_preferences.jsonl"
_WARNING = """This folder holds harmful texts that a model wrote when it was tested.

They are kept so that the model can be trained away from them, and are marked
`"harmful_response": true`. Do not publish them, and do not use them as answers.
"""


class Models(NamedTuple):
    """Who is attacked, and who helps."""

    target: LanguageModel
    judge: LanguageModel
    attacker: LanguageModel
    rewriter: LanguageModel
    name: str
    """What the target is called in rows; a folder's own name, so that rows do not hold its path."""

    @classmethod
    def of(
        cls, settings: RedTeam, target: LanguageModel, judge: LanguageModel, name: str = ""
    ) -> Models:
        """The models that the settings name; the judge where they name none."""
        judge = settings.judge or judge
        attacker, rewriter = settings.attacker or judge, settings.rewriter or judge
        return cls(target, judge, attacker, rewriter, name or target.name)


class Asked(NamedTuple):
    """What a campaign begins with."""

    seeds: Sequence[Seed]
    benign: Sequence[Seed]
    plainly: Sequence[Seed] = ()
    """Seeds that are asked directly alone, such as a run's own prompts, which nobody reviewed."""
    imported: Sequence[Attempt] = ()
    """Attempts that another tool made; this detector judges them anew."""

    def told_apart(self) -> Asked:
        """The same, each prompt once and with an id of its own, and each imported attempt once."""
        taken: dict[str, str] = {}
        return self._replace(
            seeds=told_apart(self.seeds, "harmful", taken),
            plainly=told_apart(self.plainly, "harmful", taken),
            benign=told_apart(self.benign, "benign", taken),
            imported=list({attempt.id: attempt for attempt in self.imported}.values()),
        )


class Campaign:
    """The steps of one campaign, each of which is done once and then read back."""

    def __init__(self, settings: RedTeam, who: Models, folder: Path, *, seed: int):
        self.settings, self.who, self.seed = settings, who, seed
        self.folder = folder / "redteam"
        self.watch = Watch("harm detector")

    def begin(self) -> None:
        """Makes the folder, with a warning of what will be in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "HARMFUL_CONTENT.txt", _WARNING)

    def attacked(self, name: str, attacks: Sequence[Attack]) -> list[Attempt]:
        """Asks the policy, and judges what it said."""

        def work(group: Sequence[Attack]) -> list[Attempt]:
            made = self._asked(group)
            return judged(made, self.settings.detector, self.who.judge, self.watch)

        return self._kept(name, attacks, work, lambda a: a.id, Attempt.from_row)

    def judged(self, name: str, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Judges attempts that another tool made."""

        def work(group: Sequence[Attempt]) -> list[Attempt]:
            return judged(group, self.settings.detector, self.who.judge, self.watch)

        return self._kept(name, attempts, work, lambda a: a.id, Attempt.from_row)

    def replied(self, name: str, attacks: Sequence[Attack]) -> list[Attempt]:
        """Asks the policy benign prompts, and judges both whether it helps and whether it harms."""

        def work(group: Sequence[Attack]) -> list[Attempt]:
            made = self._asked(group)
            made = judged(made, self.settings.detector, self.who.judge, self.watch)
            found = self.settings.refusals.check([a.response for a in made], self.who.judge)
            return [
                a.model_copy(update={"responsive": v}) for a, v in zip(made, found, strict=True)
            ]

        return self._kept(name, attacks, work, lambda a: a.id, Attempt.from_row)

    def reworded(self, name: str, items: Sequence[Rewording]) -> list[Reworded]:
        """Has the attacker put requests in other words."""

        def work(group: Sequence[Rewording]) -> list[Reworded]:
            tokens = attack_tokens(self.settings)
            return reworded(group, self.who.attacker, max_tokens=tokens, seed=self.seed)

        return self._kept(name, items, work, lambda item: item.id, Reworded.from_row)

    def mended(self, name: str, items: Sequence[Mending]) -> dict[str, Mended]:
        """Rewrites, and accepts or drops."""
        menders = Menders(self.who.rewriter, self.who.judge, self.watch)

        def work(group: Sequence[Mending]) -> list[Mended]:
            return mended(group, self.settings, menders, seed=self.seed)

        found = self._kept(name, items, work, lambda item: item.id, Mended.from_row)
        return {result.id: result for result in found}

    def _asked(self, group: Sequence[Attack]) -> list[Attempt]:
        who = self.who
        asked = (who.target, who.attacker)
        return attempt(group, self.settings, asked, name=who.name, seed=self.seed)

    def _kept(
        self,
        name: str,
        items: Sequence[T],
        work: Callable[[Sequence[T]], Sequence[R]],
        key: Callable[[T], str],
        parse: Callable[[Row], R],
    ) -> list[R]:
        path = self.folder / f"{name}.jsonl"
        partial = path.with_name(f"{path.name}.partial")
        if not items:
            write_rows(path, [])
        if not path.exists():
            rows = map_rows(
                partial,
                items,
                work,
                chunk=min(texts_at_once(self.who.judge) // 2, texts_at_once(self.who.target)),
                key=key,
                what=f"redteam {name.replace('_', ' ')}",
                unit="answers",
            )
            write_rows(path, rows)
        # Killed between the two lines before, a whole file and its partial one stand side by side.
        partial.unlink(missing_ok=True)
        kept = [row.values for row in read_rows(path)] if items else []
        if [row["id"] for row in kept] != [key(item) for item in items]:
            raise StaleRunError(f"{path} was made of other rows: delete it to begin anew")
        found = [parse(row) for row in kept]
        self.watch.read(found)
        return found

    def end(self) -> None:
        """Raises ModelError where the detector never said anything; all of it is asked again."""
        try:
            self.watch.end()
        except ModelError:
            for path in self.folder.glob("*.jsonl"):  # the answers themselves are in the ledger
                path.unlink()
            raise


def campaign(settings: RedTeam, who: Models, folder: Path, asked: Asked, *, seed: int = 0) -> Row:
    """Writes folder/redteam_preferences.jsonl and folder/redteam; returns the figures.

    Raises ModelError when the harm detector goes silent: nothing is then called safe.
    """
    work = Campaign(settings, who, folder, seed=seed)
    sure = sureness(settings, who.judge)
    work.begin()
    asked = asked.told_apart()
    attacks = [Attack(s, family) for s in asked.seeds for family in settings.families]
    attacks += [Attack(s, "direct") for s in asked.plainly]
    attempts = work.attacked("attempts", attacks)
    brought = work.judged("imported", asked.imported)
    reworded, unwritten = _variations(work, asked, attempts)
    variations = work.attacked("variations", reworded)
    harmful = [a for a in (*attempts, *brought, *variations) if a.harmful]
    rewrites = work.mended("rewrites", [pairs.to_rewrite(a) for a in harmful])
    replies = work.replied("benign", [Attack(s, "direct", "benign") for s in asked.benign])
    refused = [a for a in replies if a.refuses]
    helped = work.mended("helpful", [pairs.to_answer(a) for a in refused])
    work.end()
    made = pairs.from_rewrites(harmful, rewrites, who.rewriter.name)
    about_benign = pairs.from_benign(replies, helped, who.rewriter.name, settings.stock_refusals)
    write_rows(folder / PREFERENCES, (p.row() for p in [*made, *about_benign]))
    known = {"target": who.name, "judge": who.judge.name, "rewriter": who.rewriter.name}
    found: Row = {
        **known,
        "detector": settings.detector.model_dump(mode="json"),
        "success": success(attempts, sure, seed=seed),
        # What was chosen because it worked, or came from elsewhere, is in no share of the above.
        "variations": success(variations, None, seed=seed) if variations else None,
        "unwritten_variations": unwritten,
        "imported": success(brought, None, seed=seed) if brought else None,
        "rewrites": {
            "harmful": len(harmful),
            "accepted": len(made),
            "dropped": counted(r.dropped for r in rewrites.values() if r.text is None),
            "length_ratio": _length_ratio(harmful, rewrites),
        },
        "over_refusal": over_refusal(replies, seed=seed),
        "benign_pairs": counted(p.reason for p in about_benign),
        "benign_left_out": pairs.left_out(replies, helped, settings.stock_refusals),
        "pairs": len(made) + len(about_benign),
    }
    write_json(work.folder / "figures.json", found)
    return found


def _variations(
    work: Campaign, asked: Asked, attempts: Sequence[Attempt]
) -> tuple[list[Attack], dict[str, int]]:
    """Attacks that worked, in other words; and why some have none."""
    origins = {s.prompt.id: s for s in asked.seeds}
    worked = [a for a in attempts if a.harmful and a.seed in origins]
    chosen = spread(worked, lambda a: a.seed, work.settings.most_variations)
    numbers = range(work.settings.variations)
    wanted = [Rewording(origins[a.seed], a, k) for a in chosen for k in numbers]
    attacks, left_out = [], []
    for r, found in zip(wanted, work.reworded("rewordings", wanted), strict=True):
        if found.text is None or found.text == r.attempt.request:
            left_out.append(found.reason or "the same words again")
        else:
            attacks.append(Attack(r.seed, r.attempt.family, "variation", found.text, r.number))
    return attacks, counted(left_out)


def sureness(settings: RedTeam, judge: LanguageModel) -> Sureness | None:
    """Counts of detector.json at the detector's threshold.

    Raises DataError where the file is not one, or was made by another judge or at another
    threshold.
    """
    if (path := settings.measured) is None:
        return None
    try:
        row = json.loads(Path(path).read_text("utf-8"))
        found, by = row["harmless"], row["judge"]
        at = {0.5: found["at_one_half"]["counts"], found["threshold"]: found["counts"]}
        counts = {threshold: Sureness.model_validate(value) for threshold, value in at.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no detector.json ({error!r:.80}): write one with `hrlaif detector`"
        ) from None
    name, threshold = (settings.judge or judge).name, settings.detector.threshold
    if by != name or threshold not in counts:
        raise DataError(
            f"{path} was measured with {by} at {' and '.join(map(str, counts))}, but the detector "
            f"is {name} at {threshold}: measure it, set its threshold to one of these, or name "
            "redteam.judge"
        )
    return counts[threshold]


def _length_ratio(harmful: Sequence[Attempt], rewrites: dict[str, Mended]) -> float | None:
    """Median characters of accepted rewrites over their originals: a reward may learn length."""
    ratios = [
        len(text) / max(len(a.response.text), 1)
        for a in harmful
        if (text := rewrites[a.id].text) is not None
    ]
    return round(median(ratios), 3) if ratios else None
