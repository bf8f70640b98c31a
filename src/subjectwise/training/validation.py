"""Validation rows scored by the path that answers, and what is measured on them; each kind counts the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from subjectwise.models.label_scores import Scorer
from subjectwise.records import Example, show_options
from subjectwise.statistics import metrics
from subjectwise.statistics.calibration import apply_temperature, fit_temperature
from subjectwise.statistics.fair_labels import class_indices, fair_labels
from subjectwise.statistics.kind_weights import kind_weights
from subjectwise.types import BoolArray, FloatArray, IntArray
from subjectwise.utils.progress import progress_bar


@dataclass(frozen=True)
class ValidationScores:
    """Scores of rows whose labels are known.

    Attributes:
        log_probs: normalised over the labels, [rows, labels].
        in_scope: log-odds of any label against none, [rows]; None where the model does not have that answer.
        truth: the index of each row's label, [rows]; -1 for a request that belongs to none.
        fair: whether each label is the row's own or one as fair, [rows, labels].
        kinds: the kind of each row, [rows].
    """

    log_probs: FloatArray
    in_scope: FloatArray | None
    truth: IntArray
    fair: BoolArray
    kinds: tuple[str, ...]

    @property
    def weights(self) -> FloatArray:
        """A weight for each row, by which every kind counts the same; their mean is 1, [rows]."""
        return kind_weights(self.kinds)

    def labelled(self) -> ValidationScores:
        """Return the rows that belong to a label."""
        rows = np.flatnonzero(self.truth >= 0)
        in_scope = None if self.in_scope is None else self.in_scope[rows]
        kinds = tuple(self.kinds[row] for row in rows)
        return ValidationScores(self.log_probs[rows], in_scope, self.truth[rows], self.fair[rows], kinds)


def score_examples(
    scorer: Scorer, examples: Sequence[Example], options_shown: bool, *, progress: bool
) -> ValidationScores:
    """Score the examples, shown with or without their options."""
    labels = scorer.labels
    encoded = scorer.encode(show_options((example.question for example in examples), options_shown))
    with progress_bar("Validating", len(examples), "questions", hidden=not progress) as bar:
        scores = scorer.score(encoded, bar.update)
    truth = class_indices(examples, labels, none=-1)
    kinds = tuple(example.kind for example in examples)
    return ValidationScores(scores.log_probs, scores.in_scope, truth, fair_labels(examples, labels.names), kinds)


def join_scores(parts: Sequence[ValidationScores]) -> ValidationScores:
    """Return the scores of several parts of the rows as one."""
    in_scope = [part.in_scope for part in parts if part.in_scope is not None]
    return ValidationScores(
        np.concatenate([part.log_probs for part in parts]),
        np.concatenate(in_scope) if in_scope else None,
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.fair for part in parts]),
        tuple(kind for part in parts for kind in part.kinds),
    )


def measure_epoch(scores: ValidationScores) -> dict[str, float]:
    """Return temperature, NLL, accuracy and macro-F1, for the log of an epoch and the choice of the best one.

    The NLL is a mean over kinds. It is taken after a temperature is fitted, as it is before the model answers: a later
    epoch that is more often right and merely overconfident is the better one. Where the model has the answer for
    requests of no label, it is that of the label and of being in scope, or of being out of it.
    """
    rows = scores.labelled()
    temperature = fit_temperature(rows.log_probs, rows.truth, rows.weights)
    probabilities = apply_temperature(rows.log_probs, temperature)
    losses = np.zeros(len(scores.truth))
    losses[scores.truth >= 0] = metrics.nll_of_rows(probabilities, rows.truth)
    if scores.in_scope is not None:
        losses += np.logaddexp(0, np.where(scores.truth >= 0, -scores.in_scope, scores.in_scope))
    right = probabilities.argmax(axis=1) == rows.truth
    return {
        "temperature": temperature,
        "nll": float(np.average(losses, weights=scores.weights)),
        "accuracy": float(np.average(right, weights=rows.weights)),
        "macro_f1": metrics.macro_f1(probabilities, rows.truth),
    }
