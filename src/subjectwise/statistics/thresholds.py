"""The decision rule: abstain below a threshold, or give several labels when unsure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subjectwise.records import ABSTAIN, ALWAYS_ONE, BY_FAST, BY_MODEL, Decision, Prediction, Question, Scored
from subjectwise.types import BoolArray, FloatArray, IntArray
from subjectwise.utils.optional_dependencies import require

# Edges of the five bands of normalised entropy, from certain to uncertain; LLM routers use the same.
BANDS = (0.2, 0.4, 0.6, 0.8)

# Accuracies whose thresholds are fitted at the end of training.
TARGETS = (0.95, 0.99)

# The probability that a threshold does not keep its promise on new rows of the same origin.
RISK = 0.05

_STEPS = 100  # thresholds that are tested, and the coverages of which tests start
_STARTS = 5


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


def find_threshold(
    confidence: FloatArray,
    correct: BoolArray,
    target: float,
    risk: float = RISK,
    weights: FloatArray | None = None,
) -> float | None:
    """Return a threshold above which at least the share `target` of answers is right, not only on these rows.

    On new rows of the same origin the promise is kept with probability 1 - `risk`: of 100 validation sets, 95 give a
    threshold that keeps it. This is selection with guaranteed risk (Geifman and El-Yaniv 2017): each threshold is
    tested by the exact binomial test of its accuracy against `target`, whose rejection is the lower Clopper-Pearson
    bound reaching it, and the lowest threshold that passes is returned. Testing many is paid for by the fallback
    procedure (Wiens 2003): in the order of coverage a test that is passed hands its share of `risk` to the next one.
    Half of `risk` is spent first where, by the model's own confidence, passing is most likely; the other half is spread
    over coverages of 20, 40 … 100 %, in case that confidence misleads.

    Rows of unequal weights count as many as their effective number is, (sum of weights)² / sum of squares (Kish 1965).

    Args:
        confidence: the probability of each answer, [rows].
        correct: whether it is right, [rows].
        target: an accuracy.
        risk: the probability that the promise is not kept.
        weights: of the rows, [rows]; None for equal ones.

    Returns:
        A confidence, or None where none can be promised: with too few rows (59 that are all right are the fewest for
        0.95, 299 for 0.99), or where the model is not that accurate.
    """
    binom = require("scipy.stats", "evaluate").binom

    order = np.argsort(-confidence, kind="stable")
    ranked, weighed = confidence[order], (np.ones(len(order)) if weights is None else weights)[order]
    total, squares = np.cumsum(weighed), np.cumsum(weighed**2)
    # 1) The thresholds to test: about every hundredth row, with all rows of equal confidence.
    ends = np.ceil(len(order) * np.arange(1, _STEPS + 1) / _STEPS).astype(np.int64)
    answered = np.unique(np.searchsorted(-ranked, -ranked[ends - 1], side="right"))
    last = answered - 1
    # 2) How surprising that many right answers would be, were the accuracy just below the target.
    effective = np.floor(total[last] ** 2 / squares[last] + 1e-9)
    hits = np.floor(effective * np.cumsum(weighed * correct[order])[last] / total[last] + 1e-9)
    p_values = binom.sf(hits - 1, effective, target)
    # 3) Lower and lower thresholds, as long as the tests are passed.
    stated = np.cumsum(weighed * ranked)[last] / total[last]
    shares = _risk_shares(stated, effective, answered, target, risk)
    threshold, carried = None, 0.0
    for rows, p_value, share in zip(answered, p_values, shares, strict=True):
        level = carried + share
        passed = level > 0 and p_value <= level
        carried = level if passed else 0.0
        if passed:
            threshold = float(ranked[rows - 1])
    return threshold


def _risk_shares(
    stated: FloatArray, effective: FloatArray, answered: IntArray, target: float, risk: float
) -> FloatArray:
    """Return the share of `risk` that each test has of its own, [tests]; it depends on no label.

    A test that is failed even if every answer is right has none.

    Args:
        stated: the mean confidence of the rows of each test, [tests].
        effective: their effective number, [tests].
        answered: their number, [tests]; of the last test all rows.
        target: an accuracy.
        risk: to share.
    """
    shares = np.zeros(len(answered))
    possible = target**effective <= risk
    if not possible.any():
        return shares
    # How far the stated accuracy lies above the target, in standard errors.
    excess = (stated - target) * np.sqrt(effective)
    shares[np.argmax(np.where(possible, excess, -np.inf))] = risk / 2
    coverages = np.ceil(answered[-1] * np.arange(1, _STARTS + 1) / _STARTS)
    starts = np.unique(np.searchsorted(answered, coverages))
    starts = starts[possible[starts]]
    shares[starts] += risk / 2 / len(starts)
    return shares


def find_thresholds(
    confidence: FloatArray,
    correct: BoolArray,
    targets: Sequence[float] = TARGETS,
    weights: FloatArray | None = None,
) -> dict[str, float]:
    """Return `find_threshold` for each target, under its name as in "0.95"; without targets out of reach."""
    thresholds = {f"{target:g}": find_threshold(confidence, correct, target, weights=weights) for target in targets}
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
                answered_by="" if scored.by_fast is None else BY_FAST if scored.by_fast[number] else BY_MODEL,
            )
        )
    return predictions
