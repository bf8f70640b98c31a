"""The OpenVINO engine: a decoder compiled for this machine's CPU. Knows token ids; knows no strings and no labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from subjectwise.engines.generation import NextToken
from subjectwise.engines.label_trie import NO_TREE, TokenTree
from subjectwise.engines.openvino.compiled_decoder import CompiledDecoder
from subjectwise.engines.openvino.graph import HIDDEN
from subjectwise.engines.token_budget import PADDING
from subjectwise.types import Float32Array, FloatArray, IntArray

# How many hidden states the output head reads at once: their logits are [positions, vocabulary].
_HEAD_POSITIONS = 64


class OpenVINOEngine:
    """A compiled decoder with the prompt's prefix in its cache; answers as `PyTorchEngine` does, in many threads.

    Args:
        decoder: compiled, with its output head.
        prefix_ids: the prompt's prefix, which it reads once; keys and values are then inputs of every pass.
    """

    def __init__(self, decoder: CompiledDecoder, prefix_ids: Sequence[int]) -> None:
        self._decoder = decoder
        self._past = decoder.no_past
        if prefix_ids:
            batch = _arrange([list(prefix_ids)], NO_TREE, 0)
            self._past = _run(decoder, batch, self._past)[1].copy()

    @property
    def device(self) -> str:
        """The kind of device that computes."""
        return "cpu"

    @property
    def precision(self) -> str:
        """What it computes in, such as `float32`."""
        return self._decoder.precision

    @property
    def tokens_per_batch(self) -> int:
        """How many tokens are read at once: enough to keep the processor busy, few enough for its caches."""
        return 1024

    def padding_limit(self, longest: int, tree: TokenTree) -> int:
        """Return the tokens of padding that cost as much as another batch."""
        return PADDING

    def token_log_probs(
        self, rows: Sequence[Sequence[int]], tree: TokenTree, wanted: Sequence[Sequence[int]]
    ) -> list[FloatArray]:
        """Return log-probabilities of the `wanted` tokens: after the row, then after each token of the tree.

        The wanted logits are float32. The log-sum-exp of all others is computed in the engine's precision.

        Returns:
            An array [rows, wanted[i]] for each i in 0 … len(tree.ids).
        """
        hidden = self.states(rows, tree)  # [rows, nodes, hidden]
        nodes = hidden.shape[1]
        others = self._log_sums_of_others(hidden.reshape(len(rows) * nodes, -1), list(wanted) * len(rows))
        log_probs: list[FloatArray] = []
        for node, tokens in enumerate(wanted):
            weights = self._decoder.head_rows(np.array(tokens, dtype=np.int64))  # [wanted, hidden]
            logits = (hidden[:, node] @ weights.T).astype(np.float64)
            total = np.logaddexp(np.logaddexp.reduce(logits, axis=1), others.reshape(len(rows), nodes)[:, node])
            log_probs.append(logits - total[:, None])
        return log_probs

    def states(self, rows: Sequence[Sequence[int]], tree: TokenTree = NO_TREE) -> Float32Array:
        """Return the hidden states at each row's last token and at each token of the tree, [rows, 1 + tree, hidden]."""
        hidden = _run(self._decoder, _arrange(rows, tree, self._past.shape[3]), self._past)[0]
        return hidden.reshape(len(rows), 1 + len(tree.ids), -1)

    def next_token(self) -> NextToken:
        """Return a function that reads a text in pieces, from its beginning, and returns the next token after each."""
        past = self._decoder.no_past

        def following(ids: Sequence[int], excluded: Collection[int]) -> int:
            nonlocal past
            hidden, present = _run(self._decoder, _arrange([list(ids)], NO_TREE, past.shape[3]), past)
            past = np.concatenate([past, present], axis=3)
            pairs = np.array([(0, token) for token in sorted(excluded)], dtype=np.int64).reshape(-1, 2)
            return int(self._decoder.head(hidden, pairs)[1][0])

        return following

    def _log_sums_of_others(self, hidden: Float32Array, wanted: Sequence[Sequence[int]]) -> FloatArray:
        """Return the log-sum-exp of the logits of all tokens but those wanted at each position, [positions]."""
        sums = np.empty(len(hidden))
        for start in range(0, len(hidden), _HEAD_POSITIONS):
            some = wanted[start : start + _HEAD_POSITIONS]
            pairs = np.array([(i, token) for i, tokens in enumerate(some) for token in tokens], dtype=np.int64)
            part = slice(start, start + _HEAD_POSITIONS)
            sums[part] = self._decoder.head(hidden[part], pairs.reshape(-1, 2))[0]
        return sums


@dataclass(frozen=True)
class _Batch:
    """A batch of rows, and a tree of tokens after each, as one pass reads them.

    Attributes:
        tokens: padded rows and the tree, [rows, tokens].
        positions: of each token in its text, [1 or rows, tokens].
        mask: added to attention scores, [1 or rows, tokens, prefix + tokens].
        picked: indices of each row's last token and of the tree's, in rows x tokens, [rows x (1 + tree)].
    """

    tokens: IntArray
    positions: IntArray
    mask: Float32Array
    picked: IntArray


def _arrange(rows: Sequence[Sequence[int]], tree: TokenTree, start: int) -> _Batch:
    """Arrange rows, and a tree after each, for one pass behind a prefix of `start` tokens."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    longest, size = int(lengths.max()), len(tree.ids)
    tokens = np.zeros((len(rows), longest + size), dtype=np.int64)  # padded on the right, where no token sees it
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = row
    tokens[:, longest:] = tree.ids
    positions = start + np.arange(longest, dtype=np.int64)[None]
    seen = np.zeros((len(rows) if size else 1, longest + size, start + longest + size), dtype=np.bool_)
    seen[:, :, :start] = True
    seen[:, :longest, start : start + longest] = np.tri(longest, dtype=np.bool_)
    if size:
        depths = start + lengths[:, None] + np.array(tree.depths(), dtype=np.int64)[None]
        positions = np.concatenate([np.broadcast_to(positions, (len(rows), longest)), depths], axis=1)
        seen[:, longest:, start : start + longest] = (np.arange(longest)[None] < lengths[:, None])[:, None]
        seen[:, longest:, start + longest :] = tree.visible()
    columns = np.concatenate([lengths[:, None] - 1, np.broadcast_to(longest + np.arange(size), (len(rows), size))], 1)
    picked = (columns + np.arange(len(rows))[:, None] * (longest + size)).reshape(-1)
    return _Batch(tokens, positions, np.where(seen, np.float32(0), HIDDEN), picked)


def _run(decoder: CompiledDecoder, batch: _Batch, past: Float32Array) -> tuple[Float32Array, Float32Array]:
    return decoder(batch.tokens, batch.positions, batch.mask, past, batch.picked)
