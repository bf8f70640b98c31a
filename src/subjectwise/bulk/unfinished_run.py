"""What a run has scored so far, kept beside its output, so that the run continues after an interruption.

Scored rows are JSON lines in `.OUTPUT.part.jsonl`. `.OUTPUT.part.json` says what they depend on, and `.OUTPUT.lock` is
locked while a run writes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from subjectwise.bulk.score_rows import BulkCounts, InputRows, ScoredRow, in_whole_chunks, row_error
from subjectwise.errors import OutputError
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import read_json, remove_leftovers, write_json, writing

_FORMAT = 2
_FINISHED = "finished"


class UnfinishedRun:
    """The files of one run.

    Args:
        output: of the run.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._part = output.with_name(f".{output.name}.part.jsonl")
        self._note = output.with_name(f".{output.name}.part.json")
        self._lock = output.with_name(f".{output.name}.lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from the same output.

        Raises:
            OutputError: another run writes it, or the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self._lock)
        with writing(self._output):
            self._output.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                raise OutputError(
                    f"Another run is writing {self._output}; wait until it ends, or use another --output."
                ) from None
        try:
            if self._output.exists() and self._read_note().get(_FINISHED):
                self.remove()
            yield
        finally:
            # Removed while it is locked: whoever opened it before notices, and opens the next one.
            with suppress(OSError):
                self._lock.unlink(missing_ok=True)
            lock.release()

    def resume(self, source: InputRows, depends_on: Mapping[str, object], keep_going: bool) -> BulkCounts:
        """Return the counts of the rows that an earlier run scored, after reading as many from `source`.

        Args:
            source: whose rows must be those that were scored; what follows them may be new.
            depends_on: what else must be the same: model, columns, settings.
            keep_going: whether a row without an answer may be among them.

        Raises:
            OutputError: what is there belongs to other rows, or to another model or setting.
            DataError: a row has no answer, and `keep_going` is off.
        """
        now: JsonObject = json.loads(json.dumps({"format": _FORMAT, **depends_on}))
        counts = BulkCounts()
        if not self._whole_chunks():
            # Nothing is lost, whatever run left it.
            with writing(self._part):
                self._part.unlink(missing_ok=True)
            write_json(self._note, now)
            return counts
        before = self._read_note()
        before.pop(_FINISHED, None)
        if changed := sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key)):
            raise self._other_run(f"that differs in {', '.join(changed)}")
        for number, earlier in enumerate(self.rows(), start=1):
            row = next(source.rows, None)
            if (
                row is None
                or _text(row.cells) != _text(earlier.cells)
                or (row.problem and row.problem != earlier.error)
            ):
                raise self._other_run(f"on another input (row {number} differs)")
            if earlier.error and not keep_going:
                raise row_error(source.location, row, earlier.error)
            counts.add([earlier])
        return counts

    def _read_note(self) -> JsonObject:
        return read_json(self._note, OutputError) if self._note.is_file() else {}

    def _other_run(self, how: str) -> OutputError:
        return OutputError(f"{self._part} was left by a run {how}. Remove it to begin again, or use another --output.")

    def _whole_chunks(self) -> int:
        """Return how many rows were written in whole chunks; cut off the others.

        A chunk is scored together and rounds accordingly, so that a resumed run has to score the same chunks.
        """
        if not self._part.is_file():
            return 0
        with self._part.open("rb") as stream:
            kept = in_whole_chunks(sum(line.endswith(b"\n") for line in stream))
            stream.seek(0)
            size = sum(map(len, islice(stream, kept)))
        with writing(self._part):
            os.truncate(self._part, size)
        return kept

    def append(self, chunks: Iterator[list[ScoredRow]]) -> Iterator[list[ScoredRow]]:
        """Yield each chunk once it is on the disk."""
        with writing(self._part):
            stream = self._part.open("a", encoding="utf-8")
        with stream:
            for rows in chunks:
                with writing(self._part):
                    stream.writelines(f"{_text(_to_dict(row))}\n" for row in rows)
                    stream.flush()
                    os.fsync(stream.fileno())
                yield rows

    def rows(self) -> Iterator[ScoredRow]:
        """Yield the scored rows that are on the disk, in their order."""
        if self._part.is_file():
            with self._part.open(encoding="utf-8") as stream:
                for line in stream:
                    yield ScoredRow(**json.loads(line))

    def finish(self) -> None:
        """Note that the output is written but for its name: whatever is left once it has that may be removed."""
        write_json(self._note, {**self._read_note(), _FINISHED: True})

    def remove(self) -> None:
        """Remove the files of a run that is finished, and of those before it that were killed."""
        for path in (self._output, self._note):
            remove_leftovers(path)
        with writing(self._output):
            self._part.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)


def model_identity(classifier: QuestionClassifier, name: str, base: str, dtype: str, engine: str) -> JsonObject:
    """Return what scores depend on, apart from the rows.

    Args:
        classifier: whose weights, prompt and calibration are known by hash, where it was trained.
        name: of the model, which has to do where it was not.
        base: as it was given.
        dtype: as it was given.
        engine: as it was given.
    """
    labels = classifier.labels
    described = {"descriptions": dict(labels.descriptions), "examples": dict(labels.examples)}
    return {
        "model": [classifier.weights_sha256, classifier.description_sha256] if classifier.description_sha256 else name,
        "base": base,
        "labels": {"names": list(labels), **described},
        "dtype": dtype,
        "engine": engine,
    }


def _to_dict(row: ScoredRow) -> JsonObject:
    """Return the fields that a row has."""
    default = vars(ScoredRow({}))
    return {"cells": row.cells} | {key: value for key, value in vars(row).items() if value != default[key]}


def _text(value: object) -> str:
    """Return JSON; dates and the like, which parquet has and JSON does not, as text."""
    return json.dumps(value, ensure_ascii=False, default=str)
