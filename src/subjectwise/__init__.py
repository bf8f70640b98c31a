"""Classify questions by subject, with calibrated probabilities, by a small language model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subjectwise.baselines.cascade import Cascade as Cascade
    from subjectwise.bulk.classify_frame import classify_frame as classify_frame
    from subjectwise.classifier import Classifier as Classifier
    from subjectwise.errors import BaseModelError as BaseModelError
    from subjectwise.errors import DataError as DataError
    from subjectwise.errors import ModelFolderError as ModelFolderError
    from subjectwise.errors import NotFittedError as NotFittedError
    from subjectwise.errors import OutputError as OutputError
    from subjectwise.errors import QuestionError as QuestionError
    from subjectwise.errors import RecipeError as RecipeError
    from subjectwise.errors import SubjectwiseError as SubjectwiseError
    from subjectwise.labels import LabelSet as LabelSet
    from subjectwise.predictors import load_predictor as load_predictor
    from subjectwise.question_classifier import QuestionClassifier as QuestionClassifier
    from subjectwise.recipe import Recipe as Recipe
    from subjectwise.recipe import load_recipe as load_recipe
    from subjectwise.records import Decision as Decision
    from subjectwise.records import Evidence as Evidence
    from subjectwise.records import Example as Example
    from subjectwise.records import Explanation as Explanation
    from subjectwise.records import Prediction as Prediction
    from subjectwise.records import Question as Question
    from subjectwise.records import Scored as Scored

# Names are loaded when they are first used: `import subjectwise` must wait for no library.
_HOMES = {
    "BaseModelError": "errors",
    "Cascade": "baselines.cascade",
    "Classifier": "classifier",
    "DataError": "errors",
    "Decision": "records",
    "Evidence": "records",
    "Example": "records",
    "Explanation": "records",
    "LabelSet": "labels",
    "ModelFolderError": "errors",
    "NotFittedError": "errors",
    "OutputError": "errors",
    "Prediction": "records",
    "Question": "records",
    "QuestionClassifier": "question_classifier",
    "QuestionError": "errors",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Scored": "records",
    "SubjectwiseError": "errors",
    "classify_frame": "bulk.classify_frame",
    "load_predictor": "predictors",
    "load_recipe": "recipe",
}

__all__ = [
    "BaseModelError",
    "Cascade",
    "Classifier",
    "DataError",
    "Decision",
    "Evidence",
    "Example",
    "Explanation",
    "LabelSet",
    "ModelFolderError",
    "NotFittedError",
    "OutputError",
    "Prediction",
    "Question",
    "QuestionClassifier",
    "QuestionError",
    "Recipe",
    "RecipeError",
    "Scored",
    "SubjectwiseError",
    "__version__",
    "classify_frame",
    "load_predictor",
    "load_recipe",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("subjectwise")
    if name in _HOMES:
        return getattr(import_module(f"subjectwise.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'subjectwise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
