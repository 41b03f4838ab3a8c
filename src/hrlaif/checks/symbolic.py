"""Are two mathematical expressions equal? math-verify says so, in a process that can be killed.

The process has a memory and a time limit, sees nothing but the two texts, and is ended when it does
not answer. Towers of powers, factorials and long digits are never sent: they are how such
comparisons are made to hang (feedback of graders: `9^{9^{9^9}}`, `10000000!`).
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any, final

from pydantic import Field

from hrlaif.checks.clauses import UNCLEAR
from hrlaif.checks.final import UNSETTLED
from hrlaif.checks.plain import SEVERAL
from hrlaif.errors import UsageError
from hrlaif.machine import install
from hrlaif.records import Verdict
from hrlaif.settings import Settings

_WORKER = Path(__file__).with_name("symbolic_worker.py")
_START = 60.0  # seconds for a slow disk to load sympy
_MOST_CHARACTERS = 300
_EXPRESSION = re.compile(r"[\\^√π±∞(){}\[\]]|[A-Za-z]\s*=|\d")
_TOO_MUCH = re.compile(
    r"!|\d{31,}|\^\s*\{?\s*[-+]?\d{4,}|(?:\^[^\^]{0,12}){3}|\*\*|__|[{(\[]{20}|\\(?:prod|sum|int)\b"
)


@final
class Symbolic(Settings):
    """Compares expressions with math-verify, one at a time, each within its limits."""

    seconds: float = Field(default=10.0, gt=0)
    """A comparison that takes longer is ended and has no verdict."""
    megabytes: int = Field(default=1024, ge=256)
    """Address space of the process that compares."""

    def settle(self, verdicts: Sequence[Verdict], answers: Sequence[str]) -> list[Verdict]:
        """The same verdicts; those without one are told by math-verify where it can.

        `answers` are the parts of the responses that state their answers.
        """
        if importlib.util.find_spec("math_verify") is None:
            raise UsageError(f"symbolic needs math-verify: `{install('math')}`")
        todo = {
            n: (str(v.evidence["reference"]), answer)
            for n, (v, answer) in enumerate(zip(verdicts, answers, strict=True))
            if v.passed is None
            and "reference" in v.evidence
            and _fit(answer)
            and _fit(str(v.evidence["reference"]))
            and v.reason not in (SEVERAL, UNCLEAR, UNSETTLED)
        }
        settled = list(verdicts)
        with _Workers(self) as workers:
            for n, (reference, answer) in todo.items():
                equal, reason = workers.equal(reference, answer)
                evidence = {**verdicts[n].evidence, "compared_by": "math-verify"}
                settled[n] = verdicts[n].model_copy(
                    update={
                        "passed": equal,
                        "reason": reason,
                        "answer": answer.strip() or None,
                        "evidence": evidence,
                    }
                )
        return settled


def _fit(text: str) -> bool:
    """Whether an expression may be sent: short, and with nothing in it that explodes."""
    return (
        0 < len(text.strip()) <= _MOST_CHARACTERS
        and _EXPRESSION.search(text) is not None
        and _TOO_MUCH.search(text) is None
    )


class _Workers:
    """One process at a time; a killed one is replaced at the next question."""

    def __init__(self, limits: Symbolic):
        self.limits = limits
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def equal(self, reference: str, answer: str) -> tuple[bool | None, str]:
        """Whether they are equal, or None and why it cannot be told."""
        if self.process is None:
            self._start()
        told = self._ask({"reference": reference, "answer": answer}, self.limits.seconds)
        if told is None:
            self._stop()
            return None, "the comparison took too much time or memory"
        passed, reason = told.get("equal"), str(told.get("reason", ""))
        return (passed if isinstance(passed, bool) else None), reason

    def _start(self) -> None:
        # -I: nothing of the user's folders or environment is imported.
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(_WORKER), str(self.limits.megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if self._ask(None, _START) is None:
            self._stop()
            raise UsageError(
                f"symbolic: math-verify does not start: `{install('math')}`, and raise "
                f"symbolic.megabytes above {self.limits.megabytes}"
            )

    def _ask(self, question: dict[str, str] | None, seconds: float) -> dict[str, Any] | None:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            if question is not None:
                self.process.stdin.write(json.dumps(question).encode() + b"\n")
                self.process.stdin.flush()
            with DefaultSelector() as ready:
                ready.register(self.process.stdout, EVENT_READ)
                if not ready.select(seconds):
                    return None
            told = json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None

    def _stop(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        self.process.communicate()
        self.process = None
