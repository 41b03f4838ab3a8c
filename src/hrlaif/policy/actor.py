"""How do policy, reference and value model fit into the memory of one model?

With adapters there is one frozen base: with the policy's adapter it is the policy, with the `value`
adapter and a small head it is the value model, and with neither it is the SFT policy, which is the
reference. Without adapters the reference and the value model are copies. A value model whose trunk
is frozen is a head on the reference's states, which then cost nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, NamedTuple, final

import torch
from torch import Tensor, nn

from hrlaif.errors import ModelError
from hrlaif.training import lora as adapters
from hrlaif.training.lora import Lora
from hrlaif.transformer import forward, generate
from hrlaif.transformer.body import head_of, squash_of
from hrlaif.transformer.generate import Sampled
from hrlaif.transformer.head import Read, TokenScores, divergence, score_rows
from hrlaif.transformer.load import Loaded

_POLICY = "default"  # the adapter that training.lora attaches, merges and saves
_VALUE = "value"


Trunk = Literal["none", "frozen", "trained"]


class Reference(NamedTuple):
    """Of the SFT policy."""

    logprobs: Tensor  # [N] of each asked token
    states: Tensor  # [N, H] before each asked token


@final
class Actor:
    """The policy, its reference and, if wanted, its value model; the sampler is the policy.

    Every function over sequences takes a micro-batch and returns [N], flat over the asked tokens.
    The model stays in evaluation mode: dropout would break KL = 0 at the first step.
    """

    def __init__(self, loaded: Loaded, lora: Lora | None, *, value: Trunk, seed: int) -> None:
        torch.manual_seed(seed)  # the first matrix of an adapter is random
        self.loaded, self.model = loaded, loaded.model
        self.adapted = lora is not None and lora.rank > 0
        self.value = value
        # Never trained, but not marked so: its head then takes the policy's path, to the bit.
        self._reference: Any = None if self.adapted else copy.deepcopy(self.model).eval()
        trained = value == "trained"
        copied = trained and not self.adapted
        self._value_model: Any = copy.deepcopy(self.model) if copied else None
        adapters.attach(self.model, lora)
        if trained and lora is not None and self.adapted:
            adapters.attach(self.model, lora, name=_VALUE)
        width = self.model.get_input_embeddings().weight.shape[1]
        self.head = nn.Linear(width, 1, device=loaded.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.model.eval()

    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained, by name: `policy`, and `value` (with its `head`) if there is one."""
        adapted = self.adapted
        found: dict[str, nn.Module] = {
            "policy": _parameters(self.model, _POLICY) if adapted else self.model
        }
        if self.value == "frozen":
            found["value"] = nn.ModuleDict({"head": self.head})
        if self.value == "trained":
            trunk = _parameters(self.model, _VALUE) if adapted else self._value_model
            found["value"] = nn.ModuleDict({"trunk": trunk, "head": self.head})
        return found

    def sample(
        self, prompts: Sequence[list[int]], how: generate.Sampling, *, samples: Sequence[int]
    ) -> list[Sampled]:
        """One response for each entry of `prompts`, with the log-probability of each token."""
        with self._merged():
            return generate.generate(self.loaded, prompts, how, samples=samples)

    def scores(self, asked: Sequence[forward.Sequence], temperature: float) -> TokenScores:
        """Log-probabilities [N] with gradient, and entropies [N], under the policy."""
        return forward.token_scores(self.model, asked, temperature=temperature)

    def reference(self, asked: Sequence[forward.Sequence], temperature: float) -> Reference:
        """What the SFT policy says of each asked token, without gradient."""
        with self._as_reference() as model:
            states = forward.hidden_before(model, asked)
            tokens = [token for s in asked for token in s.tokens[s.start :]]
            targets = torch.tensor(tokens, device=states.device)
            head, squash = head_of(model), squash_of(model)
            scores = score_rows(head, states, targets, squash, temperature=temperature)
        return Reference(scores.logprobs, states)

    @torch.no_grad()
    def divergence(self, asked: Sequence[forward.Sequence], temperature: float) -> Tensor:
        """KL(policy || reference) [N] in nats of the next token, at the place of each asked one."""
        squash = squash_of(self.model)
        policy = Read(head_of(self.model), forward.hidden_before(self.model, asked), squash)
        with self._as_reference() as model:
            reference = Read(head_of(model), forward.hidden_before(model, asked), squash)
        return divergence(policy, reference, temperature=temperature)

    def values(self, asked: Sequence[forward.Sequence], states: Tensor | None) -> Tensor:
        """V(s_t) [N] of the state before each asked token; zero everywhere before training.

        `states` [N, H] are the reference's; only a frozen trunk needs them.
        """
        if self.value == "none":
            raise ModelError("this algorithm was given no value model: its uses_values is false")
        if self.value == "trained":
            model = self.model if self.adapted else self._value_model
            with adapters.active(model, _VALUE) if self.adapted else nullcontext():
                states = forward.hidden_before(model, asked)
        assert states is not None
        # Scaled to a root mean square of 1: the head's learning rate then fits every model.
        states = nn.functional.rms_norm(states.float(), states.shape[-1:])
        return self.head(states).squeeze(-1)  # type: ignore[no-any-return]

    @contextmanager
    def _as_reference(self) -> Iterator[Any]:
        """The SFT policy, without gradient."""
        model = self.model if self.adapted else self._reference
        with torch.no_grad(), adapters.without(model) if self.adapted else nullcontext():
            yield model

    @contextmanager
    def _merged(self) -> Iterator[None]:
        """Inside, the base layers hold W + (alpha / rank) B A: sampling passes no adapter layers.

        Only in float32, where the sum is off by rounding alone; W itself is put back, not computed.
        """
        if not self.adapted or next(self.model.parameters()).dtype != torch.float32:
            yield
            return
        kept: list[tuple[Any, Tensor]] = []
        with torch.no_grad():
            for _, layer in adapters.adapted_layers(self.model):
                base = layer.get_base_layer()
                kept.append((base.weight, base.weight.data))
                base.weight.data = base.weight.data + layer.get_delta_weight(_POLICY)
        try:
            with adapters.without(self.model):
                yield
        finally:
            for weight, data in kept:
                weight.data = data


def _parameters(model: nn.Module, adapter: str) -> nn.ParameterDict:
    found = {
        name.replace(".", "/"): parameter
        for name, parameter in model.named_parameters()
        if ".lora_" in name and name.split(".")[-2] == adapter
    }
    return nn.ParameterDict(found)
