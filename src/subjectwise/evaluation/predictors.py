"""From a predictor's name, as every command takes it, to the predictor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from subjectwise.base_models import EMBEDDED
from subjectwise.baselines.baseline import Baseline
from subjectwise.baselines.folder import is_baseline_folder
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder
from subjectwise.errors import DataError
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet, fold_label
from subjectwise.records import Example, Question

ZERO_SHOT, FEW_SHOT, BASELINE = "zero-shot", "few-shot", "baseline"


def load_predictor(
    name: str, labels: LabelSet | None, *, data: SplitFolder | None = None, with_options: bool = False, **options: Any
) -> Any:
    """A predictor by name.

    `shipped`, a folder that `subjectwise train` wrote (an adapter's or a baseline's), or a name on the Hub;
    `zero-shot:BASE` and `few-shot:BASE`, where BASE is as `load_base` takes it; `baseline:KIND` is fitted on the spot.

    Args:
        labels: of `zero-shot:BASE`, which alone asks for them.
        data: gives `few-shot:BASE` an example a label, and `baseline:KIND` the rows to learn from.
        with_options: whether `baseline:KIND` sees the answer options of its training rows.
        options: `base` (where the base of a model folder is, or the encoder of a baseline), `device`, `dtype` and
            `engine`, as `Classifier` has them.

    Raises:
        DataError: the name asks for training rows and there are none.
    """
    kind, colon, rest = name.partition(":")
    base = options.pop("base", None)
    if colon and kind in (FEW_SHOT, BASELINE) and data is None:
        raise DataError(f"{name} learns from training rows; give it a split folder, or train it first.")
    if colon and kind == BASELINE and data is not None:
        return fit_baseline(rest, data, base or "", with_options)
    if colon and kind == ZERO_SHOT and labels is not None:
        return Classifier.zero_shot(labels, base=rest, **options)
    if colon and kind == FEW_SHOT and data is not None:
        return Classifier.zero_shot(data.labels, base=rest, shots=draw_shots(data), **options)
    if is_baseline_folder(Path(name)):
        return Baseline.load(Path(name), encoder=base or "")
    return Classifier.from_pretrained(None if name == "shipped" else name, base=base, **options)


def load_for_answers(name: str, labels: LabelSet | None, **options: Any) -> Any:
    """The predictor of a name, or without one the shipped adapter; the embedded base for labels of one's own.

    Raises:
        DataError: the name is of a model that was trained on other labels than the given ones.
    """
    name = name or ("shipped" if labels is None else f"{ZERO_SHOT}:{EMBEDDED}")
    found = load_predictor(name, labels or LabelSet(MMLU_PRO_LABELS), **options)
    if labels is not None and set(map(fold_label, labels)) != set(map(fold_label, found.labels)):
        raise DataError(
            f"{name} was trained on other labels than the given ones; "
            f"use --model {ZERO_SHOT}:BASE for these, or train a model on them."
        )
    return found


def fit_baseline(kind: str, data: SplitFolder, encoder: str = "", with_options: bool = False) -> Baseline:
    """A baseline fitted on the training rows of a split folder, and calibrated on its validation rows."""
    train, held = (
        [row if with_options else replace(row, question=Question(row.question.text)) for row in data.examples(split)]
        for split in ("train", "validation")
    )
    return Baseline.fit(kind, train, held, data.labels, encoder=encoder)


def draw_shots(data: SplitFolder, seed: int = 42) -> list[Example]:
    """An example a label from the training rows, drawn with the seed among those of at most 200 characters."""
    generator = np.random.default_rng(seed)
    rows = data.examples("train")
    found = []
    for label in data.labels:
        own = [row for row in rows if row.label == label]
        short = [row for row in own if len(row.question.text) <= 200] or own
        found.append(short[int(generator.integers(len(short)))])
    return [found[place] for place in generator.permutation(len(found))]
