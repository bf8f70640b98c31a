"""Base models in PyTorch, by name: a Hub name, a folder, a GGUF file or the embedded default.

Loads safetensors and GGUF only; no pickle, no remote code. Knows no prompts, and of labels their names alone.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch

from subjectwise.engines.pytorch.onednn import limit_caches
from subjectwise.errors import BaseModelError
from subjectwise.models.base_files import local_base
from subjectwise.models.base_info import BaseInfo
from subjectwise.models.devices import choose_device, choose_dtype
from subjectwise.models.gguf import EMBEDDED, converted_gguf
from subjectwise.types import LanguageModel, Tokenizer

DOCUMENTED_BASE = "Qwen/Qwen3-0.6B"

FOUR_BIT_INSTALL = "pip install 'subjectwise[qlora]'"

_CAUSAL_LM = "a causal language model"


@dataclass(frozen=True)
class Base:
    """A loaded base: a causal language model, or one with a classification head; its tokenizer and what it is.

    Attributes:
        model: on its device.
        tokenizer: of the base.
        info: what a model folder keeps of it.
        precision: what it computes in: that of its weights, or that of autocast where those are float32.
        new: names of the weights that the checkpoint lacks and that were drawn at random, such as a head's.
    """

    model: LanguageModel
    tokenizer: Tokenizer
    info: BaseInfo
    precision: torch.dtype = torch.float32
    new: tuple[str, ...] = ()


def load_base(
    name: str = EMBEDDED,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str | None = None,
    revision: str | None = None,
    labels: Sequence[str] = (),
    float32_weights: bool = False,
    four_bit: bool = False,
) -> Base:
    """Load a base model and its tokenizer.

    Args:
        name: `embedded`, a folder with safetensors, a GGUF file, or a name on the Hub (which is then downloaded).
        device: `auto`, or a PyTorch device such as `cpu` or `cuda:0`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        attention: the attention implementation, as transformers names it; None for the model's own choice.
        revision: a commit, branch or tag on the Hub.
        labels: of a classification head, which a decoder or an encoder then has; none for a causal language model.
        float32_weights: keep a decoder's weights in float32, as an encoder's always are; `dtype` is for autocast.
        four_bit: quantize a decoder's linear layers to NF4, to train an adapter on them (QLoRA, Dettmers et al. 2023);
            embeddings, norms and the output or classification head stay as they are. `dtype` is what it computes in.

    Raises:
        BaseModelError: it is missing, unreachable, of another kind than requested, or not in a safe format.
    """
    limit_caches()
    chosen = choose_device(device)
    precision = choose_dtype(chosen, dtype)
    options: dict[str, Any] = {"revision": revision} if revision else {}
    with _one_sentence(name, "one that takes a classification head" if labels else _CAUSAL_LM):
        path, sha256 = _local_folder(name)
        config = _read_config(str(path) if path else name, labels, options)
        _check_kind(config, name, bool(labels))
        weights = torch.float32 if labels and (float32_weights or is_encoder(config)) else precision
        options |= {"config": config, "dtype": weights, "attn_implementation": attention}
        if four_bit:
            options |= _four_bit_options(name, config, chosen, precision)
        model, tokenizer, new = _load_folder(str(path) if path else name, bool(labels), options)
    _ensure_padding(model, tokenizer)
    if four_bit:
        _keep_gradients(model)
    config = model.config.get_text_config()
    info = BaseInfo(
        name=name,
        revision=str(getattr(model.config, "_commit_hash", None) or ""),
        sha256=sha256,
        hidden_size=int(config.hidden_size),
        vocab_size=int(config.vocab_size),
    )
    return Base(model.to(chosen), tokenizer, info, precision, new)


def is_encoder(config: object) -> bool:
    """Return whether a model of this configuration reads the whole text at once, and cannot continue it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

    return type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)


def _check_kind(config: Any, name: str, with_head: bool) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise BaseModelError(f"{name} is an encoder-decoder; use a decoder, or an encoder with a head.")
    if is_encoder(config) and not with_head:
        raise BaseModelError(
            f"{name} is an encoder, which cannot continue a text; train a head on it with the recipe 'head'."
        )
    classifies = any("SequenceClassification" in kind for kind in config.architectures or ())
    if classifies and not with_head:
        raise BaseModelError(f"{name} has a classification head and cannot continue a text; give the base of it.")


def _four_bit_options(name: str, config: object, device: torch.device, precision: torch.dtype) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    if is_encoder(config):
        raise BaseModelError(
            f"{name} is an encoder, and only decoders are loaded in 4 bits; set lora.quantize to none."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BaseModelError(f"A base in 4 bits needs bitsandbytes; run: {FOUR_BIT_INSTALL}")
    # It warns that a kernel for inference is missing, which training does not use.
    getLogger("bitsandbytes.backends.cpu.ops").setLevel(ERROR)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=precision,
    )
    return {"quantization_config": settings, "device_map": {"": str(device)}}


def _keep_gradients(model: LanguageModel) -> None:
    """Keep bitsandbytes from repacking weights for faster inference on a CPU, through which no gradient flows back.

    Validation comes before training continues, and the repacked weights would stay.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _read_config(name: str, labels: Sequence[str], options: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(name, trust_remote_code=False, **options)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
        config.problem_type = "single_label_classification"
    return config


def _local_folder(name: str) -> tuple[Path | None, str]:
    """Return the folder to load `name` from and the hash of its weights; None and "" for a Hub name."""
    files = local_base(name)
    if files is None:
        return None, ""
    return files.path if files.path.is_dir() else converted_gguf(files.path)[0], files.sha256


def _load_folder(name: str, with_head: bool, options: dict[str, Any]) -> tuple[Any, Any, tuple[str, ...]]:
    """Return the model, the tokenizer and the names of weights missing from the checkpoint."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    revision = {"revision": options["revision"]} if "revision" in options else {}
    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **revision)
    options = options | {"trust_remote_code": False, "use_safetensors": True}
    if not with_head:
        return AutoModelForCausalLM.from_pretrained(name, **options), tokenizer, ()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # a new head is expected here
    try:
        # A head for other labels is replaced by a new one.
        options |= {"ignore_mismatched_sizes": True, "output_loading_info": True}
        model, loading = AutoModelForSequenceClassification.from_pretrained(name, **options)
    finally:
        logging.set_verbosity(verbosity)
    changed = [item[0] for item in loading["mismatched_keys"]]
    return model, tokenizer, tuple(sorted({*loading["missing_keys"], *changed}))


def _ensure_padding(model: LanguageModel, tokenizer: Tokenizer) -> None:
    """Set a pad token, which PEFT and `generate` need of the saved folder; scoring itself needs none."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id


@contextmanager
def _one_sentence(name: str, wanted: str = _CAUSAL_LM) -> Iterator[None]:
    """Raise one sentence in place of what transformers and the Hub client raise."""
    try:
        yield
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, EOFError, struct.error) as error:
        text = " ".join(str(error).split())
        if "Unrecognized configuration class" in text or ("model type" in text and "not" in text):
            raise BaseModelError(f"{name} is not {wanted} that transformers knows.") from error
        if "offline" in text.lower() or "couldn't connect" in text or "HF_HUB_OFFLINE" in text:
            raise BaseModelError(
                f"{name} is not in the local cache and the Hub cannot be reached; give a folder, or use {EMBEDDED!r}."
            ) from error
        raise BaseModelError(f"Cannot load the base {name}: {text[:300]}") from error
