"""What does each part of the page say? From the run's files to plain values for the template."""

from __future__ import annotations

from collections import Counter

from hrlaif.pages import words
from hrlaif.pages.charts import Charts, Curve, binned, marks
from hrlaif.pages.values import figure, number, verdicts
from hrlaif.reasons import counted
from hrlaif.records import Row
from hrlaif.report.load import Run, pairs
from hrlaif.report.receipts import paid
from hrlaif.statistics import Figure, entropy_floor, mean

_ESTIMATORS = (
    ("length_controlled", "length-controlled"),
    ("length_ratio", "at equal length ratio"),
    ("length_difficulty", "with difficulty"),
    ("length_alpaca_v1", "as AlpacaEval 2"),
)
_RL_PANELS = (
    ("Reward", "mean reward", "reward_mean"),
    ("Distance from SFT", "KL, nats", "kl"),
    ("Entropy", "nats a token", "entropy"),
    ("Response length", "tokens", "length_mean"),
    ("Cut at the limit", "share of responses", "truncated_share"),
    ("Repetition", "repeated 4-grams", "repetition"),
    ("Addresses the judge", "share of responses", "injection_share"),
    ("Explained variance", "of the value baseline", "explained_variance"),
    ("Loss", "nats a pair", "policy_loss"),
    ("Clipped", "share clipped", "clip_share"),
    ("All samples tied", "share of prompts", "tied_share"),
)
_HELD_OUT = {"Reward": "reward_mean", "Loss": "heldout_loss"}


def headline(run: Run, charts: Charts) -> Row:
    """The win rate in a picture and in words, the held-out reward, and the bill."""
    metrics = run.json("evaluation/metrics.json")
    won = metrics.get("win_rate") or {}
    overall = figure(won.get("overall"))
    controlled = figure((won.get("length_controlled") or {}).get("win_rate"))
    both = (("as judged", overall), ("at equal length", controlled))
    said = verdicts(won) != 0
    shown = [(name, f) for name, f in both if f is not None and said]
    reward = metrics.get("reward") or {}
    bill = metrics.get("cost") or {}
    receipts = run.receipts()
    return {
        "win": overall,
        "statement": won.get("statement") or "",
        "sure": overall is not None and overall.excludes(0.5),
        "judge": metrics.get("judge") or "",
        "controlled": controlled if said else None,
        "shown": shown,
        "picture": charts.intervals(
            shown,
            unit="preferred to the baseline, %",
            alt=f"Win rate {words.percent(overall)}, against a line at 50 %",
        ),
        "reward_before": figure(reward.get("before")),
        "reward_after": figure(reward.get("after")),
        "reward_gain": figure(reward.get("gain")),
        "seconds": sum(number(r.get("seconds")) or 0 for r in receipts) if receipts else None,
        "cost": paid(receipts) if receipts else number(bill.get("cost")),
        "per_label": number(bill.get("cost_per_label")),
    }


def win_rates(run: Run, charts: Charts, of: str = "policy") -> Row:
    """By category, raw beside length-controlled, and what was left out."""
    won = run.json("evaluation/metrics.json").get("win_rate") or {}
    parts = pairs(won.get("by_category"))
    categories = [(words.spaced(name), f) for name, v in parts if (f := figure(v))]
    categories.sort(key=lambda item: -(item[1].value or 0))
    minimal = won.get("length_controlled") or {}
    named = [("raw", won.get("overall")), ("hard verdicts", won.get("hard"))]
    named += [(name, (won.get(key) or {}).get("win_rate")) for key, name in _ESTIMATORS]
    if verdicts(won) == 0:
        return {"silent": True, "abstentions": pairs(won.get("abstentions"))}
    lengths = [(name, f) for name, value in named if (f := figure(value))]
    size = won.get("characters") or {}
    return {
        "categories": categories,
        "by_category": charts.intervals(
            categories,
            unit=f"{of} preferred, %",
            alt="Win rate by category with 95 % intervals; the numbers are in the table",
        ),
        "lengths": lengths,
        "by_length": charts.intervals(
            lengths, unit=f"{of} preferred, %", alt="Raw and length-controlled win rates"
        ),
        "phi": figure(minimal.get("phi")),
        "flags": _flags(won),
        "characters": (figure(size.get("baseline")), figure(size.get("policy"))),
        "same_position": figure(won.get("same_position")),
        "identical": number(won.get("identical")),
        "asked": number(won.get("asked")),
        "truncated": number(won.get("truncated")),
        "abstentions": pairs(won.get("abstentions")),
    }


def _flags(won: Row) -> list[str]:
    """What a reader has to know before trusting an estimator, each flag once."""
    said: dict[str, str] = {}
    for key, name in _ESTIMATORS:
        for flag in (won.get(key) or {}).get("flags") or []:
            said.setdefault(str(flag), f"{name}: {flag}")
    return list(said.values())


def learning(run: Run, charts: Charts) -> Row:
    """RL curves, the held-out reward on the way, and which checkpoint was chosen."""
    rows, held_out = run.rows("policy/metrics.jsonl"), run.rows("policy/validation.jsonl")
    panels = []
    for title, unit, name in _RL_PANELS:
        curves = [_curve("training", rows, name)]
        if title in _HELD_OUT:
            other = _curve("held out", held_out, _HELD_OUT[title])
            curves.append(other._replace(marker=True))
            if title == "Loss" and not other.values:
                continue  # but of DPO on labels, a loss says nothing alone
        if any(len(curve.values) for curve in curves):
            drawn = charts.curves(curves, unit=unit, alt=f"{title} over training steps")
            last = curves[0].values[-1] if curves[0].values else None
            panel = {"title": title, "chart": drawn, "last": last, "unit": unit}
            panels.append(panel | {"curves": [(c.label, c.some()) for c in curves]})
    choice = run.json("policy/choice.json")
    candidates = [
        (f"step {row.get('step')}", f)
        for row in choice.get("candidates") or []
        if isinstance(row, dict) and (f := figure(row.get("win_rate")))
    ]
    return {
        "panels": panels,
        "steps": len(rows),
        "held_out": bool(held_out),
        "chosen": choice.get("chosen"),
        "candidates": candidates,
    }


def preference_model(run: Run, charts: Charts) -> Row:
    """Loss against the entropy floor, and held-out accuracy against AI and human labels."""
    rows = run.rows("reward_model/metrics.jsonl")
    found = run.json("reward_model/evaluation.json").get("heldout") or {}
    floor = number(found.get("floor"))
    curve = _curve("loss", rows, "loss")
    sft = _curve("loss", run.rows("sft/metrics.jsonl"), "loss")
    predictions = run.rows("reward_model/heldout_predictions.jsonl")
    figures = [
        ("AI labels", _predicted(predictions, "prob_a", number(found.get("threshold")) or 0.0)),
        ("people", _predicted(predictions, "human")),
        ("known answers", _predicted(predictions, "gold")),
    ]
    accuracy = [(name, f) for name, f in figures if f.n]
    return {
        "steps": len(rows),
        "loss": charts.curves(
            [curve], unit="loss, nats", floor=floor, alt="Reward-model loss over training steps"
        ),
        "loss_points": curve.some(),
        "floor": floor,
        "held_out_loss": number(found.get("loss")),
        "accuracy": accuracy,
        "accuracy_chart": charts.intervals(
            accuracy, unit="held-out pairs ordered right, %", alt="Held-out accuracy"
        ),
        "sft_loss": charts.curves(
            [sft], unit="loss, nats a token", alt="Supervised fine-tuning loss over training steps"
        ),
        "sft_points": sft.some(),
    }


def labels(run: Run, charts: Charts) -> Row:
    """How sure the labeler was, how often it followed the position, and what it left open."""
    rows = [row for row in run.labels() if number(row.get("prob_a")) is not None]
    probabilities = [float(row["prob_a"]) for row in rows]
    flips = [
        (str(row.get("prompt_id")), float(bool(e["flipped"])))
        for row in rows
        if isinstance(e := row.get("evidence"), dict) and e.get("flipped") is not None
    ]
    reasons = counted(str(r.get("reason", "")) for r in run.rows("abstentions.jsonl"))
    return {
        "n": len(rows),
        "by": Counter(str(row.get("labeler", "")) for row in rows).most_common(),
        "histogram": charts.histogram(
            probabilities,
            unit="probability that the first response is better",
            alt=f"Histogram of {len(rows)} soft labels",
        ),
        "bins": binned(probabilities),
        "same_position": mean([f for _, f in flips], clusters=[p for p, _ in flips], share=True),
        "floor": entropy_floor(probabilities),
        "abstentions": list(reasons.items()),
        **_agreement(run, charts),
    }


def _agreement(run: Run, charts: Charts) -> Row:
    metrics = run.json("evaluation/metrics.json")
    found = metrics.get("agreement") or {}
    names = (
        ("labeler", "overall"),
        ("people's preference 0 or 1", "unanimous"),
        ("confident half", "confident_half"),
        ("faint half", "faint_half"),
        ("one order only", "one_order"),
        ("both orders", "both_orders"),
        ("always the longer", "always_longer"),
        ("always the first", "always_first"),
    )
    figures = [(label, f) for label, key in names if (f := figure(found.get(key)))]
    return {
        "agreement": figures,
        "agreement_chart": charts.intervals(
            figures,
            unit="names the response people prefer, %",
            marks=marks(figures),
            alt="Agreement with people",
        ),
        "evaluated": bool(metrics),
        "human_ties": number(found.get("human_ties")),
        "gold": number(found.get("gold")),
    }


def _curve(label: str, rows: list[Row], name: str) -> Curve:
    points = [
        (step, value)
        for row in rows
        if (step := number(row.get("step"))) is not None
        and (value := number(row.get(name))) is not None
    ]
    return Curve(label, [step for step, _ in points], [value for _, value in points])


def _predicted(rows: list[Row], truth: str, threshold: float = 0.0) -> Figure:
    """Share of held-out pairs on which the predicted difference has the label's sign.

    As `evaluation.json` counts: labels within `threshold` of a tie are left out, and equal rewards
    are never right.
    """
    right, prompts = [], []
    for row in rows:
        label, guess = number(row.get(truth)), number(row.get("difference"))
        if label is not None and abs(label - 0.5) > threshold and guess is not None:
            right.append(float(guess > 0 if label > 0.5 else guess < 0))
            prompts.append(str(row.get("prompt_id")))
    return mean(right, clusters=prompts, share=True)
