"""Do settings refuse what they do not know, and are YAML, Python and receipts the same thing?"""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal, final

import pytest
import yaml
from pydantic import Field

from hrlaif.checks import ChoiceLetter, Number
from hrlaif.errors import UsageError
from hrlaif.labeling import AnyLabeler, Human, Pairwise, any_labeler
from hrlaif.llm import Remote
from hrlaif.settings import Compute, Settings, compute, kind_of, one_of, plain, using


@final
class Inner(Settings):
    steps: int = Field(default=3, ge=1)


@final
class Tree(Settings):
    inner: Inner = Inner()
    perhaps: Inner | None = Inner()
    labeler: AnyLabeler = Pairwise()
    check: Annotated[Any, one_of(Number, ChoiceLetter)] = Number()


def refused(values: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as error:
        Tree.parse(values)
    return str(error.value)


@final
class Outer(Settings):
    inner: Inner = Inner(steps=7)
    labeler: AnyLabeler = Pairwise(task="reasoning")


def test_a_block_that_is_given_in_part_keeps_the_default_of_its_field():
    assert Outer.parse({"inner": {}}) == Outer()
    assert Outer.parse({"labeler": {"shots": 0}}) == Outer()
    assert Outer.parse({"inner": {"steps": 2}}).inner.steps == 2
    found = Outer.parse({"labeler": {"kind": "pairwise", "preamble": "detailed"}}).labeler
    assert found == Pairwise(task="reasoning", preamble="detailed")


def test_a_block_of_another_kind_has_the_defaults_of_that_kind():
    assert Outer.parse({"labeler": {"kind": "human"}}).labeler == Human()


LABELERS = ["human", "hybrid", "pairwise", "verified"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"iner": {}}, "iner is not a setting; did you mean 'inner'?"),
        ({"inner": {"step": 1}}, "inner.step is not a setting; did you mean 'steps'?"),
        ({"perhaps": {"stepz": 1}}, "perhaps.stepz is not a setting; did you mean 'steps'?"),
        ({"inner": {"zzz": 1}}, "inner.zzz is not a setting; known: steps"),
        ({"inner": {"steps": 0}}, "inner.steps: input should be greater than or equal to 1, not 0"),
        ({"inner": {"steps": "many"}}, "inner.steps: input should be a valid integer"),
        ({"labeler": {"kind": "pairwise", "taks": "x"}}, "pairwise.taks is not a setting; did you"),
        (
            {"labeler": "pairwize"},
            "kind 'pairwize' is none of ['human', 'hybrid', 'pairwise', 'panel', 'verified']",
        ),
        ({"labeler": {"kind": "pairwize"}}, "did you mean 'pairwise'?"),
        (
            {"labeler": {"kind": "nowhere:Labeler"}},
            "cannot be imported (No module named 'nowhere')",
        ),
        ({"labeler": {"kind": "json:nothing"}}, "cannot be imported"),
        (
            {"labeler": {"kind": "pairwise", "samples": 4}},
            "samples above 1 are sampled rationales: set rationale: true too",
        ),
        ({"labeler": {"kind": "json:JSONDecoder"}}, "is not a class derived from hrlaif.Settings"),
        ({"labeler": {"kind": "hrlaif.sampling:Sampling"}}, "kind 'sampling' is no Labeler: see"),
        ({"labeler": {"kind": 3}}, "kind 3 is not text, but one of"),
        (
            {"labeler": 3},
            "3 is no part: give a kind of ['human', 'hybrid', 'pairwise', 'panel', 'verified']",
        ),
        ({"labeler": {"kind": "pairwise", "samples": 3}}, "set rationale: true too"),
    ],
)
def test_what_is_not_possible_is_refused_by_name_with_the_next_move(values, said):
    assert said in refused(values)


def test_what_does_not_fit_together_is_said_without_repeating_the_block():
    said = refused({"labeler": {"kind": "pairwise", "samples": 4}})
    assert "value error" not in said.lower()
    assert "{" not in said


def test_several_mistakes_are_told_at_once():
    assert len(refused({"iner": 1, "inner": {"steps": 0}}).splitlines()) == 2


def test_of_a_list_whose_only_item_is_refused_it_is_not_said_that_it_is_empty():
    class Listed(Settings):
        names: tuple[Literal["a", "b"], ...] = Field(default=("a",), min_length=1)

    with pytest.raises(UsageError) as told:
        Listed.parse({"names": ["foo"]})
    assert str(told.value) == "names.0: input should be 'a' or 'b', not 'foo'"
    with pytest.raises(UsageError, match="at least 1 item"):
        Listed.parse({"names": []})


def test_a_part_of_your_own_is_named_by_module_and_class(tmp_path, monkeypatch):
    text = """
from hrlaif.records import Abstention
from hrlaif.settings import Settings

class Shy(Settings):
    why: str = "too shy"

    def label(self, comparisons, judge):
        return [Abstention(comparison=c, labeler="shy", reason=self.why) for c in comparisons]
"""
    (tmp_path / "shy_labeler.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    tree = Tree.parse({"labeler": {"kind": "shy_labeler:Shy", "why": "late"}})
    assert tree.model_dump(mode="json")["labeler"] == {"kind": "shy_labeler:Shy", "why": "late"}
    assert Tree.parse(tree.model_dump(mode="json")) == tree
    assert tree.labeler.label([], None) == []  # type: ignore[arg-type]
    sys.modules.pop("shy_labeler")


@pytest.mark.parametrize(
    "tree",
    [
        Tree(),
        Tree(labeler=Human(rater="us"), perhaps=None, check=ChoiceLetter()),
        Tree(labeler=Pairwise(task="harmless", rationale=True, samples=2, shots=3)),
    ],
)
def test_yaml_of_a_tree_is_the_tree_again(tree):
    values = yaml.safe_load(yaml.safe_dump(tree.model_dump(mode="json")))
    assert Tree.parse(values) == tree


def test_kinds_are_the_class_names_in_snake_case():
    assert kind_of(Pairwise()) == "pairwise"
    assert kind_of(ChoiceLetter()) == "choice"
    assert kind_of(Inner()).endswith(":Inner")
    assert plain(Number())["kind"] == "number"
    assert one_of(Number, ChoiceLetter).parse("choice") == ChoiceLetter()


def test_the_first_kind_is_meant_where_none_is_said():
    assert any_labeler({"task": "helpful"}) == Pairwise(task="helpful")


def test_a_plain_text_may_be_shorthand():
    short = one_of(Inner, shorthand=lambda text: Inner(steps=int(text)))
    assert short.parse("7") == Inner(steps=7)


def test_settings_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        Inner().steps = 4  # type: ignore[misc]


def test_compute_is_in_force_inside_its_block_alone():
    before = compute()
    with using(Compute(concurrency=3)) as inside:
        assert compute() is inside
        with using(Compute(concurrency=4)):
            assert compute().concurrency == 4
        assert compute() is inside
    assert compute() is before


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://user:hush@host/v1", "holds a password"),
        ("http://user:hu@sh@host/v1", "holds a password"),
        ("ftp://user:hush@host/v1", "'ftp://***@host/v1' is no address"),
        ("https://host/v1?api-key=hush", "goes on after its path"),
        ("https://host/v1?api-key=hush#x", "goes on after its path"),
        ("https://host/v1#hush", "goes on after its path"),
        ("http://user:hush@host/v1?api-key=hush", "holds a password"),
    ],
)
def test_an_address_with_a_secret_is_refused_and_the_secret_is_not_repeated(url, said):
    for refused in (
        lambda: Remote.parse({"model": "m", "base_url": url}),
        lambda: Compute.parse({"endpoints": [["http://other/v1", url]]}),
    ):
        with pytest.raises(UsageError) as error:
            refused()
        assert said in str(error.value)
        assert "hush" not in str(error.value)
        assert "sh@" not in str(error.value)
