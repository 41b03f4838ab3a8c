"""Does verl's reward function hand on what the judge said, and nothing that it did not?"""

import asyncio
import time
from functools import partial

import httpx2
import numpy as np
import pytest

from hrlaif.engines import verl
from hrlaif.engines.verl import compute_score
from hrlaif.errors import ModelError

SERVED = ("--reward", "checked")
ABOUT = {"question": "6x7?", "index": 3}


def asked(server, text, about=ABOUT, truth="42", **more):
    return asyncio.run(compute_score("gsm8k", text, truth, about, url=server.url, **more))


def test_the_ground_truth_reaches_a_reward_that_checks(one_server):
    assert asked(one_server, "It is 42.") == {"score": 1.0, "missing": 0.0}
    assert asked(one_server, "It is 41.") == {"score": -1.0, "missing": 0.0}


ASKED = {"role": "user", "content": "6x7?"}
RULES = {"role": "system", "content": "Be brief."}


def as_parquet(values):
    """As pandas reads a column of lists: one array of objects a row."""
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


@pytest.mark.parametrize("listed", [list, as_parquet])
@pytest.mark.parametrize(
    "turns", [[ASKED], [RULES, ASKED], [ASKED, {"role": "assistant", "content": "?"}, ASKED]]
)
def test_turns_of_a_parquet_file_are_a_prompt(turns, listed, one_server):
    assert asked(one_server, "It is 42.", {"prompt": listed(turns)})["score"] == 1.0


@pytest.mark.parametrize("listed", [list, as_parquet])
def test_a_prompt_without_turns_is_none(listed, one_server):
    with pytest.raises(ModelError, match="no prompt in extra_info"):
        asked(one_server, "It is 42.", {"prompt": listed([])})
    both = {"prompt": listed([]), "question": "6x7?"}
    assert asked(one_server, "It is 42.", both)["score"] == 1.0


def test_arrays_within_turns_and_as_the_truth_are_lists_too(one_server):
    parts = as_parquet([{"type": "text", "text": "6x"}, {"type": "text", "text": "7?"}])
    turns = as_parquet([RULES, {"role": "user", "content": parts}])
    assert asked(one_server, "It is 42.", {"prompt": turns})["score"] == 1.0
    told = [
        asked(one_server, "42", truth=kind(["42", "7"]), missing=9) for kind in (list, as_parquet)
    ]
    assert told[0] == told[1]


def test_what_has_no_score_is_an_error_unless_a_number_is_chosen_for_it(one_server):
    with pytest.raises(ModelError, match="no number in the response"):
        asked(one_server, "None.")
    assert asked(one_server, "None.", missing=-0.5) == {"score": -0.5, "missing": 1.0}


def test_a_wrong_request_is_not_sent_again(one_server, monkeypatch):
    monkeypatch.setattr(verl, "_PAUSE", 60)
    with pytest.raises(ModelError, match="role 'tool' is none of"):
        asked(one_server, "42", {"prompt": [{"role": "tool", "content": "?"}]})


def test_a_server_that_is_not_there_is_tried_again_and_then_named(monkeypatch):
    class Nobody:
        url = "http://127.0.0.1:9"

    monkeypatch.setattr(verl, "_PAUSE", 0.05)
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9/score gave no answer in 3 tries"):
        asked(Nobody, "42", tries=3)
    assert time.monotonic() - begun >= 0.15  # 0.05 and 0.1
    with pytest.raises(ModelError, match="gave no answer in 1 tries"):
        asked(Nobody, "42", tries=1, missing=0.0)


def test_a_server_that_cannot_answer_is_no_missing_score(monkeypatch):
    spent = httpx2.MockTransport(lambda _: httpx2.Response(503, json={"error": "no money left"}))
    client = partial(httpx2.AsyncClient, transport=spent)
    monkeypatch.setattr(verl, "_PAUSE", 0.01)
    monkeypatch.setattr(verl.httpx2, "AsyncClient", client)
    with pytest.raises(ModelError, match="in 2 tries: no money left: see to the server"):
        asyncio.run(
            compute_score("d", "42", "42", ABOUT, url="http://inside", tries=2, missing=0.0)
        )


def test_without_a_prompt_the_column_to_keep_is_named(one_server):
    with pytest.raises(ModelError, match="keep it there, as `prompt` or `question`"):
        asked(one_server, "42", {"index": 3})


def test_many_at_once_are_all_answered(one_server):
    async def all_of_them():
        return await asyncio.gather(
            *(
                compute_score("d", f"It is {n}.", "7", ABOUT, url=one_server.url, tries=1)
                for n in range(40)
            )
        )

    scores = [found["score"] for found in asyncio.run(all_of_them())]
    assert scores == [1.0 if n == 7 else -1.0 for n in range(40)]
