"""The decision rule: abstain below a threshold, or give several labels when unsure. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subjectwise.records import ABSTAIN, ALWAYS_ONE, Decision, Prediction, Question, Scored
from subjectwise.statistics.metrics import risk_coverage
from subjectwise.types import FloatArray, IntArray

# Edges of the five bands of normalised entropy, from certain to uncertain; LLM routers use the same.
BANDS = (0.2, 0.4, 0.6, 0.8)

# Accuracies whose thresholds are fitted at the end of training.
TARGETS = (0.95, 0.99)


def normalised_entropy(probabilities: FloatArray) -> FloatArray:
    """Return entropy as a share of the highest possible, [rows], 0 (certain) to 1 (all labels equally likely)."""
    safe = np.maximum(probabilities, 1e-300)
    entropy = -(probabilities * np.log(safe)).sum(axis=1)
    return np.asarray(np.clip(entropy / np.log(probabilities.shape[1]), 0, 1))


def entropy_band(entropy: FloatArray) -> IntArray:
    """Return the band of each normalised entropy, [rows], 0 (below 0.2) to 4 (0.8 and above)."""
    return np.asarray(np.searchsorted(BANDS, entropy, side="right"))


def likely_labels(probabilities: FloatArray) -> list[IntArray]:
    """Return for each row the indices of its likely labels, best first: one more per band of entropy."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    counts = np.minimum(1 + entropy_band(normalised_entropy(probabilities)), probabilities.shape[1])
    return [row[:count] for row, count in zip(ranked, counts, strict=True)]


def find_threshold(probabilities: FloatArray, truth: IntArray, target: float) -> float | None:
    """Return the lowest threshold whose selective accuracy is at least `target`; None where none reaches it."""
    reached = [point for point in risk_coverage(probabilities, truth) if point.accuracy >= target]
    return reached[-1].threshold if reached else None


def find_thresholds(probabilities: FloatArray, truth: IntArray, targets: Sequence[float] = TARGETS) -> dict[str, float]:
    """Return `find_threshold` for each target, under its name as in "0.95"; without targets out of reach."""
    thresholds = {f"{target:g}": find_threshold(probabilities, truth, target) for target in targets}
    return {name: threshold for name, threshold in thresholds.items() if threshold is not None}


def decide(
    questions: Sequence[Question], scored: Scored, labels: Sequence[str], decision: Decision = ALWAYS_ONE
) -> list[Prediction]:
    """Make predictions of probabilities.

    Args:
        questions: which were scored.
        scored: their probabilities.
        labels: names of the columns.
        decision: when to abstain, and whether to give several labels.

    Raises:
        DataError: as for `Decision.check`.
    """
    if not len(questions):
        return []
    decision.check(labels, scored.in_scope is not None)
    probabilities = scored.probabilities
    likely, entropy = likely_labels(probabilities), normalised_entropy(probabilities)
    predictions = []
    for number, (question, row) in enumerate(zip(questions, probabilities, strict=True)):
        best, score = labels[int(row.argmax())], float(row.max())
        in_scope = None if scored.in_scope is None else float(scored.in_scope[number])
        abstains = score < decision.min_confidence or (in_scope is not None and in_scope < decision.min_in_scope)
        several = decision.multi_label and not abstains
        predictions.append(
            Prediction(
                question=question.text,
                label=ABSTAIN if abstains else best,
                score=score,
                scores=dict(zip(labels, map(float, row), strict=True)),
                label_mass=None if scored.label_mass is None else float(scored.label_mass[number]),
                best_label=best if decision.may_abstain else "",
                labels=tuple(labels[index] for index in likely[number]) if several else (),
                entropy=float(entropy[number]) if decision.multi_label else None,
                truncated=scored.truncated is not None and bool(scored.truncated[number]),
                in_scope=in_scope,
            )
        )
    return predictions
