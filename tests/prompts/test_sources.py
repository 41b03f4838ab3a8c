"""Are prompts split without overlap, evenly over categories, the same for a seed?"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from hrlaif.errors import DataError, UsageError
from hrlaif.prompts import Prompts, collect
from hrlaif.records import Prompt


def split(prompts: list[Prompt], name: str) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.split == name]


def source(folder: Path, count: int = 60, categories: int = 3, **more: object) -> str:
    rows = [
        {"id": n, "prompt": f"Question {n}?", "category": f"c{n % categories}", **more}
        for n in range(count)
    ]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_starter_set_gives_three_splits_without_overlap():
    found = collect(Prompts(), seed=0)
    sizes = Counter(prompt.split for prompt in found)
    assert sizes == {"train": 216, "validation": 24, "test": 48}
    assert len({prompt.messages for prompt in found}) == len(found)
    assert len({prompt.id for prompt in found}) == len(found)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_each_split_is_even_over_the_categories(name):
    counts = Counter(p.category for p in split(collect(Prompts(train=48), seed=1), name))
    assert len(counts) == 12
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_seed_decides():
    assert collect(Prompts(), seed=0) == collect(Prompts(), seed=0)
    one, two = (split(collect(Prompts(), seed=n), "test") for n in (0, 1))
    assert one != two


def test_more_training_prompts_keep_the_fewer_ones_and_the_test():
    few, many = (collect(Prompts(train=n), seed=0) for n in (24, 96))
    assert split(many, "train")[:24] == split(few, "train")
    assert split(many, "test") == split(few, "test")


def test_prompts_that_are_not_used_are_counted_aloud(tmp_path, capsys):
    path = source(tmp_path, count=400)
    found = collect(Prompts(source=path, train=168), seed=0)
    assert len(split(found, "train")) == 168
    said = f"160 prompts of {path} not used: prompts.train is 168 (null: all)\n"
    assert capsys.readouterr().err == said
    collect(Prompts(source=path), seed=0)
    collect(Prompts(source=path, train=328), seed=0)
    assert capsys.readouterr().err == ""


def test_a_file_without_a_test_source_gives_up_a_share(tmp_path):
    settings = Prompts(source=source(tmp_path), test=9, validation=6)
    found = collect(settings, seed=0)
    assert Counter(p.split for p in found) == {"train": 45, "validation": 6, "test": 9}
    assert Counter(p.category for p in split(found, "test")) == {"c0": 3, "c1": 3, "c2": 3}
    assert len({p.id for p in found}) == 60


def test_a_question_met_twice_is_on_one_side_alone(tmp_path):
    path = Path(source(tmp_path, count=30))
    again = [{"id": f"again{n}", "prompt": f"Question {n}?"} for n in range(30)]
    path.write_text(path.read_text() + "".join(json.dumps(row) + "\n" for row in again))
    found = collect(Prompts(source=str(path), test=9, validation=6), seed=0)
    assert len(found) == len({p.messages for p in found}) == 30


def test_test_prompts_are_taken_out_of_the_training_source(tmp_path):
    path = source(tmp_path)
    found = collect(Prompts(source=path, test_source=path, test=12, validation=6), seed=0)
    assert len({p.id for p in found}) == len(found) == 60


def test_only_the_wanted_categories_are_taken():
    found = collect(Prompts(categories=("math", "code"), test=4, validation=4), seed=0)
    assert {p.category for p in found} == {"math", "code"}
    with pytest.raises(DataError, match=r"none of \('maths',\), but \['advice',"):
        collect(Prompts(categories=("maths",)), seed=0)


def test_several_sources_have_their_shares_of_any_beginning_until_one_runs_out(tmp_path):
    def written(name: str, count: int) -> str:
        path = tmp_path / f"{name}.jsonl"
        rows = [{"id": str(n), "prompt": f"{name} {n}?"} for n in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    weights = {written("chat", 60): 3, written("math", 10): 1}
    found = collect(Prompts(source=weights, test=8, validation=4), seed=0)
    order = [p for p in found if p.split == "test"]  # taken first, then validation, then training
    order += [*split(found, "validation"), *split(found, "train")]
    maths = [p.messages[0].content.startswith("math") for p in order]
    for n in range(1, 41):
        assert abs(sum(maths[:n]) - n / 4) <= 1
    assert (sum(maths), len(maths)) == (10, 70)  # then chat alone
    assert len({p.id for p in found}) == 70  # both files call theirs 0, 1, 2
    assert {p.id for p in found if "math" in p.id} <= {f"math/{n}" for n in range(10)}


def test_a_question_of_two_sources_is_asked_once(tmp_path):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text("".join(json.dumps({"prompt": f"{n}?"}) + "\n" for n in range(20)))
    two.write_text("".join(json.dumps({"prompt": f"{n}?"}) + "\n" for n in range(10, 30)))
    found = collect(Prompts(source={str(one): 1, str(two): 2.5}, test=4, validation=4), seed=0)
    assert len({p.messages for p in found}) == len(found) == 30


@pytest.mark.parametrize("source", [{}, {"a.jsonl": 0}, {"a.jsonl": -1}])
def test_a_mixture_without_a_source_or_with_a_weight_of_nothing_is_refused(source):
    with pytest.raises(UsageError, match="source"):
        Prompts.parse({"source": source})


def test_too_few_prompts_are_refused_with_the_next_move(tmp_path):
    says = (
        r"too few prompts: of 5, .* name a larger source or ask for fewer, with "
        r"prompts\.validation and prompts\.test"
    )
    with pytest.raises(DataError, match=says):
        collect(Prompts(source=source(tmp_path, count=5)), seed=0)


def test_options_are_lettered_after_a_question_that_lacks_them(tmp_path):
    path = source(tmp_path, choices=["Rome", "Oslo"])
    prompt = collect(Prompts(source=path, test=1, validation=0), seed=0)[0]
    assert prompt.messages[-1].content == f"Question {prompt.id}?\nA. Rome\nB. Oslo"
    assert prompt.choices == ("Rome", "Oslo")


def test_options_in_the_text_are_not_repeated(tmp_path):
    path = tmp_path / "p.jsonl"
    rows = [{"prompt": f"{n}: A. Rome B. Oslo", "choices": ["Rome", "Oslo"]} for n in range(3)]
    # One option's text in the question is not the list of options.
    rows += [{"prompt": f"{n} Who went to Rome?", "choices": ["Rome", "Oslo"]} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = collect(Prompts(source=str(path), test=1, validation=0), seed=0)
    listed = [p.messages[-1].content.count("Oslo") for p in found]
    assert listed == [1] * 6
    assert sum("\nB. Oslo" in p.messages[-1].content for p in found) == 3


def test_the_starter_sets_multiple_choice_questions_show_their_options():
    found = [p for p in collect(Prompts(), seed=0) if p.choices]
    assert found
    for prompt in found:
        assert all(choice in prompt.messages[-1].content for choice in prompt.choices)
