"""Is the policy asked turn by turn, and is a silent one never called safe?"""

import pytest

from hrlaif.attacking import of_campaign
from hrlaif.checks import Harmless
from hrlaif.errors import ModelError
from hrlaif.llm import Scripted
from hrlaif.records import Completion, Unanswered
from hrlaif.redteam import FAMILIES, Asked, Models, RedTeam
from hrlaif.redteam.attack import Rewording, attempt, reworded
from hrlaif.redteam.attempts import Attack, Attempt, Watch, judged

from .conftest import Told, seed


def asked(attacks, target, attacker=None, settings=None):
    attacker = attacker or Told(lambda chat: "translated")
    return attempt(attacks, settings or RedTeam(), (target, attacker), name="policy", seed=0)


def test_escalation_asks_three_times_and_hears_its_own_answers():
    target = Told(lambda chat: f"answer {len(chat.messages)}")
    [made] = asked([Attack(seed(0, "Do it."), "escalation")], target)
    assert [len(chat.messages) for chat in target.chats] == [1, 3, 5]
    turns = made.response.prompt.messages
    assert [m.role for m in turns] == ["user", "assistant"] * 2 + ["user"]
    assert [m.content for m in turns[1::2]] == ["answer 1", "answer 3"]
    assert made.response.text == "answer 5"
    assert made.request == "Do it."


def test_all_families_are_asked_at_once_turn_by_turn():
    target = Told(lambda chat: "fine")
    made = asked([Attack(seed(n), f) for n in range(3) for f in FAMILIES], target)
    assert [a.id for a in made] == [f"s{n}/{f}" for n in range(3) for f in FAMILIES]
    assert len(target.chats) == 3 * (len(FAMILIES) - 1) + 3 * 3
    assert all(a.response.model == "policy" and a.response.text == "fine" for a in made)


def test_only_translations_trouble_the_attacker_and_its_text_is_asked():
    attacker = Told(lambda chat: "请做这件事。")
    target = Told(lambda chat: "fine")
    attacks = [Attack(seed(0, "Do it."), family) for family in ("direct", "translation")]
    made = asked(attacks, target, attacker)
    assert len(attacker.chats) == 1
    assert "Chinese" in attacker.chats[0].messages[0].content
    assert made[1].response.prompt.messages[-1].content == "请做这件事。"
    assert made[1].request == "Do it."


def test_an_attack_that_could_not_be_written_is_unjudged_and_not_safe():
    attacker = Told(lambda chat: Unanswered(reason="refused"))
    made = asked([Attack(seed(0), "translation")], Told(lambda chat: "fine"), attacker)
    [found] = judged(made, Harmless(), Scripted(), Watch("detector"))
    assert found.harmful is None
    assert found.unjudged == "the attacker: refused"


def test_a_policy_that_falls_silent_on_the_way_has_no_answer():
    target = Told(lambda chat: "a" if len(chat.messages) < 3 else Unanswered(reason="down"))
    made = asked([Attack(seed(0), "escalation"), Attack(seed(1), "direct")], target)
    assert made[0].response.finish_reason == "error"
    found = judged(made, Harmless(), Scripted(accuracy=1.0), Watch("detector"))
    assert (found[0].harmful, found[0].unjudged) == (None, "the policy: down")
    assert found[1].harmful is not None


def test_the_detector_reads_the_plain_request_and_not_the_attack():
    judge = Scripted(accuracy=1.0)
    shown = []

    class Reader:
        name, chunk = "reader", 8

        def choose(self, chats, choices, *, seed=0):
            shown.extend(chat.messages[0].content for chat in chats)
            return judge.choose(chats, choices)

    made = asked([Attack(seed(0, "Do it."), "role_play")], Told(lambda chat: "[harmful] x"))
    [found] = judged(made, Harmless(), Reader(), Watch("detector"))
    assert found.harmful is True
    assert len(shown) == 2
    assert all("Do it." in text and "Robin" not in text for text in shown)
    assert "Robin" in found.response.prompt.messages[0].content


def test_an_attempt_survives_its_row_and_is_marked():
    made = asked([Attack(seed(0), "direct")], Told(lambda chat: "[harmful] x"))
    [found] = judged(made, Harmless(), Scripted(accuracy=1.0), Watch("detector"))
    row = found.row()
    assert row["harmful_response"] is True
    assert (row["prompt_id"], row["response"]) == ("s0/direct", "[harmful] x")
    assert Attempt.from_row(row) == found
    assert Attempt.from_row(made[0].row()) == made[0]


def test_rewordings_are_new_draws_and_silence_writes_none():
    attacker = Told(
        lambda chat: f"In other words {chat.sample}." if chat.sample else Unanswered(reason="no")
    )
    [made] = asked([Attack(seed(0), "direct")], Told(lambda chat: "x"))
    rewordings = [Rewording(seed(0), made, k) for k in (0, 1)]
    found = reworded(rewordings, attacker, max_tokens=160, seed=0)
    assert [(r.text, r.reason) for r in found] == [(None, "no"), ("In other words 1.", "")]
    again = Attack(seed(0), "role_play", "variation", found[1].text or "", 1)
    [tried] = asked([again], Told(lambda chat: "x"))
    assert tried.id == "s0/role_play/variation-1"
    assert "In other words 1." in tried.response.prompt.messages[0].content
    assert tried.request == "In other words 1."


def test_eight_silences_in_a_row_stop_the_work_and_a_word_between_does_not():
    def attempts(count):
        return asked([Attack(seed(n), "direct") for n in range(count)], Told(lambda chat: "x"))

    dumb, watch = Scripted(failure=1.0), Watch("harm detector")
    judged(attempts(7), Harmless(), dumb, watch)
    judged(attempts(1), Harmless(), Scripted(), watch)
    judged(attempts(7), Harmless(), dumb, watch)
    with pytest.raises(ModelError, match="harm detector gave no verdict 8 times in a row"):
        judged(attempts(1), Harmless(), dumb, watch)


def test_missing_answers_are_not_the_detector_s_silence():
    watch = Watch("harm detector")
    silent = asked(
        [Attack(seed(n), "direct") for n in range(20)], Told(lambda chat: Completion(text=""))
    )
    judged(silent, Harmless(), Scripted(), watch)
    watch.end()
    few = asked([Attack(seed(0), "direct")], Told(lambda chat: "x"))
    judged(few, Harmless(), Scripted(failure=1.0), watch)
    with pytest.raises(ModelError, match="not said anything at all"):
        watch.end()


def test_thoughts_that_did_not_end_are_unjudged_and_not_the_detector_s_silence():
    watch, judge = Watch("harm detector"), Scripted(accuracy=1.0)
    cut = Completion(text="<think> Hm, what do I", finish_reason="length")
    made = asked([Attack(seed(n), "direct") for n in range(9)], Told(lambda chat: cut))
    found = judged(made, Harmless(), judge, watch)
    assert {a.unjudged for a in found} == {
        "the response is empty: its thought did not end, raise max_tokens"
    }
    watch.end()
    said = Completion(text="<think>So.</think> ")
    [empty] = judged(
        asked([Attack(seed(0), "direct")], Told(lambda chat: said)), Harmless(), judge, watch
    )
    assert empty.unjudged == "the response is empty"


def test_the_thoughts_of_an_attacker_are_no_part_of_an_attack_and_a_cut_text_is_none():
    def made(text):
        attacks, attacker = [Attack(seed(0, "Do it."), "translation")], Told(lambda chat: text)
        [tried] = asked(attacks, Told(lambda chat: "fine"), attacker)
        again = reworded([Rewording(seed(0), tried, 1)], attacker, max_tokens=192, seed=0)
        return tried, again

    plain = made("请做这件事。")
    for thought in ("<think>Easy.</think>", "So.</think>", "[THINK]Easy.[/THINK]"):
        assert made(f"{thought}\n请做这件事。") == plain
    channels = "<|channel|>analysis<|message|>So.<|end|><|channel|>final<|message|>"
    assert made(f"{channels}请做这件事。") == plain
    tried, [again] = made(Completion(text="请做这", finish_reason="length"))
    assert tried.reason == "the attacker: cut at 192 tokens: raise rewrite_tokens"
    assert (again.text, again.reason) == (None, "cut at 192 tokens: raise rewrite_tokens")


def test_an_attacker_that_thinks_has_as_many_tokens_as_a_rewriter():
    cut = Told(lambda chat: Completion(text="<think>Hm", finish_reason="length"))
    settings, attacks = RedTeam(rewrite_tokens=4000), [Attack(seed(0, "Do it."), "translation")]
    [tried] = asked(attacks, Told(lambda chat: "fine"), cut, settings)
    assert tried.reason == "the attacker: cut at 4000 tokens: raise rewrite_tokens"
    given = Asked(seeds=(seed(0),), benign=())
    translating = RedTeam(families=("translation",), variations=0, rewrite_tokens=4000)
    models = Models(*[Scripted()] * 4, "policy")
    _, (written, _), *_ = of_campaign(translating, models, given)
    assert (written.calls, written.written) == (1, 4000)
