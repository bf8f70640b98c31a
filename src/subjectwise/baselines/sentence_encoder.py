"""A frozen sentence-transformers model: from texts to embeddings. Knows no labels.

Weights are read as safetensors only; no pickle is loaded or downloaded, no remote code trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subjectwise.errors import BaseModelError
from subjectwise.models.devices import choose_device
from subjectwise.types import FloatArray, Progress
from subjectwise.utils.atomic_files import files_sha256
from subjectwise.utils.hub_download import local_folder
from subjectwise.utils.optional_dependencies import require

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"

# The other formats of the same weights, and any code, are not downloaded.
_WANTED_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
_BATCH = 64


@dataclass(frozen=True)
class EncoderInfo:
    """What a baseline keeps of its encoder, to recognise it: its name as given, hash of the weights, width."""

    name: str
    sha256: str
    size: int


class SentenceEncoder:
    """Embeds texts, each scaled to length 1; a text longer than the model reads loses its end.

    Args:
        name: a folder, or a name on the Hub, which is then downloaded; "" for `DEFAULT_ENCODER`.
        device: `auto`, or a PyTorch device.

    Raises:
        SubjectwiseError: sentence-transformers is not installed; the message has the command that installs it.
        BaseModelError: the encoder is missing, unreachable, not in a safe format or needs code of its own.
    """

    def __init__(self, name: str = "", device: str = "auto") -> None:
        library = require("sentence_transformers", "baselines")
        name = name or DEFAULT_ENCODER
        chosen = choose_device(device)
        folder = local_folder(name, "encoder", _WANTED_FILES, BaseModelError)
        weights = _check_weights(folder, name)
        try:
            self._model: Any = library.SentenceTransformer(
                str(folder),
                device=str(chosen),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
        # Readers of tokenizers and weights raise plain Exception and their own kinds.
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise BaseModelError(f"Cannot load {name} as a sentence-transformers model: {text}") from error
        self.info = EncoderInfo(name, files_sha256(weights), int(self._model.get_embedding_dimension()))

    def encode(self, texts: Sequence[str], on_progress: Progress | None = None) -> FloatArray:
        """Return embeddings, [texts, size]; `on_progress` is called after each batch with the number of its texts."""
        # In float64, since a logistic regression fitted in float32 changes with the embeddings' last bits.
        vectors = np.zeros((len(texts), self.info.size))
        # Longest first: similar lengths share a batch, and what does not fit into memory fails at once.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            vectors[rows] = self._model.encode(
                [texts[i] for i in rows], batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
            )
            if on_progress:
                on_progress(len(rows))
        return vectors


def _check_weights(folder: Path, name: str) -> list[Path]:
    """Return the safetensors files; raise BaseModelError where a part of the model has only a pickle, or nothing."""
    weights = sorted(folder.rglob("*.safetensors"))
    safe = {file.parent for file in weights}
    for file in sorted(folder.rglob("pytorch_model*.bin")):
        if file.parent not in safe:
            raise BaseModelError(f"The encoder {name} has {file.name}, a pickle, which is not loaded; use safetensors.")
    if not weights:
        raise BaseModelError(f"The encoder {name} has no weights; it needs *.safetensors.")
    return weights
