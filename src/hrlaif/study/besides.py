"""What is asked of a judge beside the sweep? Probes of bias, attacks, and its own samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hrlaif.llm.prompting import with_options
from hrlaif.messages import spoken
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.reasons import counted
from hrlaif.records import Candidate, Chat, Comparison, Completion, Row
from hrlaif.study import attacked, bias, parallel, probes, resistance
from hrlaif.study.asked import Asked
from hrlaif.study.labels import Answer, Variant, ask, silent
from hrlaif.study.pairs import Item
from hrlaif.study.undefended import Undefended


def card(
    asked: Asked,
    judge: LanguageModel,
    variant: Variant,
    items: Sequence[Item],
    answers: Sequence[Answer],
) -> list[Row]:
    """Its bias card, from answers of some of the items, and of probes of all.

    Without what is compared with other judges. Probes are asked in both orders.
    """
    seed, variant = asked.settings.seed, variant.both_orders()
    lines = bias.position(items, answers, worse=asked.settings.worse, seed=seed)
    lines += bias.observed(items, answers, seed=seed)
    lines += bias.by_language(items, answers, seed=seed)
    harmless = asked.drawn(probes.harmless)
    for probe in probes.of(asked.settings):
        pairs = probes.comparisons(
            probe, harmless, asked.settings.probes, most=variant.most_characters
        )
        if pairs:
            made = ask(variant, judge, pairs, what=f"{judge.name} {probe.name}")
            lines.append(bias.probed(probe, made.answers, seed=seed))
    if asked.settings.probes and not asked.settings.worse:
        questions = parallel.comparisons(asked.settings.probes)
        made = ask(variant, judge, questions, what=f"{judge.name} English and Chinese")
        lines += bias.same_questions(made.answers, seed=seed)
    return lines


def attacks(asked: Asked, judge: LanguageModel, variant: Variant, grader: Reward | None) -> Row:
    """Whether a response can talk it round: its labels, the same without a defence, its grades.

    In both orders. `unasked`: of how many pairs it had given no verdict, by reason. `less` pairs
    its labels with each of the others, on the responses that both attacked.
    """
    seed = asked.settings.seed
    if not asked.settings.attacks or not asked.settings.probes:
        return {}
    variant = variant.both_orders()
    most = variant.most_characters
    pairs = [item.comparison for item in asked.some(lambda i: attacked.fits(i, most))]

    def asking(way: Variant) -> attacked.Ask:
        what = f"{judge.name} attacked, {way.name}"
        return lambda group: ask(way, judge, group, what=what).answers

    plain = Variant("undefended", Undefended() if most is None else Undefended(max_chars=most))
    moves, unasked = {}, {}
    for name, way in (("labels", variant), ("undefended", plain)):
        answers = asking(way)(pairs)
        moves[name], unasked[name] = attacked.of_labels(answers, asking(way)), silent(answers)
    if grader is not None:
        grades = attacked.graded(pairs, grader, judge)
        moves["scores"] = attacked.of_scores(pairs, grades, grader, judge)
        without = [next((s for s in both if s.value is None), None) for both in grades]
        unasked["scores"] = counted(score.reason for score in without if score)
    labels, *others = moves
    return {
        **{
            way: resistance.figures(made, seed=seed) | {"unasked": unasked[way]}
            for way, made in moves.items()
        },
        "less": {way: resistance.less(moves[labels], moves[way], seed=seed) for way in others},
        "too_long": sum(i.decided and not attacked.fits(i, most) for i in asked.items),
    }


class Samples(NamedTuple):
    """What a judge wrote to prompts, each beside the response that people prefer (a)."""

    pairs: list[Comparison]
    cut: int
    """How many more reached `sample_tokens`, or are longer than a way shows of a response: cut
    answers are not compared with whole ones."""
    silent: Row
    """How many more the judge did not write, by reason."""


def sampled(item: Item, most: int | None) -> bool:
    """Whether its preferred response may stand, whole, beside a sample of a judge."""
    if not item.decided or item.comparison.prompt.harmful:
        return False
    return most is None or len(spoken(probes.better(item).text)) <= most


def own_samples(asked: Asked, judge: LanguageModel) -> Samples:
    """a: what people prefer; b: what this judge writes to the same prompt, options and all.

    Where what people prefer is longer than a way shows of it, nothing is written.
    """
    most = min((m for v in asked.variants if (m := v.most_characters)), default=None)
    items = asked.some(lambda i: sampled(i, most))
    if not items:
        return Samples([], 0, {})
    chats = [Chat(messages=with_options(i.comparison.prompt).messages) for i in items]
    written = judge.generate(chats, temperature=0.0, max_tokens=asked.settings.sample_tokens)
    made, reasons, cut = [], [], 0
    for item, answer in zip(items, written, strict=True):
        pair = item.comparison
        if not isinstance(answer, Completion):
            reasons.append(answer.reason)
        elif answer.finish_reason == "length" or (most and len(spoken(answer.text)) > most):
            cut += 1
        elif not answer.text.strip():
            reasons.append("an empty answer")
        else:
            own = Candidate(text=answer.text, model=judge.name)
            key = f"{pair.id}/own sample of {judge.name}"
            made.append(Comparison(id=key, prompt=pair.prompt, a=probes.better(item), b=own))
    return Samples(made, cut, counted(reasons))


def self_preference(
    asked: Asked,
    judges: Sequence[LanguageModel],
    chosen: Sequence[str],
    samples: Sequence[Samples],
    mine: int,
) -> list[Row]:
    """What each judge, by its chosen way in both orders, says of the samples of `mine`."""
    seed, (pairs, cut, silent) = asked.settings.seed, samples[mine]
    if not pairs:
        return bias.self_preference([], [], cut=cut, unwritten=silent, seed=seed)
    answers = [
        ask(
            asked.variant(way).both_orders(), judge, pairs,
            what=f"{judge.name} on samples of {judges[mine].name}",
        ).answers
        for judge, way in zip(judges, chosen, strict=True)
    ]  # fmt: skip
    others = [a for n, a in enumerate(answers) if n != mine]
    return bias.self_preference(answers[mine], others, cut=cut, unwritten=silent, seed=seed)
