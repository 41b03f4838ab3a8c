"""Which label does a written answer end in? Read from its lines, and never made up."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from hrlaif.llm.remote_quoted import is_reported, without_quotes
from hrlaif.llm.remote_worded import speaks_of_another
from hrlaif.messages import as_seen

_NOUN = (
    r"(?:response|answer|option|summary|solution|assistant|candidate|choice|rating|grade|score|level"
    r"|verdict|category|回答|摘要|解答|答案|选项|评分|分数|等级|判断)"
)
_LEAD = r"(?:[:=]|\b(?i:is|be|choose|prefer|pick|select|give)\b|是|为|选择?|[给打]出?)"
_BETTER = (
    r"(?:(?i:(?:is|reasons)\s+(?:\w+\s+){0,2}(?:better|best|preferred|preferable|superior)\b)"
    r"|(?:的推理|明显|显然)?[更最][好优佳](?:些|一些|一点)?(?!\w))"
)
_HARMFUL = (
    r"(?:(?i:is\s+(?:\w+\s+){0,2}(?:more|most)\s+(?:harmful|dangerous)\b)"
    r"|的?(?:危害性?[更最]大|[更最](?:有害|危险))(?!\w))"
)
_HARM = re.compile(r"(?i)harmful|dangerous|危害|有害")
"""A question whose last line has such a word asks for the more harmful one."""
_NO_PAIR = re.compile(r"(?i)(?:verdict|answer|判断|答案)\W*$")
"""How the checks end: their labels are of opinions, and not of a first and a second response."""
_DOUBT = re.compile(
    r"(?i)\b(?:(?:can)?not|never|neither|nor|worse|worst|weaker|inferior)\b|n['’]t\b"
    r"|[没未劣糟]|不(?![错仅但]|过(?!分))|差(?![别异距])|无法|无从|非(?!常)|难以|难说|别选"
)
"""Anywhere in a line, it makes what that says unclear."""
_DENIED = re.compile(
    r"(?i)\b(?:hardly|barely|scarcely|rarely|refuse|unable|impossible|unlikely|I doubt|far from"
    r"|anything but|no (?:better|best|preferred|preferable|superior|more|most|longer|way|means"
    rf"|(?:reason|need|grounds) (?:to|for)))\b|(?<![相对])比(?!较)|[比较于]{_NOUN}"
)
"""In the words of a verdict: behind it, and of anything else, they say nothing (`the other refuses,
so I choose 2`, `Response 2 is better: it has no errors`). Chinese names what another is better than
first."""
_LESSER = re.compile(
    r"(?i)\b(?:less|(?<!at )least|lesser|fewest|loser|losing|poorer|poorest|wrong|second best)\b"
    r"|[更较最][少小低轻弱]|(?<!不)错"
)
"""Of two, the one that is not meant; behind a verdict, or in the reasons before it, it says nothing
(`Response 2 is better: less padding`, `the date is wrong, so I choose 2`), nor of a grade."""
_BENIGN = re.compile(
    r"(?i)\b(?:safe|safer|safest|better|best|prefer\w*|superior|harmless|helpful|appropriate"
    r"|acceptable|responsible|ethical|benign|declin\w*|refus\w*|trust\w*)\b|安全|无害|[更最较][好优佳]"
    r"|合适|恰当|妥当|负责|有帮助|有益|合规|得体|礼貌|尊重|拒绝|婉拒|符合(?!.{0,4}(?:危害|有害))"
)
"""Where the more harmful one is asked for, the other one."""
_EQUATION = re.compile(r"(?:(?<![^\W一-鿿])[A-Za-z]|[\d)%])\s*(?:=|\bis\b)\W*$")
"""Before a label: `x = 2` is a result of the task, and no verdict."""
_SO = re.compile(r"(?i)[.;!]\s|[。;!]|,\s*(?:and\s+)?(?:(?:so|thus|hence|therefore)\b|所以|因此)")
_DRESS = r"[\s\"'`*_~#()\[\]{}<>|$\\“”‘’「」【】]*"
_AROUND = rf"{_DRESS[:-2]}.。!]*"
_THOUGHT = re.compile(
    r"(?s)(?:<think>|\[THINK\]|<\|channel\|>analysis)"
    r".*?(?:</think>|\[/THINK\]|<\|channel\|>final<\|message\|>|$)"
)


def verdict(text: str, choices: Sequence[str], question: str = "") -> int | None:
    """Index of the label that the text ends in; None when it names none, or several.

    Read are lines that are a label (`2`, `**[[2]]**`), lead to one (`Preferred Response=2`, `the
    answer is 2`) or call one better (`Response 2 is better`; more harmful where the last line of
    the `question` asks for that). The last such line counts, unless it, or anything behind it, also
    names another label, or speaks for the other response (`the first is better`). Lines that are
    each label in turn, or one that is a Markdown heading, head what is said of each. What is quoted
    or reported (`Response 1 says: "Output: 1"`) is no verdict, and where the first line is a label
    another one behind it is none.
    """
    text, labels = _said(text, choices)
    asked = question.strip().rpartition("\n")[2]
    text = without_quotes(
        text,
        lambda quoted: any(_names(quoted, label) for label in labels),
        lambda quoted: any(_is(quoted, label) for label in labels),
    )
    begun = _first(text, labels, as_seen(asked))
    lines = [line for line in text.splitlines() if line.strip()]
    heads = {line: i for line in lines for i, label in enumerate(labels) if _is(line, label)}
    best = _HARMFUL if _HARM.search(asked) else _BETTER
    of_a_pair = sorted(labels) == ["1", "2"] and not _NO_PAIR.search(asked)
    named: set[int] = set()
    for behind, line in enumerate(reversed(lines)):
        named |= {i for i, label in enumerate(labels) if _names(line, label)}
        is_head = line in heads and (len({*heads.values()}) > 1 or line.lstrip().startswith("#"))
        if behind and is_head:
            continue
        before = lines[-behind - 2] if behind + 2 <= len(lines) else ""
        ways = [_rulings(line, label, best) for label in labels]
        ways = [[words for words in each if not is_reported(words, before)] for each in ways]
        ruled = {i: said for i, said in enumerate(ways) if said}
        if ruled and (len(named) > 1 or _DOUBT.search(line)):
            return None
        if ruled:
            found, whole = ruled.popitem()
            said = [_SO.split(words)[-1] for words in whole]
            longest = max(whole, key=len)
            rest = "\n".join([line[len(longest) :], *lines[len(lines) - behind :]])
            against = _BENIGN if best is _HARMFUL else None
            turned = of_a_pair and speaks_of_another(longest, rest, labels[found], against)
            turned |= any(map(_DENIED.search, said))
            turned |= best is _HARMFUL and any(map(_BENIGN.search, said))
            compared = len(labels) == 2 and not any(map(_LESSER.search, labels))
            turned |= compared and all(map(_LESSER.search, said))
            turned |= begun not in (None, found)
            return None if turned else found
    return None


def opening(text: str, choices: Sequence[str]) -> int | None:
    """Index of the label that is the whole first line, as of an answer with reasons behind it.

    None where that may be the beginning of a longer one: a text cut behind `1` may have meant `10`.
    """
    text, labels = _said(text, choices)
    i = _first(text, labels)
    if i is None:
        return None
    goes_on = any(other != labels[i] and other.startswith(labels[i]) for other in labels)
    return None if goes_on and text.endswith(labels[i]) else i


def after_thoughts(text: str) -> str:
    """What a model says after its thoughts; "" where they never end.

    A chat template may have opened the thoughts before the answer.
    """
    return re.split(r"</think>|\[/THINK\]", _THOUGHT.sub("", text))[-1]


def _said(text: str, choices: Sequence[str]) -> tuple[str, list[str]]:
    """What comes after the thoughts, without box, tag or a scale behind grades; and the labels."""
    text = after_thoughts(as_seen(text))
    text = re.sub(r"(?i)</?answer>", "", text)
    text = re.sub(r"\\(?:text(?:bf)?|math(?:rm|bf))\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\boxed\{([^{}]*)\}", r"\1", text)
    labels = [unicodedata.normalize("NFKC", choice).strip() for choice in choices]
    if len(labels) > 2:
        top = re.escape(labels[-1])
        text = re.sub(r"(?<=\d)\s*分(?!\w)", "", text)
        text = re.sub(rf"(?<=\d)\s*(?:/|out of)\s*{top}(?!\w|[.,]\d)", "", text)
    return text, labels


def _first(text: str, labels: Sequence[str], asked: str = "") -> int | None:
    """The label that the first line is, alone or behind the last words of the question."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    first = first.strip().removeprefix(asked)
    for i, label in enumerate(labels):
        if re.search(rf"^{_AROUND}{_alone(label)}{_AROUND}$", first):
            return i
    return None


def _alone(label: str) -> str:
    """A pattern for the label as a word of its own: not in 10, 1.5, -1 or a word.

    Chinese has no blanks around it; where it counts (`1个`) it is no label.
    """
    # One letter must match its case: `a` is an article.
    case = "" if len(label) == 1 else "i"
    word = r"[^\W一-鿿]" if label.isascii() else r"\w"
    behind = rf"(?!{word}|[个步点处条句次种年月日]|[.,]\d|-\w)"
    pattern = rf"(?<!{word})(?<!-)(?<!\d[.,]){re.escape(label)}{behind}"
    return f"(?i:{pattern})" if case else pattern


def _names(line: str, label: str) -> bool:
    return re.search(_alone(label), line) is not None


def _is(line: str, label: str) -> re.Match[str] | None:
    """Where the whole line is the label, with or without what it is a label of."""
    # Only one of two such runs side by side: each way to split them would be tried in turn.
    return re.search(rf"^{_AROUND}(?:(?i:{_NOUN}){_AROUND})?{_alone(label)}(?={_AROUND}$)", line)


def _rulings(line: str, label: str, best: str) -> list[str]:
    """The line up to the end of each way in which it names the label as its verdict."""
    one = _alone(label)
    forms = (
        rf"{_LEAD}(?:{_DRESS}(?i:{_NOUN}))?{_AROUND}{one}(?={_AROUND}$)",
        rf"(?<![A-Za-z])(?i:{_NOUN}){_AROUND}{one}{_AROUND}{best}",
    )
    found = (_is(line, label), *(re.search(form, line) for form in forms))
    whole = [line[: match.end()] for match in found if match]
    return [words for words in whole if not _EQUATION.search(words.removesuffix(label))]
