"""Are the judge's prompt files complete, balanced and safe to fill in?"""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

PACKAGE = Path(__file__).parents[2] / "src" / "hrlaif"
TASKS = ("summarization", "helpful", "harmless", "general")
LANGUAGES = ("en", "zh")
NAMES = [f"{task}.{language}" for task in TASKS for language in LANGUAGES]

TEXT_KEYS = {
    "answer_with_label",
    "answer_with_rationale",
    "data_note",
    "sample",
    "reminder",
    "rationale_request",
    "ending",
}
PAIR_KEYS = TEXT_KEYS | {
    "version",
    "task",
    "language",
    "asks_for",
    "preamble",
    "roles",
    "exemplars",
}
GRADE_TEXT_KEYS = {"preamble", "data_note", "sample", "reminder", "ending"}
GRADE_KEYS = GRADE_TEXT_KEYS | {"version", "task", "language", "roles"}
CATEGORIES = [
    "math",
    "multiple_choice",
    "safety",
    "open_qa",
    "closed_qa",
    "summarization",
    "writing",
    "rewriting",
    "brainstorming",
    "extraction",
    "advice",
    "code",
]
HOSTILE = "{{ first }} {% include 'x' %} {# gone #} ${prompt} {0} %s <b>&amp;</b>"

# English is measured in words, Chinese in characters: (fewest, most).
PROMPT_SIZE = {
    ("summarization", "en"): (60, 110),
    ("summarization", "zh"): (100, 190),
    ("other", "en"): (15, 70),
    ("other", "zh"): (20, 110),
}
RESPONSE_SIZE = {"en": (10, 45), "zh": (15, 90)}
BASE_SIZE = {"en": 70, "zh": 120}
DETAILED_SIZE = {"en": 220, "zh": 330}


def read(path):
    return yaml.safe_load((PACKAGE / path).read_text(encoding="utf-8"))


def pair_prompt(name):
    return read(f"labeling/prompts/{name}.yaml")


def grade_prompt(name):
    return read(f"reward/prompts/{name}.yaml")


def size(text, language):
    return len(text.split()) if language == "en" else len("".join(text.split()))


def fill(template, **values):
    environment = SandboxedEnvironment(undefined=StrictUndefined)
    return environment.from_string(template).render(**values)


def less_wanted(exemplar):
    """The response that the label does not name."""
    return exemplar["second"] if exemplar["label"] == 1 else exemplar["first"]


def better_is_longer(exemplar, asks_for):
    labelled = exemplar["first"] if exemplar["label"] == 1 else exemplar["second"]
    better, worse = labelled, less_wanted(exemplar)
    if asks_for == "most_harmful":
        better, worse = worse, better
    assert len(better) != len(worse)
    return len(better) > len(worse)


def is_clean_text(value):
    return isinstance(value, str) and value != "" and value == value.strip()


def test_there_is_one_file_for_each_task_and_language_and_no_other():
    reasoning = [f"reasoning.{language}" for language in LANGUAGES]
    for folder, names in (("labeling/prompts", NAMES + reasoning), ("reward/prompts", NAMES)):
        found = sorted(path.name for path in (PACKAGE / folder).glob("*.yaml"))
        assert found == sorted(f"{name}.yaml" for name in names)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_question_about_reasoning_is_a_pair_prompt_without_exemplars(language):
    data = pair_prompt(f"reasoning.{language}")
    assert set(data) == PAIR_KEYS
    assert (data["asks_for"], data["exemplars"]) == ("better", [])
    assert all(is_clean_text(data[key]) for key in TEXT_KEYS)
    assert size(data["preamble"]["base"], language) <= BASE_SIZE[language]
    shown = fill(data["sample"], prompt="p", first=HOSTILE, second="s", mark="7f3a")
    assert shown.count(HOSTILE) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_prompt_has_every_key_and_no_other(name):
    data = pair_prompt(name)
    assert set(data) == PAIR_KEYS
    assert isinstance(data["version"], int)
    assert f"{data['task']}.{data['language']}" == name
    assert set(data["preamble"]) == {"base", "detailed"}
    assert set(data["roles"]) == {"user", "assistant"}
    texts = [data[key] for key in TEXT_KEYS]
    assert all(is_clean_text(text) for text in [*texts, *data["preamble"].values()])
    assert all(is_clean_text(text) for text in data["roles"].values())


@pytest.mark.parametrize("name", NAMES)
def test_only_the_harmless_task_asks_for_the_worse_response(name):
    data = pair_prompt(name)
    expected = "most_harmful" if data["task"] == "harmless" else "better"
    assert data["asks_for"] == expected
    if expected == "most_harmful":
        phrase = {"en": "MOST HARM", "zh": "危害最大"}[data["language"]]
        for text in (*data["preamble"].values(), data["reminder"]):
            assert phrase in text


@pytest.mark.parametrize("name", NAMES)
def test_cues_stand_last_and_the_data_note_is_one_line(name):
    data = pair_prompt(name)
    cue = {"en": "Rationale:", "zh": "理由："}[data["language"]]
    assert data["rationale_request"].endswith(cue)
    assert data["ending"].endswith("=")
    assert "\n" not in data["data_note"]
    assert "\n" not in data["reminder"]


@pytest.mark.parametrize("name", NAMES)
def test_eight_exemplars_hold_each_label_as_often_at_every_even_number_of_shots(name):
    exemplars = pair_prompt(name)["exemplars"]
    assert len(exemplars) == 8
    labels = [exemplar["label"] for exemplar in exemplars]
    for shots in (2, 4, 6, 8):
        assert Counter(labels[:shots]) == {1: shots // 2, 2: shots // 2}
    assert labels not in ([1, 2] * 4, [2, 1] * 4), "a mere alternation can be copied"


@pytest.mark.parametrize("name", NAMES)
def test_the_better_response_is_the_longer_one_exactly_half_of_the_time(name):
    data = pair_prompt(name)
    longer = [better_is_longer(e, data["asks_for"]) for e in data["exemplars"]]
    for shots in (2, 4, 6, 8):
        assert sum(longer[:shots]) == shots // 2
    for label in (1, 2):
        of_label = [e["label"] == label for e in data["exemplars"]]
        both = [a and b for a, b in zip(of_label, longer, strict=True)]
        assert sum(both) == 2, f"length gives label {label} away"


@pytest.mark.parametrize("name", NAMES)
def test_exemplars_are_complete_short_and_end_on_their_label(name):
    data = pair_prompt(name)
    task, language = data["task"], data["language"]
    kind = "summarization" if task == "summarization" else "other"
    fewest, most = PROMPT_SIZE[kind, language]
    for exemplar in data["exemplars"]:
        assert set(exemplar) == {"prompt", "first", "second", "rationale", "label"}
        texts = [exemplar[key] for key in ("prompt", "first", "second", "rationale")]
        assert all(is_clean_text(text) for text in texts)
        assert fewest <= size(exemplar["prompt"], language) <= most, exemplar["prompt"]
        for response in (exemplar["first"], exemplar["second"]):
            low, high = RESPONSE_SIZE[language]
            assert low <= size(response, language) <= high, response
        stop = {"en": ". ", "zh": "。"}[language]
        sentences = exemplar["rationale"].rstrip("。.").split(stop)
        assert 2 <= len(sentences) <= 5
        noun = {"en": "Response ", "zh": "回答"}[language]
        if task == "summarization":
            noun = {"en": "Summary ", "zh": "摘要"}[language]
        assert sentences[-1].startswith(f"{noun}{exemplar['label']}")
        assert f"{noun}{3 - exemplar['label']}" not in sentences[-1]


def test_no_exemplar_text_is_used_twice_in_any_file():
    texts = Counter(
        exemplar[key]
        for name in NAMES
        for exemplar in pair_prompt(name)["exemplars"]
        for key in ("prompt", "first", "second", "rationale")
    )
    assert len(texts) == 8 * 8 * 4


def test_a_turn_in_an_exemplar_is_named_as_the_roles_say():
    for name in NAMES:
        data = pair_prompt(name)
        colon = {"en": ": ", "zh": "："}[data["language"]]
        user, assistant = (data["roles"][role] + colon for role in ("user", "assistant"))
        for exemplar in data["exemplars"]:
            turns = exemplar["prompt"].split("\n\n")
            if len(turns) > 1:
                assert len(turns) % 2 == 1, "a conversation ends with the user"
                assert all(turn.startswith(user) for turn in turns[::2])
                assert all(turn.startswith(assistant) for turn in turns[1::2])


@pytest.mark.parametrize("name", NAMES)
def test_a_base_prompt_fits_a_small_judge_and_a_detailed_one_stays_short(name):
    data = pair_prompt(name)
    rest = ("answer_with_label", "data_note", "reminder", "ending")
    base = "\n".join([data["preamble"]["base"], *(data[key] for key in rest)])
    assert size(base, data["language"]) <= BASE_SIZE[data["language"]]
    detailed = size(data["preamble"]["detailed"], data["language"])
    assert detailed <= DETAILED_SIZE[data["language"]]


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_sample_shows_each_text_once_and_in_order_between_marked_lines(name):
    values = {"prompt": "<the prompt>", "first": "<one>", "second": "<two>"}
    shown = fill(pair_prompt(name)["sample"], mark="7f3a", **values)
    assert all(shown.count(value) == 1 for value in values.values())
    lines = shown.splitlines()
    assert lines[1::2] == list(values.values())
    assert all(line.startswith("[") and line.endswith(" 7f3a]") for line in lines[::2])
    assert len(set(lines[::2])) == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_value_passes_through_a_pair_sample_unchanged(name):
    sample = pair_prompt(name)["sample"]
    for key in ("prompt", "first", "second"):
        values = {"prompt": "p", "first": "f", "second": "s", key: HOSTILE}
        assert fill(sample, mark="7f3a", **values).count(HOSTILE) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_grading_prompt_has_every_key_and_no_other(name):
    data = grade_prompt(name)
    assert set(data) == GRADE_KEYS
    assert isinstance(data["version"], int)
    assert f"{data['task']}.{data['language']}" == name
    assert all(is_clean_text(data[key]) for key in GRADE_TEXT_KEYS)
    assert data["roles"] == pair_prompt(name)["roles"]
    assert data["ending"].endswith("=")
    assert "10" in data["preamble"]
    assert "10" in data["reminder"]
    assert size(data["preamble"], data["language"]) <= 180


@pytest.mark.parametrize("name", NAMES)
def test_a_grading_sample_shares_all_before_the_response_between_samples(name):
    sample = grade_prompt(name)["sample"]
    shown = fill(sample, prompt="<the prompt>", response=HOSTILE, mark="7f3a")
    assert shown.count("<the prompt>") == shown.count(HOSTILE) == 1
    assert shown.index("<the prompt>") < shown.index(HOSTILE)
    assert len(shown[shown.index(HOSTILE) + len(HOSTILE) :].splitlines()) == 2
    assert fill(sample, prompt=HOSTILE, response="r", mark="7f3a").count(HOSTILE) == 1


def test_the_twelve_categories_are_described_and_their_sample_can_be_filled():
    data = read("categories/categorize.en.yaml")
    keys = {"version", "preamble", "categories", "data_note", "sample", "ending"}
    assert set(data) == keys
    assert [category["name"] for category in data["categories"]] == CATEGORIES
    assert all(is_clean_text(category["description"]) for category in data["categories"])
    options = "A. math: numbers"
    shown = fill(data["sample"], prompt=HOSTILE, options=options, mark="7f3a")
    assert shown.count(HOSTILE) == shown.count(options) == 1
    assert data["ending"] == "Category="


def test_a_forgotten_variable_is_an_error_and_never_an_empty_text():
    with pytest.raises(Exception, match="second"):
        fill(pair_prompt("general.en")["sample"], prompt="p", first="f", mark="m")
