"""What does a model say at given tokens? Hidden states and log-probabilities, only where asked.

Tokens that sequences share are computed once, with gradients too: see `tree.py`. All functions take
micro-batches: split with `micro_batches` first, which keeps together what shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Many
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hrlaif.errors import UsageError
from hrlaif.transformer import attention, packed
from hrlaif.transformer.answered import Answered, last_states
from hrlaif.transformer.batches import batches, rounded
from hrlaif.transformer.body import body_of, device_of, evaluating, head_of, squash_of
from hrlaif.transformer.cache import KeyValues
from hrlaif.transformer.head import TokenScores, distribution, score_rows
from hrlaif.transformer.prefix import KeptPrefix, can_share, forest_states, run
from hrlaif.transformer.tree import micro_batches, plant

Path = tuple[int, ...]


class Sequence(NamedTuple):
    """Token ids; those from `start` on are asked: a prompt, then the response at `start`."""

    tokens: list[int]
    start: int


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
    wanted = [range(s.start - 1, len(s.tokens) - 1) for s in sequences]
    return _states(model, [s.tokens for s in sequences], wanted)


def hidden_last(model: nn.Module, sequences: Many[Sequence]) -> Tensor:
    """Last hidden state [B, H] at each sequence's last real token, found by length."""
    if any(not s.tokens for s in sequences):
        raise UsageError("a sequence without tokens has no last token")
    wanted = [range(len(s.tokens) - 1, len(s.tokens)) for s in sequences]
    return _states(model, [s.tokens for s in sequences], wanted)


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
    model: nn.Module,
    rows: Many[list[int]],
    asked: Mapping[Path, list[int]],
    kept: KeptPrefix | None = None,
    answered: Answered | None = None,
) -> dict[Path, Tensor]:
    """Log-probabilities [B, n] of the asked tokens right after each row and each continuation.

    `asked` maps a continuation (`()` is none) to the token ids asked after it: with {(): [16],
    (16,): [15]} what comes back is log P(16 | row) and log P(15 | row + 16). No gradients. Rows may
    be of any number and length: they are batched here. `kept` carries their common beginning from
    one call to the next, and `answered` what was just answered and is asked about again, both for a
    model whose weights do not change.
    """
    answered = answered or Answered()
    body, head, squash = body_of(model), head_of(model), squash_of(model)
    states: dict[Path, list[Tensor]] = {path: [torch.empty(0)] * len(rows) for path in asked}
    with evaluating(model):
        limit = min(len(row) for row in rows) - 1
        prefix = (kept or KeptPrefix()).of(body, rows, limit) if can_share(body) else None
        done = 0 if prefix is None else prefix.length
        held = {i: found for i, row in enumerate(rows) if (found := answered.find(row, done))}
        rest = [i for i in range(len(rows)) if i not in held]
        for part in micro_batches([rows[i][done:] for i in rest]):
            indices = [rest[i] for i in part]
            for path, hidden in _last_of_each(model, [rows[i] for i in indices], asked, prefix):
                for i, state in zip(indices, hidden, strict=True):
                    states[path][i] = state
        behind = list(held)
        for part in batches([len(rows[i]) - held[i].length for i in behind]):
            indices = [behind[i] for i in part]
            ends = last_states([rows[i] for i in indices], [held[i] for i in indices], asked)
            for path, hidden in zip(asked, ends, strict=True):
                for i, state in zip(indices, hidden, strict=True):
                    states[path][i] = state
        return {
            path: distribution(head, torch.stack(states[path]), squash)[:, ids]
            for path, ids in asked.items()
        }


def _last_of_each(
    model: nn.Module, rows: Many[list[int]], paths: Iterable[Path], prefix: KeyValues | None
) -> Iterator[tuple[Path, Tensor]]:
    """The last state [B, H] of each row followed by each continuation, in one pass."""
    longer = [[*row, *path] for path in paths for row in rows]
    ends = [range(len(row) - 1, len(row)) for row in longer]
    yield from zip(paths, torch.split(_states(model, longer, ends, prefix), len(rows)), strict=True)


def _states(
    model: nn.Module, rows: Many[list[int]], wanted: Many[range], prefix: KeyValues | None = None
) -> Tensor:
    """Last hidden states [N, H] of the wanted tokens of each row, flat in order.

    Tokens of a `prefix`, which all rows begin with, cannot be wanted.
    """
    body, device = body_of(model), device_of(model)
    if not can_share(body):
        return _in_padded_rows(body, rows, wanted, device)
    done = 0 if prefix is None else prefix.length
    forest = plant([row[done:] for row in rows], device)
    alone = prefix is None and len(set(forest.rows)) == len(rows)
    if alone and (len(rows) == 1 or attention.kernel(body) != packed.NAME):
        return _in_padded_rows(body, rows, wanted, device)  # the quicker causal path
    behind = [range(want.start - done, want.stop - done) for want in wanted]
    return forest_states(body, forest, behind, prefix)


def _in_padded_rows(
    body: Any, rows: Many[list[int]], wanted: Many[range], device: torch.device
) -> Tensor:
    """As `_states`, of right-padded rows [B, T].

    No mask: what is causal never looks to its right, and attention takes its quicker path.
    """
    longest = max(map(len, rows))
    most = getattr(body.config.get_text_config(decoder=True), "max_position_embeddings", None)
    width = max(longest, min(rounded(longest), most or longest))
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = torch.tensor(row)
    positions = torch.arange(width, device=device).expand(tokens.shape)
    places = [i * width + t for i, want in enumerate(wanted) for t in want]
    return run(body, tokens.to(device), positions, places)
