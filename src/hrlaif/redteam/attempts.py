"""What was asked, what did the policy answer, and was it harmful?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

from hrlaif.checks import Harmless
from hrlaif.errors import ModelError
from hrlaif.messages import spoken
from hrlaif.protocols import LanguageModel
from hrlaif.records import (
    Message,
    Prompt,
    Record,
    Response,
    Row,
    Verdict,
)
from hrlaif.redteam.seeds import Seed

Source = Literal["seed", "variation", "import", "benign"]
_SILENT = 8


class Attack(NamedTuple):
    """One way of asking one seed."""

    seed: Seed
    family: str
    source: Source = "seed"
    request: str = ""
    """A rewording of the seed's request; empty: as it is."""
    number: int = 0

    @property
    def id(self) -> str:
        """Known before anything is asked."""
        name = f"{self.seed.prompt.id}/{self.family}"
        return f"{name}/variation-{self.number}" if self.source == "variation" else name


class Attempt(Record):
    """An attack and the policy's answer to it."""

    id: str
    seed: str
    """Attempts on one seed are not independent: intervals are clustered by it."""
    family: str
    hazard: str
    source: Source
    request: str
    """What was asked, plainly put."""
    response: Response
    """Its prompt is what the policy saw."""
    reason: str = ""
    """Why there is no answer."""
    verdict: Verdict | None = None
    responsive: Verdict | None = None
    """Whether it does more than refuse; asked of answers to benign prompts."""

    @property
    def harmful(self) -> bool | None:
        """None where the detector did not say."""
        passed = None if self.verdict is None else self.verdict.passed
        return None if passed is None else not passed

    @property
    def refuses(self) -> bool | None:
        """Whether it merely refuses; None where the judge did not say, or was not asked."""
        passed = None if self.responsive is None else self.responsive.passed
        return None if passed is None else not passed

    @property
    def unjudged(self) -> str:
        """Why nobody knows whether it is harmful; empty where it is known."""
        if self.harmful is not None:
            return ""
        return self.reason or (self.verdict.reason if self.verdict else "not judged")

    def row(self) -> Row:
        """Flat: the response's columns, then the attempt's; harmful texts are marked."""
        plain = {"id", "seed", "family", "hazard", "source", "request", "reason"}
        verdicts = {"verdict": self.verdict, "responsive": self.responsive}
        return {
            **self.response.row(),
            **self.model_dump(mode="json", include=plain),
            **{name: verdict.row() for name, verdict in verdicts.items() if verdict is not None},
            "harmful_response": self.harmful,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `row`."""
        names = set(cls.model_fields) - {"response"}
        own = {name: row[name] for name in names if name in row}
        rest = {k: v for k, v in row.items() if k not in own and k != "harmful_response"}
        return cls.model_validate({**own, "response": Response.from_row({**rest, "id": row["id"]})})


class Watch:
    """Stops the work when the detector has gone silent: nothing is rewritten on no verdict.

    Raises ModelError after so many verdicts in a row that the judge did not give. What it left
    unsaid is not saved, so the same command asks again.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.silent = 0
        self.told = 0

    def saw(self, verdicts: Sequence[Verdict], responses: Sequence[Response]) -> None:
        """Counts; an answer that is missing, or empty but for thoughts, is not its silence."""
        for verdict, response in zip(verdicts, responses, strict=True):
            if verdict.passed is not None:
                self.silent, self.told = 0, self.told + 1
            elif spoken(response.text).strip() and response.finish_reason != "error":
                self.silent += 1
                if self.silent >= _SILENT:
                    self.stop(verdict.reason)

    def read(self, attempts: Sequence[object]) -> None:
        """Counts what is kept of earlier work: the detector spoke then."""
        for attempt in attempts:
            if isinstance(attempt, Attempt):
                self.told += attempt.harmful is not None or attempt.refuses is not None

    def end(self) -> None:
        """At the end of the work: a detector that never said anything is down, too."""
        if self.silent and not self.told:
            self.stop("it has not said anything at all")

    def stop(self, why: str) -> None:
        """Raises ModelError."""
        raise ModelError(
            f"the {self.what} gave no verdict {self.silent} times in a row ({why}): nothing is "
            "rewritten or called safe without it; see that its judge answers, then run the same "
            "command, which goes on from here"
        )


def plainly(attempt: Attempt) -> Response:
    """The answer beside the plain request: what the detector reads, whatever dress it wore.

    So no attack on the policy is an attack on the detector, and the question stays short.
    """
    shown = attempt.response.prompt.model_copy(
        update={"messages": (Message(role="user", content=attempt.request),)}
    )
    return attempt.response.model_copy(update={"prompt": shown})


def judged(
    attempts: Sequence[Attempt], detector: Harmless, judge: LanguageModel, watch: Watch
) -> list[Attempt]:
    """The same attempts with the detector's verdicts."""
    shown = [plainly(attempt) for attempt in attempts]
    verdicts = detector.check(shown, judge)
    watch.saw(verdicts, shown)
    return [a.model_copy(update={"verdict": v}) for a, v in zip(attempts, verdicts, strict=True)]


def unanswered(prompt: Prompt, id: str, model: str) -> Response:
    """The empty response of a model that gave none."""
    return Response(prompt=prompt, text="", model=model, finish_reason="error", tokens=0, id=id)
