"""The shape of a decoder, from `config.json` or a GGUF file: Llama, Qwen2 and Qwen3. Knows no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from subjectwise.errors import BaseModelError
from subjectwise.types import FloatArray, JsonObject
from subjectwise.utils.gguf_file import GGUFFile

FAMILIES = ("llama", "qwen2", "qwen3")

_ROTARY_KINDS = ("default", "linear", "llama3")


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of a decoder.

    Attributes:
        family: one of `FAMILIES`.
        vocab_size: of the output head.
        hidden_size: of a hidden state.
        layers: how many.
        heads: of queries.
        kv_heads: of keys and values, each shared by heads // kv_heads heads of queries.
        head_size: of a query, key or value.
        epsilon: what RMS norms add to the mean square.
        frequencies: of the rotary embedding, in radians per position, [head_size // 2].
        tied: whether the output head is the embedding.
        max_positions: of the longest text that it was made for.
        end_ids: the tokens that end a text.
    """

    family: str
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    epsilon: float
    frequencies: tuple[float, ...]
    tied: bool
    max_positions: int
    end_ids: tuple[int, ...]


def unsupported(config: JsonObject) -> str:
    """Return why the OpenVINO engine cannot run a model with this `config.json`; empty where it can."""
    family = config.get("model_type")
    if family not in FAMILIES:
        return f"the family {family!r} is unknown to it"
    if config.get("quantization_config"):
        return "its weights are quantized"
    if config.get("hidden_act", "silu") != "silu":
        return f"it has the activation {config['hidden_act']!r}"
    layers = config.get("layer_types") or ()
    if config.get("use_sliding_window") or any(kind != "full_attention" for kind in layers):
        return "it has a sliding window"
    rotary = _rotary(config)
    if _rotary_kind(rotary) not in _ROTARY_KINDS or rotary.get("partial_rotary_factor", 1) != 1:
        return f"it has rotary embeddings of the kind {_rotary_kind(rotary)!r}"
    return ""


def config_from_dict(values: JsonObject) -> DecoderConfig:
    """Return the shape that `dataclasses.asdict` made an object of."""
    lists = {name: tuple(values[name]) for name in ("frequencies", "end_ids")}
    return DecoderConfig(**{**values, **lists})


def config_from_json(config: JsonObject) -> DecoderConfig:
    """Return the shape that a `config.json` describes.

    Raises:
        BaseModelError: a model that this engine cannot run; the message says why.
        KeyError, TypeError, ValueError: a damaged file.
    """
    reason = unsupported(config)
    if reason:
        raise BaseModelError(f"The engine openvino cannot run this model: {reason}. Use --engine pytorch.")
    family, hidden, heads = str(config["model_type"]), int(config["hidden_size"]), int(config["num_attention_heads"])
    size = int(config.get("head_dim") or (128 if family == "qwen3" else hidden // heads))
    end = config.get("eos_token_id")
    return DecoderConfig(
        family=family,
        vocab_size=int(config["vocab_size"]),
        hidden_size=hidden,
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_size=size,
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        frequencies=tuple(_frequencies(_rotary(config), size).tolist()),
        tied=bool(config.get("tie_word_embeddings", False)),
        max_positions=int(config.get("max_position_embeddings", 2048)),
        end_ids=tuple(end) if isinstance(end, list) else () if end is None else (int(end),),
    )


def config_from_gguf(file: GGUFFile) -> DecoderConfig:
    """Return the shape that a GGUF file describes.

    Raises:
        BaseModelError: a model that this engine cannot run; the message says why.
        KeyError, TypeError, ValueError: a damaged file.
    """
    family = file.metadata["general.architecture"]
    # Numbers and names, as they are checked by `config_from_json`.
    own: JsonObject = {name.removeprefix(f"{family}."): value for name, value in file.metadata.items()}
    hidden, heads = own.get("embedding_length"), own.get("attention.head_count")
    config: JsonObject = {
        "model_type": family,
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "hidden_size": hidden,
        "num_hidden_layers": own.get("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": own.get("attention.head_count_kv", heads),
        "head_dim": own.get("attention.key_length"),
        "rms_norm_eps": own.get("attention.layer_norm_rms_epsilon", 1e-6),
        "rope_theta": own.get("rope.freq_base", 10000.0),
        "use_sliding_window": bool(own.get("attention.sliding_window")),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "max_position_embeddings": own.get("context_length", 2048),
        "eos_token_id": file.metadata.get("tokenizer.ggml.eos_token_id"),
    }
    scaling = own.get("rope.scaling.type", "none")
    if scaling != "none":
        config["rope_scaling"] = {"rope_type": scaling, "factor": own.get("rope.scaling.factor", 1.0)}
    if "rope_freqs.weight" in file.tensors:  # the frequencies of Llama 3, precomputed
        config["rope_scaling"] = {"rope_type": "rope_freqs.weight"}
    return config_from_json(config)


def _rotary(config: JsonObject) -> JsonObject:
    """Return the settings of the rotary embedding: transformers 5 writes them in one object, transformers 4 apart."""
    return {
        "rope_theta": config.get("rope_theta", 10000.0),
        "partial_rotary_factor": config.get("partial_rotary_factor", 1),
        **(config.get("rope_scaling") or {}),
        **(config.get("rope_parameters") or {}),
    }


def _rotary_kind(rotary: Mapping[str, object]) -> str:
    return str(rotary.get("rope_type") or rotary.get("type") or "default")


def _frequencies(rotary: JsonObject, head_size: int) -> FloatArray:
    """Return the rotary frequencies (Su et al. 2021), scaled as the model's configuration says."""
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size)
    frequencies = 1.0 / np.power(np.float32(rotary["rope_theta"]), exponents, dtype=np.float32)
    kind = _rotary_kind(rotary)
    if kind == "linear":
        frequencies = frequencies / np.float32(rotary["factor"])
    elif kind == "llama3":
        # Llama 3.1: long wavelengths are divided by the factor, short ones kept, those between interpolated.
        factor, low, high = (float(rotary[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
        context = float(rotary["original_max_position_embeddings"])
        share = np.clip((context * frequencies / (2 * np.pi) - low) / (high - low), 0, 1)
        frequencies = frequencies * share + frequencies / factor * (1 - share)
    return np.asarray(frequencies, dtype=np.float64)
