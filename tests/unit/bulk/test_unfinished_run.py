from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from helpers.bulk import QUESTIONS, beside, run_file, write_lines
from helpers.fake_classifier import FakeClassifier
from subjectwise.bulk import score_rows as module
from subjectwise.bulk.score_rows import BulkCounts, BulkOptions, InputRows, ScoredRow, open_input
from subjectwise.bulk.unfinished_run import UnfinishedRun, model_identity
from subjectwise.errors import DataError, OutputError
from subjectwise.labels import LabelSet

OPTIONS = BulkOptions()
ROWS = [ScoredRow({"question": text, "n": number}, [0.5, 0.5], 0.0) for number, text in enumerate(QUESTIONS[:9])]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "in.jsonl", [row.cells for row in ROWS])


def opened(source: Path) -> InputRows:
    return open_input(source, OPTIONS)


def left(
    output: Path, rows: list[ScoredRow], source: Path, depends_on: dict[str, object] | None = None
) -> UnfinishedRun:
    """Write what a run leaves that was stopped after `rows`."""
    run = UnfinishedRun(output)
    run.resume(opened(source), depends_on or {}, keep_going=True)
    assert [len(chunk) for chunk in run.append(iter([rows]))] == [len(rows)]
    return run


def test_rows_are_read_back_as_they_were_written(tmp_path: Path, source: Path) -> None:
    rows = [
        *ROWS[:3],
        ScoredRow({"question": "é\u2028"}, [0.1, 0.9], None, truncated=True, replaced=True, explanation={"a": [1]}),
        ScoredRow({}, error="line 4 is not JSON."),
    ]
    assert list(left(tmp_path / "out.csv", rows, source).rows()) == rows
    assert list(UnfinishedRun(tmp_path / "none.csv").rows()) == []


@pytest.mark.parametrize(("written", "kept"), [(0, 0), (3, 0), (4, 4), (7, 4), (8, 8), (9, 8)])
def test_whole_chunks_are_kept(tmp_path: Path, source: Path, written: int, kept: int) -> None:
    """The rows of a chunk are scored together, so that those of half a chunk are scored again with the rest."""
    run = left(tmp_path / "out.csv", ROWS[:written], source)
    with (tmp_path / ".out.csv.part.jsonl").open("a") as stream:
        stream.write('{"cells": {"half a li')
    rows = opened(source)
    assert run.resume(rows, {}, keep_going=False) == BulkCounts(rows=kept)
    assert list(run.rows()) == ROWS[:kept]
    assert next(rows.rows).cells["n"] == kept, "the rows that were scored are read"


def test_what_a_run_depends_on(tmp_path: Path, source: Path) -> None:
    left(tmp_path / "out.csv", ROWS[:4], source, {"model": "one", "explain": False})
    changes: list[tuple[dict[str, object], str]] = [
        ({"model": "two", "explain": False}, "differs in model"),
        ({"model": "one", "explain": True}, "differs in explain"),
        ({"explain": False}, "differs in model"),
    ]
    for depends_on, part in changes:
        with pytest.raises(OutputError, match=f"out.csv.part.jsonl was left by a run that {part}. Remove it to begin"):
            UnfinishedRun(tmp_path / "out.csv").resume(opened(source), depends_on, keep_going=False)
    (tmp_path / ".out.csv.part.json").unlink()
    with pytest.raises(OutputError, match="was left by a run that differs"):
        UnfinishedRun(tmp_path / "out.csv").resume(opened(source), {}, keep_going=False)
    (tmp_path / ".out.csv.part.jsonl").unlink()
    counts = UnfinishedRun(tmp_path / "out.csv").resume(opened(source), {}, keep_going=False)
    assert counts == BulkCounts(), "as the advice says"


@pytest.mark.parametrize("written", [0, 3])
def test_a_part_without_a_whole_chunk_never_blocks(tmp_path: Path, source: Path, written: int) -> None:
    left(tmp_path / "out.csv", ROWS[:written], source, {"model": "one"})
    counts = UnfinishedRun(tmp_path / "out.csv").resume(opened(source), {"model": "two"}, keep_going=False)
    assert counts == BulkCounts()


def test_the_rows_must_be_those_that_were_scored(tmp_path: Path, source: Path) -> None:
    left(tmp_path / "out.csv", ROWS[:8], source)
    cells = [row.cells for row in ROWS]
    corrected = [*cells[:8], {"question": "corrected", "n": 8}, {"question": "more"}]
    counts = UnfinishedRun(tmp_path / "out.csv").resume(opened(write_lines(source, corrected)), {}, keep_going=False)
    assert counts.rows == 8
    changes: list[tuple[list[object], int]] = [
        ([*cells[:5], {"question": "another", "n": 5}, *cells[6:]], 6),
        ([*cells[:5], {**cells[5], "n": "5"}, *cells[6:]], 6),
        ([*cells[:7]], 8),
        ([cells[0], "{", *cells[2:]], 2),
    ]
    for rows, number in changes:
        with pytest.raises(OutputError, match=rf"by a run on another input \(row {number} differs\)"):
            UnfinishedRun(tmp_path / "out.csv").resume(opened(write_lines(source, rows)), {}, keep_going=True)


def test_a_noted_row_stops_a_run_that_does_not_keep_going(tmp_path: Path, source: Path) -> None:
    write_lines(source, [ROWS[0].cells, "{", {"question": ""}, ROWS[3].cells])
    rows = [ROWS[0], ScoredRow({}, error="line 2 is not JSON: Expecting property name enclosed in double quotes.")]
    rows += [ScoredRow({"question": ""}, error="The question is empty."), ROWS[3]]
    left(tmp_path / "out.csv", rows, source)
    counts = UnfinishedRun(tmp_path / "out.csv").resume(opened(source), {}, keep_going=True)
    assert counts == BulkCounts(rows=4, unanswered=2)
    with pytest.raises(DataError, match="in.jsonl, line 2 is not JSON: .* Use --keep-going to note it and go on"):
        UnfinishedRun(tmp_path / "out.csv").resume(opened(source), {}, keep_going=False)


def _hold(output: Path, held: object, release: object) -> None:
    with UnfinishedRun(output).locked():
        held.set()  # type: ignore[attr-defined]
        release.wait(60)  # type: ignore[attr-defined]


def test_a_second_run_on_the_same_output_is_refused(tmp_path: Path) -> None:
    """It answered 608 rows twice, and took the other's part away."""
    output = tmp_path / "deep/out.csv"
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(output, held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(OutputError, match="Another run is writing .*out.csv; wait until it ends"):
            run_file(FakeClassifier(), write_lines(tmp_path / "in.jsonl", [{"text": "a"}]), output)
        assert not output.exists()
    finally:
        release.set()
        other.join(60)
    assert other.exitcode == 0 and beside(output) == []
    assert run_file(FakeClassifier(), tmp_path / "in.jsonl", output).rows == 1


def test_the_lock_of_a_killed_run_does_not_block(tmp_path: Path) -> None:
    (tmp_path / ".out.csv.lock").touch()
    with UnfinishedRun(tmp_path / "out.csv").locked():
        assert (tmp_path / ".out.csv.lock").exists()
    assert beside(tmp_path / "out.csv") == []


def test_what_is_left_of_a_finished_run_is_removed(tmp_path: Path, source: Path) -> None:
    """As where it was killed between giving the output its name and removing the part."""
    output = tmp_path / "out.csv"
    run = left(output, ROWS[:4], source)
    run.finish()
    assert UnfinishedRun(output).resume(opened(source), {}, keep_going=False).rows == 4, "until it has its name"
    run.finish()
    output.touch()
    with UnfinishedRun(output).locked():
        assert beside(output) == [".out.csv.lock"]
    left(output, ROWS[:4], source)
    with UnfinishedRun(output).locked():
        assert len(beside(output)) == 3, "an output of other origin says nothing of the run"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"), UnfinishedRun(tmp_path / "file/out.csv").locked():
        pass


def test_the_identity_of_a_model_is_its_weights_and_its_calibration() -> None:
    def identity(classifier: FakeClassifier, name: str = "m", base: str = "") -> dict[str, object]:
        return model_identity(classifier, name, base, "auto", "pytorch")

    class Recalibrated(FakeClassifier):
        @property
        def description_sha256(self) -> str:
            return "recalibrated"

    class Untrained(FakeClassifier):
        @property
        def description_sha256(self) -> str:
            return ""

    class Described(Untrained):
        labels = LabelSet(("law", "math", "physics"), {"law": "of courts"})

    assert identity(FakeClassifier()) == identity(FakeClassifier(), "the/same/elsewhere")
    assert identity(FakeClassifier()) != identity(FakeClassifier("two"))
    assert identity(FakeClassifier()) != identity(Recalibrated())
    assert identity(FakeClassifier()) != identity(FakeClassifier(), base="another")
    assert identity(Untrained()) != identity(Untrained(), "another"), "a model without hashes is known by its name"
    assert identity(Untrained()) != identity(Described()), "descriptions are part of the prompt"
