"""From probabilities to an answer: abstain below a threshold, or give several labels when unsure. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from subjectwise.errors import DataError
from subjectwise.metrics import IntArray, risk_coverage
from subjectwise.records import FloatArray, Prediction, Question

ABSTAIN = "abstain"

# Edges of the five bands of normalised entropy, from sure to lost; LLM routers use the same.
BANDS = (0.2, 0.4, 0.6, 0.8)

# Accuracies whose thresholds are found at the end of training.
TARGETS = (0.95, 0.99)


@dataclass(frozen=True)
class Decision:
    """How an answer is made of probabilities.

    Attributes:
        min_confidence: below this probability the answer is `abstain`; 0 for always an answer.
        multi_label: give more labels the higher the band of entropy, from one in the lowest to five.
    """

    min_confidence: float = 0.0
    multi_label: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise DataError(f"The minimum confidence is {self.min_confidence}; it must be from 0 to 1.")

    def check_labels(self, labels: Sequence[str]) -> None:
        """DataError where an abstention could not be told from a label."""
        if self.min_confidence and ABSTAIN in labels:
            raise DataError(
                f"{ABSTAIN!r} is one of the labels, so that it cannot say that there is no answer; rename it."
            )


ALWAYS_ONE = Decision()


def normalised_entropy(probabilities: FloatArray) -> FloatArray:
    """Entropy as a share of the highest possible, [rows], 0 (sure) to 1 (every label equally likely)."""
    safe = np.maximum(probabilities, 1e-300)
    entropy = -(probabilities * np.log(safe)).sum(axis=1)
    return np.asarray(np.clip(entropy / np.log(probabilities.shape[1]), 0, 1))


def entropy_band(entropy: FloatArray) -> IntArray:
    """The band of each normalised entropy, [rows], 0 (below 0.2) to 4 (0.8 and above)."""
    return np.asarray(np.searchsorted(BANDS, entropy, side="right"))


def likely_labels(probabilities: FloatArray) -> list[IntArray]:
    """For each row the positions of its likely labels, best first: one more a band of entropy."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    counts = np.minimum(1 + entropy_band(normalised_entropy(probabilities)), probabilities.shape[1])
    return [row[:count] for row, count in zip(ranked, counts, strict=True)]


def find_threshold(probabilities: FloatArray, truth: IntArray, target: float) -> float | None:
    """The lowest confidence from which on the rows are right at least the share `target`; None where there is none."""
    reached = [point for point in risk_coverage(probabilities, truth) if point.accuracy >= target]
    return reached[-1].threshold if reached else None


def find_thresholds(probabilities: FloatArray, truth: IntArray, targets: Sequence[float] = TARGETS) -> dict[str, float]:
    """`find_threshold` for each target, under its name as in "0.95"; targets out of reach are left out."""
    found = {f"{target:g}": find_threshold(probabilities, truth, target) for target in targets}
    return {name: threshold for name, threshold in found.items() if threshold is not None}


def decide(
    questions: Sequence[Question],
    probabilities: FloatArray,
    labels: Sequence[str],
    decision: Decision = ALWAYS_ONE,
    label_mass: FloatArray | None = None,
) -> list[Prediction]:
    """The answer to each question from its row of `probabilities`, [questions, labels]."""
    if not len(questions):
        return []
    likely, entropy = likely_labels(probabilities), normalised_entropy(probabilities)
    found = []
    for number, (question, row) in enumerate(zip(questions, probabilities, strict=True)):
        best, score = labels[int(row.argmax())], float(row.max())
        abstains = score < decision.min_confidence
        several = decision.multi_label and not abstains
        found.append(
            Prediction(
                question=question.text,
                label=ABSTAIN if abstains else best,
                score=score,
                scores=dict(zip(labels, map(float, row), strict=True)),
                label_mass=None if label_mass is None else float(label_mass[number]),
                best_label=best if decision.min_confidence else "",
                labels=tuple(labels[place] for place in likely[number]) if several else (),
                entropy=float(entropy[number]) if decision.multi_label else None,
            )
        )
    return found
