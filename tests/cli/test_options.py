"""What do the options that commands share stand for?"""

import json

import pytest

from hrlaif.cli.options import labeler_of, model_of, models_of, reward_of, tell
from hrlaif.errors import UsageError
from hrlaif.labeling import Pairwise
from hrlaif.llm import Remote, Scripted
from hrlaif.reward import Direct

USUAL = {"task": "general", "preamble": "base", "shots": 0, "samples": 1}
USUAL |= {"rationale": False, "single_order": False}
ASKED = {"task": "summarization", "preamble": "detailed", "shots": 2, "samples": 2}
ASKED |= {"rationale": True, "single_order": True}


def test_a_judge_may_be_given_with_its_settings(tmp_path):
    text = "{kind: remote, model: thinker, vote_tokens: 4000, price: [1, 2]}"
    found = model_of(text, ["http://localhost:1/v1/"])
    assert found == Remote(
        model="thinker", base_url="http://localhost:1/v1", vote_tokens=4000, price=(1, 2)
    )
    file = tmp_path / "judge.yaml"
    file.write_text("kind: scripted\naccuracy: 0.7\n")
    assert model_of(str(file), None) == Scripted(accuracy=0.7)
    with pytest.raises(UsageError, match=r"--judge gone\.yaml: there is no such file"):
        model_of("gone.yaml", None)
    with pytest.raises(UsageError, match="vote_token is not a setting; did you mean"):
        model_of("{kind: remote, model: m, vote_token: 4}", None)
    with pytest.raises(UsageError, match="--judge is not YAML"):
        model_of("{kind: remote, model: [", None)


def test_the_basic_labeler_inside_a_hybrid_one_is_asked_as_the_options_say():
    hybrid, _ = labeler_of("hybrid", ASKED, ["scripted:"], None)
    verified, _ = labeler_of("verified", ASKED, ["scripted:"], None)
    assert hybrid.otherwise == Pairwise(**ASKED)
    for one in (*hybrid.by_category.values(), verified):
        assert one.otherwise == Pairwise(**ASKED)
        # Of the better reasoning there are no exemplars.
        assert one.between_right_ones == Pairwise(**{**ASKED, "task": "reasoning", "shots": 0})
    assert list(hybrid.by_category) == ["math", "multiple_choice"]


def test_a_labeler_of_the_users_gets_the_options_that_it_has_and_refuses_others():
    own = "hrlaif.labeling.pairwise:Pairwise"
    assert labeler_of(own, ASKED, ["scripted:"], None)[0] == Pairwise(**ASKED)
    with pytest.raises(UsageError, match=r"with task, preamble.*task is not a setting"):
        labeler_of("hrlaif.labeling.human:Human", ASKED, ["scripted:"], None)
    with pytest.raises(UsageError, match="asks one judge"):
        labeler_of("verified", USUAL, ["scripted:"] * 2, None)


def test_a_base_url_is_that_of_every_remote_model_that_names_none():
    texts = ["remote:a", "{kind: remote, model: b}", "scripted:", "remote:c"]
    texts += ["{kind: remote, model: d, base_url: http://own.example/v1}"]
    models = models_of(texts, ["http://localhost:8000/v1"])
    found = [getattr(model, "base_url", None) for model in models]
    ours = "http://localhost:8000/v1"
    assert found == [ours, ours, None, ours, "http://own.example/v1"]
    for alone in ("scripted:", "{kind: remote, model: d, base_url: http://own.example/v1}"):
        with pytest.raises(UsageError, match=r"--base-url goes with remote:MODEL"):
            models_of([alone], [ours])


def test_a_task_beside_a_reward_that_does_not_read_it_is_refused(tmp_path):
    for folder, reward in ((tmp_path, None), (None, "checked"), (None, "direct")):
        judge = "scripted:" if folder is None else None
        with pytest.raises(UsageError, match=r"--task goes with --judge alone.*task: harmless"):
            reward_of(judge, folder, reward, "harmless", normalise=True)
    graded = reward_of("scripted:", None, None, "harmless", normalise=False)
    assert graded == Direct(task="harmless", normalise=False)
    assert reward_of("scripted:", None, None, None, normalise=True) == Direct()


def test_texts_of_a_red_team_go_to_the_base_url_alone(hrlaif, server, tmp_path):
    models = (f"--{who}" for who in ("target", "judge", "attacker", "rewriter"))
    given = [part for option in models for part in (option, "{kind: remote, model: m}")]
    more = ("--base-url", server.url, "--dry-run", "--json")
    done = hrlaif.here("redteam", *given, "-o", tmp_path / "out", *more)
    assert '"usd": 0' in done.stdout  # nothing is paid to a server on this machine


def test_what_a_model_said_cannot_command_the_terminal_and_is_whole_in_json(capsys):
    said = "two\nlines\t\x1b[31mred\x1b]0;title\x07 \x9b2J \r\x08\x7f Grüße"
    tell({"reason": said}, [said, "next"], as_json=False)
    assert capsys.readouterr().out == "two\nlines\t[31mred]0;title 2J  Grüße\nnext\n"
    tell({"reason": said}, [], as_json=True)
    shown = capsys.readouterr().out
    assert not [c for c in shown if c != "\n" and (c < " " or "\x7f" <= c <= "\x9f")]
    assert "Grüße" in shown
    assert json.loads(shown) == {"reason": said}
