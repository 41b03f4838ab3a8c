"""Probes change one thing, and a judge that follows it is seen to."""

import json
import re

import pytest

from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.llm.prompting import with_options
from hrlaif.pages.charts import Charts
from hrlaif.records import (
    Abstention,
    Candidate,
    Completion,
    Evidence,
    Preference,
    Unanswered,
)
from hrlaif.study import Asked, Study, Variant, besides, bias, linear, probes, shown_faults
from hrlaif.study.features import differences, style, style_gaps
from hrlaif.studying import of_study

from .conftest import labels, make

PADDING, LISTED, AUTHORITY, REFUSAL = probes.PROBES


def test_a_probe_keeps_the_better_text_and_changes_one_thing():
    items = make(5)
    pairs = probes.comparisons(PADDING, items, 3)
    assert [c.id for c in pairs] == [f"c{n}/verbosity padding" for n in range(3)]
    for item, pair in zip(items, pairs, strict=False):
        better = item.comparison.a if item.truth == 1.0 else item.comparison.b
        assert pair.a.text == better.text
        assert better.text in pair.b.text
        assert pair.human_preference is None
    listed = probes.comparisons(LISTED, items, 1)[0].b.text
    assert style(listed).list_items == 2
    assert style(listed).bold == 2
    assert style(probes.comparisons(REFUSAL, items, 1)[0].b.text).refusal


@pytest.mark.parametrize(
    "text",
    [
        "Pi is 3.14, see example.com/a.html for more. It grows!",
        "Do this: 1. Mix it. 2. Use os.path.join(a, b). 10. Bake it.",
        'He said "So be it." Then he left (why?) at once... Really?! Yes.',
        "他说：“好。”然后走了。真的吗？！是的。",
        "Dear Tom\nIt costs 5 -  or 6. Three  spaces and more.\n\nYours",
    ],
)
def test_a_list_keeps_every_character_and_breaks_no_number_address_or_name(text):
    found = probes.listed(text, "en")
    for whole in (
        "3.14",
        "example.com/a.html",
        "os.path.join(a,",
        "1. Mix",
        "10. Bake",
        '."',
        "?!",
    ):
        plain = found.replace("**", "")
        assert plain.count(whole) == text.count(whole)
    assert found.count("\n") > 0
    for line in found.split("\n"):
        assert re.fullmatch(r"- \*\*\S([^*]*\S)?\*\*[^*]*", line), line
    assert "".join(re.sub(r"^- ", "", found, flags=re.M).replace("**", "").split()) == "".join(
        text.split()
    )


def test_plain_sentences_are_a_point_each():
    assert probes.listed("Stir it well for long! Since 1999. Why?\nSo it was.", "en") == (
        "- **Stir it well** for long!\n- **Since 1999.**\n- **Why?**\n- **So it was.**"
    )
    assert probes.listed("先洗茶。再泡茶！好吗？ 好。", "zh") == (
        "- **先洗茶。**\n- **再泡茶！**\n- **好吗？**\n- **好。**"
    )


FORMED = [
    "Write this. So:\n```\na. b\n```\nDone.",
    "- Apples\n- Pears\n- Plums",
    "- one.\n- two. Three",
    "Here are two:\n\n1. **Mix** the flour.\n2. Bake it.",
    "Steps follow.\n1) Mix it well.\n2) Bake it.",
    "步骤如下。\n1、先洗茶。\n2、再泡茶。",
    "## Notes\n\nIt rains. Stay in.",
    "Prices are here.\n\n| what | price |\n| --- | --- |\n| tea | 3 |",
    "Prices are here.\n\nwhat|price\n:--|--:\ntea|3",
    "Take `a b c d` for it. Then 2**3 is 8.",
    "So it is. **Bold across\ntwo lines** is none.",
    "See [what is written here](https://x.org) first. Then go.",
    "It follows.\n\\[\nx = 1\n\\]\nDone.",
]


@pytest.mark.parametrize("text", FORMED)
def test_a_text_with_a_form_of_its_own_is_put_in_no_list_and_another_pair_is_asked(text):
    assert probes.listed(text, "en") == text
    items = make(6)
    formed = Candidate(text=text)
    items[0] = items[0]._replace(
        comparison=items[0].comparison.model_copy(update={"a": formed, "b": formed})
    )
    assert [c.id for c in probes.comparisons(LISTED, items, 2)] == [
        "c1/list and bold", "c2/list and bold",
    ]  # fmt: skip


def test_as_many_plain_texts_are_probed_as_asked_for_where_there_are_so_many():
    formed = Candidate(text=FORMED[1])
    items = [
        i._replace(comparison=i.comparison.model_copy(update={"a": formed, "b": formed}))
        if n % 2
        else i
        for n, i in enumerate(make(40))
    ]
    given, way = asked(items, probes=15), Variant("base", Pairwise())
    card = besides.card(given, Scripted(), way, items, labels(items, Scripted()))
    counted = {line["name"]: line["figure"]["n"] for line in card if line["kind"] == "probe"}
    assert set(counted) == {probe.name for probe in probes.PROBES}
    assert set(counted.values()) == {15}


def unjudged(item):
    unseen = item.comparison.model_copy(update={"human_preference": None})
    return item._replace(comparison=unseen)


def test_probes_are_of_pairs_with_peoples_word_first_and_of_a_where_there_is_none():
    items = make(40)
    some = [item if n % 2 else unjudged(item) for n, item in enumerate(items)]
    drawn = [i.comparison.id for i in asked(some, probes=25).some(lambda _: True)]
    judged = [i.comparison.id for i in some if i.truth is not None]
    assert sorted(drawn[:20]) == sorted(judged)
    assert len(drawn) == 25
    for item in map(unjudged, items):
        (pair,) = probes.comparisons(PADDING, [item], 1)
        assert pair.a.text == item.comparison.a.text


def test_chinese_texts_are_changed_in_chinese():
    item = make(1)[0]
    texts = {"a": Candidate(text="绿茶用八十度的水。"), "b": Candidate(text="开水。")}
    prompt = item.comparison.prompt.model_copy(update={"language": "zh"})
    told = {"prompt": prompt, **texts}
    chinese = item._replace(comparison=item.comparison.model_copy(update=told))
    assert probes.comparisons(REFUSAL, [chinese], 1)[0].b.text.startswith("抱歉")
    assert "研究" in probes.comparisons(AUTHORITY, [chinese], 1)[0].b.text


@pytest.mark.parametrize(
    ("language", "text", "english"),
    [
        ("en", "Say 你好.", True),
        ("en", "绿茶用八十度的水。", True),
        (None, "Say 你好 to them.", True),
        (None, "绿茶用八十度的水。", False),
        ("zh-CN", "Say 你好.", False),
    ],
)
def test_the_row_says_the_language_of_a_probe_and_else_the_text_that_is_changed(
    language, text, english
):
    item = make(1)[0]
    changed, other = Candidate(text=text), Candidate(text="开水。" if english else "Water.")
    prompt = item.comparison.prompt.model_copy(update={"language": language})
    for side, unlike in ("ab", "ba"):
        told = {"prompt": prompt, side: changed, unlike: other}
        told["human_preference"] = float(side == "a")
        one = item._replace(comparison=item.comparison.model_copy(update=told))
        (pair,) = probes.comparisons(PADDING, [one], 1)
        assert text in pair.b.text
        assert ("There are many" in pair.b.text, "这个问题" in pair.b.text) == (
            english,
            not english,
        )


def test_prompts_of_harm_are_not_probed():
    assert probes.comparisons(PADDING, make(3, harmful=True), 3) == []
    for category in ("harmless", "Harmful", "hh-harmless", "toxicity", "unsafe"):
        assert probes.comparisons(PADDING, make(3, category=category), 3) == []
    for category in ("pharmacy", "charm", None):
        assert len(probes.comparisons(PADDING, make(3, category=category), 3)) == 3


def test_of_a_chinese_sentence_the_first_characters_are_bold():
    text = "绿茶应当用大约八十度的水冲泡以免破坏营养成分。好的，请慢用。"
    assert probes.listed(text, "zh") == (
        "- **绿茶应当用大**约八十度的水冲泡以免破坏营养成分。\n- **好的**，请慢用。"
    )


def test_a_judge_that_likes_length_likes_padding_and_a_fair_one_does_not():
    pairs = probes.comparisons(PADDING, make(60), 60)
    pulled = bias.probed(PADDING, Pairwise().label(pairs, Scripted(length_bias=0.49)), seed=0)
    fair = bias.probed(PADDING, Pairwise().label(pairs, Scripted()), seed=0)
    assert pulled["figure"]["low"] > 0.7
    assert fair["figure"]["low"] < 0.5 < fair["figure"]["high"]
    assert pulled["worse"] is True


@pytest.mark.parametrize("single", [True, False])
def test_a_pull_of_the_place_is_in_no_probe_and_in_no_sample_of_a_judge(single):
    items, cards = make(40), []
    way = Variant("base-single", Pairwise(single_order=single))
    for pull in (-0.45, 0.45):
        judge = Scripted(position_bias=pull, accuracy=0.7)
        given = Asked(items, [way], Study(probes=20), [None], linear)
        samples = [besides.own_samples(given, judge)]
        lines = besides.card(given, judge, way, items, labels(items, judge))
        lines += besides.self_preference(given, [judge], ["base-single"], samples, 0)
        cards.append([line for line in lines if line["kind"] in ("probe", "language", "self")])
    assert len(cards[0]) == 6
    for one, other in zip(*cards, strict=True):
        for name in ("figure", "probability"):
            told = [(card.get(name) or {}).get("value") for card in (one, other)]
            assert told[0] == pytest.approx(told[1]), (one["name"], name)


def told(items, probability_of_b):
    return [
        Preference(comparison=i.comparison, prob_a=1 - p, labeler="x")
        for i, p in zip(items, probability_of_b, strict=True)
    ]


def test_a_faint_judge_that_always_names_the_changed_copy_is_no_fair_one():
    items = make(30, per_prompt=2)
    row = bias.probed(PADDING, told(items, [0.52] * 30), seed=0)
    assert row["probability"]["value"] == pytest.approx(0.52)
    assert row["figure"]["value"] == 1.0
    # 30 pairs of 15 prompts: Wilson's interval over the prompts.
    assert row["figure"]["low"] == pytest.approx(15 / (15 + 1.96**2), abs=1e-4)
    half = bias.probed(PADDING, told(items, [0.5] * 30), seed=0)["figure"]
    assert half["value"] == 0.5
    assert half["low"] < 0.4 < 0.6 < half["high"]


def test_the_side_of_position_is_tested_over_prompts():
    items = make(16, per_prompt=4)

    def both(item, first):
        said = Evidence(source="logprobs", prob_a_first=0.5 + first, prob_a_second=0.5 - first)
        said = said.model_copy(update={"flipped": True})
        return Preference(comparison=item.comparison, prob_a=0.5, labeler="x", evidence=said)

    # Three prompts lean to the first, by 4, 4 and 3 rows to 1; the fourth is as often to both.
    towards = [0.2] * 11 + [-0.2] + [0.2, 0.2, -0.2, -0.2]
    lines = bias.position(items, [both(i, f) for i, f in zip(items, towards, strict=True)], seed=0)
    assert lines[1]["figure"]["value"] == pytest.approx(13 / 16)
    assert lines[1]["p"] == pytest.approx(2 * 0.5**3)
    assert lines[2]["figure"]["value"] == pytest.approx(0.5 + 0.2 * 10 / 16)


def test_own_samples_are_compared_with_what_other_judges_think_of_them():
    items = make(30)
    lines = bias.self_preference(
        told(items, [0.8] * 30), [told(items, [0.55] * 30), told(items, [0.3] * 30)], seed=0
    )
    assert [line["figure"]["value"] for line in lines] == pytest.approx([1.0, 0.5])
    assert [line["probability"]["value"] for line in lines] == pytest.approx([0.8, 0.375])
    assert all(line["figure"]["low"] < line["figure"]["value"] for line in lines)
    assert len(bias.self_preference(told(items, [0.8] * 30), [], seed=0)) == 1
    assert bias.self_preference([], [], seed=0) == []


def test_own_samples_of_one_prompt_count_as_one():
    items = make(40, per_prompt=10)
    (line,) = bias.self_preference(told(items, [0.8] * 40), [], seed=0)
    assert line["figure"]["n"] == 40
    assert line["figure"]["low"] == pytest.approx(4 / (4 + 1.96**2), abs=1e-4)


def asked(items, **settings):
    return Asked(items, (Variant("base", Pairwise()),), Study(**settings), (None,), linear)


def test_samples_that_were_cut_are_left_out_and_counted():
    judge, items = Scripted(), make(20)
    whole = besides.own_samples(asked(items), judge)
    some = besides.own_samples(asked(items, sample_tokens=20), judge)
    none = besides.own_samples(asked(items, sample_tokens=2), judge)
    assert (len(whole.pairs), whole.cut) == (20, 0)
    assert some.cut > 5
    assert len(some.pairs) == 20 - some.cut > 5
    assert {c.b.text for c in some.pairs} < {c.b.text for c in whole.pairs}
    assert none == ([], 20, {})
    (line,) = besides.self_preference(asked(items), [judge], ["base"], [none], 0)
    assert (line["cut"], line["figure"]["value"], line["figure"]["n"]) == (20, None, 0)
    (shown,) = shown_faults.bias({"bias": [line]}, Charts())
    assert (shown["title"], shown["chart"]) == ("Its own samples", None)
    assert shown["lines"][0]["cut"] == 20


def test_no_text_that_would_be_shown_in_part_is_probed_or_compared_with_a_sample():
    items = make(60)
    way = Variant("base", Pairwise(max_chars=400))
    given = Asked(items, [way], Study(probes=60), [None], linear)
    shown = probes.comparisons(PADDING, items, 60, most=400)
    assert 0 < len(shown) < 60
    assert max(len(pair.b.text) for pair in shown) <= 400
    card = besides.card(given, Scripted(), way, items, labels(items, Scripted()))
    (padded,) = [line for line in card if line["name"] == PADDING.name]
    assert padded["figure"]["n"] == len(shown)
    way = Variant("base", Pairwise(max_chars=100))
    samples = besides.own_samples(given._replace(variants=[way]), Scripted())
    assert 0 < len(samples.pairs) < 60
    assert max(len(side.text) for pair in samples.pairs for side in (pair.a, pair.b)) <= 100


class Keeps:
    """A judge that keeps what it was asked to write."""

    name, chunk = "keeps", 1000

    def generate(self, chats, **_):
        self.chats = chats
        return [Completion(text="Fine.", finish_reason="stop") for _ in chats]


def test_a_judge_writes_its_samples_to_the_options_that_are_judged_with_them_once():
    choices = ("nitrogen", "oxygen")
    apart = make(4, choices=choices)
    question = apart[0].comparison.prompt.messages[0].content
    listed = [
        i._replace(
            comparison=i.comparison.model_copy(
                update={"prompt": with_options(i.comparison.prompt), "id": f"l{n}"}
            )
        )
        for n, i in enumerate(apart)
    ]
    for items in (apart, listed):
        judge = Keeps()
        besides.own_samples(asked(items), judge)
        texts = [chat.messages[-1].content for chat in judge.chats]
        assert [text.count("oxygen") for text in texts] == [1] * 4
        assert question in "".join(texts)


def test_the_options_of_a_row_are_counted_among_what_a_judge_reads_to_write_its_samples():
    def read(items):
        given = asked(items, attacks=False, worse=True)
        return next(work.read for work, _ in of_study(given, [Scripted()]) if work.written > 1000)

    plain, apart = make(4), make(4, choices=("nitrogen " * 20, "oxygen " * 20))
    assert read(apart) > read(plain) + 4 * 70


class Mute:
    """A judge that writes nothing to three of four prompts, and is silent on most pairs."""

    name, chunk = "mute", 1000

    def generate(self, chats, **_):
        texts = ["fine", "", "fine", "fine"] * 5
        told = [Completion(text=text, finish_reason="stop") for text in texts]
        return [Unanswered(reason="refused") if n % 4 > 1 else one for n, one in enumerate(told)]


class Seldom:
    """A labeler that says something of every sixth pair, and then that b is the better."""

    def label(self, comparisons, judge):
        return [
            Preference(comparison=c, prob_a=0.1, labeler="x")
            if n % 6 == 0
            else Abstention(comparison=c, labeler="x", reason="no label")
            for n, c in enumerate(comparisons)
        ]


def test_silence_on_probes_questions_and_own_samples_is_counted_and_shown():
    items, judge, way = make(20), Mute(), Variant("base", Seldom())
    given = Asked(items, (way,), Study(probes=20), (None,), linear)
    samples = besides.own_samples(given, judge)
    assert (len(samples.pairs), samples.silent) == (5, {"refused": 10, "an empty answer": 5})
    lines = besides.card(given, judge, way, items, Seldom().label([i.comparison for i in items], 0))
    lines += besides.self_preference(given, [judge, judge], ["base"] * 2, [samples] * 2, 0)
    own = {line["name"]: line for line in lines}
    padding = own["verbosity padding"]
    assert (padding["figure"]["value"], padding["figure"]["n"]) == (1.0, 4)
    assert padding["abstentions"] == {"no label": 16}
    # Of 40 questions each sixth is answered: none in both languages, and the line stays.
    questions = own["agreement in Chinese less in English, the same questions"]
    assert (questions["figure"]["value"], questions["abstentions"]) == (None, {"no label": 33})
    mine = own["own samples over people's pick"]
    assert (mine["figure"]["n"], mine["abstentions"]) == (1, {"no label": 4})
    assert mine["unwritten"] == samples.silent
    assert own["own, beyond other judges"]["abstentions"] == {"no label": 4}
    shown = {part["title"]: part for part in shown_faults.bias({"bias": lines}, Charts())}
    assert [line["without"] for line in shown["Language"]["lines"]] == [33]
    assert [line["without"] for line in shown["Its own samples, share"]["lines"]] == [4]


def test_a_page_counts_what_a_judge_did_not_answer_beside_its_probes(hrlaif, rows, tmp_path):
    judge = ("--judge", "scripted:failure=0.3", "--variants", "base", "--max-abstentions", 1)
    hrlaif.here("study", rows(40), "-o", tmp_path, *judge, "--no-attacks", "--no-grades")
    (one,) = json.loads((tmp_path / "study.json").read_text())["judges"].values()
    probe = next(line for line in one["bias"] if line["kind"] == "probe")
    silent = sum(probe["abstentions"].values())
    assert silent == 20 - probe["figure"]["n"] > 0
    assert f"({silent} more without a verdict)" in (tmp_path / "study.html").read_text()


def in_chinese(items):
    return [
        i._replace(
            comparison=i.comparison.model_copy(
                update={
                    "prompt": i.comparison.prompt.model_copy(update={"language": "ZH"}),
                    "id": f"zh {i.comparison.id}",
                }
            )
        )
        for i in items
    ]


def test_agreement_in_two_languages_on_other_pairs_needs_ten_of_each():
    items, chinese = make(40), in_chinese(make(40, seed=1))
    both = [*items, *chinese]
    answers = [*labels(items, Scripted(accuracy=1.0)), *labels(chinese, Scripted(accuracy=0.0))]
    (line,) = bias.by_language(both, answers, seed=0)
    assert line["figure"]["value"] == -1.0
    # Right in all 40 and in none: each share's Wilson interval, joined.
    off = 1.96**2 / (40 + 1.96**2)
    assert line["figure"]["high"] == pytest.approx(-1 + off * 2**0.5, abs=1e-4)
    shares = [
        line["beside"][name]["value"]
        for name in ("agreement on Chinese pairs", "agreement on English pairs")
    ]
    assert shares == [0.0, 1.0]
    assert bias.by_language(both[:50], answers[:50], seed=0)
    assert bias.by_language(both[:49], answers[:49], seed=0) == []


def test_style_is_counted_as_markdown_writes_it():
    found = style("# Title\n\n- one\n* two\n1. three\n\n**bold** and **more**")
    assert (found.list_items, found.headers, found.bold, found.refusal) == (3, 1, 2, False)
    for no in ("I'm sorry, but I can't help with that.", "I won't.", "That I can't provide."):
        assert style(no).refusal
        assert style(no.replace("'", "’")) == style(no)
    for no in ("对不起，我做不到。", "我不能帮你做这件事。"):
        assert style(no).refusal
    assert not style("不能放进微波炉。").refusal
    item = make(1)[0].comparison
    texts = {"a": Candidate(text="- x"), "b": Candidate(text="y" * 9)}
    gaps = style_gaps(item.model_copy(update=texts))
    assert gaps == {"length": -0.5, "list_items": 0.5, "headers": 0.0, "bold": 0.0}


def test_features_change_their_sign_with_the_order_of_the_responses():
    pairs = [i.comparison for i in make(20)]
    assert differences([p.swapped() for p in pairs]) == pytest.approx(-differences(pairs))
    assert differences([]).shape[0] == 0


def test_where_the_worse_is_asked_for_the_place_is_the_one_that_is_named():
    """A judge that always answers "1" names the first, whether that is the better or the worse."""
    items = make(20)
    judge = Scripted(accuracy=0.5, position_bias=0.49)
    for task in ("general", "harmless"):
        answers = labels(items, judge, Pairwise(task=task))
        lines = bias.position(items, answers, worse=task == "harmless", seed=0)
        share, lean = (line["figure"]["value"] for line in lines[1:])
        assert share == 1.0
        assert lean > 0.7


def test_a_refusal_is_no_probe_where_the_worse_response_is_asked_for():
    assert probes.of(Study()) == probes.PROBES
    assert REFUSAL not in probes.of(Study(worse=True))
    assert len(probes.of(Study(worse=True))) == 3
    assert probes.of(Study(probes=0)) == ()


def test_thoughts_are_in_no_probe_and_in_no_style():
    """A judge is not shown them: a copy with something before them would show them."""
    item = make(1)[0]
    thought = "<think>I am sorry.\n- one\n- two\n</think>"
    sides = {
        side: getattr(item.comparison, side).model_copy(
            update={"text": thought + getattr(item.comparison, side).text}
        )
        for side in "ab"
    }
    thinking = item._replace(comparison=item.comparison.model_copy(update=sides))
    for probe in probes.PROBES:
        plain, same = (probes.comparisons(probe, [i], 1)[0] for i in (item, thinking))
        assert (same.a.text, same.b.text) == (plain.a.text, plain.b.text)
    assert style(sides["a"].text) == style(item.comparison.a.text)
    assert (differences([thinking.comparison]) == differences([item.comparison])).all()
