"""The contract of scikit-learn's classifiers, without importing scikit-learn: parameters, tags, not fitted yet.

scikit-learn asks an estimator by these methods (https://scikit-learn.org/stable/developers/develop.html); inheriting
from its classes would make every answer wait for its import.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, TypeVar

from subjectwise.errors import NotFittedError, RecipeError

if TYPE_CHECKING:
    from sklearn.utils import Tags

_Self = TypeVar("_Self", bound="ClassifierEstimator")


class ClassifierEstimator:
    """A classifier whose parameters are those of `__init__`, each kept as the attribute of that name."""

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the parameters by name; `deep` is for estimators within others and changes nothing here."""
        return {name: getattr(self, name) for name in _defaults(type(self))}

    def set_params(self: _Self, **params: object) -> _Self:
        """Set parameters by name.

        Raises:
            RecipeError: an unknown parameter.
        """
        known = _defaults(type(self))
        for name, value in params.items():
            if name not in known:
                raise RecipeError(f"Unknown parameter {name!r}; choose one of {', '.join(known)}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = {name: value for name, value in self.get_params().items() if value != _defaults(type(self)).get(name)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def __sklearn_tags__(self) -> Tags:
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier", target_tags=TargetTags(required=True), classifier_tags=ClassifierTags()
        )


def not_fitted(message: str) -> NotFittedError:
    """Return the error of an estimator that is not trained: scikit-learn's as well, where that is imported."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
    if theirs is None:
        return NotFittedError(message)
    error: NotFittedError = type("NotFittedError", (_EitherError, theirs), {})(message)
    return error


class _EitherError(NotFittedError):
    def __reduce__(self) -> tuple[object, ...]:
        return not_fitted, self.args  # its class is made where it is raised, and again where a pickle is read


def _defaults(estimator: type[ClassifierEstimator]) -> dict[str, object]:
    """Return the parameters of a class with their defaults, in their order."""
    parameters = inspect.signature(estimator.__init__).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.name != "self"}
