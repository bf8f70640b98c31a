from __future__ import annotations

import numpy as np
import pytest

from subjectwise.bulk.answer_rows import Answering, check_correction, correct_rows, kept_name
from subjectwise.bulk.score_rows import ScoredRow
from subjectwise.errors import DataError
from subjectwise.records import ALWAYS_ONE, Decision

LABELS = ("law", "math")
ROW = ScoredRow({"text": "What is a tort?", "n": 1}, [0.75, 0.25], 0.5)
BAD = ScoredRow({"n": 2}, error="The row has no column 'text'.")


def test_an_answer_has_the_prediction_and_the_other_columns() -> None:
    [answer, error] = Answering(LABELS, "text", ALWAYS_ONE).answers([ROW, BAD])
    assert answer == {
        "question": "What is a tort?", "label": "law", "score": 0.75, "scores": {"law": 0.75, "math": 0.25},
        "label_mass": 0.5, "n": 1,
    }  # fmt: skip
    assert error == {
        "question": None, "label": None, "score": None, "scores": None, "label_mass": None,
        "error": "The row has no column 'text'.", "n": 2,
    }  # fmt: skip


def test_the_question_stays_as_it_was_written() -> None:
    row = ScoredRow({"text": "  a\x0cb "}, [1.0, 0.0])
    assert Answering(LABELS, "text", ALWAYS_ONE).answers([row])[0]["question"] == "  a\x0cb "


def test_requested_fields() -> None:
    row = ScoredRow({"text": "a"}, [0.75, 0.25], truncated=True, explanation={"label": "law"})
    [answer] = Answering(LABELS, "text", Decision(0.9, multi_label=True), explain=True).answers([row])
    assert (answer["label"], answer["best_label"], answer["labels"]) == ("abstain", "law", [])
    assert answer["truncated"] is True and answer["explanation"] == {"label": "law"} and answer["label_mass"] is None
    [plain] = Answering(LABELS, "text", ALWAYS_ONE).answers([ROW])
    assert "truncated" not in plain and "explanation" not in plain


def test_no_column_of_the_input_vanishes_however_often_it_is_classified() -> None:
    """A gold `label` became `input_label`, and of an output classified again the first run's `label` vanished."""
    row = {"question": "a", "label": "gold", "score": 7}
    answering = Answering(LABELS, "question", ALWAYS_ONE)
    for _ in range(3):
        [row] = answering.answers([ScoredRow(row, [0.75, 0.25])])
    assert row["label"] == row["input_label"] == row["input_input_label"] == "law"
    assert row["input_input_input_label"] == "gold" and row["input_input_input_score"] == 7


def test_names_of_kept_columns_are_distinct() -> None:
    names = ["label", "input_label", "input_input_label", "labels", "input", "input_note", "note", "truncated", "error"]
    kept = [kept_name(name) for name in names]
    assert len(set(kept)) == len(names)
    assert kept[4:7] == ["input", "input_note", "note"]


def test_corrected_probabilities_decide() -> None:
    answering = Answering(LABELS, "text", ALWAYS_ONE)
    [answer, error] = answering.answers([ROW, BAD], np.array([[0.25, 0.75]]))
    assert answer["label"] == "math" and error["error"]


def test_the_correction_looks_at_all_rows_that_have_an_answer() -> None:
    rows = [ScoredRow({"text": "a"}, [0.8, 0.2]), BAD, ScoredRow({"text": "b"}, [0.6, 0.4])]
    corrected = correct_rows(iter(rows), "batch", (), 2)
    # Means 0.7 and 0.3: 0.8/0.7 against 0.2/0.3, and 0.6/0.7 against 0.4/0.3.
    np.testing.assert_allclose(corrected[:, 0], [12 / 19, 9 / 23])
    assert correct_rows(iter([]), "batch", (), 2).shape == (0, 2)
    with pytest.raises(DataError, match="single question"):
        correct_rows(iter(rows[:2]), "batch", (), 2)


def test_a_correction_is_checked_before_there_are_rows() -> None:
    check_correction("none", (), 2)
    check_correction("match", (0.5, 0.5), 2)
    with pytest.raises(DataError, match="Unknown prior correction"):
        check_correction("best", (), 2)
    with pytest.raises(DataError, match="subjectwise calibrate"):
        check_correction("match", (), 2)


def test_the_header_where_there_are_no_rows() -> None:
    columns = ["question", "label", "n"]
    assert Answering(LABELS, "question", ALWAYS_ONE).header(columns) == [
        "question", "label", "score", "scores", "label_mass", "input_label", "n",
    ]  # fmt: skip
    full = Answering(LABELS, "question", Decision(0.5, multi_label=True), explain=True).header(["question"])
    assert full == [
        "question", "label", "score", "scores", "label_mass", "best_label", "labels", "entropy", "explanation",
    ]  # fmt: skip
