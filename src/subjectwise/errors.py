"""Errors that a person may meet. Each message is one sentence that says what to do next.

SubjectwiseError
├── QuestionError      a question that cannot be read: empty, too long, not text
├── DataError          a file, column, label or split that cannot be used
├── RecipeError        a setting that is unknown or out of range
├── BaseModelError     a base model that is missing, unreachable or of the wrong kind
├── ModelFolderError   a model folder that is incomplete or belongs to another base
├── OutputError        an output that cannot be written
└── NotFittedError     a classifier that is not trained yet
"""


class SubjectwiseError(Exception):
    """Base of all errors that the package raises on purpose."""


class QuestionError(SubjectwiseError, ValueError):
    """A question that cannot be read."""


class DataError(SubjectwiseError, ValueError):
    """A file, column, label or split that cannot be used."""


class RecipeError(SubjectwiseError, ValueError):
    """A setting that is unknown or out of range."""


class BaseModelError(SubjectwiseError):
    """A base model that is missing, unreachable or of the wrong kind."""


class ModelFolderError(SubjectwiseError):
    """A model folder that is incomplete, damaged or made for another base."""


class OutputError(SubjectwiseError):
    """An output that cannot be written."""


class NotFittedError(SubjectwiseError, ValueError, AttributeError):
    """A classifier that is not trained yet; scikit-learn's error of that name as well, where that is imported."""
