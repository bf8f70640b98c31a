"""Rows in memory are trained on as scikit-learn gives them; what cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from subjectwise.classifier import Classifier
from subjectwise.errors import DataError


def test_bad_training_data(tiny_base: Path) -> None:
    estimator = Classifier(settings=(f"base={tiny_base}",))
    with pytest.raises(DataError, match="2 questions for 1 labels"):
        estimator.fit(["a", "b"], ["law"])
    with pytest.raises(DataError, match="at least two labels"):
        estimator.fit(["a", "b"], ["law", "law"])
    with pytest.raises(DataError, match="Cannot divide the rows for validation"):
        estimator.fit(["a", "b", "c"], ["law", "law", "art"])
    with pytest.raises(DataError, match="validation_share"):
        Classifier(validation_share=0.9).fit(["a"], ["law"])
