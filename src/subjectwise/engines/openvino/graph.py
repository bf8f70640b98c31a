"""The decoder and its output head as OpenVINO graphs, from the weights. Knows no tokens and no files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from subjectwise.engines.openvino.number_formats import Stored
from subjectwise.engines.openvino.weights import EMBEDDING, FINAL_NORM, HEAD, DecoderWeights, Float32Array

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Storage = Callable[[Float32Array], Stored]

# Added to what shall not be seen: far below any score, and finite, so that a row of nothing else has no NaN.
HIDDEN = np.float32(-1e30)


def decoder_graph(weights: DecoderWeights, store: Storage) -> ov.Model:
    """Build the decoder: embeddings of a batch behind a prefix to the hidden states that the output head reads.

    Inputs:
        embedded: [rows, tokens, hidden].
        cosines, sines: of the rotary embedding at each token's position, [1 or rows, tokens, head size].
        mask: added to attention scores, [1 or rows, 1, heads per key head × tokens, prefix + tokens].
        past: keys and values of the prefix, of each layer in turn, [2 × layers, 1, key heads, prefix, head size].
        picked: indices of the wanted tokens in rows × tokens, [picked].

    Outputs:
        hidden: of the wanted tokens, after the last norm, [picked, hidden].
        present: keys and values of the tokens, [2 × layers, rows, key heads, tokens, head size].

    Args:
        weights: of the decoder.
        store: rounds a weight to the numbers that it is kept in.
    """
    return _Builder(weights, store).decoder()


def head_graph(weights: DecoderWeights, store: Storage) -> ov.Model:
    """Build the output head, for all tokens but some.

    Inputs:
        hidden: [positions, hidden].
        excluded: pairs of a position and a token that does not count there, [pairs, 2].

    Outputs:
        log_sum: of the exponentials of the logits of the others, [positions].
        best: the token with the largest logit among the others, [positions].
    """
    table = weights.read(EMBEDDING if weights.config.tied else HEAD)
    hidden = _parameter("hidden", [-1, weights.config.hidden_size])
    excluded = _parameter("excluded", [-1, 2], np.int64)
    logits = ops.matmul(hidden, _constant(store(table)), False, True)  # [positions, vocabulary]
    count = ops.gather(ops.shape_of(excluded), _integer(0), _integer(0))
    nothing = ops.broadcast(HIDDEN, ops.unsqueeze(count, _integer(0)))
    others = ops.scatter_nd_update(logits, excluded, nothing)
    largest = ops.reduce_max(others, _integer(1), keep_dims=True)
    total = ops.reduce_sum(ops.exp(ops.subtract(others, largest)), _integer(1), keep_dims=True)
    log_sum = ops.squeeze(ops.add(ops.log(total), largest), _integer(1))
    best = ops.squeeze(ops.topk(others, _integer(1), 1, "max", "value", "i64").output(1), _integer(1))
    return ov.Model([_named(log_sum, "log_sum"), _named(best, "best")], [hidden, excluded], "output_head")


class _Builder:
    """The nodes of one decoder."""

    def __init__(self, weights: DecoderWeights, store: Storage) -> None:
        self._weights, self._store, self._config = weights, store, weights.config

    def decoder(self) -> ov.Model:
        config = self._config
        size = config.head_size
        group = config.heads // config.kv_heads
        embedded = _parameter("embedded", [-1, -1, config.hidden_size])
        cosines, sines = (_parameter(name, [-1, -1, size]) for name in ("cosines", "sines"))
        mask = _parameter("mask", [-1, 1, -1, -1])
        past = _parameter("past", [2 * config.layers, 1, config.kv_heads, -1, size])
        picked = _parameter("picked", [-1], np.int64)

        # One head for all: [1 or rows, tokens, 1, head size]
        turn = [ops.unsqueeze(part, _integer(2)) for part in (cosines, sines)]
        parts = ops.split(past, 0, 2 * config.layers).outputs()
        parts = [ops.squeeze(part, _integer(0)) for part in parts]
        rows = ops.gather(ops.shape_of(embedded), _integers([0]), _integer(0))
        rest = _integers([config.kv_heads, -1, size])
        present = []
        states: ov.Node = embedded
        for layer in range(config.layers):
            name = f"model.layers.{layer}."
            heads = self._turned_heads(self._norm(states, name + "input_layernorm"), name + "self_attn.", turn)
            queries, keys, values = heads
            present += [keys, values]
            shape = ops.concat([rows, ops.concat([rest[0:1]], 0)], 0) if False else None
            joined = []
            for own, before in zip((keys, values), parts[2 * layer : 2 * layer + 2], strict=True):
                target = ops.concat([rows, _integers([config.kv_heads, 1, size])], 0)
                spread = ops.broadcast(before, target, broadcast_spec="BIDIRECTIONAL")
                joined.append(ops.concat([spread, own], 2))
            # The queries that share a head of keys stand one below the other, so that keys are not repeated.
            folded = ops.reshape(queries, _integers([0, config.kv_heads, -1, size]), True)
            mixed = ops.scaled_dot_product_attention(folded, *joined, mask)
            del group, shape
            group = config.heads // config.kv_heads
            mixed = ops.reshape(mixed, _integers([0, config.heads, -1, size]), True)
            mixed = ops.transpose(mixed, _integers([0, 2, 1, 3]))
            mixed = ops.reshape(mixed, _integers([0, 0, config.heads * size]), True)
            if layer == config.layers - 1:  # what follows is for the wanted tokens alone
                mixed, states = (self._pick(part, picked) for part in (mixed, states))
            states = ops.add(states, self._linear(mixed, [name + "self_attn.o_proj"]))
            states = ops.add(states, self._mlp(self._norm(states, name + "post_attention_layernorm"), name + "mlp."))
        hidden = self._norm(states, FINAL_NORM.removesuffix(".weight"))
        stacked = ops.concat([ops.unsqueeze(part, _integer(0)) for part in present], 0)
        outputs = [_named(hidden, "hidden"), _named(stacked, "present")]
        return ov.Model(outputs, [embedded, cosines, sines, mask, past, picked], "decoder")

    def _turned_heads(self, states: ov.Node, name: str, turn: Sequence[ov.Node]) -> tuple[ov.Node, ...]:
        """Return queries, keys and values, [rows, heads, tokens, head size], queries and keys turned by position."""
        config = self._config
        size, heads, kv_heads = config.head_size, config.heads, config.kv_heads
        joined = self._linear(states, [f"{name}{part}_proj" for part in "qkv"])
        joined = ops.reshape(joined, _integers([0, 0, heads + 2 * kv_heads, size]), True)
        normed = self._weights.has(f"{name}q_norm.weight")
        if normed:
            queries, keys, values = ops.variadic_split(joined, 2, _integers([heads, kv_heads, kv_heads])).outputs()
            queries, keys = self._norm(queries, f"{name}q_norm"), self._norm(keys, f"{name}k_norm")
            turned = [_rotated(part, turn, size) for part in (queries, keys)]
        else:
            both, values = ops.variadic_split(joined, 2, _integers([heads + kv_heads, kv_heads])).outputs()
            turned = ops.variadic_split(_rotated(both, turn, size), 2, _integers([heads, kv_heads])).outputs()
        return tuple(ops.transpose(part, _integers([0, 2, 1, 3])) for part in (*turned, values))

    def _mlp(self, states: ov.Node, name: str) -> ov.Node:
        joined = self._linear(states, [name + "gate_proj", name + "up_proj"])
        gate, up = ops.split(joined, -1, 2).outputs()
        return self._linear(ops.multiply(ops.swish(gate), up), [name + "down_proj"])

    def _linear(self, states: ov.Node, names: Sequence[str]) -> ov.Node:
        """Return the products with several weights, one behind the other, in one product."""
        matrix = np.concatenate([self._weights.read(f"{name}.weight") for name in names])  # [out, in]
        product = ops.matmul(states, _constant(self._store(matrix)), False, True)
        biased = [self._weights.has(f"{name}.bias") for name in names]
        if not any(biased):
            return product
        sizes = [len(self._weights.read(f"{name}.weight")) for name in names]
        parts = [
            self._weights.read(f"{name}.bias") if has else np.zeros(size, dtype=np.float32)
            for name, has, size in zip(names, biased, sizes, strict=True)
        ]
        return ops.add(product, ops.constant(np.concatenate(parts)))

    def _norm(self, states: ov.Node, name: str) -> ov.Node:
        """Return the RMS norm (Zhang and Sennrich 2019), in the form that OpenVINO fuses."""
        mean = ops.reduce_mean(ops.power(states, np.float32(2)), _integer(-1), keep_dims=True)
        root = ops.sqrt(ops.add(mean, np.float32(self._config.epsilon)))
        scaled = ops.multiply(states, ops.divide(np.float32(1), root))
        return ops.multiply(ops.constant(self._weights.read(f"{name}.weight")), scaled)

    def _pick(self, states: ov.Node, picked: ov.Node) -> ov.Node:
        flat = ops.reshape(states, _integers([-1, int(states.get_output_partial_shape(0)[2].get_length())]), False)
        return ops.gather(flat, picked, _integer(0))


def _rotated(states: ov.Node, turn: Sequence[ov.Node], size: int) -> ov.Node:
    """Return queries or keys, [rows, tokens, heads, head size], turned by their position (Su et al. 2021)."""
    cosines, sines = turn
    first, second = ops.variadic_split(states, 3, _integers([size // 2, size // 2])).outputs()
    across = ops.concat([ops.multiply(second, np.float32(-1)), first], 3)
    return ops.add(ops.multiply(states, cosines), ops.multiply(across, sines))


def _constant(stored: Stored) -> ov.Node:
    """Return a weight as it is stored, turned into float32 where it is used: OpenVINO keeps it as it is stored."""
    node = ops.constant(stored.tensor(), shared_memory=False)
    return node if stored.kind == "f32" else ops.convert(node, "f32")


def _parameter(name: str, shape: Sequence[int], kind: type = np.float32) -> ov.Node:
    node = ops.parameter(list(shape), kind, name)
    node.get_output_tensor(0).set_names({name})
    return node


def _named(node: ov.Node, name: str) -> ov.Node:
    node.get_output_tensor(0).set_names({name}) if hasattr(node, "get_output_tensor") else node.set_names({name})
    return node


def _integer(value: int) -> ov.Node:
    return ops.constant(value, dtype=np.int64)


def _integers(values: Sequence[int]) -> ov.Node:
    return ops.constant(np.array(values, dtype=np.int64))
