"""Types that are named in many modules: arrays, callbacks, and the parts of transformers that this package uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Called after each batch with the number of its items.
Progress = Callable[[int], object]

# A JSON object as `json.loads` returns it; whoever reads one checks its values.
JsonObject = dict[str, Any]

# A row of a table: one value per column name.
Row = dict[str, Any]


class Tokenizer(Protocol):
    """The part of a tokenizer that this package uses: of `models.tokenizer`, or of transformers in training."""

    pad_token: str | None
    chat_template: str | None

    @property
    def bos_token(self) -> str | None:
        """The token at the beginning of a text."""
        ...

    @property
    def bos_token_id(self) -> int | None:
        """Its id."""
        ...

    @property
    def eos_token(self) -> str | None:
        """The token at the end of an answer."""
        ...

    @property
    def eos_token_id(self) -> int | None:
        """Its id."""
        ...

    @property
    def unk_token(self) -> str | None:
        """The token for what the vocabulary lacks."""
        ...

    @property
    def pad_token_id(self) -> int | None:
        """The id of the token that fills up rows."""
        ...

    def __call__(
        self, text: str | Sequence[str], *, add_special_tokens: bool = True, verbose: bool = True
    ) -> Mapping[str, Any]:
        """Tokenize one text, or several; `input_ids` has a list of ids per text."""
        ...

    def apply_chat_template(
        self, conversation: Sequence[Mapping[str, str]], *, tokenize: bool, **options: object
    ) -> str:
        """Render a conversation as one text (`tokenize=False`); `options` are variables of the template."""
        ...

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Return the text of the ids."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Return the id of each token."""
        ...

    def save_pretrained(self, save_directory: str | Path) -> object:
        """Write the tokenizer's files."""
        ...


class LanguageModel(Protocol):
    """The part of a transformers model that this package uses, with or without PEFT's wrapper."""

    config: Any
    device: torch.device
    dtype: torch.dtype

    def __call__(self, **inputs: Any) -> Any:
        """Run a forward pass."""
        ...

    def eval(self) -> Any:
        """Switch dropout off."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch dropout on."""
        ...

    def parameters(self) -> Any:
        """Iterate over the weights."""
        ...

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> Any:
        """Write weights and configuration."""
        ...

    def __getattr__(self, name: str) -> Any:
        """Modules such as `base_model` or `score`, and what PEFT adds."""
        ...
