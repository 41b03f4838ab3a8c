"""How does a GPU write? Into a table that stays where it is: then a step is one recorded graph.

A step of a small model is very many small kernels, and to start each from Python takes longer than
the kernel itself. A CUDA graph starts all of them at once, but on the same memory every time. So
the table has a fixed number of rows, a key stands in the column of its position, each row sees the
columns up to its own position, and a row that begins takes the place of one that has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hrlaif.settings import compute
from hrlaif.transformer import folded, packed
from hrlaif.transformer.attention import standing_on
from hrlaif.transformer.body import device_of, evaluating
from hrlaif.transformer.cache import KeyValues, compact, masks, taken
from hrlaif.transformer.prefix import begin_prefix

Way = Literal["flash", "folded", "own"]
"""How a table attends: see folded.py; or as the model does itself."""
_WAYS: WeakKeyDictionary[nn.Module, Way] = WeakKeyDictionary()
logger = logging.getLogger(__name__)


def token_bytes(body: Any) -> int:
    """What one token takes of an attention cache."""
    config = body.config.get_text_config(decoder=True)
    heads = int(config.num_attention_heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    width = next(body.parameters()).element_size()
    return int(2 * config.num_hidden_layers * kept * size * width)


@final
class Table:
    """The attention cache of so many rows, each of at most `width` tokens."""

    def __init__(self, body: Any, rows: int, width: int, way: Way | None = None):
        from transformers.cache_utils import Cache

        device, config = device_of(body), body.config.get_text_config(decoder=True)
        self.rows, self.width, self._body = rows, width, body
        self._tokens = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self._lengths = torch.zeros_like(self._tokens)
        self._columns = torch.arange(width, device=device).expand(rows, -1)
        layer = _layer_class()
        layers = [layer(self._lengths, width) for _ in range(config.num_hidden_layers)]
        self._cache = Cache(layers=layers)
        self._way = way if way is not None else _chosen(body)
        self._graph: Any = None
        self._was_tried = False
        self._states: Tensor | None = None

    def put(self, part: KeyValues, rows: Tensor, places: Sequence[int], lengths: Tensor) -> None:
        """These rows of a cache, of so many tokens each, take these places."""
        to = torch.tensor(places, dtype=torch.long, device=lengths.device)
        positions, columns = compact(part, rows)
        for mine, other in zip(self._cache.layers, part.cache.layers, strict=True):
            keys, values = (
                taken(x, rows, columns, positions.shape[1]) for x in (other.keys, other.values)
            )
            mine.put(keys, values, to)
        self._lengths[to, 0] = lengths

    def moved(self, places: Sequence[int], rows: int, width: int) -> Table:
        """A table of another size that begins with the rows at these places."""
        other = Table(self._body, rows, width)
        at = torch.tensor(places, dtype=torch.long, device=self._lengths.device)
        to = torch.arange(len(places), device=at.device)
        for copy, mine in zip(other._cache.layers, self._cache.layers, strict=True):
            copy.put(mine.keys[at, :, :width], mine.values[at, :, :width], to)
        other._lengths[to] = self._lengths[at]
        return other

    def step(self, tokens: Sequence[int], places: Sequence[int]) -> Tensor:
        """Hidden states [n, H] after one token more for the rows at these places.

        The other rows are computed too, and nobody looks at them.
        """
        device = self._tokens.device
        at = torch.tensor(places, dtype=torch.long, device=device)
        self._tokens[at, 0] = torch.tensor(tokens, device=device)
        if self._graph is not None:
            self._graph.replay()
        else:
            self._states = self._computed()
            if device.type == "cuda" and compute().compile == "auto" and not self._was_tried:
                self._record()
        assert self._states is not None
        found = self._states[at]
        self._lengths.add_(1).clamp_(max=self.width - 1)  # of rows that have ended, too
        return found

    def _computed(self) -> Tensor:
        own = self._way == "own"
        with nullcontext() if own else standing_on(self._body, folded.NAME):
            out = self._body(
                input_ids=self._tokens,
                attention_mask=self._seen(),
                position_ids=self._lengths,
                past_key_values=self._cache,
                use_cache=True,
            )
        return out.last_hidden_state[:, -1]  # type: ignore[no-any-return]

    def _seen(self) -> Any:
        """The masks, which say to FlashAttention what they hide."""
        seen = masks(self._body.config, self._lengths, self._columns)
        if self._way != "flash":
            return seen
        config = self._body.config.get_text_config(decoder=True)
        kept = self._cache.layers[0].keys.shape[1]
        full = folded.Held.of(self._lengths[:, 0] + 1, kept, self.width)
        near = full._replace(window=getattr(config, "sliding_window", None))
        kinds = set(getattr(config, "layer_types", None) or ())
        if isinstance(seen, dict):
            seen["full_attention"].held, seen["sliding_attention"].held = full, near
        else:
            seen.held = full if kinds == {"full_attention"} else near
        return seen

    def _record(self) -> None:
        """After a step: what it did, as a graph, whose states are those of all steps to come."""
        graph, self._was_tried = torch.cuda.CUDAGraph(), True
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                states = self._computed()
        except RuntimeError as error:  # what a family does may not be recordable
            logger.warning("decoding steps are not recorded (%.300s)", error)
            return
        graph.replay()  # the same step again: the same keys in the same columns
        self._graph, self._states = graph, states


def _chosen(body: Any) -> Way:
    """How a table of this model attends: tried once on a few tokens, and a no is logged."""
    if body not in _WAYS:
        config = body.config.get_text_config(decoder=True)
        heads = int(config.num_attention_heads)
        shares = int(getattr(config, "num_key_value_heads", None) or heads) < heads
        ways: list[Way] = ["flash"] if folded.fits(body) else []
        ways += ["folded"] if shares else []
        if config._attn_implementation != "sdpa":
            ways = []
        packed.register(folded.NAME, folded.attend)
        _WAYS[body] = next((way for way in ways if _works(body, way)), "own")
    return _WAYS[body]


def _works(body: Any, way: Way) -> bool:
    try:
        off = _difference(body, way)
        reason = "" if off < 0.3 else f"its states differ by {off:.2f}"  # as in prefix.py
    except Exception as error:  # any family may fail in its own way
        reason = f"{type(error).__name__}: {error}"
    if reason:
        logger.warning("%s does not write by %s attention (%s)", type(body).__name__, way, reason)
    return not reason


def _difference(body: Any, way: Way) -> float:
    """Of one token's states behind a few others, from those by the model's own attention."""
    count, device = int(body.config.get_text_config(decoder=True).vocab_size), device_of(body)
    known, first = [n % count for n in range(1, 7)], torch.zeros(1, dtype=torch.long, device=device)
    token = torch.full_like(first[:, None], 7 % count)
    place, every = torch.full_like(token, len(known)), torch.ones_like(token, dtype=torch.bool)
    with evaluating(body):
        begun = begin_prefix(body, known)
        table = Table(body, 1, 2 * len(known), way)
        table.put(begun, first, [0], first + len(known))
        table._was_tried = True  # not worth a graph
        got = table.step(token[0].tolist(), [0])
        want = begun.select(first).extend(token, place, every)[:, -1]
    return float((got - want).norm() / want.norm().clamp_min(1e-9))


_LAYERS: list[Any] = []


def _layer_class() -> Any:
    """A cache layer in which each row writes into the column of its own position."""
    if _LAYERS:
        return _LAYERS[0]
    from transformers.cache_utils import DynamicLayer

    class Columns(DynamicLayer):  # type: ignore[misc]
        is_initialized: bool
        keys: Tensor
        values: Tensor

        def __init__(self, at: Tensor, width: int):
            super().__init__()
            self._at, self._width = at, width

        def put(self, keys: Tensor, values: Tensor, to: Tensor) -> None:
            if not self.is_initialized:
                self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
                self.keys, self.values = (
                    x.new_zeros(len(self._at), x.shape[1], self._width, x.shape[3])
                    for x in (keys, values)
                )
            self.keys[to, :, : keys.shape[2]] = keys
            self.values[to, :, : values.shape[2]] = values

        def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            for kept, new in ((self.keys, keys), (self.values, values)):
                at = self._at[:, None, :, None].expand(-1, new.shape[1], -1, new.shape[3])
                kept.scatter_(2, at, new)
            return self.keys, self.values

        def get_seq_length(self) -> int:
            return self._width - 1

    _LAYERS.append(Columns)
    return Columns
