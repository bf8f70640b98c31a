"""The estimators of the baselines, and their scores. Knows inputs and label indices; no questions and no files.

An input is a text for `majority` and `tfidf-svm`, an embedding for `minilm-lr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.types import FloatArray, IntArray
from subjectwise.utils.optional_dependencies import require

MAJORITY = "majority"
TFIDF_SVM = "tfidf-svm"
MINILM_LR = "minilm-lr"
KINDS = (MAJORITY, TFIDF_SVM, MINILM_LR)

FOLDS = 5

Inputs = npt.NDArray[Any]


class Estimator(Protocol):
    """The part of a scikit-learn classifier that every baseline has; it scores by log-probabilities or by margins."""

    def fit(self, X: Inputs, y: IntArray) -> Estimator:
        """Fit to inputs and the indices of their labels."""
        ...


def check_kind(kind: str, kinds: Sequence[str] = KINDS) -> None:
    """Raise DataError for an unknown kind of baseline."""
    if kind not in kinds:
        raise DataError(f"Unknown baseline {kind!r}; choose one of {', '.join(kinds)}.")


def fit_estimator(kind: str, inputs: Inputs, truth: IntArray, seed: int) -> Estimator:
    """Fit a scikit-learn classifier of `kind`; `truth` must have every label."""
    require("sklearn", "baselines")
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    estimator: Estimator
    if kind == MAJORITY:
        estimator = DummyClassifier(strategy="prior")
    elif kind == TFIDF_SVM:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        # Within words: as accurate on MMLU-Pro's validation rows as across them, in half of the time.
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        estimator = make_pipeline(make_union(words, characters), LinearSVC(random_state=seed))
    else:
        # C = 3 has the lowest validation NLL of 1, 3, 10 and 30, on many rows and on few.
        estimator = LogisticRegression(C=3.0, max_iter=2000, random_state=seed)
    try:
        return estimator.fit(inputs, truth)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        raise DataError("Cannot fit: the questions have no words of two letters or more.") from error


def raw_scores(estimator: Estimator, inputs: Inputs) -> FloatArray:
    """Return scores, [inputs, labels], that a temperature turns into probabilities: log-probabilities or margins."""
    if hasattr(estimator, "predict_log_proba"):
        return np.asarray(estimator.predict_log_proba(inputs), dtype=np.float64)
    margins = np.asarray(getattr(estimator, "decision_function")(inputs), dtype=np.float64)  # noqa: B009
    # For two labels scikit-learn returns the second one's margin alone.
    return margins if margins.ndim == 2 else np.stack([-margins, margins], axis=1)


def out_of_fold_scores(
    kind: str, inputs: Inputs, truth: IntArray, groups: IntArray, labels: LabelSet, *, folds: int = FOLDS, seed: int
) -> FloatArray:
    """Return raw scores of each row by an estimator that has seen no row of its group, [inputs, labels].

    Raises:
        DataError: a label has too few groups for every fold to train on it.
    """
    StratifiedGroupKFold = require("sklearn.model_selection", "baselines").StratifiedGroupKFold

    def refuse(label: int) -> None:
        name = labels.names[label]
        raise DataError(
            f"The label {name!r} has too few different questions for {folds} folds; add rows of it or use fewer folds."
        )

    for label in range(len(labels)):
        if len(np.unique(groups[truth == label])) < folds:
            refuse(label)
    scores = np.zeros((len(truth), len(labels)))
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for train, scored in splitter.split(np.zeros(len(truth)), truth, groups):
        if missing := set(range(len(labels))) - set(map(int, truth[train])):
            refuse(min(missing))
        scores[scored] = raw_scores(fit_estimator(kind, inputs[train], truth[train], seed), inputs[scored])
    return scores
