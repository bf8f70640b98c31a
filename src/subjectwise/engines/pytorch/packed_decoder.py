"""A decoder on packs of fixed sizes, each captured once as a CUDA graph. Knows token ids; knows no labels.

The layers are those of transformers, run one by one, so that one compiled function serves all of them and each is given
its own keys and values of the prefix. On a CPU the same code runs neither compiled nor captured.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from subjectwise.engines.label_trie import NO_TREE, TokenTree
from subjectwise.engines.pytorch.attention import GROUPED
from subjectwise.engines.pytorch.cuda_graphs import GraphCapture, Work
from subjectwise.engines.pytorch.forward import HiddenStates, Prefix, decoder_of, shares_prefix
from subjectwise.engines.pytorch.packs import SIZES, PackSize, arrange, plan_packs
from subjectwise.engines.pytorch.prefix_attention import PACKED, PackedRow, register, works_on
from subjectwise.types import LanguageModel

# Decoders of embedding, layers and a last norm, whose layers pass on what attention of our own asks for.
FAMILIES = ("llama", "qwen2", "qwen3")

# Packs of a size that run as they are before it is compiled and captured, which takes seconds: a command that answers a
# few questions does not wait for it.
RUNS_BEFORE_CAPTURE = 3

# A row and its tree are read as at most so many rows, unless all of them fit one pack.
_BRANCHES = 4

# The positions of these change with the length of the text, which a graph cannot follow.
_CHANGING_POSITIONS = ("dynamic", "longrope")

RunLayer = Callable[[torch.nn.Module, Tensor, Tensor, Tensor, PackedRow], Tensor]


def can_run_packs(model: LanguageModel) -> bool:
    """Return whether a `PackedDecoder` is right for this model: its family, its weights and its device."""
    config = decoder_of(model).config
    weights = list(decoder_of(model).parameters())
    heads = int(config.num_attention_heads)
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in FAMILIES
        and config._attn_implementation in ("sdpa", GROUPED, PACKED)
        and shares_prefix(model)
        # Adapters that are not merged, and weights in 4 bits, have another precision.
        and all(weight.dtype == model.dtype and weight.device == model.device for weight in weights)
        and rope.get("rope_type") not in _CHANGING_POSITIONS
        and works_on(model.device, model.dtype, getattr(config, "head_dim", None) or config.hidden_size // heads)
    )


def run_layer(layer: torch.nn.Module, hidden: Tensor, cosines: Tensor, sines: Tensor, packed: PackedRow) -> Tensor:
    """Run one layer of a decoder on a packed row, [1, tokens, hidden]."""
    output: Tensor = layer(hidden, attention_mask=None, position_embeddings=(cosines, sines), packed=packed)
    return output


class _Buffers:
    """The tensors that a pack of one size is read from, and the prefix beside it.

    Args:
        size: of the pack.
        device: of the model.
    """

    def __init__(self, size: PackSize, device: torch.device) -> None:
        self.all = torch.zeros(sum(size.layout), dtype=torch.int32, device=device)
        self.tokens, self.positions, self.offsets, self.last = torch.split(self.all, list(size.layout))
        self.whole = torch.tensor([0, size.tokens], dtype=torch.int32, device=device)


class PackedDecoder:
    """Computes the hidden state of each row's last token, in packs.

    Only one thread computes at a time. Nothing here waits for the device: what is returned may not be computed yet.

    Args:
        model: a causal language model for which `can_run_packs` holds; it is set to attention in packs.
        prefix: read once, in front of every row; of no tokens, or one whose keys and values are shared.
        sizes: of packs, in ascending order.
        capture: of graphs; None for one of the model's device where that is a GPU, and for no capture elsewhere.
    """

    def __init__(
        self,
        model: LanguageModel,
        prefix: Prefix,
        sizes: Sequence[PackSize] = SIZES,
        capture: GraphCapture | None = None,
    ) -> None:
        model.set_attn_implementation(register())
        self._decoder = decoder_of(model)
        self._device: torch.device = model.device
        self._start = len(prefix.ids) if prefix.layers is not None else 0
        self._before = [] if prefix.layers is not None else list(prefix.ids)
        # Of each layer, [prefix, key heads, size].
        self._prefix: list[tuple[Tensor, Tensor] | tuple[None, None]] = [
            (keys[0].transpose(0, 1).contiguous(), values[0].transpose(0, 1).contiguous())
            for keys, values in prefix.layers or ()
        ] or [(None, None)] * len(self._decoder.layers)
        self._prefix_offsets = torch.tensor([0, self._start], dtype=torch.int32, device=self._device)
        self.sizes = tuple(sizes)
        self._buffers: dict[PackSize, _Buffers] = {}
        width = int(self._decoder.config.hidden_size)
        # [sequences, hidden], which every size writes to
        self._output = torch.zeros(sizes[-1].sequences, width, dtype=model.dtype, device=self._device)
        self._on_gpu = self._device.type == "cuda"
        self._capture = capture or (GraphCapture(self._device) if self._on_gpu else None)
        # How layers are run in a graph: the first way that works. A way that failed once is not tried again.
        self._ways = ["compile", "capture"]
        self._captured: dict[PackSize, Work] = {}
        self._runs: Counter[PackSize] = Counter()
        self._lock = threading.Lock()

    @property
    def captured(self) -> list[int]:
        """The sizes that are captured, in tokens."""
        return sorted(size.tokens for size in self._captured)

    def reads(self, rows: int, longest: int, tree: TokenTree) -> bool:
        """Return whether so many rows of up to `longest` tokens, with a tree of tokens after each, are for packs.

        The tokens of a tree are read as rows of their own, which repeat the row before them: that pays for a few.
        """
        branches, longest = 1 + len(tree.ids), len(self._before) + longest + max(tree.depths(), default=-1) + 1
        few = branches <= _BRANCHES or rows * branches * longest <= self.sizes[-1].tokens
        return longest <= self.sizes[-1].longest and few

    def states(self, rows: Sequence[Sequence[int]], tree: TokenTree = NO_TREE) -> HiddenStates:
        """Return the hidden states that scoring reads: each row's last, and those of a tree of tokens after the row.

        Args:
            rows: token ids without the prefix.
            tree: as in `run_rows_with_tree`; `reads` must hold.
        """
        branches = [[*self._before, *row, *path] for path in ([], *tree.paths()) for row in rows]
        last, *nodes = torch.split(self._last_states(branches), len(rows))
        return HiddenStates(last, torch.stack(nodes, dim=1) if nodes else last[:, None][:, :0])

    @torch.inference_mode()
    def _last_states(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the hidden state of each row's last token, after the last norm, [rows, hidden]."""
        members: list[int] = []
        states: list[Tensor] = []
        with self._lock:
            for pack in plan_packs([len(row) for row in rows], self.sizes):
                vector = torch.from_numpy(arrange([rows[i] for i in pack.members], pack.size, self._start))
                self._buffers_of(pack.size).all.copy_(self._pinned(vector), non_blocking=True)
                self._compute(pack.size)
                states.append(self._output[: len(pack.members)].clone())
                members += pack.members
        order = torch.empty(len(members), dtype=torch.long)
        order[torch.tensor(members)] = torch.arange(len(members))
        return torch.cat(states)[self._pinned(order).to(self._device, non_blocking=True)]

    def _pinned(self, tensor: Tensor) -> Tensor:
        """Return a tensor that is copied to the device without waiting for it."""
        return tensor.pin_memory() if self._on_gpu else tensor

    def _buffers_of(self, size: PackSize) -> _Buffers:
        if size not in self._buffers:
            self._buffers[size] = _Buffers(size, self._device)
        return self._buffers[size]

    def _compute(self, size: PackSize) -> None:
        """Compute what is in the buffers of a size; capture the size when it has been used a few times."""
        self._runs[size] += 1
        if size not in self._captured and self._runs[size] > RUNS_BEFORE_CAPTURE:
            self._capture_size(size)
        self._captured.get(size, partial(self._forward, size, run_layer))()

    def _capture_size(self, size: PackSize) -> None:
        """Capture a size, with compiled layers if they can be; if nothing can, it runs as it is."""
        while self._capture and self._ways:
            run = torch.compile(run_layer, fullgraph=True) if self._ways[0] == "compile" else run_layer
            try:
                self._captured[size] = self._capture.capture(partial(self._forward, size, run))
                return
            except Exception as error:  # of a compiler, of a driver, of memory: of any kind
                reason = " ".join(str(error).split())[:200]
                way = self._ways.pop(0)
                warnings.warn(f"Cannot {way} the model for this GPU; it is slower without: {reason}", stacklevel=2)

    def _forward(self, size: PackSize, run: RunLayer) -> None:
        """Read the buffers of a size, write the output."""
        buffers, decoder = self._buffers_of(size), self._decoder
        hidden: Tensor = decoder.embed_tokens(buffers.tokens[None])  # [1, tokens, hidden]
        cosines, sines = decoder.rotary_emb(hidden, buffers.positions[None])  # [1, tokens, head size]
        for layer, (keys, values) in zip(decoder.layers, self._prefix, strict=True):
            row = PackedRow(buffers.offsets, size.longest, buffers.whole, self._prefix_offsets, keys, values)
            hidden = run(layer, hidden, cosines, sines, row)
        last: Tensor = decoder.norm(hidden[0].index_select(0, buffers.last))
        self._output[: size.sequences].copy_(last)
