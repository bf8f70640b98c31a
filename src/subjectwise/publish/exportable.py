"""How a classifier is saved, uploaded and exported: from its model folder, or from its labels and base."""

from __future__ import annotations

import shutil
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from subjectwise.errors import ModelFolderError
from subjectwise.models.model_folder import remove_base_path
from subjectwise.models.pickled_by_folder import PickledByFolder
from subjectwise.utils.atomic_files import new_folder
from subjectwise.utils.optional_dependencies import require

if TYPE_CHECKING:
    from subjectwise.publish.export import Export
    from subjectwise.publish.hub import Upload


class Exportable(PickledByFolder):
    """A classifier as a model folder, here or on the Hub, and as one plain artifact for other engines."""

    @abstractmethod
    def _check_fitted(self) -> None:
        """Raise NotFittedError where there is no model."""

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model folder to a new `folder`, whole or not at all."""
        self._check_fitted()
        if self._folder is None:
            raise ModelFolderError("Cannot save a zero-shot classifier; train one with fit, or 'subjectwise train'.")
        from subjectwise.publish.model_card import write_card

        with new_folder(Path(folder)) as temporary:
            shutil.copytree(self._folder, temporary, dirs_exist_ok=True)
            if remove_base_path(temporary):
                write_card(temporary)

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool = True,
        commit_message: str = "",
        token: str | None = None,
        dry_run: bool = False,
    ) -> Upload:
        """Upload the model folder in one commit to a repository on the Hub, which is created where it is missing.

        Args:
            name: of the repository, such as `user/model`.
            private: whether a new repository is private.
            commit_message: "" for a default.
            token: to write with; None for that of `hf auth login` or HF_TOKEN.
            dry_run: return what would be uploaded, and send nothing.

        Returns:
            The files, their size, and the address of the commit.

        Raises:
            ModelFolderError: a zero-shot classifier, or a folder without a card.
            OutputError: the name is not valid, the Hub cannot be reached, or it refuses the upload.
        """
        from subjectwise.publish.hub import plan_upload, push

        with tempfile.TemporaryDirectory(prefix="subjectwise-") as kept:
            folder = Path(kept) / "model"
            self.save_pretrained(folder)
            if dry_run:
                return plan_upload(folder, name)
            return push(folder, name, private=private, message=commit_message, token=token)

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
