"""How a predictor answers questions as people type them: accuracy and changed labels under seeded noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from subjectwise.evaluation.report_schema import NoiseResult
from subjectwise.records import Question
from subjectwise.statistics import metrics
from subjectwise.statistics.intervals import proportion_interval
from subjectwise.statistics.significance import accuracy_difference
from subjectwise.text.typing_noise import levels_of, perturb_questions
from subjectwise.types import FloatArray, IntArray


def robustness(
    predict: Callable[[Sequence[Question]], FloatArray],
    questions: Sequence[Question],
    truth: IntArray,
    clean: FloatArray,
    kinds: Sequence[str],
    seed: int,
) -> dict[str, list[NoiseResult]]:
    """Measure a predictor under noise: one result per kind and level.

    Args:
        predict: returns probabilities, [questions, labels].
        questions: without noise.
        truth: the index of each question's label, [questions].
        clean: the probabilities without noise, [questions, labels].
        kinds: of noise.
        seed: of the noise.

    Raises:
        DataError: an unknown kind of noise.
    """
    before = clean.argmax(axis=1)
    results: dict[str, list[NoiseResult]] = {kind: [] for kind in kinds}
    for kind in kinds:
        for level in levels_of(kind):
            noisy = predict(perturb_questions(questions, kind, level, seed))
            after = noisy.argmax(axis=1)
            results[kind].append(
                NoiseResult(
                    level=level,
                    accuracy=proportion_interval(int((after == truth).sum()), len(truth)),
                    change=accuracy_difference(noisy, clean, truth),
                    labels_kept=proportion_interval(int((after == before).sum()), len(truth)),
                    nll=metrics.nll(noisy, truth),
                )
            )
    return results
