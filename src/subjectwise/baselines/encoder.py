"""A frozen sentence-transformers model: texts to embeddings. Knows no labels.

Weights are read as safetensors only; no pickle is loaded or downloaded, no remote code trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subjectwise.base_models import choose_device
from subjectwise.errors import BaseModelError, SubjectwiseError
from subjectwise.files import file_sha256
from subjectwise.records import FloatArray

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"

# The other formats of the same weights, and any code, stay where they are.
_WANTED_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_BATCH = 64


@dataclass(frozen=True)
class EncoderInfo:
    """What a baseline keeps of its encoder, to know it again: the name as asked for, hash of the weights, width."""

    name: str
    sha256: str
    size: int


class Encoder:
    """Embeds texts, each scaled to length 1; a text longer than the model reads loses its end.

    Args:
        name: a folder, or a name on the Hub, which is then downloaded; "" for `DEFAULT_ENCODER`.
        device: `auto`, or a PyTorch device.

    Raises:
        SubjectwiseError: sentence-transformers is not installed; the message has the command that brings it.
        BaseModelError: the encoder is missing, unreachable, not in a safe format or needs code of its own.
    """

    def __init__(self, name: str = "", device: str = "auto") -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise missing_library("The baseline minilm-lr", error) from error
        name = name or DEFAULT_ENCODER
        place = choose_device(device)
        folder = _find_folder(name)
        weights = _check_weights(folder, name)
        try:
            self._model: Any = SentenceTransformer(
                str(folder),
                device=str(place),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
        # Readers of tokenizers and weights raise plain Exception and their own kinds.
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise BaseModelError(
                f"{name} is not a sentence-transformers model that can be loaded safely: {text}"
            ) from error
        digest = hashlib.sha256("".join(map(file_sha256, weights)).encode()).hexdigest()
        sha256 = file_sha256(weights[0]) if len(weights) == 1 else digest
        size = self._model.get_embedding_dimension()
        self.info = EncoderInfo(name, sha256, int(size))

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """Embeddings, [texts, size]. `on_progress` is told the number of texts of each batch that is done."""
        # In float64, since a logistic regression that is fitted in float32 changes with the embeddings' last bits.
        vectors = np.zeros((len(texts), self.info.size))
        # Longest first: like lengths share a batch, and what does not fit into memory fails at once.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            vectors[rows] = self._model.encode(
                [texts[i] for i in rows], batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
            )
            if on_progress:
                on_progress(len(rows))
        return vectors


def missing_library(what: str, error: ImportError, extra: str = "baselines") -> SubjectwiseError:
    """The sentence to raise where a library of an extra is not installed."""
    return SubjectwiseError(
        f"{what} needs {error.name}; install subjectwise with the `{extra}` extra: pip install 'subjectwise[{extra}]'"
    )


def _find_folder(name: str) -> Path:
    """A folder here, or the local copy of one on the Hub."""
    path = Path(name)
    if path.is_dir():
        return path
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BaseModelError(f"There is no encoder folder {name}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise BaseModelError(
            f"There is no folder {name} here, and no encoder of that name could be brought from the Hub "
            f"({type(error).__name__}); check the name, or give a folder with --encoder."
        ) from error


def _check_weights(folder: Path, name: str) -> list[Path]:
    """The safetensors files of `folder`; BaseModelError where a part of the model has only a pickle, or nothing."""
    weights = sorted(folder.rglob("*.safetensors"))
    safe = {file.parent for file in weights}
    for file in sorted(folder.rglob("pytorch_model*.bin")):
        if file.parent not in safe:
            raise BaseModelError(f"The encoder {name} has {file.name}, a pickle, which is not loaded; use safetensors.")
    if not weights:
        raise BaseModelError(f"The encoder {name} holds no weights; it needs *.safetensors.")
    return weights
