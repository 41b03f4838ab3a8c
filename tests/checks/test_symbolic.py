"""Are expressions compared by math-verify, and does no expression hold it up?"""

from __future__ import annotations

import importlib.util
import time

import pytest

from hrlaif.checks import Number
from hrlaif.checks.symbolic import Symbolic, _Workers
from hrlaif.errors import UsageError
from hrlaif.records import Message, Prompt, Response

INSTALLED = importlib.util.find_spec("math_verify") is not None
needed = pytest.mark.skipif(not INSTALLED, reason="math-verify is not installed")


def verdicts(pairs):
    group = []
    for n, (text, reference) in enumerate(pairs):
        turn = Message(role="user", content="Q")
        prompt = Prompt(id=f"q{n}", messages=(turn,), reference_answer=reference)
        group.append(Response(prompt=prompt, text=text))
    return Number(symbolic=Symbolic()).check(group, None)


@needed
def test_expressions_are_equal_in_any_form():
    found = verdicts(
        [
            (r"The answer is \boxed{\frac{21\pi}{2}}.", r"\frac{21}{2}\pi"),
            (r"\boxed{\sqrt{25}}", "5"),
            (r"\boxed{2\sqrt{3}}", r"\sqrt{12}"),
            (r"\boxed{3\sqrt{3}}", r"\sqrt{12}"),
            (r"The answer is 4 or 5", "5"),
            ("The answer is 5.", "5"),
        ]
    )
    assert [v.passed for v in found] == [True, True, True, False, None, True]
    assert found[0].evidence["compared_by"] == "math-verify"
    assert "compared_by" not in found[5].evidence


@needed
def test_what_explodes_is_never_sent_and_what_hangs_is_ended():
    begun = time.perf_counter()
    found = verdicts(
        [
            (r"\boxed{9^{9^{9^{9}}}\pi}", "5"),
            (r"\boxed{10000000!\pi}", "5"),
            (r"\boxed{\sqrt{__import__('os').system('true')}}", "5"),
            (r"\boxed{\sqrt{25}}", "5"),
        ]
    )
    assert [v.passed for v in found][3] is True
    assert [v.passed for v in found][:3] == [None, None, None]
    assert time.perf_counter() - begun < 60


@needed
def test_a_comparison_that_hangs_is_ended_and_the_next_one_answered():
    with _Workers(Symbolic(seconds=2)) as workers:
        assert workers.equal("5", r"\sqrt{25}") == (True, "equal")
        hangs = "9^{9^{9^{9}}}"
        assert workers.equal("5", hangs) == (None, "the comparison took too much time or memory")
        assert workers.equal("5", "6") == (False, "different")


@pytest.mark.skipif(INSTALLED, reason="math-verify is installed")
def test_without_math_verify_the_next_move_is_told():
    with pytest.raises(UsageError, match=r"pip install -e '.*\[math\]'"):
        verdicts([(r"\boxed{\sqrt{25}}", "5")])
