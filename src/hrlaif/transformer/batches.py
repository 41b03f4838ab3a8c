"""Which sequences go through the model together? Length-sorted batches under a token budget."""

from __future__ import annotations

from collections.abc import Sequence

from hrlaif.errors import UsageError
from hrlaif.settings import compute


def batches(
    lengths: Sequence[int], budget: int | None = None, *, rows: int | None = None
) -> list[list[int]]:
    """Indices of the sequences of each batch, longest first, a pure function of the lengths.

    rows x longest <= budget tokens (padding included; `token_budget()` when empty), except
    that a single longer sequence makes a batch of its own. Every index occurs exactly once, so
    `result[index]` puts what comes back in the order asked.
    """
    budget = _checked(budget)
    found: list[list[int]] = []
    longest = 0
    for index in _longest_first(lengths):
        full = not found or (len(found[-1]) + 1) * longest > budget
        if full or (rows is not None and len(found[-1]) >= rows):
            found.append([])
            longest = max(lengths[index], 1)
        found[-1].append(index)
    return found


def of_trees(sizes: Sequence[int], budget: int | None = None) -> list[list[int]]:
    """As `batches`, of trees of these sizes.

    On a CPU they stand end to end (see packed.py), so only their sum counts. There the batches are
    as few as can be and about equally large, each of trees of like size.
    """
    budget = _checked(budget)
    if not _on_cpu():
        return batches(sizes, budget)
    order, total = _longest_first(sizes), sum(sizes)
    count = max(1, -(-total // budget))
    while True:
        found: list[list[int]] = [[] for _ in range(count)]
        before = 0
        for index in order:
            middle = before + sizes[index] / 2
            found[min(int(middle * count / max(total, 1)), count - 1)].append(index)
            before += sizes[index]
        if all(len(batch) < 2 or sum(sizes[i] for i in batch) <= budget for batch in found):
            return [batch for batch in found if batch]
        count += 1


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))


def _checked(budget: int | None) -> int:
    budget = token_budget() if budget is None else budget
    if budget < 1:
        raise UsageError(f"batch_tokens is {budget}, but a batch needs at least one token")
    return budget


def token_budget() -> int:
    """Tokens in one forward pass: as set, else what the device is quick at."""
    asked = compute().batch_tokens
    return asked if asked is not None else 2048 if _on_cpu() else 16_384


def _on_cpu() -> bool:
    from hrlaif.transformer.load import device_in_force

    return device_in_force().type == "cpu"


def rounded(width: int) -> int:
    """The next width of a coarse grid, at most 6 % wider: 430 to 432, 431 to 432, 433 to 448.

    A CPU's matrix kernels are built for each new number of rows, which takes longer than to use
    them once; on the grid the numbers recur.
    """
    step = 1 << max(0, width.bit_length() - 5)
    return -(-width // step) * step
