"""What does a model say at given tokens? Hidden states and log-probabilities, only where asked.

All functions take micro-batches: split with `batches` (or `in_batches`) first. Gradients flow when
they are enabled; without gradients the tokens that all sequences begin with are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Many
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hrlaif.errors import UsageError
from hrlaif.transformer.batches import batches
from hrlaif.transformer.body import accepts, body_of, device_of, evaluating, head_of, squash_of
from hrlaif.transformer.head import TokenScores, distribution, score_rows
from hrlaif.transformer.prefix import KeyValues, can_share, common_prefix, continue_from_prefix

Path = tuple[int, ...]


class Sequence(NamedTuple):
    """Token ids; those from `start` on are asked: a prompt, then the response at `start`."""

    tokens: list[int]
    start: int


class Batch(NamedTuple):
    """Right-padded sequences."""

    tokens: Tensor  # [B, T] int64
    mask: Tensor  # [B, T] int64, 1 for real tokens
    positions: Tensor  # [B, T] int64
    lengths: Tensor  # [B] int64


def pad(sequences: Many[Sequence], pad_id: int, device: torch.device | str = "cpu") -> Batch:
    """One right-padded batch. What stands in the padding never matters: the mask hides it."""
    lengths = torch.tensor([len(s.tokens) for s in sequences])
    width = int(lengths.max())
    tokens = torch.full((len(sequences), width), pad_id)
    for index, sequence in enumerate(sequences):
        tokens[index, : len(sequence.tokens)] = torch.tensor(sequence.tokens)
    columns = torch.arange(width)[None]
    mask = (columns < lengths[:, None]).long()
    positions = torch.where(mask.bool(), columns, 0)
    return Batch(*(t.to(device) for t in (tokens, mask, positions, lengths)))


def in_batches(
    sequences: Many[Sequence], run: Callable[[list[Sequence]], Tensor], budget: int | None = None
) -> list[Tensor]:
    """Runs length-sorted micro-batches through `run`; the asked rows [n_i, ...] of each sequence.

    `run` is one of the functions below with its model bound: what it returns flat over the asked
    tokens is split again, in the order of `sequences`.
    """
    found: dict[int, Tensor] = {}
    for indices in batches([len(s.tokens) for s in sequences], budget):
        part = [sequences[i] for i in indices]
        flat = torch.split(run(part), [len(s.tokens) - s.start for s in part])
        found.update(zip(indices, flat, strict=True))
    return [found[i] for i in range(len(sequences))]


def hidden_before(model: nn.Module, sequences: Many[Sequence]) -> Tensor:
    """Last hidden states [N, H] before each asked token (at start-1 .. len-2), flat in order.

    The state from which token t is predicted: for the value of the state before it, and log-probs.
    """
    for s in sequences:
        if not 1 <= s.start <= len(s.tokens):
            raise UsageError(
                f"a sequence of {len(s.tokens)} tokens asked from {s.start}: "
                "at least one token must come before what is asked"
            )
    states, skipped = _states(model, sequences, min(s.start - 1 for s in sequences))
    parts = [
        row[s.start - 1 - skipped : len(s.tokens) - 1 - skipped]
        for row, s in zip(states, sequences, strict=True)
    ]
    return torch.cat(parts)


def hidden_last(model: nn.Module, sequences: Many[Sequence]) -> Tensor:
    """Last hidden state [B, H] at each sequence's last real token, found by length."""
    if any(not s.tokens for s in sequences):
        raise UsageError("a sequence without tokens has no last token")
    states, skipped = _states(model, sequences, min(len(s.tokens) - 1 for s in sequences))
    last = torch.tensor([len(s.tokens) - 1 - skipped for s in sequences], device=states.device)
    return states[torch.arange(len(sequences), device=states.device), last]


def token_logprobs(
    model: nn.Module, sequences: Many[Sequence], *, temperature: float = 1.0
) -> Tensor:
    """Log-probabilities [N] in float32 of all asked tokens, flat in order.

    `temperature` divides the logits, as in sampling. The head runs on the asked rows only.
    """
    return _scored(model, sequences, temperature, entropy=False).logprobs


def token_scores(
    model: nn.Module, sequences: Many[Sequence], *, temperature: float = 1.0
) -> TokenScores:
    """Log-probabilities [N] and entropies [N] (nats, at that temperature) of all asked tokens."""
    return _scored(model, sequences, temperature, entropy=True)


def _scored(
    model: nn.Module, sequences: Many[Sequence], temperature: float, *, entropy: bool
) -> TokenScores:
    hidden = hidden_before(model, sequences)
    asked = [token for s in sequences for token in s.tokens[s.start :]]
    targets = torch.tensor(asked, dtype=torch.long, device=hidden.device)
    head, squash = head_of(model), squash_of(model)
    return score_rows(head, hidden, targets, squash, temperature=temperature, entropy=entropy)


def next_logprobs(
    model: nn.Module, rows: Many[list[int]], asked: Mapping[Path, list[int]]
) -> dict[Path, Tensor]:
    """Log-probabilities [B, n] of the asked tokens right after each row and each continuation.

    `asked` maps a continuation (`()` is none) to the token ids asked after it: with {(): [16],
    (16,): [15]} what comes back is log P(16 | row) and log P(15 | row + 16). No gradients. Rows may
    be of any number and length: they are batched here, their common beginning computed once.
    """
    body, found = body_of(model), {path: [None] * len(rows) for path in asked}
    prefix = common_prefix(body, rows, min(len(row) for row in rows) - 1)
    done = 0 if prefix is None or prefix.positions is None else prefix.positions.shape[1]
    for indices in batches([len(row) - done for row in rows]):
        part = [rows[i] for i in indices]
        for path, values in _next_of_batch(model, part, asked, prefix).items():
            for i, value in zip(indices, values, strict=True):
                found[path][i] = value
    return {path: torch.stack(values) for path, values in found.items()}  # type: ignore[arg-type]


def _next_of_batch(
    model: nn.Module,
    rows: list[list[int]],
    asked: Mapping[Path, list[int]],
    prefix: KeyValues | None,
) -> dict[Path, Tensor]:
    body, head, squash = body_of(model), head_of(model), squash_of(model)
    found: dict[Path, Tensor] = {}
    with evaluating(model):
        if not can_share(body):
            for path, ids in asked.items():
                longer = [Sequence([*row, *path], 0) for row in rows]
                found[path] = distribution(head, hidden_last(model, longer), squash)[:, ids]
            return found
        states, cached = continue_from_prefix(body, rows, prefix)
        device = states.device
        done = 0 if prefix is None or prefix.positions is None else prefix.positions.shape[1]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        last = states[torch.arange(len(rows), device=device), lengths - 1 - done]
        for path, ids in asked.items():
            if path:
                tokens = torch.tensor(path, device=device).expand(len(rows), -1)
                positions = lengths[:, None] + torch.arange(len(path), device=device)
                valid = torch.ones_like(positions, dtype=torch.bool)
                hidden = cached.extend(tokens, positions, valid)[:, -1]
                cached.rewind(len(path))
            else:
                hidden = last
            found[path] = distribution(head, hidden, squash)[:, ids]
    return found


def _states(model: nn.Module, sequences: Many[Sequence], limit: int) -> tuple[Tensor, int]:
    """Last hidden states [B, T - skipped, H]; `skipped` common leading tokens are left out."""
    body = body_of(model)
    if not torch.is_grad_enabled():
        rows = [s.tokens for s in sequences]
        prefix = common_prefix(body, rows, limit)
        if prefix is not None and prefix.positions is not None:
            return continue_from_prefix(body, rows, prefix)[0], prefix.positions.shape[1]
    batch = pad(sequences, 0, device_of(model))
    extra: dict[str, Any] = {"use_cache": False} if accepts(body, "use_cache") else {}
    if accepts(body, "position_ids"):
        extra["position_ids"] = batch.positions
    whole = bool(batch.mask.all())  # no mask lets attention take its quicker causal path
    out = body(input_ids=batch.tokens, attention_mask=None if whole else batch.mask, **extra)
    return out.last_hidden_state, 0
