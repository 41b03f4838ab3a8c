"""A reward function for verl, which asks a running `hrlaif serve`, one response a call.

reward.custom_reward_function.path=$(python -c "import hrlaif.engines.verl as v; print(v.__file__)")
reward.custom_reward_function.name=compute_score
+reward.custom_reward_function.reward_kwargs.url=http://HOST:5000

Before 2026-02 verl has these settings without the leading `reward.`. This package must be installed
in verl's environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx2

from hrlaif.errors import ModelError

_TIMEOUT = 180.0  # seconds that one answer may take: it waits behind others
_PAUSE = 0.5  # seconds before the second try; doubles


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    url: str,
    key: str | None = None,
    tries: int = 6,
    missing: float | None = None,
    **_: Any,
) -> dict[str, float]:
    """`score`, and `missing`: 1 where there was none and the argument `missing` stands for it.

    `missing` stands for what the reward itself gave no score, and for nothing else.

    verl shows a reward function the response alone: the prompt must stand in `extra_info`, as
    `prompt` or `question` (text or turns). `ground_truth` is the right final answer for rewards
    that check one. Raises ModelError where no score came and nothing stands for it, since verl
    would take an answer of 0 for a judge's word.
    """
    about = extra_info or {}
    prompt = _plain(about.get("prompt")) or _plain(about.get("question"))
    if not prompt:
        raise ModelError("verl: no prompt in extra_info: keep it there, as `prompt` or `question`")
    row = {"prompt": prompt, "response": solution_str, "category": data_source}
    if (truth := _plain(ground_truth)) not in (None, ""):
        row["reference_answer"] = str(truth)
    value, reason = await _asked(f"{url.rstrip('/')}/score", row, key, tries)
    if value is not None:
        return {"score": value, "missing": 0.0}
    if missing is None:
        raise ModelError(f"verl: no score from {url}: {reason}")
    return {"score": missing, "missing": 1.0}


def _plain(value: Any) -> Any:
    """Without arrays of numpy, which are what Parquet files have for lists, at any depth."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if not isinstance(value, str) and hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


async def _asked(
    url: str, row: Mapping[str, Any], key: str | None, tries: int
) -> tuple[float | None, str]:
    """The score, or why the reward gave none; the server is tried again, a wrong request is not.

    Raises ModelError where the last try brought no answer either.
    """
    headers = {"authorization": f"Bearer {key}"} if key else {}
    reason = ""
    async with httpx2.AsyncClient(timeout=_TIMEOUT, headers=headers) as client:
        for turn in range(tries):
            if turn:
                await asyncio.sleep(_PAUSE * 2 ** (turn - 1))
            try:
                answer = await client.post(url, json={"responses": [row]})
                body = answer.json()
            except (httpx2.HTTPError, ValueError) as error:
                reason = str(error) or type(error).__name__
                continue
            if answer.status_code == 200:
                (score,) = body["scores"]
                return score["value"], str(score.get("reason"))
            if answer.status_code < 500:
                raise ModelError(f"verl: {url} says {body.get('error', answer.status_code)}")
            reason = str(body.get("error", answer.status_code))
    raise ModelError(
        f"verl: {url} gave no answer in {tries} tries: {reason}: see to the server, and go on from "
        "the last checkpoint"
    )
