"""How much memory would each stage need? The weights it holds at once, and what a process takes."""

from __future__ import annotations

import json
from pathlib import Path

from hrlaif.config import Config
from hrlaif.estimates import Sizes, of_reward
from hrlaif.llm import Local, Packaged, Remote, Scripted, Vllm, sizes
from hrlaif.materials import rewarded, unverified
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.reward.parts import members, models, of_the_run
from hrlaif.settings import compute
from hrlaif.training import Lora

GIB = 2.0**30
_PROCESS = 1.3 * GIB
"""Python with torch and transformers, in the stage's process and in the one it was forked from."""
_KEPT = 3
"""How many times the inputs and outputs of the linear layers a backward pass keeps, all in all."""
_ADAM = 12
"""Bytes a trained parameter takes beside its weights: a gradient and two moments in float32."""
_MASTER = 4
"""And the float32 copy of one that computes in 16 bits."""
_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


def needed(stage: str, config: Config) -> float | None:
    """Bytes at the stage's peak, roughly; None where the size of a model is not known here."""
    judge = held(config.judge, train=False)
    if stage == "sft":
        teacher = held(config.teacher or config.judge, train=False)
        own = trained(config.model, config.sft.lora if config.sft else None)
        return _peak([teacher], [own])
    if stage == "responses":
        return _peak([held(config.model, train=False)])
    if stage == "label":
        return _peak([judge, *_beside(config.labeling.labeler)])
    if stage == "reward":
        return _peak([trained(rewarded(config), config.reward.lora)])
    if stage == "policy":
        evaluator = held(config.evaluation.judge or config.judge, train=False)
        # The chosen checkpoint is made a model beside the judge that chose it.
        return _peak(*_in_rl(config, judge), [evaluator, held(config.model, train=True)])
    if stage == "evaluate":
        asked = [config.evaluation.judge or config.judge]
        beside = _beside(config.evaluation.labeler)
        if config.evaluation.basic_labels:
            asked.append(config.judge)
            beside += _beside(unverified(config)) if config.evaluation.judge else []
        if config.redteam:
            asked.append(config.redteam.judge or config.judge)
        each = [model for n, model in enumerate(asked) if model not in asked[:n]]
        judges = [held(model, train=False) for model in each]
        return _peak([held(config.model, train=False), *judges, *beside])
    return None


def _beside(labeler: Labeler) -> list[float | None]:
    """What the other judges of a panel take."""
    return [held(other, train=False) for other in getattr(labeler, "others", ())]


def _in_rl(config: Config, judge: float | None) -> list[list[float | None]]:
    """What is in memory at once while RL learns, and while a stale reward learns anew."""
    part = config.policy
    frozen = held(config.model, train=True)
    # Without adapters, the reference and a trained value model are copies of the whole.
    adapted = part.lora is not None and part.lora.rank > 0
    valued = not adapted and part.value_trunk == "trained" and part.algorithm.uses_values
    copies = 0 if adapted else 2 if valued else 1
    moved = [_moved(config.model)] * ((not adapted) + valued)
    own = [frozen, *moved, *[frozen] * copies, *_judges(config, judge)]
    learning = [*own, activations(config.model), *_rewards(config)]
    renewed = [*own, trained(rewarded(config), config.reward.lora)]
    return [learning, renewed] if part.renews else [learning]


def _rewards(config: Config) -> list[float | None]:
    """The reward models that RL asks; none where it learns from labels."""
    if config.policy.learns_from != "reward":
        return []
    own = [held(rewarded(config), train=True)] * config.reward.members
    inside = [name for names in members(config.score).values() for name in names]
    others = [held(Local(path=name), train=True) for name in (*models(config.score), *inside)]
    return [*own * of_the_run(config.score), *others]


def _judges(config: Config, judge: float | None) -> list[float | None]:
    """Those that RL asks: for labels of fresh pairs, for grades, and in checks."""
    part = config.policy
    if part.learns_from == "labels":
        return []
    if part.learns_from == "judge" or part.staleness is not None:
        return [judge, *_beside(config.labeling.labeler)]
    return [judge] if of_reward(config.score, Sizes(1, 1, 1)).calls else []


def _peak(*moments: list[float | None]) -> float | None:
    """The moment with the most in memory, and the process around it."""
    sums = [None if None in parts else sum(p for p in parts if p is not None) for parts in moments]
    known = [total for total in sums if total is not None]
    return _PROCESS + max(known) if len(known) == len(sums) else None


def held(model: LanguageModel, *, train: bool) -> float | None:
    """Bytes of a model's weights as they would lie in memory here; 0 where it is elsewhere."""
    if isinstance(model, (Remote, Scripted, Vllm)):
        return 0.0
    width, count = _width(train=train), parameters(model)
    return count * width if count and width else None


def trained(model: LanguageModel, lora: Lora | None) -> float | None:
    """Bytes of a model while it is trained, with all that training puts beside its weights."""
    weights = held(model, train=True)
    if weights is None:
        return None
    adapted = lora is not None and lora.rank > 0
    return weights + activations(model) + (0.0 if adapted else _moved(model))


def _moved(model: LanguageModel) -> float:
    """Bytes by which an optimizer moves all weights of a model."""
    return parameters(model) * (_ADAM + (_MASTER if _width(train=True) == 2 else 0))


def activations(model: LanguageModel) -> float:
    """Bytes that a backward pass keeps of one micro-batch; 0 where the model's shape is unknown."""
    shape, width = _shape(model), _width(train=True)
    if not {"hidden_size", "intermediate_size", "num_hidden_layers"} <= shape.keys() or not width:
        return 0.0
    from hrlaif.transformer.batches import token_budget

    hidden, heads = shape["hidden_size"], shape.get("num_attention_heads") or 1
    head = shape.get("head_dim") or hidden // heads
    queries, keys = heads * head, (shape.get("num_key_value_heads") or heads) * head
    # In and out of q, k, v, o, gate, up and down.
    values = 7 * hidden + 2 * queries + 2 * keys + 3 * shape["intermediate_size"]
    return float(token_budget() * shape["num_hidden_layers"] * values * _KEPT * width)


def parameters(model: LanguageModel | None) -> float:
    """Parameters of local weights, an adapter's base with it; 0 where they are not here."""
    if isinstance(model, Packaged):
        from hrlaif.llm.packaged import PACKAGED, fetched

        bare = model.name.removeprefix("packaged:")
        here = {found.name: found.size for found in fetched()}
        return here.get(bare, PACKAGED[bare].size * 3.5 if bare in PACKAGED else 0) / 2
    if isinstance(model, Local):
        return float(sizes.parameters(_whole(model)) or 0)
    return 0.0


def _whole(model: Local) -> Local:
    """The base model of an adapter folder, into which it is merged; any other as it is."""
    file = Path(model.path) / "adapter_config.json"
    base = (
        json.loads(file.read_text("utf-8")).get("base_model_name_or_path") if file.exists() else ""
    )
    return Local(path=base) if base else model


def _shape(model: LanguageModel) -> dict[str, int]:
    """The numbers in a local model's config.json."""
    folder = _folder(model)
    if folder is None or not (folder / "config.json").is_file():
        return {}
    found = json.loads((folder / "config.json").read_text("utf-8"))
    found = found.get("text_config") or found
    return {name: value for name, value in found.items() if isinstance(value, int)}


def _folder(model: LanguageModel) -> Path | None:
    if isinstance(model, Packaged):
        from hrlaif.llm.packaged import fetched

        return next((f.folder for f in fetched() if f.name == model.name.split(":")[-1]), None)
    return Path(_whole(model).path) if isinstance(model, Local) else None


def _width(*, train: bool) -> int | None:
    """Bytes a weight takes on this device; None without torch."""
    try:
        from hrlaif.transformer.load import device_in_force, precision_in_force
    except ImportError:
        wanted = compute().precision
        return _BYTES.get(wanted)
    return _BYTES[precision_in_force(device_in_force(), train=train)]
