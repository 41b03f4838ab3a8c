"""Is the satisfaction rate what its bar says, and is silence neither satisfied nor not?"""

from __future__ import annotations

import json

import pytest

from hrlaif.errors import DataError
from hrlaif.evaluation import Satisfaction, satisfaction
from hrlaif.evaluation.rater import LEVELS, Line, fitted
from hrlaif.records import Choice, Message, Prompt, Rating, Response, Score, Unanswered
from hrlaif.rows import write_rows


class Levels:
    """A judge that gives the level written in the response; "?" is refused, "~" half 3, half 4."""

    name, chunk = "levels", 4

    def __init__(self, calls=99):
        self.calls, self.asked = calls, 0

    def choose(self, chats, choices, *, seed=0):
        assert tuple(choices) == LEVELS
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        self.asked += len(chats)
        return [self._one(chat.about.first) for chat in chats]

    def _one(self, text):
        if text == "?":
            return Unanswered(reason="refused")
        shares = {"~": (0, 0, 0.5, 0.5, 0)}.get(text) or tuple(float(n == text) for n in LEVELS)
        return Choice(probabilities=shares, mass=1.0, source="logprobs")


def answers(texts, model):
    return [
        Response(
            prompt=Prompt(
                id=f"p{n}",
                messages=(Message(role="user", content=f"Q{n}"),),
                category="math" if n < 2 else "writing",
            ),
            text=text,
            model=model,
        )
        for n, text in enumerate(texts)
    ]


OLD, NEW = answers("1345?", "old"), answers("4~2?5", "new")


def test_rate_level_and_gain_by_hand(tmp_path):
    found = satisfaction(OLD, NEW, Satisfaction(), Levels(), tmp_path)
    # Old levels 1 3 4 5 -, new 4 3.5 2 - 5; satisfied from 3.5 on.
    assert (found.rate.before.value, found.rate.before.n) == (0.5, 4)
    assert (found.rate.after.value, found.rate.after.n) == (0.75, 4)
    assert found.level.after.value == pytest.approx((4 + 3.5 + 2 + 5) / 4)
    # Paired where both have a level: prompts 0, 1, 2: +1, +1, -1.
    assert (found.rate.gain.value, found.rate.gain.n) == (pytest.approx(1 / 3), 3)
    assert found.by_category["math"].gain.value == 1.0
    assert found.by_category["writing"].before.value == 1.0
    assert (found.unrated, found.calibrated, found.bar) == ({"refused": 2}, None, 3.5)
    rows = [json.loads(line) for line in (tmp_path / "ratings.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    assert Rating.from_row(rows[0]).satisfaction == 1
    assert {row["rater"] for row in rows} == {"satisfaction/levels"}


def test_another_bar_is_another_rate(tmp_path):
    found = satisfaction(OLD, NEW, Satisfaction(bar=4.5), Levels(), tmp_path)
    assert (found.rate.before.value, found.rate.after.value) == (0.25, 0.25)


def test_a_killed_rating_goes_on_where_it_stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        satisfaction(OLD, NEW, Satisfaction(), Levels(calls=1), tmp_path)
    again = Levels()
    found = satisfaction(OLD, NEW, Satisfaction(), again, tmp_path)
    assert again.asked == 6
    assert found == satisfaction(OLD, NEW, Satisfaction(), Levels(), tmp_path / "undisturbed")


def test_people_set_the_scale_where_enough_of_them_rated():
    group = answers("12345" * 8, "m")
    scores = [Score(id=r.key, value=float(r.text), scorer="s") for r in group]
    people = [
        Rating(id=r.key, satisfaction=1 + 0.5 * float(r.text), rater="human/a", response=r)
        for r in group
    ]
    line = fitted(group, scores, people)
    assert (line.slope, line.intercept, line.n) == (pytest.approx(0.5), pytest.approx(1.0), 40)
    assert line.apply(4.0) == pytest.approx(3.0)
    assert Line(slope=2, intercept=1, n=20).apply(4.0) == 5.0
    assert fitted(group, scores, people[:19]) is None
    upside_down = [r.model_copy(update={"satisfaction": 6 - r.satisfaction}) for r in people]
    assert fitted(group, scores, upside_down) is None


def test_ratings_of_two_questions_under_one_id_are_not_mixed():
    first, second = answers("12345" * 4, "m"), []
    for r in first:  # the same ids and texts, to other questions, of which people say the opposite
        other = (Message(role="user", content=f"Not {r.prompt.messages[0].content}"),)
        second.append(
            r.model_copy(update={"prompt": r.prompt.model_copy(update={"messages": other})})
        )
    scores = [Score(id=r.key, value=float(r.text), scorer="s") for r in first]
    people = [
        Rating(id=r.key, satisfaction=level(float(r.text)), rater="human/a", response=r)
        for group, level in ((first, lambda said: said), (second, lambda said: 6 - said))
        for r in group
    ]
    assert fitted(first, scores, people).slope == pytest.approx(1.0)
    assert fitted(second, scores, people) is None  # people do not rise with the judge


def test_people_s_ratings_come_from_a_file_of_the_vote_page(tmp_path):
    path = tmp_path / "ratings.jsonl"
    write_rows(
        path,
        [Rating(id=r.key, satisfaction=2, rater="human/a", response=r).row() for r in OLD],
    )
    assert len(Satisfaction(ratings=str(path)).people()) == 5
    path.write_text('{"id": "x", "satisfaction": 9, "rater": "y"}\n')
    with pytest.raises(DataError, match=r"ratings.jsonl.* takes the ratings.jsonl of"):
        Satisfaction(ratings=str(path)).people()


def test_a_faint_or_missing_answer_has_no_level():
    lost = OLD[0].model_copy(update={"finish_reason": "error"})
    (found,) = Satisfaction().score([lost], Levels())
    assert (found.value, found.reason) == (None, "the response is missing: its model gave none")
    (found,) = Satisfaction(mass_floor=1.0).score([OLD[0]], Levels())
    assert found.value == 1.0
