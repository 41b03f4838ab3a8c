"""How does the policy imitate? Cross-entropy on the responses' tokens, the end token among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hrlaif.llm.chat import prompt_ids, response_ids
from hrlaif.llm.local import unload
from hrlaif.protocols import LanguageModel
from hrlaif.records import Preference, Prompt, Response
from hrlaif.run import write_json
from hrlaif.sft.demonstrations import Demonstrations, Grade, Sources, collect
from hrlaif.sft.settings import Sft
from hrlaif.training import lora as adapters
from hrlaif.training.checkpoint import Trainee
from hrlaif.training.loop import Step, Where, order, steps
from hrlaif.training.optimizer import build, heads_of
from hrlaif.transformer.body import evaluating
from hrlaif.transformer.forward import Sequence as Asked
from hrlaif.transformer.forward import token_logprobs
from hrlaif.transformer.load import load_causal
from hrlaif.transformer.tree import micro_batches


class Example(NamedTuple):
    """A demonstration as token ids: the prompt, then the response from `start` on."""

    id: str
    asked: Asked
    cut: bool


def train(
    settings: Sft,
    prompts: Sequence[Prompt],
    base: str,
    folder: Path,
    *,
    seed: int = 0,
    teacher: LanguageModel | None = None,
    pairs: Sequence[Preference] = (),
    grade: Grade | None = None,
) -> dict[str, Any]:
    """Collects demonstrations, trains on them and saves the policy into `folder`; counts come back.

    `folder` then holds what AutoModelForCausalLM loads, with the chat template in its tokenizer,
    `demonstrations.jsonl`, `metrics.jsonl` and `evaluation.json`. Resumes what is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = collect(settings, Sources(prompts, teacher, pairs, grade), folder, seed=seed)
    unload()  # a local teacher's weights, not needed any more
    torch.manual_seed(seed)
    loaded = load_causal(base, train=True)
    model = loaded.model
    adapters.attach(model, settings.lora)
    limit = loaded.within(settings.max_length)
    learnt: list[Example] = []
    watched: list[Example] = []
    for response in shown.responses:
        split = watched if response.prompt.split == "validation" else learnt
        split.append(example(loaded.tokenizer, response, limit))
    optimizer = build(settings.optimizer, {"model": model}, heads=heads_of("model", model))
    plan = order(len(learnt), batch_size=settings.batch_size, epochs=settings.epochs, seed=seed)
    where = Where(folder, settings.optimizer, settings.checkpoints)
    for step in steps("sft", plan, Trainee({"model": model}, optimizer), where):
        _learn(model, [learnt[i] for i in step.batch], step)
    found = _evaluation(model, watched)
    adapters.merge_and_save(model, loaded.tokenizer, folder)
    counts = {
        "demonstrations": len(learnt),
        "validation_demonstrations": len(watched),
        "missing": shown.missing,
        **_silence(settings, shown),
        "unfinished": sum(r.finish_reason == "length" for r in shown.responses),
        "cut": sum(each.cut for each in learnt + watched),
        "steps": len(plan),
        "tokens": settings.epochs * sum(len(each.asked.tokens) for each in learnt),
    }
    write_json(folder / "evaluation.json", {**counts, **found})
    return {**counts, **found}


def _silence(settings: Sft, shown: Demonstrations) -> dict[str, float]:
    """Which share of the prompts a teacher left without an answer."""
    missing = sum(shown.missing.values())
    asked = missing + len(shown.responses)
    return {"abstained_share": missing / asked} if settings.source == "teacher" else {}


def example(tokenizer: Any, response: Response, limit: int) -> Example:
    """Prompt and response as tokens; the end token is asked only where the response is finished.

    A text cut at the token limit (finish_reason `length`), or cut here to fit, is trained without
    an end token: the policy must not learn to stop in the middle of a sentence.
    """
    finished = response.finish_reason != "length"
    prompt = prompt_ids(tokenizer, response.prompt.messages)
    answer = response_ids(tokenizer, response.text, finished)
    cut = len(prompt) + len(answer) > limit
    if cut:
        answer = answer[: limit - 1]
        first = prompt[:1] if prompt[0] == tokenizer.bos_token_id else []
        room = limit - len(answer) - len(first)
        prompt = [*first, *prompt[len(prompt) - room :]]
    return Example(response.key, Asked([*prompt, *answer], len(prompt)), cut)


def _learn(model: Any, examples: list[Example], step: Step[Any]) -> None:
    """One step's gradient: the mean over all response tokens of the step, however it is batched."""
    count = _asked(examples)
    for indices in micro_batches([each.asked.tokens for each in examples]):
        part = [examples[i] for i in indices]
        loss = -token_logprobs(model, [each.asked for each in part]).sum() / count
        step.backward(loss, [each.id for each in part])
    step.log(tokens=sum(len(each.asked.tokens) for each in examples), response_tokens=count)


def _evaluation(model: Any, examples: list[Example]) -> dict[str, float | None]:
    """Validation loss before and after training; before is known only with adapters."""
    if not examples:
        return {"validation_loss": None, "validation_loss_before": None}
    before = None
    if adapters.has_adapters(model):
        with adapters.without(model):
            before = _loss(model, examples)
    return {"validation_loss": _loss(model, examples), "validation_loss_before": before}


def _loss(model: Any, examples: list[Example]) -> float:
    total = 0.0
    with evaluating(model):
        for indices in micro_batches([each.asked.tokens for each in examples]):
            part = [examples[i].asked for i in indices]
            total -= float(token_logprobs(model, part).sum())
    return total / _asked(examples)


def _asked(examples: Sequence[Example]) -> int:
    return sum(len(each.asked.tokens) - each.asked.start for each in examples)
