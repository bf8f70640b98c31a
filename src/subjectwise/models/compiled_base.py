"""A base for the OpenVINO engine, any adapter merged: its compiled decoder and its tokenizer. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from subjectwise.errors import BaseModelError
from subjectwise.models.base_files import BaseFiles, base_files
from subjectwise.models.base_info import BaseInfo
from subjectwise.models.lora import WEIGHTS_FILE, read_adapter, weight_changes
from subjectwise.models.tokenizer import read_gguf_tokenizer, read_tokenizer
from subjectwise.types import Tokenizer
from subjectwise.utils.atomic_files import file_sha256, read_json
from subjectwise.utils.cache_folder import known_sha256

if TYPE_CHECKING:
    from subjectwise.engines.openvino.compiled_decoder import CompiledDecoder
    from subjectwise.engines.openvino.decoder_config import DecoderConfig
    from subjectwise.engines.openvino.weights import DecoderWeights


CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class CompiledBase:
    """A base that is ready to answer.

    Attributes:
        decoder: compiled, any adapter merged.
        files: where its weights are.
        info: what a model folder keeps of it.
    """

    decoder: CompiledDecoder
    files: BaseFiles
    info: BaseInfo

    def tokenizer(self) -> Tokenizer:
        """Load the base's own tokenizer; raise BaseModelError where it is missing or damaged."""
        return base_tokenizer(self.files.path)


def load_compiled_base(
    name: str,
    *,
    dtype: str = "auto",
    revision: str | None = None,
    adapter: Path | None = None,
    check: Callable[[BaseFiles], None] = lambda files: None,
) -> CompiledBase:
    """Compile a base for this machine's CPU, or read back what was compiled before.

    Args:
        name: as for `load_base`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        revision: a commit, branch or tag on the Hub.
        adapter: a folder with an adapter to merge into it.
        check: raises an error where these files are not what is wanted, before they are compiled.

    Raises:
        BaseModelError: the base is missing, damaged, or of a family that this engine cannot run.
        ModelFolderError: the adapter is not plain LoRA, or is damaged.
    """
    from subjectwise.engines.openvino.compiled_decoder import CompiledDecoder

    files = base_files(name, revision)
    check(files)
    changed = known_sha256(adapter / WEIGHTS_FILE) if adapter and (adapter / WEIGHTS_FILE).is_file() else ""
    scale = f":{(adapter / 'adapter_config.json').read_text(encoding='utf-8')}" if adapter and changed else ""
    # Equal weights may have another shape by their configuration, which a GGUF file has within.
    shape = file_sha256(files.path / CONFIG_FILE) if files.path.is_dir() else ""
    decoder = CompiledDecoder(f"{files.sha256}:{shape}", changed + scale, partial(_read, files.path, adapter), dtype)
    return CompiledBase(decoder, files, _info(name, files, decoder.config))


def read_base_info(name: str, files: BaseFiles) -> BaseInfo:
    """Return what a model folder keeps of a base, from its files, without compiling it."""
    return _info(name, files, _read(files.path, None).config)


def _info(name: str, files: BaseFiles, config: DecoderConfig) -> BaseInfo:
    sha256 = "" if files.revision else files.sha256
    return BaseInfo(name, files.revision, sha256, config.hidden_size, config.vocab_size)


def base_tokenizer(path: Path) -> Tokenizer:
    """Load the tokenizer of a base, from its folder or GGUF file; raise BaseModelError where it is damaged."""
    return read_tokenizer(path) if path.is_dir() else read_gguf_tokenizer(path)


def unsupported_base(files: BaseFiles) -> str:
    """Return why the OpenVINO engine cannot run a base; empty where it can.

    Raises:
        BaseModelError: its configuration is missing or damaged.
    """
    from subjectwise.engines.openvino.decoder_config import FAMILIES, unsupported

    if files.path.is_dir():
        return unsupported(read_json(files.path / CONFIG_FILE, BaseModelError))
    with files.path.open("rb") as stream:
        start = stream.read(4096)
    # The first key of a GGUF file is its architecture: a name, the type 8, a length and the text.
    name = b"general.architecture"
    position = start.find(name) + len(name) + 4
    length = int.from_bytes(start[position : position + 8], "little")
    family = start[position + 8 : position + 8 + length].decode(errors="replace") if name in start else ""
    return "" if family in FAMILIES else f"the family {family!r} is unknown to it"


def _read(path: Path, adapter: Path | None) -> DecoderWeights:
    from subjectwise.engines.openvino.weights import read_weights

    return read_weights(path, weight_changes(read_adapter(adapter)) if adapter else None)
