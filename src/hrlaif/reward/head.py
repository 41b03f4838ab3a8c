"""What turns a language model into a reward model? A scalar head on its last token.

The model is transformers' own sequence classifier with one label, so that a saved folder loads
anywhere. Its score is read at the last token found by length; that plain transformers, which looks
for the last token that is not padding, finds the same one is made sure by the choice of pad token
and by a chat template that ends with the response (decision 077).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hrlaif.errors import ModelError
from hrlaif.records import Message, Prompt

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hrlaif.transformer.load import Loaded

_PAD, _HEAD = "<|pad|>", "score.weight"


class RewardModel(NamedTuple):
    """A sequence classifier with one label, and its tokenizer."""

    model: Any
    tokenizer: Any
    apart: bool = False
    """Prompt and response become tokens one by one, as before decision 077."""


class Rendered(NamedTuple):
    """A prompt and its response as the reward model reads them."""

    tokens: list[int]
    cut: bool
    """True when tokens at the left of the prompt were left out to fit `max_length`."""


def render(
    reward: RewardModel, prompt: Prompt, text: str, *, finished: bool, limit: int
) -> Rendered:
    """The one rendering in training, evaluation and RL alike, and of plain transformers.

    The whole conversation by the model's chat template if the response is finished; else the prompt
    with its cue and the text, so that the model can see that it was cut. What is beyond `limit`
    tokens is cut at the left, after the text's first token where that is the tokenizer's BOS.
    """
    from hrlaif.llm import chat

    tokenizer, messages = reward.tokenizer, prompt.messages
    if reward.apart:
        response = chat.response_ids(tokenizer, text, finished)
        tokens = [*chat.prompt_ids(tokenizer, messages), *response]
    elif finished:
        whole = [*messages, Message(role="assistant", content=text)]
        tokens = chat.text_ids(tokenizer, chat.render(tokenizer, whole, ask=False))
    else:
        torn = chat.neutralise(text, chat.special_tokens(tokenizer))
        tokens = chat.text_ids(tokenizer, chat.render(tokenizer, messages) + torn)
    if len(tokens) <= limit:
        return Rendered(tokens, False)
    first = tokens[:1] if tokens[0] == tokenizer.bos_token_id else []
    return Rendered([*first, *tokens[len(tokens) - limit + len(first) :]], True)


def was_finished(finish_reason: str | None) -> bool:
    """Only a response known to have been cut is unfinished; texts from elsewhere are whole."""
    return finish_reason != "length"


def with_head(loaded: Loaded) -> RewardModel:
    """A scalar head on the decoder of a causal model, which gives up its language-model head.

    The head starts at zero, in float32: faint labels then need no random start to be unlearned.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    from hrlaif.llm.chat import end_with_response
    from hrlaif.transformer.load import NO_CODE

    config = copy.deepcopy(loaded.model.config)
    config.num_labels = 1
    with torch.device("meta"):
        try:
            model = AutoModelForSequenceClassification.from_config(config, **NO_CODE)
        except ValueError as error:
            raise ModelError(
                f"transformers has no sequence classifier for {config.model_type}: "
                "start the reward model from another base"
            ) from error
    if not hasattr(model, "score"):
        raise ModelError(
            f"{type(model).__name__} has no plain linear head called score: "
            "start the reward model from another base"
        )
    setattr(model, model.base_model_prefix, loaded.model.base_model)
    width = config.get_text_config().hidden_size
    head = torch.nn.Linear(width, 1, bias=False)
    torch.nn.init.zeros_(head.weight)
    model.score = head.to(loaded.device)
    _choose_pad(model, loaded.tokenizer)
    return RewardModel(model, end_with_response(loaded.tokenizer))


def _choose_pad(model: Any, tokenizer: Any) -> None:
    """A pad token that no text ends in, else transformers would read another token's score."""
    from hrlaif.llm.chat import special_tokens, turn_end

    last = {tokenizer.eos_token_id, turn_end(tokenizer)}
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in last:
        tokenizer.add_special_tokens({"pad_token": _PAD})
        special_tokens.cache_clear()
        if len(tokenizer) > model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tokenizer.padding_side = "right"
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model.config.pad_token_id = tokenizer.pad_token_id


def rewards(model: Any, sequences: Sequence[list[int]]) -> Tensor:
    """Rewards [B] in float32 of whole token sequences; one micro-batch, gradients where enabled."""
    from hrlaif.transformer.forward import Sequence as Asked
    from hrlaif.transformer.forward import hidden_last

    hidden = hidden_last(model, [Asked(tokens, len(tokens)) for tokens in sequences])
    values: Tensor = model.score(hidden.to(model.score.weight.dtype)).float()[:, 0]  # [B, H] -> [B]
    return values


def rewards_of(model: Any, sequences: Sequence[list[int]]) -> list[float]:
    """Rewards without gradients of any number of sequences, in micro-batches."""
    from hrlaif.transformer.body import evaluating
    from hrlaif.transformer.tree import micro_batches

    found = [0.0] * len(sequences)
    with evaluating(model):
        for indices in micro_batches(sequences):
            part = rewards(model, [sequences[i] for i in indices]).tolist()
            for index, value in zip(indices, part, strict=True):
                found[index] = value
    return found


def load(folder: str | Path, *, device: torch.device, dtype: torch.dtype) -> RewardModel:
    """A saved reward model, its head in float32. Raises ModelError naming the next move."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from hrlaif.llm.chat import ends_with_response
    from hrlaif.transformer import beside
    from hrlaif.transformer.load import NO_CODE, cause, quiet
    from hrlaif.transformer.memory import keep_on
    from hrlaif.transformer.norms import quicken

    quiet()
    keep_on(device)
    file = Path(folder) / "config.json"
    if Path(folder).exists() and not file.is_file():
        raise ModelError(
            f"{folder} holds no reward model yet: train it first, or give another folder"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **NO_CODE)
        loader = AutoModelForSequenceClassification
        model = beside.read(loader, str(folder), dtype, **NO_CODE)
        saved = _saved_head(str(folder))
    except Exception as error:  # of a broken file the libraries raise whatever comes first
        raise ModelError(f"{folder} cannot be loaded as a reward model: {cause(error)}") from error
    if model.config.num_labels != 1 or not hasattr(model, "score"):
        raise ModelError(
            f"{folder} is a classifier, not a reward model: it needs one label, `score`"
        )
    model.score.float()
    if saved is not None and saved.shape == model.score.weight.shape:
        model.score.weight.data.copy_(saved)
    quicken(model.to(device).eval())
    ours = hasattr(model.config, "reward_max_length") or not tokenizer.chat_template
    return RewardModel(model, tokenizer, apart=ours and not ends_with_response(tokenizer))


def _saved_head(where: str) -> Tensor | None:
    """The weights of the head as its file holds them, not rounded to the dtype of the decoder."""
    from safetensors import safe_open
    from transformers.utils import cached_file

    def file(name: str) -> str | None:
        found: str | None = cached_file(where, name, _raise_exceptions_for_missing_entries=False)
        return found

    shards = file("model.safetensors.index.json")
    named = json.loads(Path(shards).read_text("utf-8"))["weight_map"] if shards else {}
    whole = file(named.get(_HEAD, "model.safetensors"))
    if whole is None:
        return None
    with safe_open(whole, framework="pt") as tensors:
        return tensors.get_tensor(_HEAD) if _HEAD in tensors.keys() else None  # noqa: SIM118


def stored(folder: str | Path, **facts: float | int | None) -> dict[str, Any]:
    """The facts in a reward model's config.json, after adding the given ones to it."""
    path = Path(folder) / "config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if facts:
        config.update(facts)
        partial = path.with_name("config.json.partial")
        partial.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    return config
