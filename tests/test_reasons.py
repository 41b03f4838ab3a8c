"""Reasons without a verdict, counted."""

from hrlaif.reasons import counted


def test_reasons_that_differ_in_a_mass_alone_are_one_with_its_range() -> None:
    said = [f"label mass {m} is below the floor 0.05" for m in ("0.0325", "0.04", "1e-05", "0.04")]
    assert counted(said) == {"label mass 1e-05 to 0.04 is below the floor 0.05": 4}


def test_one_reason_stays_as_it_was_said() -> None:
    said = ["label mass 0.04 is below the floor 0.05", "identical responses"]
    assert counted(said) == dict.fromkeys(said, 1)


def test_tokens_are_a_range_and_other_numbers_tell_reasons_apart() -> None:
    long = "too long: {} tokens and 1 to write, the context holds 4096"
    said = [long.format(9000), long.format(5000), "HTTP 429, in 3 tries", "HTTP 500, in 3 tries"]
    assert counted(said) == {
        long.format("5000 to 9000"): 2,
        "HTTP 429, in 3 tries": 1,
        "HTTP 500, in 3 tries": 1,
    }


def test_quoted_texts_are_shown_by_the_first_and_apostrophes_are_no_quotes() -> None:
    said = [f"no label in the answer: {text!r}" for text in ("Both.", "It's mine", "Both.")]
    said += [f"no option fits the reference {text!r}" for text in ("2", "3")]
    said += ["the judge's label is 'x'", "the judge's label is 'y'"]
    assert counted(said) == {
        "no label in the answer: 'Both.' and others, 2 in all": 3,
        "no option fits the reference '2' and others, 2 in all": 2,
        "the judge's label is 'x'": 1,
        "the judge's label is 'y'": 1,
    }


def test_the_most_common_come_first_and_empty_ones_are_none() -> None:
    assert list(counted(["a", "", "b", "b", ""]).items()) == [("b", 2), ("a", 1)]
