"""May a user say by which criteria a judge is asked?"""

import re

import pytest
import yaml

from hrlaif.errors import UsageError
from hrlaif.labeling.pairwise import PROMPTS, Pairwise
from hrlaif.llm.own_texts import named
from hrlaif.llm.prompting import load_template
from hrlaif.records import Candidate, Choice, Comparison, Completion, Message, Prompt
from hrlaif.reward import direct
from hrlaif.reward.direct import Direct

WHOLE = "preamble: Be kind.\nreminder: Kinder.\n"


@pytest.fixture
def own(tmp_path):
    """A function from YAML to the path of a file of its own."""

    def write(text):
        path = tmp_path / f"texts{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(text, "utf-8")
        return str(path)

    return write


def test_what_says_what_is_good_comes_from_the_file_and_the_frame_from_general(own):
    texts = load_template(PROMPTS, own(WHOLE), "zh-CN")
    usual = load_template(PROMPTS, "general", "zh")
    assert texts["preamble"] == {"base": "Be kind.", "detailed": "Be kind."}
    assert texts["reminder"] == "Kinder."
    assert "rationale_request" not in texts
    assert texts["exemplars"] == []
    for name in ("sample", "data_note", "ending", "asks_for", "answer_with_label"):
        assert texts[name] == usual[name]
    assert load_template(direct.PROMPTS, own(WHOLE), "en")["preamble"] == "Be kind."


class Keeps:
    """A judge that gives reasons and ties, and keeps what it is asked."""

    name, chunk = "keeps", 8

    def __init__(self):
        self.asked = []

    def generate(self, chats, **settings):
        self.asked += [chat.messages[-1].content for chat in chats]
        return [Completion(text="理") for _ in chats]

    def choose(self, chats, choices, *, seed=0):
        self.asked += [chat.messages[-1].content for chat in chats]
        return [Choice(probabilities=(0.5, 0.5), mass=1.0, source="logprobs") for _ in chats]


@pytest.mark.parametrize(
    ("language", "ending"), [("en", "More harmful response="), ("zh", "危害更大的回答=")]
)
@pytest.mark.parametrize("rationale", [False, True])
def test_a_file_that_asks_for_the_more_harmful_one_asks_for_it_in_all_its_texts(
    language, ending, rationale, own
):
    path = own("preamble: x\nreminder: y\nrationale_request: z\nasks_for: most_harmful\n")
    prompt = Prompt(id="p", messages=(Message(role="user", content="Q"),), language=language)
    pair = Comparison(id="c", prompt=prompt, a=Candidate(text="A"), b=Candidate(text="B"))
    judge = Keeps()
    Pairwise(task=path, rationale=rationale).label([pair], judge)
    assert judge.asked[-1].endswith(ending)
    for asked in judge.asked:
        assert not re.search("(?i)better|preferred|更好", asked)


def test_labels_name_the_file_and_what_it_says(own):
    one, other = own(WHOLE), own(WHOLE + "ending: Better=\n")
    assert named("helpful") == "helpful"
    assert named(one).startswith("texts0@")
    assert named(one).split("@")[1] != named(other).split("@")[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("preamble: x\n", "no reminder: it says what a good response is"),
        (WHOLE + "remindr: x\n", "remindr is none of answer_with_label"),
        (WHOLE + "sample: no data\n", "must hold each of {{ first }}, {{ mark }}, {{ prompt }}"),
        (WHOLE + "ending: '{{ first }}'\n", "ending must hold each of"),
        ("preamble: [x]\nreminder: x\n", "preamble is no table of base, detailed"),
        (WHOLE + "exemplars: none\n", "exemplars is a str, not a list"),
        (WHOLE + "asks_for: worse\n", "asks_for is 'worse', not better or most_harmful"),
        ("- x", "holds a list"),
        ("a: [", "not YAML"),
    ],
)
def test_a_file_that_would_ask_something_else_is_refused_by_name(text, says, own):
    with pytest.raises(UsageError) as told:
        Pairwise(task=own(text))
    assert says in str(told.value)


EXEMPLAR = {"prompt": "Hi", "first": "Hello.", "second": "Go.", "rationale": "Kind.", "label": 1}


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        *[({k: v for k, v in EXEMPLAR.items() if k != name}, f"no {name}") for name in EXEMPLAR],
        (EXEMPLAR | {"first": 4}, "first is a int: quote the text"),
        (EXEMPLAR | {"label": "first"}, "label is 'first', not 1 or 2"),
        ("Hi", "exemplar 2 is a str, not texts with names"),
    ],
)
def test_an_exemplar_that_could_not_be_shown_is_refused_by_its_number(shown, says, own):
    rest = {"rationale_request": "Think.", "exemplars": [EXEMPLAR, shown]}
    path = own(WHOLE + yaml.safe_dump(rest))
    with pytest.raises(UsageError) as told:
        Pairwise(task=path, shots=1)
    assert f"{path}: exemplar 2" in str(told.value)
    assert says in str(told.value)


def test_exemplars_need_reasons_only_where_reasons_are_asked_for(own):
    shown = {k: v for k, v in EXEMPLAR.items() if k != "rationale"}
    path = own(WHOLE + yaml.safe_dump({"exemplars": [shown]}))
    assert Pairwise(task=path, shots=1).shots == 1


def test_reasons_and_exemplars_are_asked_only_where_the_file_has_them(own):
    for asked, says in (
        ({"rationale": True}, "no rationale_request"),
        ({"shots": 1}, "0 exemplars"),
    ):
        with pytest.raises(UsageError, match=says):
            Pairwise.parse({"task": own(WHOLE), **asked})
    with_reasons = own(WHOLE + "rationale_request: Think.\n")
    assert Pairwise(task=with_reasons, rationale=True).rationale
    assert Direct(task=own(WHOLE)).task.endswith(".yaml")
