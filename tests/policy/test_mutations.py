"""Would the tests notice a wrong formula? Each line here breaks one, and the tests must fail.

A formula file is changed in one place and loaded under another name; a fresh copy of the test file
is given it in place of the real one, and its own tests are run.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import hrlaif.policy

SOURCES, TESTS = Path(hrlaif.policy.__path__[0]), Path(__file__).parent


class Mutation(NamedTuple):
    """One change of one formula, and the test that must not pass with it."""

    file: str
    right: str
    wrong: str
    tests: str
    name: str


MUTATIONS = {
    "the PPO clip reversed": Mutation(
        "maths.py",
        "torch.minimum(ratios * advantages, clipped * advantages)",
        "torch.maximum(ratios * advantages, clipped * advantages)",
        "test_maths.py",
        "test_the_clip_takes_the_worse_of_ratio_and_clipped_ratio_and_stops_the_gradient",
    ),
    "the clip's limits exchanged": Mutation(
        "maths.py",
        "ratios.clamp(1 - low, 1 + high)",
        "ratios.clamp(1 - high, 1 + low)",
        "test_maths.py",
        "test_the_upper_limit_of_the_ratio_may_differ_from_the_lower",
    ),
    "the KL's sign flipped in the reward": Mutation(
        "kl.py",
        "return -self.beta * estimate",
        "return self.beta * estimate",
        "test_kl.py",
        "test_in_the_reward_a_token_likelier_than_before_pays_for_it",
    ),
    "the KL's sign flipped in the loss": Mutation(
        "kl.py",
        "return self.beta * (weights * each)",
        "return -self.beta * (weights * each)",
        "test_kl.py",
        "test_in_the_loss_descent_makes_a_token_likelier_than_before_less_likely",
    ),
    "the KL's sign flipped in REINFORCE": Mutation(
        "reinforce.py",
        "rewards - self.beta * kl",
        "rewards + self.beta * kl",
        "test_reinforce.py",
        "test_returns_are_the_weighted_reward_minus_the_kl_still_to_come",
    ),
    "the reward one token early": Mutation(
        "maths.py",
        "placed[last_tokens(rows)] = rewards",
        "placed[last_tokens(rows) - 1] = rewards",
        "test_maths.py",
        "test_the_reward_stands_on_the_last_valid_token_and_nowhere_else",
    ),
    "the mean left in the whitening": Mutation(
        "maths.py",
        "(values - values.mean()) / (values.var",
        "values / (values.var",
        "test_maths.py",
        "test_whitened_values_have_mean_0_and_the_populations_variance_1",
    ),
    "values leaking from the next response": Mutation(
        "maths.py",
        "    following[last] = 0.0\n",
        "",
        "test_maths.py",
        "test_generalised_advantages_by_hand",
    ),
    "the value of the token instead of the one before": Mutation(
        "maths.py",
        "errors = token_rewards + gamma * following - values",
        "errors = token_rewards + gamma * values - following",
        "test_maths.py",
        "test_generalised_advantages_by_hand",
    ),
    "the smaller value error": Mutation(
        "maths.py",
        "torch.maximum(*errors)",
        "torch.minimum(*errors)",
        "test_maths.py",
        "test_the_clipped_value_loss_takes_the_larger_error",
    ),
    "a response in its own baseline": Mutation(
        "maths.py",
        "others = (sums - rewards) / (counts - 1).clamp(min=1)",
        "others = sums / counts",
        "test_maths.py",
        "test_leave_one_out_compares_with_the_mean_of_the_others",
    ),
    "the label of DPO exchanged": Mutation(
        "maths.py",
        "prob_a * logsigmoid(margins) + (1 - prob_a) * logsigmoid(-margins)",
        "prob_a * logsigmoid(-margins) + (1 - prob_a) * logsigmoid(margins)",
        "test_maths.py",
        "test_the_dpo_loss_is_the_cross_entropy_with_a_soft_label",
    ),
    "k3 without the ratio": Mutation(
        "maths.py",
        "return ratios * k3(new, reference)",
        "return k3(new, reference)",
        "test_maths.py",
        "test_the_kl_terms_of_the_loss_have_the_gradient_of_the_kl_also_off_policy",
    ),
    "a gradient through the value model": Mutation(
        "maths.py",
        "return returns.detach() - values.detach()",
        "return returns - values",
        "test_maths.py",
        "test_the_advantage_is_return_minus_value_and_passes_no_gradient",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_broken_formula_fails_the_test_that_the_right_one_passes(mutation: Mutation) -> None:
    source = (SOURCES / mutation.file).read_text("utf-8")
    assert source.count(mutation.right) == 1, "the formula has changed: change this mutation too"
    run(mutation, source)
    with pytest.raises(AssertionError):
        run(mutation, source.replace(mutation.right, mutation.wrong))


def run(mutation: Mutation, source: str) -> None:
    """The named test, once for each set of its parameters, with the formulas of this source."""
    formulas = ModuleType("formulas")
    sys.modules["formulas"] = formulas  # pydantic looks up annotations there
    try:
        exec(compile(source, mutation.file, "exec"), formulas.__dict__)
        spec = importlib.util.spec_from_file_location("its_tests", TESTS / mutation.tests)
        assert spec is not None
        assert spec.loader is not None
        tests = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tests)
        if mutation.file == "maths.py":
            tests.maths = formulas  # type: ignore[attr-defined]
        else:
            name = Path(mutation.file).stem.capitalize()
            setattr(tests, name, getattr(formulas, name))
        test = getattr(tests, mutation.name)
        marks = [m for m in getattr(test, "pytestmark", ()) if m.name == "parametrize"]
        for value in marks[0].args[1] if marks else [None]:
            test(value) if marks else test()
    finally:
        del sys.modules["formulas"]
