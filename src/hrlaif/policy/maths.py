"""What are the formulas of reinforcement learning from a terminal reward?

Responses differ in length, so tokens are flat: a batch of S responses with N tokens in all is
one tensor of shape [N], and `rows` [N] says which response (0 .. S-1, in order, each with at least
one token) a token belongs to. Nothing is padded, so nothing can leak out of padding.

Sources: RLAIF (arXiv 2309.00267, appendix on REINFORCE); Schulman, "Approximating KL divergence"
(2020) for the estimators.
"""

from __future__ import annotations

import torch
from torch import Tensor


def last_tokens(rows: Tensor) -> Tensor:
    """[S] where each response ends: the index of its last token, the end token if it has one."""
    end = torch.ones_like(rows, dtype=torch.bool)
    end[:-1] = rows[1:] != rows[:-1]
    found = end.nonzero().squeeze(1)
    if not torch.equal(rows[found], torch.arange(len(found), device=rows.device)):
        raise ValueError("rows must be 0, 1, 2, ... in order, with a token for every response")
    return found


def per_sequence(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """[S] the sum over the tokens of each response; of k1 this estimates KL(pi || reference)."""
    return values.new_zeros(count).index_add(0, rows, values)


def terminal(rewards: Tensor, rows: Tensor) -> Tensor:
    """[N] zero but for the last valid token of each response, which carries its reward [S]."""
    placed = rewards.new_zeros(len(rows))
    placed[last_tokens(rows)] = rewards
    return placed


def returns_to_go(token_rewards: Tensor, rows: Tensor) -> Tensor:
    """[N] Z_t: the sum of rewards from token t to the end of its response (gamma = 1)."""
    suffix = token_rewards.double().flip(0).cumsum(0).flip(0)
    last = last_tokens(rows)
    after = torch.cat([suffix, suffix.new_zeros(1)])[last + 1]  # [S] what belongs to later rows
    return (suffix - after[rows]).to(token_rewards.dtype)


def advantage(returns: Tensor, values: Tensor) -> Tensor:
    """[N] A_t = Z_t - V(s_t); no gradient reaches the value model through it."""
    return returns.detach() - values.detach()


def policy_gradient_loss(logprobs: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
    """L_PG = - sum_t w_t log pi(a_t|s_t) sg(A_t). RLAIF, the REINFORCE loss."""
    return -(weights * advantages.detach() * logprobs).sum()


def value_loss(values: Tensor, returns: Tensor, weights: Tensor) -> Tensor:
    """L_V = sum_t w_t (sg(Z_t) - V(s_t))^2. RLAIF, the value loss."""
    return (weights * (returns.detach() - values).square()).sum()


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """[N] log pi - log ref on samples of pi: unbiased for KL(pi || ref), may be negative."""
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """[N] (log pi - log ref)^2 / 2: biased, never negative; its gradient is that of the KL."""
    return (logprobs - reference).square() / 2


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """[N] exp(d) - 1 - d with d = log ref - log pi: unbiased, never negative, less variance.

    Only the exponent is clamped, at 20, against overflow.
    """
    difference = reference - logprobs
    return difference.clamp(max=20.0).exp() - 1 - difference


def weights_by_sequence(rows: Tensor, count: int) -> Tensor:
    """[N] each 1 / S: a weighted sum is the mean over responses of the sum over their tokens."""
    return torch.full(rows.shape, 1.0 / count, device=rows.device)


def weights_by_token(rows: Tensor) -> Tensor:
    """[N] each 1 / N: a weighted sum is the mean over all tokens of the batch."""
    return torch.full(rows.shape, 1.0 / len(rows), device=rows.device)


def whiten(
    values: Tensor, mask: Tensor | None = None, *, shift_mean: bool = True, epsilon: float = 1e-8
) -> Tensor:
    """Scaled to variance 1 over the places where mask is true, and to mean 0 if `shift_mean`.

    The variance is the population's; places outside the mask come back as 0.
    """
    inside = torch.ones_like(values, dtype=torch.bool) if mask is None else mask
    mean = values[inside].mean()
    spread = (values[inside].var(unbiased=False) + epsilon).sqrt()
    white = (values - mean) / spread
    return torch.where(inside, white if shift_mean else white + mean, torch.zeros_like(values))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the places where mask is true, such as of the entropies that were measured."""
    return values[mask].mean()


def explained_variance(values: Tensor, returns: Tensor) -> float | None:
    """1 - Var(Z - V) / Var(Z): 1 is perfect, 0 no better than a constant; None if Z is constant."""
    variance = returns.double().var(unbiased=False)
    if not variance > 1e-12:
        return None
    return float(1 - (returns.double() - values.double()).var(unbiased=False) / variance)
