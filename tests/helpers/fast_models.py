"""Small fast models, fitted to the rows of the tiny models."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.tiny_models import make_rows
from subjectwise.labels import LabelSet
from subjectwise.models.fast_model import FastModel
from subjectwise.records import OUT_OF_SCOPE, Example, Question
from subjectwise.text.hashed_features import FeatureSpace
from subjectwise.training.fit_fast_model import FastSettings, calibrate_fast_model, fit_fast_model

SMALL = FastSettings(FeatureSpace(2**10, 2**11), vocabulary_bits=2**12)

SMALL_TALK = ["hello there", "thank you so much", "ok bye then", "good morning my friend", "how are you", "hi hi hi"]


def examples() -> list[Example]:
    """Return the rows of the tiny models, and requests of no label."""
    rows = [Example(str(row["question_id"]), Question(row["question"]), row["category"]) for row in make_rows()]
    return rows + [Example(text, Question(text), OUT_OF_SCOPE, kind="talk") for text in SMALL_TALK]


def tiny_fast_model(rows: Sequence[Example] | None = None) -> FastModel:
    """Return a fast model that knows these rows, and is calibrated on every other one."""
    import numpy as np

    rows = examples() if rows is None else rows
    labels = LabelSet.from_names(row.label for row in rows if row.label != OUT_OF_SCOPE)
    fitted = fit_fast_model(rows[::2], labels, SMALL)
    return calibrate_fast_model(fitted, rows[1::2], np.ones(len(rows[1::2])))
