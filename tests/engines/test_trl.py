"""Is the reward function what TRL calls? By keywords, in whole batches, and None for no score."""

import asyncio
import inspect
import pickle

import pytest

from hrlaif import Checked, Direct, Learned, Scripted
from hrlaif.checks import Number
from hrlaif.engines import trl_reward
from hrlaif.errors import BudgetReached, DataError, UsageError
from hrlaif.llm.ledger import Ledger

PROMPTS = ["6x7?", "6x7?", "7x7?"]
TEXTS = ["It is 42.", "None.", "48"]
ANSWERS = ["42", "42", "49"]
KEYWORDS = {"completion_ids": [[1], [2], [3]], "trainer_state": object()}


def test_none_is_what_trl_leaves_out_and_the_share_of_it_is_logged():
    logged = {}
    reward = trl_reward(Checked())
    for one in (reward, pickle.loads(pickle.dumps(reward))):
        assert inspect.iscoroutinefunction(one)  # as TRL before 1.16 asks
        assert inspect.iscoroutinefunction(type(one).__call__)  # as it asks since
    values = asyncio.run(
        reward(
            prompts=PROMPTS,
            completions=TEXTS,
            reference_answer=ANSWERS,
            log_metric=logged.__setitem__,
            log_extra=print,
            **KEYWORDS,
        )
    )
    assert values == [1.0, None, -1.0]
    assert logged == {"hrlaif_checked/missing": pytest.approx(1 / 3)}


def test_conversations_are_texts_of_their_last_turns():
    prompts = [[{"role": "user", "content": p}] for p in PROMPTS]
    texts = [[{"role": "assistant", "content": t}] for t in TEXTS]
    waited = trl_reward(Checked(), wait=True)
    assert not inspect.iscoroutinefunction(waited)
    assert not inspect.iscoroutinefunction(type(waited).__call__)
    found = waited(prompts=prompts, completions=texts, reference_answer=ANSWERS, **KEYWORDS)
    assert found == [1.0, None, -1.0]


def test_a_judge_is_asked_once_for_equal_texts_and_never_again(tmp_path):
    file = tmp_path / "trl.sqlite"
    reward = trl_reward(Direct(task="helpful"), Scripted(), ledger=file)
    values = asyncio.run(reward(prompts=PROMPTS, completions=TEXTS, **KEYWORDS))
    assert all(-1 <= value <= 1 for value in values)
    again = pickle.loads(pickle.dumps(reward))
    assert asyncio.run(again(prompts=PROMPTS, completions=TEXTS, **KEYWORDS)) == values
    with Ledger(file) as ledger:
        assert ledger.totals("trl").calls == 3


def test_a_bound_without_a_ledger_that_counts_is_refused(tmp_path):
    with pytest.raises(UsageError, match="max_cost needs ledger=FILE"):
        trl_reward(Direct(), Scripted(), max_cost=5)
    trl_reward(Direct(), Scripted(), max_cost=5, ledger=tmp_path / "trl.sqlite")


def test_samples_of_one_prompt_with_the_data_sets_own_ids_are_told_apart():
    reward = trl_reward(Checked(), wait=True)
    rows = {"id": ["q1"] * 3, "reference_answer": ["42"] * 3, "note": [None, {}, 3]}
    found = reward(prompts=["6x7?"] * 3, completions=["42", "41", "42"], **rows, **KEYWORDS)
    assert found == [1.0, -1.0, 1.0]


def test_what_a_tool_said_is_no_response_and_no_text_is_an_empty_one():
    calls = {"role": "assistant", "content": "", "tool_calls": [{"name": "times"}]}
    completions = [
        [calls, {"role": "tool", "name": "times", "content": "42"}],
        [{"role": "assistant", "content": None}],
        [],
        [{}],
        [{"role": "assistant", "content": [{"type": "text", "text": "It is 42."}]}],
        [calls, {"role": "tool", "content": "?"}, {"role": "assistant", "content": "42"}],
    ]

    class Texts:
        def score(self, responses, judge):
            told.extend(r.text for r in responses)
            return Checked().score(responses, judge)

    told = []
    given = {"prompts": ["6x7?"] * 6, "reference_answer": ["42"] * 6}
    found = trl_reward(Texts(), wait=True)(completions=completions, **given)
    assert told == ["", "", "", "", "It is 42.", "42"]
    assert found == [None, None, None, None, 1.0, 1.0]


@pytest.mark.parametrize(
    "column",
    [
        {"finish_reason": ["error"] * 3},
        {"tokens": [[1, 2]] * 3, "sample": ["x"] * 3, "model": [7] * 3},
        {"split": ["train_prefs"] * 3, "harmful": ["maybe"] * 3},
        {"response": ["42"] * 3, "messages": [[]] * 3, "system": ["Be brief."] * 3},
    ],
    ids=lambda column: "+".join(column),
)
def test_other_columns_of_a_data_set_say_nothing_of_the_completion(column):
    reward = trl_reward(Checked(), wait=True)
    given = {"prompts": PROMPTS, "completions": TEXTS, "reference_answer": ANSWERS}
    assert reward(**given, **column) == [1.0, None, -1.0]


def test_a_column_that_cannot_be_read_is_named_as_the_data_sets():
    reward = trl_reward(Checked(), wait=True)
    wrong = {"choices": [{"text": ["a"], "label": ["A"]}] * 3}
    with pytest.raises(DataError, match="the data set's row of completion 1: choices: "):
        reward(prompts=PROMPTS, completions=TEXTS, **wrong)


def test_rewards_of_one_kind_have_names_of_their_own():
    tasks = [trl_reward(Direct(task=task), Scripted()) for task in ("helpful", "harmless")]
    rest = [Direct(), Checked(), Checked(check=Number()), Learned(path="runs/a/reward_model")]
    names = [r.__name__ for r in (*tasks, *(trl_reward(r, wait=True) for r in rest))]
    assert names == [
        "hrlaif_direct_helpful",
        "hrlaif_direct_harmless",
        "hrlaif_direct",
        "hrlaif_checked",
        "hrlaif_checked_number",
        "hrlaif_learned_runs_a_reward_model",
    ]
    named = trl_reward(Direct(), Scripted(), name="strict")
    for one, name in ((tasks[0], names[0]), (named, "strict")):
        again, logged = pickle.loads(pickle.dumps(one)), {}
        assert again.__name__ == name
        asyncio.run(again(prompts=["Q"], completions=["x"], log_metric=logged.__setitem__))
        assert logged == {f"{name}/missing": 0.0}


def test_what_a_reward_raises_ends_the_training():
    class Spent:
        def score(self, responses, judge):
            raise BudgetReached("no money is left")

    with pytest.raises(BudgetReached):
        asyncio.run(trl_reward(Spent())(prompts=PROMPTS, completions=TEXTS))


@pytest.mark.filterwarnings("ignore")  # TRL's and its dependencies' own
@pytest.mark.parametrize("wait", [True, False])
def test_trl_trains_on_it(tiny_model, tmp_path, wait):
    pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import RLOOConfig, RLOOTrainer

    judged = trl_reward(Direct(), Scripted(), ledger=tmp_path / "trl.sqlite", wait=wait)
    rows = [{"prompt": f"What is {n}?", "reference_answer": str(n)} for n in range(4)]
    trainer = RLOOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny_model),
        reward_funcs=[judged, trl_reward(Checked(), wait=wait)],
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
        train_dataset=Dataset.from_list(rows),
        args=RLOOConfig(
            output_dir=str(tmp_path / "out"),
            per_device_train_batch_size=4,
            num_generations=2,
            max_completion_length=6,
            max_steps=1,
            logging_steps=1,
            report_to="none",
            use_cpu=True,
            bf16=False,
        ),
    )
    trainer.train()
    logged = trainer.state.log_history[0]
    assert -1 <= logged["rewards/hrlaif_direct/mean"] <= 1
    assert logged["hrlaif_direct/missing"] == 0
    assert logged["hrlaif_checked/missing"] > 0  # a random model writes no numbers
    with Ledger(tmp_path / "trl.sqlite") as ledger:
        assert ledger.totals("trl").calls == 4
