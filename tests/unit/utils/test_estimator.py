"""The contract of scikit-learn's classifiers, with scikit-learn and without it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError as TheirNotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from subjectwise.errors import NotFittedError, RecipeError, SubjectwiseError
from subjectwise.utils.estimator import ClassifierEstimator, not_fitted


class Majority(ClassifierEstimator):
    """Answers the most frequent label, or the `rank`-th most frequent."""

    def __init__(self, rank: int = 0, *, words: tuple[str, ...] = ()) -> None:
        self.rank = rank
        self.words = words

    def fit(self, X: Any, y: Any) -> Majority:
        labels, counts = np.unique(y, return_counts=True)
        self.classes_ = labels
        self.label_ = labels[np.argsort(-counts)[self.rank]]
        return self

    def predict(self, X: Any) -> Any:
        self.check()
        return np.array([self.label_] * len(X))

    def score(self, X: Any, y: Any) -> float:
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def check(self) -> None:
        if not hasattr(self, "label_"):
            raise not_fitted("call fit")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "label_")


X, Y = np.array([["a"]] * 9), np.array(["yes"] * 6 + ["no"] * 3)


def test_parameters() -> None:
    estimator = Majority(1)
    assert estimator.get_params() == {"rank": 1, "words": ()} == estimator.get_params(deep=False)
    assert estimator.set_params(rank=0, words=("a",)) is estimator
    assert (estimator.rank, estimator.words) == (0, ("a",))
    with pytest.raises(RecipeError, match="Unknown parameter 'rnk'; choose one of rank, words"):
        estimator.set_params(rnk=1)
    assert repr(estimator) == "Majority(words=('a',))"


def test_scikit_learn_uses_it() -> None:
    estimator = Majority()
    assert is_classifier(estimator)
    assert get_tags(estimator).target_tags.required
    copy = clone(estimator.fit(X, Y))
    assert copy is not estimator and not hasattr(copy, "label_") and copy.get_params() == estimator.get_params()
    assert cross_val_score(Majority(), X, Y, cv=3).mean() == pytest.approx(2 / 3)
    assert GridSearchCV(Majority(), {"rank": [0, 1]}, cv=3).fit(X, Y).best_params_ == {"rank": 0}
    assert list(make_pipeline(Majority()).fit(X, Y).predict(X[:2])) == ["yes", "yes"]


def test_not_fitted_is_both_errors() -> None:
    with pytest.raises(TheirNotFittedError):
        check_is_fitted(Majority())
    for error in (TheirNotFittedError, NotFittedError, SubjectwiseError, ValueError, AttributeError):
        with pytest.raises(error, match="call fit"):
            Majority().predict(X)
    again = pickle.loads(pickle.dumps(not_fitted("call fit")))  # noqa: S301  # our own
    assert isinstance(again, TheirNotFittedError) and isinstance(again, NotFittedError)
    assert str(again) == "call fit"


def test_nothing_imports_scikit_learn() -> None:
    script = """
import sys
from subjectwise.utils.estimator import ClassifierEstimator, not_fitted

class Own(ClassifierEstimator):
    def __init__(self, size=1):
        self.size = size

assert Own(2).set_params(size=3).get_params() == {"size": 3}
assert type(not_fitted("no")).__name__ == "NotFittedError"
assert "sklearn" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
