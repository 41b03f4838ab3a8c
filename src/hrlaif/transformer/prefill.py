"""What do prompts share before anything is written? Computed once, and on a CPU kept once too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from hrlaif.transformer import branches
from hrlaif.transformer.body import body_of
from hrlaif.transformer.branches import Branches, Trunks
from hrlaif.transformer.cache import KeyValues
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.memory import total
from hrlaif.transformer.prefix import KeptPrefix, can_share, grown
from hrlaif.transformer.table import Table, token_bytes
from hrlaif.transformer.tree import micro_batches

_ROOM = 32_768  # tokens
_SHARE = {"cpu": 0.1, "cuda": 0.2}  # of all memory, and of what is free on a GPU
_WORTH = (
    1024  # tokens not read again at each step; fewer may take less than a second product (rough)
)


def room(loaded: Loaded) -> int:
    """How many rows x tokens of attention cache there is room for at once."""
    kind = loaded.device.type
    if kind == "cuda":
        memory, _ = torch.cuda.mem_get_info(loaded.device)
        memory += torch.cuda.memory_reserved(loaded.device)  # torch keeps what was freed
        memory -= torch.cuda.memory_allocated(loaded.device)
    else:
        memory = total()
    share = _SHARE.get(kind, 0.0)
    return max(_ROOM, int(memory * share) // token_bytes(body_of(loaded.model)))


class Beginnings(NamedTuple):
    """What the prompts of one call have in common."""

    prefix: KeyValues | None
    """What all begin with."""
    once: Literal["prefix", "prompts", "nothing"]
    """Of what the keys stand once for all rows; `prompts`: of each prompt, for its samples."""
    keep: bool
    """Whether the caches of the prompts stay in `loaded.answered`; a GPU keeps none."""

    @classmethod
    def of(cls, loaded: Loaded, prompts: Sequence[list[int]], keep: bool) -> Beginnings:
        """Of all prompts, each as often as something is written behind it."""
        body, distinct = body_of(loaded.model), sorted(set(map(tuple, prompts)))
        if not can_share(body):
            return cls(None, "nothing", keep)
        kept = loaded.kept if keep else KeptPrefix()
        prefix = kept.of(body, distinct, len(min(distinct, key=len)) - 1)
        by_prefix = (len(prompts) - 1) * (0 if prefix is None else prefix.length)
        by_prompts = sum(map(len, prompts)) - sum(map(len, distinct))
        if max(by_prefix, by_prompts) < _WORTH or not branches.works(body):
            return cls(prefix, "nothing", keep)
        return cls(prefix, "prefix" if by_prefix >= by_prompts else "prompts", keep)

    @property
    def common(self) -> int:
        """Tokens that stand once for all rows."""
        return self.prefix.length if self.prefix is not None and self.once == "prefix" else 0


class Part(NamedTuple):
    """Some distinct prompts, computed together."""

    prompts: list[tuple[int, ...]]
    hidden: Tensor
    """Last states [B, H]."""
    cached: KeyValues
    """What follows the prefix in each, padded behind."""


def in_parts(loaded: Loaded, prompts: Sequence[list[int]], begun: Beginnings) -> Iterator[Part]:
    """Each prompt once; what several of them begin with is computed once."""
    prefix, distinct = begun.prefix, sorted(set(map(tuple, prompts)))
    done = 0 if prefix is None else prefix.length
    for indices in micro_batches([prompt[done:] for prompt in distinct]):
        some = [distinct[i] for i in indices]
        yield Part(some, *grown(body_of(loaded.model), some, prefix))


def prefill(
    loaded: Loaded, prompts: Sequence[list[int]], begun: Beginnings
) -> tuple[Tensor, Branches, Tensor]:
    """Last states [B, H], the cache of B rows, lengths [B]; what prompts share is computed once."""
    device, parts = loaded.device, list(in_parts(loaded, prompts, begun))
    order = [prompt for part in parts for prompt in part.prompts]
    hidden = torch.cat([part.hidden for part in parts])
    every = [(part.cached, torch.arange(len(part.hidden), device=device)) for part in parts]
    cached = KeyValues.join(every, emptied=True) if len(every) > 1 else every[0][0]
    place = {prompt: row for row, prompt in enumerate(order)}
    rows = [place[tuple(prompt)] for prompt in prompts]
    index = torch.tensor(rows, device=device)
    lengths = torch.tensor([len(prompt) for prompt in order], device=device)
    branched = _branched(cached, rows, lengths, begun)
    if begun.keep:
        loaded.answered.add(prompts, branched, room(loaded))
    return hidden[index], branched, lengths[index]


def fill(
    loaded: Loaded,
    table: Table,
    prompts: Sequence[list[int]],
    places: Sequence[int],
    begun: Beginnings,
) -> Tensor:
    """Last states [B, H] of prompts that take these places: part by part, none padded to others."""
    device = loaded.device
    asked: dict[tuple[int, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        asked.setdefault(tuple(prompt), []).append(number)
    numbers: list[int] = []
    states = []
    for part in in_parts(loaded, prompts, begun):
        cached = part.cached
        if begun.prefix is not None:
            cached = _behind(cached, Trunks.of(begun.prefix, begun.prefix.length))
        mine = [(row, number) for row, p in enumerate(part.prompts) for number in asked[p]]
        rows = torch.tensor([row for row, _ in mine], device=device)
        lengths = torch.tensor([len(prompts[number]) for _, number in mine], device=device)
        table.put(cached, rows, [places[number] for _, number in mine], lengths)
        states.append(part.hidden[rows])
        numbers += [number for _, number in mine]
    back = torch.tensor(numbers, device=device).argsort()
    return torch.cat(states)[back]


def _behind(cached: KeyValues, trunk: Trunks) -> KeyValues:
    """A copy of all rows, each behind a copy of the one trunk."""
    assert cached.positions is not None
    every = torch.arange(len(cached.positions), device=cached.positions.device)
    return cached.behind(trunk.layers, trunk.positions, torch.zeros_like(every), every)


def _branched(
    cached: KeyValues, rows: Sequence[int], lengths: Tensor, begun: Beginnings
) -> Branches:
    """These rows of a cache that holds what follows the prefix in prompts of these lengths.

    The cache is used up.
    """
    index, trunk = torch.tensor(rows, device=lengths.device), None
    if begun.prefix is not None:
        trunk = Trunks.of(begun.prefix, begun.prefix.length)
    if begun.once == "prefix":
        return Branches(KeyValues.join([(cached, index)], emptied=True), trunk, [0] * len(rows))
    if trunk is not None:
        cached = _behind(cached, trunk)
    if begun.once == "nothing":
        return Branches(KeyValues.join([(cached, index)], emptied=True))
    # What follows a trunk has a key of its own from the first step on: the prompt's last.
    last = lengths[:, None] - 1
    assert cached.positions is not None
    columns = (cached.positions == last).int().argmax(1, keepdim=True)
    trunks = Trunks.of(cached.beginning(last), cached.length - 1)
    return Branches(cached.picked(index, columns[index], last[index]), trunks, rows)
