"""What are the formulas of reinforcement learning from a terminal reward?

Responses differ in length, so tokens are flat: a batch of S responses with N tokens in all is
one tensor of shape [N], and `rows` [N] says which response (0 .. S-1, in order, each with at least
one token) a token belongs to. Nothing is padded, so nothing can leak out of padding.

Sources: RLAIF (arXiv 2309.00267, appendix on REINFORCE); Schulman, "Approximating KL divergence"
(2020) for the estimators; the others stand at their formula.
"""

from __future__ import annotations

from typing import Literal

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


def clipped_value_loss(
    values: Tensor, old: Tensor, returns: Tensor, weights: Tensor, *, clip: float
) -> Tensor:
    """sum_t w_t max((Z - V)^2, (Z - V_old - clamp(V - V_old, -clip, clip))^2).

    The value may move at most `clip` a step towards its goal (PPO's reference code; Huang et al.,
    "The 37 implementation details of PPO", 2022, detail 9).
    """
    near = old.detach() + (values - old.detach()).clamp(-clip, clip)
    errors = (returns.detach() - values).square(), (returns.detach() - near).square()
    return (weights * torch.maximum(*errors)).sum()


def gae(token_rewards: Tensor, values: Tensor, rows: Tensor, gamma: float, lam: float) -> Tensor:
    """[N] A_t = sum_k (gamma lam)^k (r_{t+k} + gamma V_{t+k+1} - V_{t+k}) within a response.

    V is 0 after the last token. Generalised advantage estimation, arXiv 1506.02438, equation 16;
    gamma = lam = 1 is the return minus the value.
    """
    last = last_tokens(rows)
    following = torch.cat([values[1:], values.new_zeros(1)])
    following[last] = 0.0
    errors = token_rewards + gamma * following - values
    lengths = torch.diff(last, prepend=last.new_tensor([-1]))
    places = torch.arange(len(rows), device=rows.device) - (last - lengths + 1)[rows]
    padded = errors.new_zeros(len(last), int(lengths.max()) + 1)
    padded[rows, places] = errors
    for t in reversed(range(padded.shape[1] - 1)):
        padded[:, t] += gamma * lam * padded[:, t + 1]
    return padded[rows, places]


def clipped_loss(
    log_ratios: Tensor, advantages: Tensor, weights: Tensor, *, low: float, high: float
) -> Tensor:
    """- sum w min(rho A, clamp(rho, 1 - low, 1 + high) A), rho = exp(log pi - log pi_old).

    PPO, arXiv 1707.06347, equation 7; of tokens, or of whole responses with summed log-ratios.
    """
    ratios, advantages = log_ratios.exp(), advantages.detach()
    clipped = ratios.clamp(1 - low, 1 + high)
    return -(weights * torch.minimum(ratios * advantages, clipped * advantages)).sum()


def is_clipped(log_ratios: Tensor, advantages: Tensor, *, low: float, high: float) -> Tensor:
    """Where `clipped_loss` has no gradient: rho is past the limit to which its advantage drives."""
    ratios = log_ratios.exp()
    return ((ratios > 1 + high) & (advantages > 0)) | ((ratios < 1 - low) & (advantages < 0))


def leave_one_out(rewards: Tensor, groups: Tensor) -> Tensor:
    """[S] each reward minus the mean of the others of its prompt; 0 for one that is alone.

    RLOO, arXiv 2402.14740, the leave-one-out baseline.
    """
    sums, counts = _of_group(rewards, groups)
    others = (sums - rewards) / (counts - 1).clamp(min=1)
    return torch.where(counts > 1, rewards - others, torch.zeros_like(rewards))


def group_relative(
    rewards: Tensor, groups: Tensor, *, scale: Literal["group", "batch", "none"] = "group"
) -> Tensor:
    """[S] (r - mean) / (std + 1e-4) of its prompt's rewards; 0 for one that is alone.

    GRPO, arXiv 2402.03300, section 4.1. The deviation (with n - 1) is the prompt's, the batch's,
    or 1: none is Dr. GRPO (arXiv 2503.20783), which does not favour prompts with a small spread.
    """
    sums, counts = _of_group(rewards, groups)
    centred = torch.where(counts > 1, rewards - sums / counts, torch.zeros_like(rewards))
    if scale == "group":
        squares, _ = _of_group(centred.square(), groups)
        return centred / ((squares / (counts - 1).clamp(min=1)).sqrt() + 1e-4)
    if scale == "batch" and len(rewards) > 1:
        return centred / (rewards.std() + 1e-4)
    return centred


def _of_group(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """[S] the sum over a response's group, and how many are in it."""
    names, member = torch.unique(groups, return_inverse=True)
    sums = values.new_zeros(len(names)).index_add(0, member, values)
    counts = values.new_zeros(len(names)).index_add(0, member, torch.ones_like(values))
    return sums[member], counts[member]


def tied_share(rewards: Tensor, groups: Tensor) -> float | None:
    """Share of the prompts with two responses or more whose rewards are all equal."""
    members = [rewards[groups == group] for group in torch.unique(groups)]
    tied = [bool((r == r[0]).all()) for r in members if len(r) > 1]
    return sum(tied) / len(tied) if tied else None


def neighbours(groups: Tensor) -> tuple[Tensor, Tensor]:
    """[P] and [P]: the first and second responses of pairs; an odd last one of a prompt has none.

    The responses to a prompt lie side by side.
    """
    index = torch.arange(len(groups), device=groups.device)
    begins = torch.ones_like(groups, dtype=torch.bool)
    begins[1:] = groups[1:] != groups[:-1]
    start = torch.where(begins, index, torch.zeros_like(index)).cummax(0).values
    follows = ~torch.cat([begins[1:], begins.new_ones(1)])
    first = index[((index - start) % 2 == 0) & follows]
    return first, first + 1


def dpo_loss(margins: Tensor, prob_a: Tensor) -> Tensor:
    """[P] -(p log sigma(m) + (1 - p) log sigma(-m)), m = beta (log pi/ref (a) - log pi/ref (b)).

    DPO, arXiv 2305.18290, equation 7, with the label's probability p in place of certainty: the
    cross-entropy that soft Bradley-Terry is for a reward model, with m for the reward difference.
    """
    from torch.nn.functional import logsigmoid

    return -(prob_a * logsigmoid(margins) + (1 - prob_a) * logsigmoid(-margins))


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


def kl_surrogate(
    estimator: Literal["k2", "k3"], new: Tensor, old: Tensor, reference: Tensor
) -> Tensor:
    """[M] whose gradient is that of KL(pi || reference) on average over samples of pi_old.

    k2 weighted by sg(rho), k3 by rho = exp(new - old): k3 alone pulls along the forward KL, and k1
    has no gradient on average (Tang & Munos, arXiv 2506.09477; DeepSeek-V3.2, arXiv 2512.02556).
    """
    ratios = (new - old).exp()
    if estimator == "k2":
        return ratios.detach() * k2(new, reference)
    return ratios * k3(new, reference)


def weights_by_sequence(rows: Tensor, count: int) -> Tensor:
    """[N] each 1 / S: a weighted sum is the mean over responses of the sum over their tokens."""
    return torch.full(rows.shape, 1.0 / count, device=rows.device)


def weights_within_sequence(rows: Tensor, count: int) -> Tensor:
    """[N] each 1 / (S |y|): a weighted sum is the mean over responses of the mean over tokens."""
    lengths = torch.bincount(rows, minlength=count)
    return 1.0 / (count * lengths[rows].float())


def weights_by_token(rows: Tensor) -> Tensor:
    """[N] each 1 / N: a weighted sum is the mean over all tokens of the batch."""
    return torch.full(rows.shape, 1.0 / len(rows), device=rows.device)


def whiten(values: Tensor) -> Tensor:
    """Moved to mean 0 and scaled to variance 1, the population's."""
    return (values - values.mean()) / (values.var(unbiased=False) + 1e-8).sqrt()


def explained_variance(values: Tensor, returns: Tensor) -> float | None:
    """1 - Var(Z - V) / Var(Z): 1 is perfect, 0 no better than a constant; None if Z is constant."""
    variance = returns.double().var(unbiased=False)
    if not variance > 1e-12:
        return None
    return float(1 - (returns.double() - values.double()).var(unbiased=False) / variance)
