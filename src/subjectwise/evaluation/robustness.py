"""How a predictor answers questions as people type them: accuracy and changed labels under seeded noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from subjectwise.records import Question
from subjectwise.statistics import metrics
from subjectwise.statistics.significance import paired_difference, wilson_interval
from subjectwise.text.typing_noise import levels_of, perturb_questions
from subjectwise.types import FloatArray, IntArray


def robustness(
    predict: Callable[[Sequence[Question]], FloatArray],
    questions: Sequence[Question],
    truth: IntArray,
    clean: FloatArray,
    kinds: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """For each kind of noise a row a level, the noise drawn with `seed`.

    A row has `level`; `accuracy` and `labels_kept`, the share of questions whose label is that without noise, with
    their intervals; `change`, the accuracy less that of `clean` (the probabilities without noise), paired; and `nll`.
    """
    found: dict[str, Any] = {}
    before = clean.argmax(axis=1)
    for kind in kinds:
        found[kind] = []
        for level in levels_of(kind):
            noisy = predict(perturb_questions(questions, kind, level, seed))
            after = noisy.argmax(axis=1)
            found[kind].append(
                {
                    "level": level,
                    "accuracy": asdict(wilson_interval(int((after == truth).sum()), len(truth))),
                    "change": asdict(paired_difference(noisy, clean, truth)),
                    "labels_kept": asdict(wilson_interval(int((after == before).sum()), len(truth))),
                    "nll": metrics.nll(noisy, truth),
                }
            )
    return found
