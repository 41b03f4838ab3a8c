"""Win rates: who is compared with whom, what counts, and what is left out."""

import pytest

from hrlaif.errors import DataError
from hrlaif.evaluation.several import meetings
from hrlaif.evaluation.win_rate import answer_from, pair, statement, summarise, win_rate
from hrlaif.records import Abstention, Evidence, Message, Preference, Prompt, Response
from hrlaif.statistics import NOTHING, Figure, mean


class Judge:
    name = "nobody"
    chunk = 8


class ByFirstLetter:
    """Probability of the better side from a table by the text of b; silent where there is none."""

    def __init__(self, table):
        self.table = table

    def label(self, comparisons, judge):
        return [self.one(comparison) for comparison in comparisons]

    def one(self, comparison):
        if comparison.a.text == comparison.b.text:
            return Abstention(comparison=comparison, labeler="table", reason="identical")
        found = self.table.get(comparison.b.text)
        if found is None:
            return Abstention(comparison=comparison, labeler="table", reason="no verdict")
        evidence = Evidence(
            source="logprobs", prob_a_first=found, prob_a_second=found, flipped=found == 0.5
        )
        return Preference(comparison=comparison, prob_a=found, labeler="table", evidence=evidence)


def responses(*texts, category=None, model="m"):
    return [
        Response(
            prompt=Prompt(
                id=f"p{i}", messages=(Message(role="user", content=f"q{i}"),), category=category
            ),
            text=text,
            model=model,
        )
        for i, text in enumerate(texts)
    ]


def test_a_win_is_the_probability_that_the_policy_is_better():
    table = ByFirstLetter({"good": 0.1, "fair": 0.5, "bad": 0.8})
    found, answers = win_rate(
        responses("x", "y", "z"), responses("good", "fair", "bad"), table, Judge()
    )
    assert found.overall.value == pytest.approx((0.9 + 0.5 + 0.2) / 3)
    assert found.hard.value == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.same_position.value == pytest.approx(1 / 3)
    assert [answer.comparison.b.text for answer in answers] == ["good", "fair", "bad"]
    assert found.characters["policy"].value == pytest.approx(11 / 3)


def test_a_silent_judge_is_counted_and_never_a_tie():
    table = ByFirstLetter({"good": 0.0})
    found, _ = win_rate(responses("x", "y"), responses("good", "unknown"), table, Judge())
    assert (found.overall.value, found.overall.n) == (1.0, 1)
    assert found.abstentions == {"no verdict": 1}
    assert (found.asked, found.identical) == (2, 0)


def test_identical_texts_are_ties_and_counted_apart():
    table = ByFirstLetter({"good": 0.0})
    found, _ = win_rate(responses("x", "same"), responses("good", "same"), table, Judge())
    assert found.overall.value == pytest.approx(0.75)
    assert (found.identical, found.abstentions) == (1, {})


def test_two_missing_responses_are_no_tie_and_white_space_makes_no_difference():
    class Unfit:
        def label(self, comparisons, judge):
            return [
                Abstention(comparison=comparison, labeler="table", reason="nothing to compare")
                for comparison in comparisons
            ]

    a, b = responses("", "same"), responses("", "same\n")
    a[0], b[0] = (r.model_copy(update={"finish_reason": "error"}) for r in (a[0], b[0]))
    found, _ = win_rate(a, b, Unfit(), Judge())
    assert (found.overall.value, found.overall.n) == (0.5, 1)
    assert (found.identical, found.abstentions) == (1, {"nothing to compare": 1})


def test_identical_texts_alone_are_no_verdict():
    for table, share in (({}, 1.0), ({"good": 0.0}, 0.0)):
        found, _ = win_rate(
            responses("x", "same"), responses("good", "same"), ByFirstLetter(table), Judge()
        )
        assert found.abstained_share == share
        assert ("Too few" in found.statement) == (share == 1.0)
    found, _ = win_rate(responses("same"), responses("same"), ByFirstLetter({}), Judge())
    assert (found.identical, found.abstained_share) == (1, 0.0)
    assert found.statement == "Too few verdicts to say anything."


def test_lengths_in_tokens_are_clustered_by_prompt_as_all_figures_are():
    def answered(texts, lengths):
        return [
            r.model_copy(update={"sample": n % 4, "tokens": tokens, "prompt": PROMPTS[n // 4]})
            for n, (r, tokens) in enumerate(zip(responses(*texts), lengths, strict=True))
        ]

    PROMPTS = [r.prompt for r in responses("x", "y", "z")]
    # Samples of a prompt are equally long: there are three lengths to draw from, and not twelve.
    lengths = [10] * 4 + [20] * 4 + [60] * 4
    a, b = answered(["a"] * 12, lengths), answered(["good"] * 12, lengths)
    found, _ = win_rate(a, b, ByFirstLetter({"good": 0.1}), Judge())
    assert found.tokens["policy"].n == 12
    expected = mean(lengths, clusters=[p.id for p in PROMPTS for _ in range(4)])
    assert found.tokens["policy"] == found.tokens["baseline"] == expected
    assert expected.high - expected.low > 1.5 * (mean(lengths).high - mean(lengths).low)


def test_prompts_of_the_same_text_are_the_same_where_no_id_is(capsys):
    first, second = responses("x", "y")
    named = [r.model_copy(update={"prompt": r.prompt.model_copy(update={"id": f"own{n}"})})
             for n, r in enumerate(responses("u", "v"))]  # fmt: skip
    found = pair([first, second], named)
    assert [(c.id, c.prompt.id, c.a.text, c.b.text) for c in found] == [
        ("p0", "p0", "x", "u"), ("p1", "p1", "y", "v"),
    ]  # fmt: skip
    assert "no prompt id is in both lists" in capsys.readouterr().err
    again = [second.model_copy(update={"prompt": first.prompt}), named[0], named[1]]
    assert len(pair([first], again)) == 1  # whose id is in both has its partner by the id
    assert capsys.readouterr().err == ""


def test_prompts_whose_ids_are_in_one_list_are_matched_by_text_after_those_in_both(capsys):
    ours = responses("x", "y", "z")
    theirs = responses("u", "v", "w", "alone")
    for n in (1, 2, 3):
        prompt = theirs[n].prompt.model_copy(update={"id": f"own{n}"})
        theirs[n] = theirs[n].model_copy(update={"prompt": prompt})
    found = pair(ours, theirs)
    assert [(c.id, c.a.text, c.b.text) for c in found] == [
        ("p0", "x", "u"), ("p1", "y", "v"), ("p2", "z", "w"),
    ]  # fmt: skip
    assert "some prompt ids are in one list alone: prompts of the" in capsys.readouterr().err
    measured, _ = win_rate(ours, theirs, ByFirstLetter({"u": 1.0, "v": 1.0, "w": 1.0}), Judge())
    assert (measured.asked, measured.unmatched) == (3, 1)


def test_of_three_models_a_prompt_of_one_text_has_one_id_in_every_pair():
    def own(response, name):
        prompt = response.prompt.model_copy(update={"id": name})
        return response.model_copy(update={"prompt": prompt})

    models = {name: responses(f"{name} 0", f"{name} 1") for name in "abc"}
    for name in "bc":  # p0 is in all three files, the other prompt has three ids
        models[name][1] = own(models[name][1], f"own of {name}")
    found = meetings(models)
    assert [(c.prompt.id, c.a.text, c.b.text) for c in found] == [
        ("p0", "a 0", "b 0"), ("p0", "a 0", "c 0"), ("p0", "b 0", "c 0"),
        ("p1", "a 1", "b 1"), ("p1", "a 1", "c 1"), ("p1", "b 1", "c 1"),
    ]  # fmt: skip
    assert len({c.id for c in found}) == 6


def test_a_statement_names_what_is_compared():
    names = ("B", "A", "no difference")
    assert statement(Figure(value=0.6, low=0.52, high=0.68, n=9), names).startswith("B's win rate")
    assert "better than A" in statement(Figure(value=0.6, low=0.52, high=0.68, n=9), names)
    assert "from no difference" in statement(Figure(value=0.5, low=0.4, high=0.6, n=9), names)


def test_categories_have_their_own_figures():
    table = ByFirstLetter({"good": 0.0, "bad": 1.0})
    a = [*responses("x", category="math"), responses("", "y")[1]]
    b = [*responses("good", category="math"), responses("", "bad")[1]]
    found, _ = win_rate(a, b, table, Judge())
    assert {name: f.value for name, f in found.by_category.items()} == {"math": 1.0, "none": 0.0}


def test_a_category_of_identical_texts_alone_has_no_win_rate():
    table = ByFirstLetter({"good": 0.0, "bad": 1.0})
    a = [*responses("x", "same", category="math"), *responses("", "", "even", "equal")[2:]]
    b = [*responses("good", "same", category="math"), *responses("", "", "even", "equal")[2:]]
    found, _ = win_rate(a, b, table, Judge())
    assert found.identical == 3
    assert found.by_category["math"].value == 0.75
    assert found.by_category["none"] == NOTHING


def test_samples_of_a_prompt_are_paired_in_order_and_leftovers_counted():
    first, second = responses("x")[0], responses("y")[0].model_copy(update={"sample": 1})
    comparisons = pair([second, first], [first])
    assert [(c.id, c.a.text) for c in comparisons] == [("p0", "x")]
    found, _ = win_rate([first, second], [first], ByFirstLetter({}), Judge())
    assert found.unmatched == 1


def test_lists_without_a_common_prompt_are_refused():
    with pytest.raises(DataError, match="answer the same prompts"):
        pair(responses("x"), responses("", "y")[1:])


def test_one_id_for_two_prompts_is_refused():
    other = Prompt(id="p0", messages=(Message(role="user", content="something else"),))
    with pytest.raises(DataError, match="different prompt"):
        pair(responses("x"), [Response(prompt=other, text="y")])


def test_an_interval_around_one_half_is_not_a_change():
    text = statement(Figure(value=0.55, low=0.48, high=0.62, n=100))
    assert text == (
        "The policy's win rate is 55.0 % (95 % interval 48.0 to 62.0): "
        "not distinguishable from no change."
    )
    assert "better" in statement(Figure(value=0.6, low=0.52, high=0.68, n=100))
    assert "worse" in statement(Figure(value=0.4, low=0.32, high=0.48, n=100))
    assert "Too few" in statement(Figure(value=0.6, low=None, high=None, n=1))


def test_rows_without_a_probability_come_back_as_abstentions():
    _, answers = win_rate(
        responses("x", "y"), responses("good", "?"), ByFirstLetter({"good": 0.2}), Judge()
    )
    assert [answer_from(answer.row()) for answer in answers] == answers


def test_no_answers_give_no_figures():
    found = summarise([])
    assert found.overall.value is None
    assert found.statement == "Too few verdicts to say anything."


def named_by_rows(questions, samples, letter):
    """Samples of a few questions, each row with an id of its own."""
    return [
        Response(
            prompt=Prompt(id=f"s{n}", messages=(Message(role="user", content=f"q{n // samples}"),)),
            text=f"{letter}{n // samples}",
        )
        for n in range(questions * samples)
    ]


def test_samples_with_ids_of_their_own_are_still_of_one_prompt():
    """Three questions, four samples each: three prompts, of wins 0.8, 0.3 and 0.3."""
    table = ByFirstLetter({"b0": 0.2, "b1": 0.7, "b2": 0.7})
    found, answers = win_rate(named_by_rows(3, 4, "a"), named_by_rows(3, 4, "b"), table, Judge())
    expected = mean([0.8, 0.3, 0.3], share=True)
    assert (found.overall.low, found.overall.high) == (expected.low, expected.high)
    assert found.by_category["none"].low == expected.low
    assert found.same_position.low == mean([0, 0, 0], share=True).low
    assert len(answers) == 12


def test_a_prompt_is_what_either_file_knows_of_it():
    bare, known = responses("x", "y"), responses("u", "v", category="safety")
    harmful = [
        r.model_copy(update={"prompt": r.prompt.model_copy(update={"harmful": True})})
        for r in known
    ]
    for one, other in ((bare, harmful), (harmful, bare)):
        prompts = [c.prompt for c in pair(one, other)]
        assert [(p.id, p.category, p.harmful) for p in prompts] == [
            ("p0", "safety", True), ("p1", "safety", True),
        ]  # fmt: skip
