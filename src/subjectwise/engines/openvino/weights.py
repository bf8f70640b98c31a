"""A decoder's weights and configuration from safetensors or GGUF, with numpy alone. Knows files; knows no OpenVINO.

The families are Llama (SmolLM2 included), Qwen2 and Qwen3: the same decoder, with or without biases and with or
without norms of queries and keys. Weights are read one at a time, so that a base is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from subjectwise.engines.openvino.decoder_config import DecoderConfig, config_from_gguf, config_from_json
from subjectwise.errors import BaseModelError, ModelFolderError
from subjectwise.types import Float32Array
from subjectwise.utils.atomic_files import read_json
from subjectwise.utils.bfloat16 import from_halves, round_to_halves
from subjectwise.utils.gguf_file import read_gguf
from subjectwise.utils.safetensors_arrays import array_readers

# A low-rank change of a weight: A [r, in], B [out, r], and what their product is multiplied by.
Factors = tuple[Float32Array, Float32Array, float]

EMBEDDING, HEAD, FINAL_NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"

# The names of a layer's weights: in a GGUF file, and in transformers' checkpoints.
_GGUF_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class DecoderWeights:
    """A decoder as its files have it, any adapter added when a weight is read.

    Attributes:
        config: its shape.
        readers: from a weight's name in transformers to a function that reads it, in float32.
        factors: the adapter's, by the weight that it changes.
    """

    config: DecoderConfig
    readers: Mapping[str, Callable[[], Float32Array]]
    factors: Mapping[str, Factors]

    def has(self, name: str) -> bool:
        """Return whether there is such a weight."""
        return name in self.readers

    def read(self, name: str) -> Float32Array:
        """Return a weight in float32, the adapter merged into it: W + scale · B A (Hu et al. 2021).

        Raises:
            BaseModelError: it is missing.
            ModelFolderError: its adapter does not fit.
        """
        if name not in self.readers:
            raise BaseModelError(f"Cannot load the base: the weight {name} is missing.")
        weight = self.readers[name]()
        if name not in self.factors:
            return weight
        a, b, scale = self.factors[name]
        if weight.shape != (b.shape[0], a.shape[1]):
            raise ModelFolderError(f"The adapter does not fit its base at {name}: another shape.")
        return np.asarray(weight + np.float32(scale) * (b @ a), dtype=np.float32)  # [out, in]


def read_weights(path: Path, factors: Mapping[str, Factors] | None = None) -> DecoderWeights:
    """Open the weights in a folder with `config.json` and safetensors, or in a GGUF file.

    Args:
        path: the folder or the file.
        factors: of an adapter, by the weight that each changes.

    Raises:
        BaseModelError: a family that is unknown here, or a damaged file.
        ModelFolderError: the adapter changes a weight that the base lacks.
    """
    try:
        if path.is_dir():
            config = config_from_json(read_json(path / "config.json", BaseModelError))
            readers = _safetensors(path)
        else:
            config, readers = _gguf(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise BaseModelError(f"Cannot load the base {path}: {' '.join(str(error).split())[:200]}") from error
    unknown = sorted(set(factors or ()) - set(readers))
    if unknown:
        raise ModelFolderError(f"The adapter does not fit its base: the base lacks {unknown[0]}.")
    return DecoderWeights(config, readers, factors or {})


def _safetensors(folder: Path) -> dict[str, Callable[[], Float32Array]]:
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():  # transformers has this order too
        files = ["model.safetensors"]
    elif index.is_file():
        files = sorted(set(read_json(index, BaseModelError)["weight_map"].values()))
    else:
        files = [file.name for file in sorted(folder.glob("*.safetensors"))]
    readers: dict[str, Callable[[], Float32Array]] = {}
    for file in files:
        readers |= array_readers(folder / Path(file).name)
    return readers


def _gguf(path: Path) -> tuple[DecoderConfig, dict[str, Callable[[], Float32Array]]]:
    file = read_gguf(path)
    config = config_from_gguf(file)

    def read(name: str, heads: int) -> Float32Array:
        # Bases are used in bfloat16, in which the adapter was trained.
        values = from_halves(round_to_halves(file.values(name)))
        if not heads:
            return values
        # llama.cpp interleaves the two halves of each head that rotary embeddings turn together.
        pairs = values.reshape(heads, len(values) // heads // 2, 2, *values.shape[1:])
        return pairs.swapaxes(1, 2).reshape(values.shape)

    names = {"token_embd.weight": EMBEDDING, "output.weight": HEAD, "output_norm.weight": FINAL_NORM}
    for layer in range(config.layers):
        for gguf_name, name in _GGUF_NAMES.items():
            for kind in ("weight", "bias"):
                names[f"blk.{layer}.{gguf_name}.{kind}"] = f"model.layers.{layer}.{name}.{kind}"
    interleaved = {"attn_q": config.heads, "attn_k": config.kv_heads} if config.family == "llama" else {}
    readers: dict[str, Callable[[], Float32Array]] = {}
    for gguf_name, name in names.items():
        if gguf_name in file.tensors:
            heads = next((heads for part, heads in interleaved.items() if f".{part}." in gguf_name), 0)
            readers[name] = partial(read, gguf_name, heads)
    return config, readers
