"""What is the log-probability of each token? The vocabulary head without a table of logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hrlaif.transformer.body import Squash

_ATTENDS = (torch.float32, torch.bfloat16)
_CHUNK_BYTES = {"cpu": 64 * 2**20}  # of logits at once
_CACHE_BYTES = {"cpu": 2 * 2**20}  # of converted weights: they never leave the processor's cache
_ON_A_GPU = 2**28  # of either


class TokenScores(NamedTuple):
    """Log-probabilities [N] of tokens, entropies [N] of their distributions; float32, nats."""

    logprobs: Tensor
    entropies: Tensor


def score_rows(
    head: nn.Module,
    hidden: Tensor,
    targets: Tensor,
    squash: Squash,
    *,
    temperature: float = 1.0,
    entropy: bool = True,
) -> TokenScores:
    """log softmax(squash(head(hidden)) / temperature)[target] for hidden [N, H], targets [N].

    A frozen linear head on a CPU is computed as attention over the vocabulary (`_AttendedScores`).
    Otherwise logits exist for one chunk of rows at a time, in the backward pass too: a linear head
    recomputes them in a custom gradient, any other head by checkpointing. Without `entropy` a pass
    over the logits may be saved, and entropies may be NaN.
    """
    if _is_attention(head, hidden, squash):
        scale = squash.scale / temperature
        found = _AttendedScores.apply(hidden, head.weight, targets, scale)  # type: ignore[no-untyped-call]
        return TokenScores(*found)
    if type(head) is nn.Linear:
        how = _How(targets, squash, temperature, entropy)
        found = _LinearScores.apply(hidden, head.weight, head.bias, how)  # type: ignore[no-untyped-call]
        return TokenScores(*found)
    rows = _chunk_rows(_width(head), hidden)
    parts = []
    for h, t in zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True):
        if torch.is_grad_enabled():
            part = checkpoint(_scores, head, h, t, squash, temperature, use_reentrant=False)
        else:
            part = _scores(head, h, t, squash, temperature)
        parts.append(part)
    if not parts:
        return TokenScores(hidden.new_zeros(0).float(), hidden.new_zeros(0).float())
    return TokenScores(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]))


def next_logits(head: nn.Module, hidden: Tensor, squash: Squash) -> Tensor:
    """Logits [N, V] in float32 of every next token, for few rows and no gradients."""
    return squash(head(hidden.to(_input_dtype(head, hidden))))


@torch.no_grad()
def distribution(head: nn.Module, hidden: Tensor, squash: Squash) -> Tensor:
    """Log-probabilities [N, V] in float32 of every next token, for few rows and no gradients.

    The head is read once, so ask for many rows together. A plain head multiplies in float32
    whatever its weights are: logits near 20 in bfloat16 are 0.125 apart, which is more than a small
    judge's whole preference.
    """
    if type(head) is nn.Linear and head.weight.dtype != torch.float32:
        logits = squash(float32_linear(head, hidden.float()))
    else:
        logits = next_logits(head, hidden, squash)
    return logits.sub_(logits.logsumexp(-1, keepdim=True))


class Read(NamedTuple):
    """A model's head, and hidden states [N, H] that it reads."""

    head: nn.Module
    hidden: Tensor
    squash: Squash


@torch.no_grad()
def divergence(one: Read, other: Read, *, temperature: float = 1.0) -> Tensor:
    """KL [N] in nats of one model's next tokens from the other's; the whole vocabulary counts.

    sum_v p_v (log p_v - log q_v) at each place, which no sample of one token could make negative.
    """
    rows, found = _chunk_rows(_width(one.head), one.hidden), []
    for h, g in zip(torch.split(one.hidden, rows), torch.split(other.hidden, rows), strict=True):
        p, q = (
            (next_logits(read.head, part, read.squash) / temperature).log_softmax(-1)
            for read, part in ((one, h), (other, g))
        )
        found.append((p.exp() * (p - q)).sum(-1))
    return torch.cat([one.hidden.new_zeros(0).float(), *found])


@torch.no_grad()
def float32_linear(head: nn.Linear, hidden: Tensor, rows: int | None = None) -> Tensor:
    """hidden W^T + b [N, V] in float32, `rows` of a 16-bit W converted at a time; no gradients."""
    out = hidden.new_empty(len(hidden), head.out_features)
    room = _CACHE_BYTES.get(hidden.device.type, _ON_A_GPU)
    rows = rows or max(1, room // (4 * head.in_features))
    block = hidden.new_empty(min(rows, head.out_features), head.in_features)
    for begin in range(0, head.out_features, rows):
        end = min(begin + rows, head.out_features)
        weights = block[: end - begin].copy_(head.weight[begin:end])
        torch.mm(hidden, weights.t(), out=out[:, begin:end])
    return out if head.bias is None else out.add_(head.bias.float())


def _input_dtype(head: nn.Module, hidden: Tensor) -> torch.dtype:
    weight = getattr(head, "weight", None)
    is_float = isinstance(weight, Tensor) and weight.is_floating_point()
    return weight.dtype if is_float and isinstance(weight, Tensor) else hidden.dtype


def _width(head: nn.Module) -> int:
    return int(getattr(head, "out_features", 0)) or 2**17


def _chunk_rows(width: int, hidden: Tensor) -> int:
    return max(8, _CHUNK_BYTES.get(hidden.device.type, _ON_A_GPU) // (4 * width))


def _scores(
    head: nn.Module, hidden: Tensor, targets: Tensor, squash: Squash, temperature: float
) -> tuple[Tensor, Tensor]:
    logits = squash(head(hidden)) / temperature
    logprobs = logits - logits.logsumexp(-1, keepdim=True)
    taken = logprobs.gather(-1, targets[:, None])[:, 0]
    return taken, -(logprobs.exp() * logprobs).sum(-1)


def _is_attention(head: nn.Module, hidden: Tensor, squash: Squash) -> bool:
    plain = type(head) is nn.Linear and head.bias is None and squash.softcap is None
    frozen = plain and not head.weight.requires_grad and len(hidden) > 0
    return frozen and hidden.device.type == "cpu" and head.weight.dtype in _ATTENDS


class _AttendedScores(torch.autograd.Function):
    """The head as attention: queries h, keys and values W, scale s = squash scale / temperature.

    It gives norm = logsumexp_v(s h W_v) and mean = sum_v p_v W_v in one blocked pass, and with them
    log p[t] = s h W_t - norm, entropy = norm - s h mean, and d log p[t] / dh = s (W_t - mean).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        query = hidden.to(weight.dtype)
        keys = weight[None, None]
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        mean, norm = attend(query[None, None], keys, keys, 0.0, False, scale=scale)
        mean, norm = mean[0, 0].float(), norm.reshape(-1)
        states, taken = query.float(), weight[targets].float()
        ctx.save_for_backward(hidden, weight, targets, (taken - mean).mul_(scale))
        ctx.scale = scale
        logprobs = (states * taken).sum(-1).mul_(scale).sub_(norm)
        return logprobs, norm - (states * mean).sum(-1).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        hidden, weight, targets, slope = ctx.saved_tensors
        of_logprob, of_entropy = grads
        grad = of_logprob[:, None] * slope
        if bool(of_entropy.any()):  # a bonus on the entropy: its gradient needs the logits
            with torch.enable_grad():
                again = hidden.detach().requires_grad_()
                how = _How(targets, Squash(), 1.0 / ctx.scale, True)
                entropies = _LinearScores.apply(again, weight, None, how)[1]  # type: ignore[no-untyped-call]
            grad = grad + torch.autograd.grad(entropies, again, of_entropy)[0]
        return grad.to(hidden.dtype), None, None, None


class _How(NamedTuple):
    targets: Tensor  # [N] int64
    squash: Squash
    temperature: float
    entropy: bool


class _LinearScores(torch.autograd.Function):
    """d log p[t] / dz = onehot(t) - p and d entropy / dz = -p (log p + entropy), z the logits."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        how: _How,
    ) -> tuple[Tensor, Tensor]:
        targets, squash, temperature, wants_entropy = how
        logprobs, entropies = [], []
        rows = _chunk_rows(weight.shape[0], hidden)
        for h, t in zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True):
            z = squash(nn.functional.linear(h.to(weight.dtype), weight, bias)) / temperature
            norm = z.logsumexp(-1)
            logprobs.append(z.gather(-1, t[:, None])[:, 0] - norm)
            if wants_entropy:
                entropies.append(norm - (z - norm[:, None]).exp_().mul_(z).sum(-1))
            else:
                entropies.append(torch.full_like(norm, torch.nan))
        ctx.save_for_backward(hidden, weight, bias)
        ctx.how = how
        empty = hidden.new_zeros(0, dtype=torch.float32)
        return torch.cat([empty, *logprobs]), torch.cat([empty, *entropies])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        hidden, weight, bias = ctx.saved_tensors
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.zeros_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if wants_bias else None
        rows = _chunk_rows(weight.shape[0], hidden)
        for begin in range(0, len(hidden), rows):
            part = slice(begin, begin + rows)
            h = hidden[part].to(weight.dtype)
            raw = nn.functional.linear(h, weight, bias)
            grad = _logit_gradient(raw, part, (grads[0][part], grads[1][part]), ctx.how)
            grad_raw = grad.to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = (grad_raw @ weight).to(hidden.dtype)
            if grad_weight is not None:
                grad_weight += (grad_raw.T @ h).float()
            if grad_bias is not None:
                grad_bias += grad.sum(0)
        cast = None if grad_weight is None else grad_weight.to(weight.dtype)
        cast_bias = None if grad_bias is None else grad_bias.to(bias.dtype)
        return grad_hidden, cast, cast_bias, None


def _logit_gradient(raw: Tensor, part: slice, grads: tuple[Tensor, Tensor], how: _How) -> Tensor:
    """Gradient [n, V] at the head's output from those of the log-probabilities and entropies."""
    targets, squash, temperature = how.targets[part], how.squash, how.temperature
    squashed = squash(raw)
    logprobs = squashed / temperature
    logprobs -= logprobs.logsumexp(-1, keepdim=True)
    of_logprob, of_entropy = grads
    p = logprobs.exp()
    if bool(of_entropy.any()):
        entropy = -(p * logprobs).sum(-1, keepdim=True)
        grad = p * (logprobs + entropy) * -of_entropy[:, None]
        grad -= p * of_logprob[:, None]
    else:
        grad = p.mul_(-of_logprob[:, None])
    grad.scatter_add_(-1, targets[:, None], of_logprob[:, None].to(grad.dtype))
    if squash.softcap is not None:
        grad *= 1 - (squashed / squash.softcap).square()
    return grad.mul_(squash.scale / temperature)
