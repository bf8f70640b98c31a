from __future__ import annotations

import errno
import os
import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from helpers.bulk import QUESTIONS, beside, read_answers, run_file, write_lines
from helpers.fake_classifier import FakeClassifier
from helpers.faults import FAULTS
from subjectwise.bulk import score_rows as module
from subjectwise.bulk import write_answers as writing
from subjectwise.bulk.classify_files import check_request, classify_file, classify_rows
from subjectwise.bulk.score_rows import BulkCounts, BulkOptions
from subjectwise.errors import DataError, OutputError
from subjectwise.records import Decision

KEEP_GOING = BulkOptions(keep_going=True)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)


def stopping(after: int) -> FakeClassifier:
    """A predictor that is interrupted after so many rows."""
    scored = 0

    def interrupt(texts: Sequence[str]) -> None:
        nonlocal scored
        scored += len(texts)
        if scored > after:
            raise KeyboardInterrupt

    return FakeClassifier(on_score=interrupt)


def resumed(source: Path, output: Path, options: BulkOptions, after: int, before: BulkOptions | None = None) -> bytes:
    """Interrupt a run after so many rows, and finish it."""
    with pytest.raises(KeyboardInterrupt):
        run_file(stopping(after), source, output, before or options)
    run_file(FakeClassifier(), source, output, options)
    assert beside(output) == []
    return output.read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("how", ["none", "match", "batch"])
def test_a_resumed_run_writes_what_an_uninterrupted_one_does(
    small_chunks: None, tmp_path: Path, suffix: str, how: str
) -> None:
    """A prior corrected per chunk made the last row of a file uniform, and depended on where the run had stopped."""
    source = write_lines(tmp_path / "in.jsonl", [{"text": text, "n": n} for n, text in enumerate(QUESTIONS[:13])])
    options = BulkOptions(prior_correction=how)
    whole = tmp_path / f"whole{suffix}"
    assert run_file(FakeClassifier(), source, whole, options) == BulkCounts(rows=13)
    assert resumed(source, tmp_path / f"out{suffix}", options, 9) == whole.read_bytes()
    rows = read_answers(whole)
    assert [int(row["n"]) for row in rows] == list(range(13))
    expected = FakeClassifier().classify(QUESTIONS[:13], prior_correction=how)
    assert [row["label"] for row in rows] == [prediction.label for prediction in expected]
    if suffix == ".jsonl":
        for row, prediction in zip(rows, expected, strict=True):
            assert row["scores"] == pytest.approx(prediction.scores)


def test_the_decision_may_change_between_two_attempts(small_chunks: None, tmp_path: Path) -> None:
    """It is made of the scores at the end."""
    source = write_lines(tmp_path / "in.jsonl", [{"text": text} for text in QUESTIONS])
    final = BulkOptions(decision=Decision(0.6, multi_label=True), prior_correction="match", keep_going=True)
    run_file(FakeClassifier(), source, tmp_path / "whole.jsonl", final)
    assert resumed(source, tmp_path / "out.jsonl", final, 9, BulkOptions()) == (tmp_path / "whole.jsonl").read_bytes()


def test_a_run_belongs_to_its_model_and_its_columns(small_chunks: None, tmp_path: Path) -> None:
    """A model that was trained again in its folder finished the file of the one before, without a word."""
    source = write_lines(tmp_path / "in.jsonl", [{"text": text, "query": "b"} for text in QUESTIONS])
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_file(stopping(9), source, output)
    for classifier, options, part in [
        (FakeClassifier("two"), BulkOptions(), "model"),
        (FakeClassifier(), BulkOptions(question_column="query"), "question_column"),
        (FakeClassifier(), BulkOptions(explain=True), "explain"),
    ]:
        with pytest.raises(OutputError, match=f"was left by a run that differs in {part}. Remove it to begin again"):
            run_file(classifier, source, output, options)
    run_file(FakeClassifier(), source, output, BulkOptions(question_column="text"))
    assert len(read_answers(output)) == len(QUESTIONS)


@pytest.mark.parametrize("advice", ["--keep-going", "--question-column", "the input corrected"])
@pytest.mark.parametrize("good", [0, 6])
def test_advice_works_when_it_is_followed(small_chunks: None, tmp_path: Path, advice: str, good: int) -> None:
    """The part of the run that stopped, though empty, blocked every other."""
    rows = [{"text": text, "query": text} for text in QUESTIONS[:good]]
    source = write_lines(tmp_path / "in.jsonl", [*rows, {"text": None, "query": "c"}, {"text": "d", "query": "d"}])
    output = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=f"row {good + 1}: The question is missing. Use --keep-going to note it"):
        run_file(FakeClassifier(), source, output)
    options = BulkOptions()
    if advice == "--keep-going":
        options = KEEP_GOING
    elif advice == "the input corrected":
        write_lines(source, [*rows, {"text": "c", "query": "c"}, {"text": "d", "query": "d"}])
    else:
        options = BulkOptions(question_column="query")
        if good:  # six rows have been answered from the other column
            with pytest.raises(OutputError, match="Remove it to begin again"):
                run_file(FakeClassifier(), source, output, options)
            (tmp_path / ".out.jsonl.part.jsonl").unlink()
    counts = run_file(FakeClassifier(), source, output, options)
    assert counts == BulkCounts(rows=good + 2, unanswered=int(advice == "--keep-going"))
    assert beside(output) == []


def test_a_surrogate_does_not_stop_a_file_forever(tmp_path: Path) -> None:
    counts = run_file(FakeClassifier(), FAULTS / "surrogate_other.jsonl", tmp_path / "out.jsonl")
    assert counts == BulkCounts(rows=2, replaced=1)
    assert read_answers(tmp_path / "out.jsonl")[0]["user"] == "cut \ufffd"


def test_columns_of_mixed_types_are_written(tmp_path: Path) -> None:
    run_file(FakeClassifier(), FAULTS / "mixed_types.jsonl", tmp_path / "out.parquet")
    rows = read_answers(tmp_path / "out.parquet")
    assert [(row["id"], row["meta"]) for row in rows] == [("1", '{"a": 1}'), ("b2", "none")]
    assert all(abs(sum(row["scores"].values()) - 1) < 1e-9 for row in rows)


def test_an_output_classified_again_keeps_all_columns(tmp_path: Path) -> None:
    run_file(FakeClassifier(), FAULTS / "gold.csv", tmp_path / "first.csv")
    run_file(FakeClassifier("two"), tmp_path / "first.csv", tmp_path / "second.csv")
    first, second = read_answers(tmp_path / "first.csv"), read_answers(tmp_path / "second.csv")
    assert [row["input_label"] for row in first] == ["law", "biology"]
    assert [row["input_input_label"] for row in second] == ["law", "biology"]
    assert [row["input_input_score"] for row in second] == ["7", "9"]
    assert [row["input_label"] for row in second] == [row["label"] for row in first]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_header_without_rows_is_an_empty_result(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"out{suffix}"
    assert run_file(FakeClassifier(), FAULTS / "header_only.csv", output) == BulkCounts()
    assert read_answers(output) == [] and beside(output) == []
    if suffix == ".csv":
        assert output.read_text() == "question,label,score,scores,label_mass,input_label\n"


def test_every_row_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    counts = run_file(FakeClassifier(), FAULTS / "badquote.csv", tmp_path / "out.jsonl", KEEP_GOING)
    assert counts == BulkCounts(rows=5, unanswered=1)
    rows = read_answers(tmp_path / "out.jsonl")
    assert [row.get("id") for row in rows] == ["1", None, "3", "4", "5"]
    assert rows[1]["label"] is None and rows[1]["error"].startswith("line 3 has an opening quote")


def test_what_cannot_be_done_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    good, output = FAULTS / "gold.csv", tmp_path / "out.jsonl"
    taken = tmp_path / "taken.jsonl"
    taken.touch()
    (tmp_path / "q.xlsx").touch()
    for path, to, options, part in [
        (tmp_path / "none.csv", output, BulkOptions(), "Unknown file .*none.csv"),
        (tmp_path / "q.xlsx", output, BulkOptions(), "Cannot read .*q.xlsx: unknown format"),
        (good, tmp_path / "out.xlsx", BulkOptions(), "Cannot write .*out.xlsx: unknown format"),
        (good, taken, BulkOptions(), "already exists"),
        (good, output, BulkOptions(question_column="frage"), "has no column 'frage'"),
        (good, output, BulkOptions(with_options=True), "no column for the options"),
        (FAULTS / "semicolon.csv", output, BulkOptions(), "looks separated by semicolons; give --delimiter ';'"),
        (FAULTS / "dupcols.csv", output, BulkOptions(), "2 columns with the name 'label'"),
        (good, output, BulkOptions(prior_correction="best"), "Unknown prior correction 'best'"),
        (good, None, BulkOptions(prior_correction="batch"), "--prior-correction needs --output"),
    ]:
        with pytest.raises((DataError, OutputError), match=part):
            check_request(path, to, options)
    with pytest.raises(DataError, match="Unknown CSV encoding"):
        check_request(good, output, BulkOptions(), "latin-1")
    assert check_request(good, output, BulkOptions()) is None
    assert check_request(FAULTS / "semicolon.csv", None, BulkOptions(delimiter=";")) is None
    assert check_request(Path("-"), None, BulkOptions()) is None
    run_file(FakeClassifier(), good, tmp_path / "out.parquet")
    assert check_request(tmp_path / "out.parquet", output, BulkOptions()) == 2
    assert not output.exists()


def test_answers_on_a_stream(small_chunks: None) -> None:
    counts = BulkCounts()
    chunks = list(classify_rows(FakeClassifier(), FAULTS / "null.jsonl", KEEP_GOING, counts))
    assert [len(chunk) for chunk in chunks] == [4, 4] and counts == BulkCounts(rows=8, unanswered=6)
    with pytest.raises(DataError, match="--prior-correction needs --output"):
        list(classify_rows(FakeClassifier(), FAULTS / "null.jsonl", BulkOptions(prior_correction="batch")))


def test_an_abstention_that_is_a_label_is_refused(tmp_path: Path) -> None:
    class Abstaining(FakeClassifier):
        labels = type(FakeClassifier.labels)(("abstain", "law", "math"))

    with pytest.raises(DataError, match="Cannot abstain: 'abstain' is one of the labels"):
        run_file(Abstaining(), FAULTS / "gold.csv", tmp_path / "out.csv", BulkOptions(decision=Decision(0.5)))


def test_a_file_of_one_row_has_no_mix_of_subjects(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [{"text": "a"}])
    with pytest.raises(DataError, match="Cannot correct the prior of a single question"):
        run_file(FakeClassifier(), source, tmp_path / "out.csv", BulkOptions(prior_correction="batch"))
    run_file(FakeClassifier(), source, tmp_path / "out.csv")


def test_progress_counts_each_row_once(small_chunks: None, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [{"text": text} for text in QUESTIONS[:13]])
    with pytest.raises(KeyboardInterrupt):
        run_file(stopping(9), source, tmp_path / "out.csv")
    reported: list[int] = []
    run_file(FakeClassifier(), source, tmp_path / "out.csv", on_progress=reported.append)
    assert reported == [8, 4, 1]


def test_a_full_disk_is_one_sentence_and_leaves_what_was_scored(
    small_chunks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_lines(tmp_path / "in.jsonl", [{"text": text} for text in QUESTIONS])
    calls = 0
    fsync = os.fsync

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="Cannot write .*part.jsonl: the disk is full"):
        run_file(FakeClassifier(), source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists() and beside(tmp_path / "out.jsonl")
    run_file(FakeClassifier(), source, tmp_path / "out.jsonl")
    assert len(read_answers(tmp_path / "out.jsonl")) == len(QUESTIONS)


def test_an_existing_output_stays(tmp_path: Path) -> None:
    shutil.copy(FAULTS / "gold.csv", tmp_path / "out.csv")
    with pytest.raises(OutputError, match="already exists"):
        run_file(FakeClassifier(), FAULTS / "gold.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (FAULTS / "gold.csv").read_bytes()
    assert beside(tmp_path / "out.csv") == []


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(module, "CHUNK", 128)
    monkeypatch.setattr(writing, "ROWS_AT_ONCE", 128)
    peaks = []
    for rows in (300, 1500):
        source = write_lines(
            tmp_path / f"{rows}.jsonl", ({"question": f"What is {n % 50}?", "note": "x" * 10_000} for n in range(rows))
        )
        tracemalloc.start()
        classify_file(FakeClassifier(), source, tmp_path / f"{rows}.out{suffix}", run={})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 4_000_000, f"peaks in bytes: {peaks}; the further notes are 12,000,000"
