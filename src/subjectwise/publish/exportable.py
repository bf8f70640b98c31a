"""How a classifier is exported: from its model folder, or from its labels and base."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from subjectwise.errors import ModelFolderError
from subjectwise.models.pickled_by_folder import PickledByFolder
from subjectwise.utils.optional_dependencies import require

if TYPE_CHECKING:
    from subjectwise.publish.export import Export


class Exportable(PickledByFolder):
    """A classifier as one plain artifact for other engines."""

    @abstractmethod
    def _check_fitted(self) -> None:
        """Raise NotFittedError where there is no model."""

    def export(self, folder: Path | str, to: str = "transformers", *, dtype: str = "float32") -> Export:
        """Write a plain sequence-classification model with this classifier's probabilities, for other engines.

        Args:
            folder: new, written whole or not at all.
            to: `transformers` (which vLLM reads too), `onnx` or `openvino`.
            dtype: of the stored weights, as for `export_model`.

        Raises:
            SubjectwiseError: as for `export_model`.
        """
        require("torch", "export")
        from subjectwise.publish.export import export_model

        self._check_fitted()
        source = self._folder or self._zero_shot
        if source is None:
            raise ModelFolderError("Cannot export: this classifier has no model folder; load one, or train one.")
        base = self._base if self._folder and Path(self._base).exists() else None
        return export_model(source, Path(folder), to, base=base, dtype=dtype)
