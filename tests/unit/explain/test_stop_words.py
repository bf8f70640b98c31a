"""The stop words are scikit-learn's."""

from __future__ import annotations

from sklearn.feature_extraction import text

from subjectwise.explain.stop_words import ENGLISH_STOP_WORDS


def test_the_stop_words_are_those_of_scikit_learn() -> None:
    assert ENGLISH_STOP_WORDS == text.ENGLISH_STOP_WORDS
