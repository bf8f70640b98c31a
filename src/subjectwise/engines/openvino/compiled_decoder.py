"""A decoder and its output head, compiled for this machine. Knows arrays; knows no batches and no labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

import numpy as np

from subjectwise.engines.openvino.compiled_cache import compiled_entry
from subjectwise.engines.openvino.decoder_config import config_from_dict
from subjectwise.engines.openvino.graph import decoder_graph, head_graph
from subjectwise.engines.openvino.row_table import Table, write_table
from subjectwise.engines.openvino.runtime import BFLOAT16, CompiledFile, choose_precision, compile_to, machine
from subjectwise.engines.openvino.weights import EMBEDDING, HEAD, DecoderWeights
from subjectwise.errors import BaseModelError
from subjectwise.types import Float32Array, IntArray
from subjectwise.utils.atomic_files import read_json, write_json

# Changed whenever the graphs change, so that entries of an earlier version are not used.
_GRAPH_VERSION = "2"

_PRECISIONS = ("auto", "float32", "bfloat16", "float16")

_DECODER, _OUTPUT_HEAD, _EMBEDDING, _HEAD_ROWS = "decoder.blob", "output_head.blob", "embedding.npy", "head.npy"
_SHAPE = "shape.json"


class CompiledDecoder:
    """A decoder with its output head; answers in many threads.

    Attributes:
        config: its shape.
        precision: what it computes in, such as `float32`.
        no_past: the keys and values of an empty prefix, [2 x layers, 1, heads of keys, 0, head size].

    Args:
        base: a hash of the base's weights.
        adapter: a hash of the adapter's; empty without one.
        read: opens the weights, the adapter merged into them; called where they were not compiled before.
        dtype: what is asked for: `auto` or the name of a precision; see `choose_precision` for what is computed in.

    Raises:
        BaseModelError: the weights cannot be read, or OpenVINO cannot run such a model.
    """

    def __init__(self, base: str, adapter: str, read: Callable[[], DecoderWeights], dtype: str = "auto") -> None:
        read = cache(read)  # decoder and output head are in the same files
        if dtype not in _PRECISIONS:
            raise BaseModelError(f"Unknown precision {dtype!r}; choose one of {', '.join(_PRECISIONS)}.")
        self.precision = choose_precision(dtype)
        shared = {"base": base, "precision": self.precision, "graph": _GRAPH_VERSION, **machine()}
        make_head, make_decoder = (partial(make, read, self.precision) for make in (_make_head, _make_decoder))
        folder, self._head = _opened({**shared, "part": "head"}, make_head, _OUTPUT_HEAD)
        self._embedding = Table(folder / _EMBEDDING)
        self._head_rows = Table(folder / _HEAD_ROWS) if (folder / _HEAD_ROWS).exists() else self._embedding
        parts = {**shared, "part": "decoder", "adapter": adapter}
        folder, self._decoder = _opened(parts, make_decoder, _DECODER)
        self.config = config_from_dict(read_json(folder / _SHAPE, BaseModelError))
        shape = (2 * self.config.layers, 1, self.config.kv_heads, 0, self.config.head_size)
        self.no_past: Float32Array = np.zeros(shape, dtype=np.float32)
        self._frequencies = np.array(self.config.frequencies, dtype=np.float32)

    def __call__(
        self, tokens: IntArray, positions: IntArray, mask: Float32Array, past: Float32Array, picked: IntArray
    ) -> tuple[Float32Array, Float32Array]:
        """Read a batch.

        Args:
            tokens: [rows, tokens].
            positions: of each token in its text, [1 or rows, tokens].
            mask: added to attention scores, [1 or rows, tokens, prefix + tokens].
            past: keys and values of the prefix, [2 x layers, 1, heads of keys, prefix, head size].
            picked: indices of the wanted tokens in rows x tokens, [picked].

        Returns:
            Hidden states of the wanted tokens, [picked, hidden]; and keys and values of all tokens,
            [2 x layers, rows, heads of keys, tokens, head size], until the next call.
        """
        angles = positions[..., None].astype(np.float32) * self._frequencies
        angles = np.concatenate([angles, angles], axis=-1)  # [1 or rows, tokens, head size]
        outputs = self._decoder(
            {
                "embedded": self._embedding[tokens],
                "cosines": np.cos(angles),
                "sines": np.sin(angles),
                "mask": np.tile(mask[:, None], (1, 1, self.config.heads // self.config.kv_heads, 1)),
                "past": past,
                "picked": picked,
            }
        )
        return np.array(outputs[0], np.float32), np.asarray(outputs[1], np.float32)

    def head(self, hidden: Float32Array, excluded: IntArray) -> tuple[Float32Array, IntArray]:
        """Return, for all tokens but some, the log-sum-exp of their logits and the one with the largest, [positions].

        Args:
            hidden: [positions, hidden].
            excluded: pairs of a position and a token, [pairs, 2].
        """
        outputs = self._head({"hidden": hidden, "excluded": excluded})
        return np.array(outputs[0], np.float32), np.array(outputs[1], np.int64)

    def head_rows(self, tokens: IntArray) -> Float32Array:
        """Return the output head's weights of some tokens, [tokens, hidden]."""
        return self._head_rows[tokens]


def _opened(parts: Mapping[str, str], make: Callable[[Path], None], name: str) -> tuple[Path, CompiledFile]:
    """Return the folder of an entry and its compiled model; made again where it cannot be read."""
    folder = compiled_entry(parts, make)
    try:
        return folder, CompiledFile(folder / name, parts["precision"])
    except (RuntimeError, OSError, ValueError):
        folder = compiled_entry(parts, make, again=True)
        return folder, CompiledFile(folder / name, parts["precision"])


def _make_head(read: Callable[[], DecoderWeights], precision: str, folder: Path) -> None:
    weights = read()
    table = weights.read(EMBEDDING)
    write_table(folder / _EMBEDDING, table)
    if not weights.config.tied:
        table = weights.read(HEAD)
        write_table(folder / _HEAD_ROWS, table)
    compile_to(folder / _OUTPUT_HEAD, head_graph(table, halves=precision == BFLOAT16), precision)


def _make_decoder(read: Callable[[], DecoderWeights], precision: str, folder: Path) -> None:
    weights = read()
    compile_to(folder / _DECODER, decoder_graph(weights, halves=precision == BFLOAT16), precision)
    write_json(folder / _SHAPE, asdict(weights.config))
