"""How a classifier is pickled: by its model folder, as scikit-learn's estimators are by their numbers."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from subjectwise.models.folder_bytes import read_bytes, write_bytes
from subjectwise.models.model_folder import shipped_folder
from subjectwise.models.zero_shot import ZeroShot

# What is loaded again.
_LOADED = ("_scorer", "_writer", "_kept")


class PickledByFolder(ABC):
    """A pickle has the settings and where the model is, or its files where its folder is temporary; never the base."""

    _folder: Path | None = None
    _kept: tempfile.TemporaryDirectory[str] | None = None
    _zero_shot: ZeroShot | None = None
    _base: str = ""
    _spelling: str | None = None  # in place of what the folder says

    @abstractmethod
    def _load(self, folder: Path, base: str | None) -> None:
        """Load a model folder on a base."""

    @abstractmethod
    def _load_zero_shot(self, zero_shot: ZeroShot) -> None:
        """Load labels on an untrained base."""

    def __getstate__(self) -> dict[str, object]:
        state = {key: value for key, value in self.__dict__.items() if key not in _LOADED}
        if self._kept is not None and self._folder is not None:
            state["_files"] = read_bytes(self._folder)
        elif self._folder is not None:  # the shipped folder may be elsewhere where the pickle is read
            state["_folder"] = None if self._folder == shipped_folder() else self._folder.absolute()
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        files, folder = state.pop("_files", None), state.pop("_folder", None)
        self.__dict__.update(state)
        classes = self.__dict__.get("classes_")  # with the values that `fit` was given
        if self._zero_shot is not None:
            self._load_zero_shot(self._zero_shot)
        elif isinstance(files, dict):
            kept = tempfile.TemporaryDirectory(prefix="subjectwise-")
            write_bytes(Path(kept.name) / "model", files)
            self._load(Path(kept.name) / "model", self._base)
            self._kept = kept
        elif classes is not None:
            self._load(folder if isinstance(folder, Path) else shipped_folder(), self._base)
        if classes is not None:
            self.__dict__["classes_"] = classes
