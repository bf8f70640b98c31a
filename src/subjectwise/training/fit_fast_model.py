"""Fit a fast model to labelled texts by scikit-learn, and round its weights to 8 bits. Knows no language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from subjectwise.labels import LabelSet
from subjectwise.models.fast_model import (
    FastConfig,
    FastModel,
    FastWeights,
    feature_values,
    make_vocabulary,
    scope_log_odds,
)
from subjectwise.records import Example
from subjectwise.statistics.calibration import fit_temperature
from subjectwise.statistics.fair_labels import class_indices
from subjectwise.statistics.scope import ScopeCalibration, fit_scope
from subjectwise.text.hashed_features import FeatureRows, FeatureSpace, count_features
from subjectwise.text.question_text import question_texts
from subjectwise.types import Float32Array, FloatArray
from subjectwise.utils.optional_dependencies import require

# Texts whose features are counted together.
_BATCH = 2048


@dataclass(frozen=True)
class FastSettings:
    """How a fast model is fitted. The defaults are those of the shipped model, chosen on its validation rows.

    Attributes:
        features: what is counted, and into how many buckets.
        vocabulary_bits: of the filter that knows the words of the training rows.
        C: inverse strength of the regularisation.
        seed: of the solver.
    """

    features: FeatureSpace = field(default_factory=lambda: FeatureSpace(2**16, 2**17))
    vocabulary_bits: int = 2**20
    C: float = 1.0
    seed: int = 42


def fit_fast_model(train: Sequence[Example], labels: LabelSet, settings: FastSettings | None = None) -> FastModel:
    """Fit a linear SVM, one class against the rest, to training rows; it is not calibrated yet.

    Args:
        train: each label has at least one row; rows of no label make one more class.
        labels: in the order of the columns.
        settings: of the fit.
    """
    LinearSVC = require("sklearn.svm", "train").LinearSVC
    settings = settings or FastSettings()
    space = settings.features
    truth = class_indices(train, labels, none=len(labels))
    # 1) Counts, and how rare each feature is.
    texts = question_texts([row.question for row in train])
    counted = [count_features(texts[start : start + _BATCH], space) for start in range(0, len(texts), _BATCH)]
    frequency = np.sum([np.bincount(part.bucket, minlength=space.size) for part in counted], axis=0)
    idf = (np.log((1 + len(texts)) / (1 + frequency)) + 1).astype(np.float16).astype(np.float32)
    vocabulary = make_vocabulary(np.concatenate([part.words for part in counted]), settings.vocabulary_bits)
    # 2) The fit. The dual is solved in a fraction of the primal's time where there are more features than rows.
    estimator = LinearSVC(C=settings.C, random_state=settings.seed)
    estimator.fit(_matrix(counted, idf, space), truth)
    weights, intercepts = _every_class(estimator.coef_, estimator.intercept_)
    # 3) Each class's weights in 255 steps.
    scales = np.maximum(np.abs(weights).max(axis=1), 1e-12) / 127
    rounded = np.rint(weights / scales[:, None]).astype(np.int8)
    config = FastConfig(labels.names, space, scope=ScopeCalibration() if int(truth.max()) == len(labels) else None)
    numbers = FastWeights(
        idf, np.ascontiguousarray(rounded.T), scales.astype(np.float32), intercepts.astype(np.float32), vocabulary
    )
    return FastModel(config, numbers)


def calibrate_fast_model(model: FastModel, rows: Sequence[Example], weights: FloatArray) -> FastModel:
    """Return the model with a temperature and a scope that fit validation rows.

    Args:
        model: as fitted.
        rows: that it was not fitted to.
        weights: of the rows, [rows], of mean 1.
    """
    truth = class_indices(rows, model.labels, none=len(model.labels))
    scores, _ = model.scores(question_texts([row.question for row in rows]))
    known = truth < scores.shape[1]
    temperature = fit_temperature(scores[known], truth[known], weights[known])
    config = replace(model.config, temperature=temperature)
    in_scope = truth < len(model.config.labels)
    if config.scope is not None and in_scope.any() and not in_scope.all():
        config = replace(config, scope=fit_scope(scope_log_odds(scores, temperature), in_scope, weights))
    return FastModel(config, model.weights)


def _matrix(counted: Sequence[FeatureRows], idf: Float32Array, space: FeatureSpace) -> object:
    """Return TF-IDF values as a sparse matrix, [texts, features]."""
    sparse = require("scipy.sparse", "train")
    parts = [
        sparse.csr_matrix(
            (feature_values(part, idf, space).astype(np.float64), (part.row, part.bucket)),
            shape=(part.texts, space.size),
        )
        for part in counted
    ]
    return sparse.vstack(parts, format="csr")


def _every_class(
    weights: npt.NDArray[np.float64], intercepts: npt.NDArray[np.float64]
) -> tuple[FloatArray, FloatArray]:
    """Return weights, [classes, features], and intercepts; for two classes scikit-learn has the second one's alone."""
    if len(weights) > 1:
        return weights, intercepts
    return np.concatenate([-weights, weights]), np.concatenate([-intercepts, intercepts])
