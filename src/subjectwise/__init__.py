"""Classify questions by subject, with calibrated probabilities, by a small language model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subjectwise.baselines.cascade import Cascade as Cascade
    from subjectwise.classifier import Classifier as Classifier
    from subjectwise.errors import SubjectwiseError as SubjectwiseError
    from subjectwise.labels import LabelSet as LabelSet
    from subjectwise.records import Prediction as Prediction
    from subjectwise.records import Question as Question

# Names are loaded when they are first used: `import subjectwise` must not wait for torch.
_HOMES = {
    "Cascade": "baselines.cascade",
    "Classifier": "classifier",
    "LabelSet": "labels",
    "Prediction": "records",
    "Question": "records",
    "SubjectwiseError": "errors",
}

__all__ = ["Cascade", "Classifier", "LabelSet", "Prediction", "Question", "SubjectwiseError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("subjectwise")
    if name in _HOMES:
        return getattr(import_module(f"subjectwise.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'subjectwise' has no attribute {name!r}")
