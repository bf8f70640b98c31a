"""The decoder and its output head as OpenVINO graphs, built from the weights. Knows no tokens and no files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subjectwise.engines.openvino.weights import FINAL_NORM, DecoderWeights
from subjectwise.types import Float32Array
from subjectwise.utils.bfloat16 import round_to_halves
from subjectwise.utils.openvino_import import openvino as ov

ops = ov.opset13

# Marks a conversion of weights that OpenVINO shall not carry out before it compiles and stores them.
_KEPT = "decompression_0"

# Added to scores that shall not count: far below any score, and finite, so that no softmax divides zero by zero.
HIDDEN = np.float32(-1e30)


def decoder_graph(weights: DecoderWeights, *, halves: bool = False) -> ov.Model:
    """Build the decoder: from the embeddings of a batch behind a prefix to the hidden states that are scored.

    Inputs:
        embedded: [rows, tokens, hidden].
        cosines, sines: of the rotary embedding at each token's position, [1 or rows, tokens, head size].
        mask: added to attention scores, [1 or rows, 1, heads per head of keys x tokens, prefix + tokens].
        past: keys and values of the prefix, of each layer in turn, [2 x layers, 1, heads of keys, prefix, head size].
        picked: indices of the wanted tokens among rows x tokens, [picked].

    Outputs:
        hidden: of the wanted tokens, after the last norm, [picked, hidden].
        present: keys and values of the tokens, [2 x layers, rows, heads of keys, tokens, head size].

    Args:
        weights: of the decoder.
        halves: whether matrices are stored in bfloat16, for a processor that computes in it.
    """
    return _Builder(weights, halves).decoder()


def head_graph(table: Float32Array, *, halves: bool = False) -> ov.Model:
    """Build the output head, for all tokens of the vocabulary but some.

    Inputs:
        hidden: [positions, hidden].
        excluded: pairs of a position and a token that does not count there, [pairs, 2].

    Outputs:
        log_sum: log of the sum of the exponentials of the other tokens' logits, [positions].
        best: the token with the largest logit among the others, [positions].

    Args:
        table: the weights, [vocabulary, hidden].
        halves: whether they are stored in bfloat16, for a processor that computes in it.
    """
    hidden = _parameter("hidden", [-1, table.shape[1]])
    excluded = _parameter("excluded", [-1, 2], np.int64)
    logits = ops.matmul(hidden, _matrix(table, halves), False, True)  # [positions, vocabulary]
    pairs = ops.gather(ops.shape_of(excluded), _integers([0]), _integer(0))
    others = ops.scatter_nd_update(logits, excluded, ops.broadcast(HIDDEN, pairs))
    largest = ops.reduce_max(others, _integer(1), keep_dims=True)
    total = ops.reduce_sum(ops.exp(ops.subtract(others, largest)), _integer(1), keep_dims=True)
    log_sum = ops.squeeze(ops.add(ops.log(total), largest), _integer(1))
    best = ops.topk(others, _integer(1), 1, "max", "value", "i64").output(1)
    outputs = [_named(log_sum.output(0), "log_sum"), _named(ops.squeeze(best, _integer(1)).output(0), "best")]
    return ov.Model(outputs, [hidden, excluded], "output_head")


class _Builder:
    """The nodes of one decoder."""

    def __init__(self, weights: DecoderWeights, halves: bool) -> None:
        self._weights, self._config, self._halves = weights, weights.config, halves

    def decoder(self) -> ov.Model:
        config = self._config
        size, layers = config.head_size, config.layers
        embedded = _parameter("embedded", [-1, -1, config.hidden_size])
        cosines, sines = (_parameter(name, [-1, -1, size]) for name in ("cosines", "sines"))
        mask = _parameter("mask", [-1, 1, -1, -1])
        past = _parameter("past", [2 * layers, 1, config.kv_heads, -1, size])
        picked = _parameter("picked", [-1], np.int64)

        turn = [ops.unsqueeze(part, _integer(2)) for part in (cosines, sines)]  # the same for every head
        prefix = [ops.squeeze(part, _integer(0)) for part in ops.split(past, _integer(0), 2 * layers).outputs()]
        rows = ops.gather(ops.shape_of(embedded), _integers([0]), _integer(0))
        spread = ops.concat([rows, _integers([1, 1, 1])], 0)
        present: list[ov.Node] = []
        states: ov.Node = embedded
        for layer in range(layers):
            name = f"model.layers.{layer}."
            queries, *own = self._heads(self._norm(states, name + "input_layernorm"), name + "self_attn.", turn)
            present += own
            keys, values = (
                ops.concat([ops.broadcast(before, spread, broadcast_spec="BIDIRECTIONAL"), after], 2)
                for before, after in zip(prefix[2 * layer : 2 * layer + 2], own, strict=True)
            )
            # Queries that share a head of keys stand one below the other, so that keys are not repeated.
            folded = ops.reshape(queries, _integers([0, config.kv_heads, -1, size]), True)
            mixed = ops.scaled_dot_product_attention(folded, keys, values, mask)
            mixed = ops.transpose(
                ops.reshape(mixed, _integers([0, config.heads, -1, size]), True), _integers([0, 2, 1, 3])
            )
            mixed = ops.reshape(mixed, _integers([0, 0, config.heads * size]), True)
            if layer == layers - 1:  # what follows is for the wanted tokens alone
                mixed = _pick(mixed, picked, config.heads * size)
                states = _pick(states, picked, config.hidden_size)
            states = ops.add(states, self._product(mixed, [name + "self_attn.o_proj"]))
            states = ops.add(states, self._mlp(self._norm(states, name + "post_attention_layernorm"), name + "mlp."))
        hidden = self._norm(states, FINAL_NORM.removesuffix(".weight"))
        stacked = ops.concat([ops.unsqueeze(part, _integer(0)) for part in present], 0)
        outputs = [_named(hidden.output(0), "hidden"), _named(stacked.output(0), "present")]
        return ov.Model(outputs, [embedded, cosines, sines, mask, past, picked], "decoder")

    def _heads(self, states: ov.Node, name: str, turn: Sequence[ov.Node]) -> list[ov.Node]:
        """Return queries, keys and values, [rows, heads, tokens, head size], the first two turned by position."""
        config = self._config
        size, heads, kv_heads = config.head_size, config.heads, config.kv_heads
        joined = self._product(states, [f"{name}{part}_proj" for part in "qkv"])
        joined = ops.reshape(joined, _integers([0, 0, heads + 2 * kv_heads, size]), True)
        if self._weights.has(f"{name}q_norm.weight"):
            queries, keys, values = _split(joined, 2, [heads, kv_heads, kv_heads])
            queries, keys = self._norm(queries, f"{name}q_norm"), self._norm(keys, f"{name}k_norm")
            turned = [_turned(part, turn, size) for part in (queries, keys)]
        else:
            both, values = _split(joined, 2, [heads + kv_heads, kv_heads])
            turned = _split(_turned(both, turn, size), 2, [heads, kv_heads])
        return [ops.transpose(part, _integers([0, 2, 1, 3])) for part in (*turned, values)]

    def _mlp(self, states: ov.Node, name: str) -> ov.Node:
        joined = self._product(states, [name + "gate_proj", name + "up_proj"])
        gate, up = ops.split(joined, _integer(-1), 2).outputs()
        return self._product(ops.multiply(ops.swish(gate), up), [name + "down_proj"])

    def _product(self, states: ov.Node, names: Sequence[str]) -> ov.Node:
        """Return the products of states with several weights, one behind the other, biases added."""
        matrices = [self._weights.read(f"{name}.weight") for name in names]  # each [out, in]
        product = ops.matmul(states, _matrix(np.concatenate(matrices), self._halves), False, True)
        biases = [
            self._weights.read(f"{name}.bias") if self._weights.has(f"{name}.bias") else np.zeros(len(matrix), "f4")
            for name, matrix in zip(names, matrices, strict=True)
        ]
        joined = np.concatenate(biases)
        return ops.add(product, ops.constant(joined)) if joined.any() else product

    def _norm(self, states: ov.Node, name: str) -> ov.Node:
        """Return the RMS norm (Zhang and Sennrich 2019), in the form that OpenVINO fuses."""
        mean = ops.reduce_mean(ops.power(states, np.float32(2)), _integer(-1), keep_dims=True)
        root = ops.sqrt(ops.add(mean, np.float32(self._config.epsilon)))
        scaled = ops.multiply(states, ops.divide(np.float32(1), root))
        return ops.multiply(ops.constant(self._weights.read(f"{name}.weight")), scaled)


def _turned(states: ov.Node, turn: Sequence[ov.Node], size: int) -> ov.Node:
    """Return queries or keys, [rows, tokens, heads, head size], turned by position (RoPE, Su et al. 2021)."""
    cosines, sines = turn
    first, second = _split(states, 3, [size // 2, size // 2])
    across = ops.concat([ops.multiply(second, np.float32(-1)), first], 3)
    return ops.add(ops.multiply(states, cosines), ops.multiply(across, sines))


def _split(states: ov.Node, axis: int, sizes: Sequence[int]) -> list[ov.Node]:
    return list(ops.variadic_split(states, _integer(axis), _integers(sizes)).outputs())


def _pick(states: ov.Node, picked: ov.Node, size: int) -> ov.Node:
    """Return some tokens of [rows, tokens, size], by their index among all: [picked, size]."""
    return ops.gather(ops.reshape(states, _integers([-1, size]), False), picked, _integer(0))


def _matrix(values: Float32Array, halves: bool) -> ov.Node:
    """Return the node of a matrix, stored in bfloat16 or in float32."""
    if not halves:
        return ops.constant(np.ascontiguousarray(values))
    stored = ov.Tensor(round_to_halves(values), list(values.shape), ov.Type.bf16)
    node = ops.convert(ov.op.Constant(stored, shared_memory=False), "f32")
    node.get_rt_info()[_KEPT] = ""
    return node


def _parameter(name: str, shape: Sequence[int], kind: type = np.float32) -> ov.Node:
    node = ops.parameter(list(shape), kind, name)
    node.get_output_tensor(0).set_names({name})
    return node


def _named(output: ov.Output, name: str) -> ov.Output:
    output.get_tensor().set_names({name})
    return output


def _integer(value: int) -> ov.Node:
    return ops.constant(np.array(value, dtype=np.int64))


def _integers(values: Sequence[int]) -> ov.Node:
    return ops.constant(np.array(values, dtype=np.int64))
