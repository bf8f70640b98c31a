from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.bulk import write_lines
from helpers.fake_classifier import FakeClassifier
from helpers.faults import FAULTS
from subjectwise.bulk import score_rows as module
from subjectwise.bulk.score_rows import BulkCounts, BulkOptions, ScoredRow, open_input, score_rows
from subjectwise.errors import DataError, QuestionError

KEEP_GOING = BulkOptions(keep_going=True)


def scored(path: Path, options: BulkOptions = KEEP_GOING, classifier: FakeClassifier | None = None) -> list[ScoredRow]:
    source = open_input(path, options)
    return [row for rows in score_rows(classifier or FakeClassifier(), source, options) for row in rows]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)


def test_rows_are_scored_in_their_order(small_chunks: None, tmp_path: Path) -> None:
    batches: list[int] = []
    classifier = FakeClassifier(on_score=lambda texts: batches.append(len(texts)))
    path = write_lines(tmp_path / "q.jsonl", [{"text": f"question {number}", "n": number} for number in range(10)])
    rows = scored(path, classifier=classifier)
    assert [row.cells["n"] for row in rows] == list(range(10)) and batches == [4, 4, 2]
    assert rows[7].probabilities == FakeClassifier().score(["question 7"]).probabilities[0].tolist()


def test_the_column_is_the_same_for_the_whole_input(small_chunks: None, tmp_path: Path) -> None:
    """In a later chunk that lacks it, another usual name was read in its place, silently."""
    rows = [*({"text": f"question {n}", "prompt": "be brief"} for n in range(6)), {"prompt": "be brief", "n": 6}]
    path = write_lines(tmp_path / "q.jsonl", rows)
    with pytest.raises(DataError, match="q.jsonl, row 7: The row has no column 'text'. Use --keep-going"):
        scored(path, BulkOptions())
    assert [row.error for row in scored(path)] == ["", "", "", "", "", "", "The row has no column 'text'."]


def test_the_column_is_found_in_the_first_row_that_has_one(small_chunks: None, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "q.jsonl", [*["{"] * 9, {"n": 1}, {"text": "a"}, {"text": "b", "question": "c"}])
    source = open_input(path, KEEP_GOING)
    assert source.question_column == "text"
    assert [bool(row.error) for row in scored(path)] == [True] * 10 + [False] * 2
    with pytest.raises(DataError, match="q.jsonl has no column for the question; it has n. Name it with"):
        open_input(write_lines(path, [{"n": 1}]), KEEP_GOING)
    with pytest.raises(DataError, match="has no column 'frage'"):
        open_input(write_lines(path, [{"text": "a"}]), BulkOptions(question_column="frage"))


def test_rows_of_json_without_options(tmp_path: Path) -> None:
    """A first row without them ended a run with --keep-going."""
    options = BulkOptions(with_options=True)
    path = write_lines(tmp_path / "q.jsonl", [{"text": "a"}, {"text": "a", "choices": ["x", "y"]}, {"text": "a"}])
    first, second, third = scored(path, options)
    assert first.probabilities == third.probabilities != second.probabilities
    with pytest.raises(DataError, match="no column for the options"):
        open_input(write_lines(path, [{"text": "a"}]), options)


def test_options_are_read_where_there_are_any(tmp_path: Path) -> None:
    """A model that was trained to see options answers a file without them too."""
    options = BulkOptions(options_if_any=True)
    without = scored(write_lines(tmp_path / "a.jsonl", [{"text": "a"}]), options)
    first, second = scored(write_lines(tmp_path / "b.jsonl", [{"text": "a"}, {"text": "a", "choices": ["x"]}]), options)
    assert without[0].probabilities == first.probabilities != second.probabilities
    with pytest.raises(DataError, match="has no column 'wahl'"):
        open_input(tmp_path / "a.jsonl", replace(options, options_column="wahl"))


def test_a_column_without_a_name_is_not_the_options(tmp_path: Path) -> None:
    """The index that pandas writes has no name, and neither has a column that is not wanted."""
    path = tmp_path / "q.csv"
    path.write_text(",question\n0,What?\n")
    [row] = scored(path, BulkOptions())
    assert row.cells == {"": "0", "question": "What?"} and not row.error


def test_every_kind_of_row_that_cannot_be_read() -> None:
    rows = scored(FAULTS / "null.jsonl")
    assert [row.error for row in rows] == [
        "", "The question is missing.", "The question is empty; give it at least one word.",
        "The question is empty; give it at least one word.", "A question must be text, not a number.",
        "The row has no column 'question'.", "A question must be text, not a list.", "",
    ]  # fmt: skip
    assert [row.cells["n"] for row in rows] == list(range(1, 9))


@pytest.mark.parametrize(
    ("name", "message", "errors"),
    [
        ("commas.csv", "commas.csv, line 3 has 3 cells where the header has 1 columns. Use --keep-going", [1]),
        ("badquote.csv", "badquote.csv, line 3 has an opening quote that is not closed", [1]),
        ("trailing_garbage.jsonl", "trailing_garbage.jsonl, line 2 is not JSON", [1]),
        ("nan.jsonl", "nan.jsonl, row 1: The question is missing", range(0, 60, 9)),
        ("nestedq.parquet", "nestedq.parquet, row 1: A question must be text, not an object", None),
    ],
)
def test_a_row_that_cannot_be_read_stops_the_run_or_is_noted(
    name: str, message: str, errors: Sequence[int] | None
) -> None:
    with pytest.raises(DataError, match=message):
        scored(FAULTS / name, BulkOptions())
    failed = [number for number, row in enumerate(scored(FAULTS / name)) if row.error]
    assert failed and failed == list(errors if errors is not None else range(len(failed)))


def test_a_long_row_is_told_so(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "q.jsonl", [{"text": "x" * 100_000}])
    with pytest.raises(DataError) as caught:
        scored(path, BulkOptions())
    assert str(caught.value).endswith(
        "row 1: The question has 100,000 characters; the limit is 50,000. Use --keep-going to note it and go on."
    )


def failing_at(word: str, error: Exception) -> FakeClassifier:
    def fail(texts: Sequence[str]) -> None:
        if any(word in text for text in texts):
            raise error

    return FakeClassifier(on_score=fail)


@pytest.mark.parametrize("error", [QuestionError("No token for it."), RuntimeError("No token for it.")])
def test_a_row_that_cannot_be_scored_fails_for_itself_alone(tmp_path: Path, error: Exception) -> None:
    path = write_lines(tmp_path / "q.jsonl", [{"text": "one"}, {"text": "bad"}, {"text": "three"}])
    rows = scored(path, classifier=failing_at("bad", error))
    assert [bool(row.error) for row in rows] == [False, True, False] and "No token for it." in rows[1].error
    expected = DataError if isinstance(error, QuestionError) else RuntimeError
    with pytest.raises(expected, match="row 2: No token for it. Use --keep-going" if expected is DataError else "No"):
        scored(path, BulkOptions(), failing_at("bad", error))


def test_a_model_that_fails_at_every_row_stops_the_run(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "q.jsonl", [{"text": "one"}, {"text": "two"}])
    with pytest.raises(RuntimeError, match="out of memory"):
        scored(path, classifier=failing_at("", RuntimeError("out of memory")))


def test_a_row_whose_explanation_fails_is_noted(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "q.jsonl", [{"text": "one word"}, {"text": "bad idea"}])

    class Explaining(FakeClassifier):
        def explain(self, question, **settings):  # type: ignore[no-untyped-def]
            if question.text == "bad idea":
                raise QuestionError("Nothing to hide.")
            return super().explain(question, **settings)

    first, second = scored(path, BulkOptions(keep_going=True, explain=True), Explaining())
    assert first.explanation and first.explanation["question"] == "one word"
    assert second.error == "Nothing to hide." and second.probabilities is None
    with pytest.raises(DataError, match="row 2: Nothing to hide"):
        scored(path, BulkOptions(explain=True), Explaining())


def test_what_is_noted_of_a_row(tmp_path: Path) -> None:
    lines = ['{"text": "short"}', '{"text": "' + "word " * 50 + '"}', '{"text": "cut \\ud83d"}']
    rows = scored(write_lines(tmp_path / "q.jsonl", lines), BulkOptions())
    assert [(row.truncated, row.replaced) for row in rows] == [(False, False), (True, False), (False, True)]


def test_counts() -> None:
    counts = BulkCounts()
    counts.add([ScoredRow({}, [1.0, 0.0]), ScoredRow({}, error="The question is missing.")])
    counts.add([ScoredRow({}, [1.0, 0.0], truncated=True, replaced=True)])
    assert counts == BulkCounts(rows=3, unanswered=1, truncated=1, replaced=1)
