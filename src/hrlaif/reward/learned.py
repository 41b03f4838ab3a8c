"""How good is a response, by a trained reward model?"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from hrlaif.errors import ModelError
from hrlaif.progress import say
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import MISSING
from hrlaif.records import Response, Score
from hrlaif.settings import Compute, Settings, compute

if TYPE_CHECKING:
    from hrlaif.reward.head import RewardModel

RUN = "reward_model"
"""The path that means the reward model of the run at hand."""
_LIMIT = 1152  # of a model that says nothing of its own
_CONTEXTS = ("max_position_embeddings", "n_positions")
_TOLD: set[str] = set()  # reward models that texts were cut for: told once, not at every step
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@final
class Learned(Settings):
    """The score of a trained reward model, a sequence classifier with one label."""

    path: str = RUN
    """Folder or hub id of the reward model, read by its own chat template; in a run, `reward_model`
    is its own."""
    normalise: bool = True
    """Subtract the mean of the SFT policy's samples and divide by their deviation, both stored
    with the model; off gives the raw scores, whose zero and unit mean nothing."""

    def score(
        self, responses: Sequence[Response], judge: LanguageModel | None = None
    ) -> list[Score]:
        """One score a response, an empty one included; no value where the model gives no number.

        A text longer than what the model was trained on, or else its context, is cut at its
        beginning, and that is said. Weights stay in memory for further calls. The decoder
        computes as in training (`compute.precision`: bfloat16 where that is quick, else float32),
        never in int8, whose noise would show where rewards are averaged and compared; the head
        multiplies in float32.
        """
        if not responses:
            return []
        from hrlaif.reward import head
        from hrlaif.reward.train import rendered

        mean, deviation, limit = self._scale()
        reward = _loaded(self.path, _stamp(self.path), compute())
        there = [response for response in responses if response.finish_reason != "error"]
        texts = rendered(reward, there, limit)
        self._tell(sum(text.cut for text in texts), len(texts), limit)
        values = iter(head.rewards_of(reward.model, [text.tokens for text in texts]))

        def scored(response: Response) -> Score:
            if response.finish_reason == "error":
                reason = MISSING
            elif math.isfinite(value := next(values)):
                value = (value - mean) / deviation
                return Score(id=response.key, value=value, scorer=self.name)
            else:
                reason = f"the reward is {value}"
            return Score(id=response.key, value=None, scorer=self.name, reason=reason)

        return [scored(response) for response in responses]

    @property
    def name(self) -> str:
        """Stands in every score."""
        return f"learned:{self.path}"

    def _tell(self, cut: int, count: int, limit: int) -> None:
        if cut and self.path not in _TOLD:
            _TOLD.add(self.path)
            say(
                f"  {self.name} reads {limit} tokens: {cut} of {count} texts were longer and were "
                "cut at their beginning; those that follow are not told of"
            )

    def _scale(self) -> tuple[float, float, int]:
        """Mean, deviation and token limit. Raises ModelError where they are wanted but unknown."""
        config = _config(self.path)
        text = config.get("text_config") or config
        contexts = (text.get(name) for name in _CONTEXTS)
        limit = int(config.get("reward_max_length") or next(filter(None, contexts), _LIMIT))
        if not self.normalise:
            return 0.0, 1.0, limit
        mean, deviation = config.get("reward_mean"), config.get("reward_std")
        if mean is None or not deviation:
            raise ModelError(
                f"{self.path} does not say the mean and deviation of its rewards (they are "
                f"{mean} and {deviation}): set normalise: false (in a command: --reward "
                f'"{{kind: learned, path: {self.path}, normalise: false}}"), or train it with '
                "samples"
            )
        return float(mean), float(deviation), limit


def _config(path: str) -> dict[str, Any]:
    here = Path(path).exists()
    if not here and not _HUB_ID.fullmatch(path):
        raise ModelError(
            f"{path} holds no reward model, for there is no such folder: check its name, or give a "
            "hub id, OWNER/NAME"
        )
    from transformers import AutoConfig

    try:
        return dict(AutoConfig.from_pretrained(path, trust_remote_code=False).to_dict())
    except (OSError, ValueError) as error:
        said = str(error).partition("\n")[0].rstrip(".:")
        where = "" if here else "there is no such folder, and the hub did not give it: "
        raise ModelError(
            f"{path} holds no reward model ({where}{said}): train one, or give its folder"
        ) from error


def _stamp(path: str) -> int:
    """Changes when a folder is written anew, so that an older model is not taken for it."""
    file = Path(path) / "config.json"
    return file.stat().st_mtime_ns if file.is_file() else 0


@cache  # the members of an ensemble stay side by side, until `unload`
def _loaded(path: str, stamp: int, settings: Compute) -> RewardModel:
    import torch

    from hrlaif.reward import head
    from hrlaif.transformer.load import device_in_force, precision_in_force

    device = device_in_force()
    dtype = getattr(torch, precision_in_force(device, train=True))
    return head.load(path, device=device, dtype=dtype)


def unload() -> None:
    """Frees the reward models' memory."""
    _loaded.cache_clear()
    _TOLD.clear()
