"""What do labels and grades cost without sharing? Logits of padded batches, the last row kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SWEEP = [{"batch": size} for size in ((16, 64) if torch.cuda.is_available() else (4, 8, 16))]


@torch.no_grad()
def last_logits(
    model: Any, rows: Sequence[list[int]], tokens: list[int], options: Mapping[str, int]
) -> Tensor:
    """Logits [B, n] of some tokens after each row; rows of like length share a batch."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = torch.empty(len(rows), len(tokens), device=model.device)
    size = options.get("batch", 4)
    for begin in range(0, len(rows), size):
        part = order[begin : begin + size]
        width = max(len(rows[i]) for i in part)
        ids = torch.zeros(len(part), width, dtype=torch.long)
        mask = torch.zeros(len(part), width, dtype=torch.long)
        for row, i in enumerate(part):  # padded at the left, so that the last column is the last
            ids[row, width - len(rows[i]) :] = torch.tensor(rows[i])
            mask[row, width - len(rows[i]) :] = 1
        ids, mask = ids.to(model.device), mask.to(model.device)
        out = model(input_ids=ids, attention_mask=mask, logits_to_keep=1, use_cache=False)
        found[part] = out.logits[:, -1, tokens].float()
    return found.cpu()
