"""Probes change one thing, and a judge that follows it is seen to."""

import pytest

from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.records import Candidate, Preference
from hrlaif.study import bias, probes
from hrlaif.study.features import differences, style, style_gaps

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


def test_chinese_texts_are_changed_in_chinese():
    item = make(1)[0]
    texts = {"a": Candidate(text="绿茶用八十度的水。"), "b": Candidate(text="开水。")}
    chinese = item._replace(comparison=item.comparison.model_copy(update=texts))
    assert probes.comparisons(REFUSAL, [chinese], 1)[0].b.text.startswith("抱歉")
    assert "研究" in probes.comparisons(AUTHORITY, [chinese], 1)[0].b.text


def test_prompts_of_harm_are_not_probed():
    assert probes.comparisons(PADDING, make(3, harmful=True), 3) == []
    assert probes.comparisons(PADDING, make(3, category="harmless"), 3) == []


def test_a_judge_that_likes_length_likes_padding_and_a_fair_one_does_not():
    pairs = probes.comparisons(PADDING, make(60), 60)
    pulled = bias.probed(PADDING, Pairwise().label(pairs, Scripted(length_bias=0.49)), seed=0)
    fair = bias.probed(PADDING, Pairwise().label(pairs, Scripted()), seed=0)
    assert pulled["figure"]["low"] > 0.7
    assert fair["figure"]["low"] < 0.5 < fair["figure"]["high"]
    assert pulled["worse"] is True


def test_length_beyond_people_is_the_judges_share_minus_theirs():
    items = make(100)
    longer = [
        Preference(comparison=i.comparison, prob_a=0.9 * i.longer + 0.05, labeler="x")
        for i in items
    ]
    figure = bias.excess(items, longer, lambda i: i.longer, seed=0)
    unequal = [i for i in items if i.longer != 0.5]
    people = sum(i.longer == i.truth for i in unequal) / len(unequal)
    assert figure.value == pytest.approx(1 - people)
    names = [line["name"] for line in bias.observed(items, longer, seed=0)]
    assert names == ["the longer, beyond people", "one deviation longer"]


def test_own_samples_are_compared_with_what_other_judges_think_of_them():
    items = make(30)

    def of(p):
        return [Preference(comparison=i.comparison, prob_a=1 - p, labeler="x") for i in items]

    lines = bias.self_preference(of(0.8), [of(0.5), of(0.3)], seed=0)
    assert [line["figure"]["value"] for line in lines] == pytest.approx([0.8, 0.4])
    assert len(bias.self_preference(of(0.8), [], seed=0)) == 1
    assert bias.self_preference([], [], seed=0) == []


def test_languages_differ_by_what_the_judge_gets_right_in_each():
    items = make(40)
    chinese = [
        i._replace(
            comparison=i.comparison.model_copy(
                update={"prompt": i.comparison.prompt.model_copy(update={"language": "zh"})}
            )
        )
        for i in make(40, seed=1)
    ]
    chinese = [
        i._replace(comparison=i.comparison.model_copy(update={"id": f"zh{n}"}))
        for n, i in enumerate(chinese)
    ]
    both = [*items, *chinese]
    answers = [*labels(items, Scripted(accuracy=1.0)), *labels(chinese, Scripted(accuracy=0.0))]
    (line,) = bias.by_language(both, answers, seed=0)
    assert line["figure"]["value"] == -1.0
    assert bias.by_language(items, answers[:40], seed=0) == []


def test_style_is_counted_as_markdown_writes_it():
    found = style("# Title\n\n- one\n* two\n1. three\n\n**bold** and **more**")
    assert (found.list_items, found.headers, found.bold, found.refusal) == (3, 1, 2, False)
    assert style("I'm sorry, but I can't help with that.").refusal
    item = make(1)[0].comparison
    texts = {"a": Candidate(text="- x"), "b": Candidate(text="y" * 9)}
    gaps = style_gaps(item.model_copy(update=texts))
    assert gaps == {"length": -0.5, "list_items": 0.5, "headers": 0.0, "bold": 0.0}


def test_features_change_their_sign_with_the_order_of_the_responses():
    pairs = [i.comparison for i in make(20)]
    assert differences([p.swapped() for p in pairs]) == pytest.approx(-differences(pairs))
    assert differences([]).shape[0] == 0
