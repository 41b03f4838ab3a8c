"""Are a question's tokens computed once, for its answer and for what is asked behind the answer?"""

import pytest
import torch

from hrlaif.transformer.answered import Answered
from hrlaif.transformer.body import body_of
from hrlaif.transformer.branches import Branches
from hrlaif.transformer.forward import next_logprobs
from hrlaif.transformer.generate import Sampling, generate
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.prefix import begin_prefix

BEGINNING = list(range(10, 30))
PROMPTS = [[*BEGINNING, *range(k, k + 36 + k % 5), 7, 8] for k in (31, 42, 53)]
ONE, SEVERAL = {(): [5, 6, 40]}, {(): [5, 6, 40], (5,): [9]}


def _asked_behind(prompts):
    """The label's questions: the same but for the end of a turn, then what was written."""
    return [[*prompt[:-2], *range(60, 66 + n), 11] for n, prompt in enumerate(prompts)]


def _loaded(model):
    return Loaded(model, None, torch.device("cpu"), "float32", frozenset({2}))


def _tokens_of(body, monkeypatch):
    seen, plain = [], body.forward

    def forward(input_ids=None, **more):
        seen.append(input_ids.numel())
        return plain(input_ids=input_ids, **more)

    monkeypatch.setattr(body, "forward", forward)
    return seen


@pytest.mark.parametrize("asked", [ONE, SEVERAL])
def test_what_is_asked_behind_an_answer_is_what_is_asked_of_the_whole_text(
    tiny, sharing_family, asked
):
    loaded = _loaded(tiny(sharing_family))
    rows = [*_asked_behind(PROMPTS), [*BEGINNING, 3, 4, 90]]  # the last question was not answered
    wanted = next_logprobs(loaded.model, rows, asked)
    generate(loaded, [*PROMPTS, PROMPTS[0]], Sampling(0.0, 5), rows=2, keep=True)
    assert [loaded.answered.find(row, 20) is not None for row in rows] == [True] * 3 + [False]
    found = next_logprobs(loaded.model, rows, asked, loaded.kept, loaded.answered)
    for path in asked:
        torch.testing.assert_close(found[path], wanted[path], atol=1e-5, rtol=1e-5)


def test_only_what_follows_the_question_is_computed(tiny, monkeypatch):
    loaded = _loaded(tiny("gemma3"))
    generate(loaded, PROMPTS, Sampling(0.0, 5), keep=True)
    rows = _asked_behind(PROMPTS)
    seen = _tokens_of(body_of(loaded.model), monkeypatch)
    next_logprobs(loaded.model, rows, {(): [5]}, None, loaded.answered)
    behind = sum(len(row) - len(prompt) + 2 for row, prompt in zip(rows, PROMPTS, strict=True))
    assert sum(seen) - len(BEGINNING) <= behind + 2 * len(rows)  # padding of at most two a row


def test_of_two_questions_that_begin_alike_the_one_with_more_in_common_is_found(tiny):
    body, kept = body_of(tiny("llama")), Answered()
    long, longer = [*range(5, 75)], [*range(5, 45), *range(50, 90)]
    for prompt in (long, longer):
        kept.add([prompt], Branches(begin_prefix(body, prompt)), room=1000)
    assert kept.find([*longer[:70], 4], 0).length == 70
    assert kept.find([*long[:60], 4], 0).length == 60
    assert kept.find([*long[:60], 4], 40) is None  # too little beyond what is there anyway
    assert kept.find(long, 0).length == len(long) - 1  # a row's last token is always computed
    kept.clear()
    assert kept.find(long, 0) is None


def test_no_more_is_kept_than_there_is_room_for(tiny):
    body, kept = body_of(tiny("llama")), Answered()
    for begin in (5, 6, 7):
        prompt = [*range(begin, begin + 50)]
        kept.add([prompt], Branches(begin_prefix(body, prompt)), room=100)
    assert [kept.find([*range(b, b + 50), 3], 0) is not None for b in (5, 6, 7)] == [
        True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("rationale", [True, False])
def test_labels_behind_reasons_are_the_same_and_nothing_is_kept_after(
    tiny_model, monkeypatch, rationale
):
    from hrlaif.labeling import Pairwise
    from hrlaif.llm import Local
    from hrlaif.records import Candidate, Comparison, Message, Prompt

    prompt = Prompt(id="p", messages=(Message(role="user", content="Which is it?"),))
    pairs = [
        Comparison(id=str(n), prompt=prompt, a=Candidate(text=f"A {n}"), b=Candidate(text=f"{n} B"))
        for n in range(3)
    ]
    labeler = Pairwise(rationale=rationale, rationale_tokens=12, mass_floor=0.0)
    judge, found = Local(path=tiny_model), []
    plain = Answered.find
    monkeypatch.setattr(Answered, "find", lambda *a: (found.append(plain(*a)), found[-1])[1])
    labels = labeler.label(pairs, judge)
    assert any(found) is rationale
    assert judge.loaded().answered.find([1] * 99, 0) is None
    monkeypatch.setattr(Answered, "find", lambda *_: None)
    for one, other in zip(labels, labeler.label(pairs, judge), strict=True):
        assert one.prob_a == pytest.approx(other.prob_a, abs=1e-5)
        assert one.evidence.rationales == other.evidence.rationales
