"""A file of questions in, a file of answers out, as a run that continues after an interruption.

Answers are collected as JSON lines in `.OUTPUT.part.jsonl`, which becomes the output at the end. What that part
belongs to (input, model, settings) is kept beside it, so that no run continues with another's answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from subjectwise.bulk.answer_rows import BulkOptions, classify_rows, json_line
from subjectwise.bulk.write_answers import write_csv, write_parquet
from subjectwise.errors import OutputError
from subjectwise.records import QuestionClassifier
from subjectwise.types import JsonObject, Progress
from subjectwise.utils.atomic_files import check_new, new_file, read_json, write_json, writing

OUTPUT_FORMATS = (".jsonl", ".csv", ".parquet")


def classify_file(
    classifier: QuestionClassifier,
    path: Path,
    output: Path,
    options: BulkOptions = BulkOptions(),
    *,
    run: Mapping[str, object],
    on_progress: Progress | None = None,
) -> int:
    """Classify the rows of `path` into `output` (JSONL, CSV or parquet by its extension); return their number.

    Args:
        classifier: which answers.
        path: as for `classify_rows`.
        output: a new file.
        options: how rows are read and answered.
        run: what else must be the same for an interrupted run to continue: model, settings.
        on_progress: called after each chunk with the number of its rows.

    Raises:
        OutputError: the output exists, has an unknown format, cannot be written, or another run left its part there.
        DataError: the input cannot be read.
    """
    suffix = output.suffix.lower()
    if suffix not in OUTPUT_FORMATS:
        raise OutputError(f"Cannot write {output}: unknown format. Use one of {', '.join(OUTPUT_FORMATS)}.")
    check_new(output)
    part = output.with_name(f".{output.name}.part.jsonl")
    note = output.with_name(f".{output.name}.part.json")
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    done = _open_part(part, note, {"input": _identity(path), **asdict(options), **run})
    if done and on_progress:
        on_progress(done)
    with writing(part), part.open("a", encoding="utf-8") as stream:
        for answers in classify_rows(classifier, path, options, skip=done):
            stream.writelines(map(json_line, answers))
            stream.flush()
            os.fsync(stream.fileno())
            done += len(answers)
            if on_progress:
                on_progress(len(answers))
    with writing(output):
        if suffix == ".jsonl":
            part.replace(output)
        else:
            with new_file(output) as temporary:
                (write_csv if suffix == ".csv" else write_parquet)(part, temporary)
            part.unlink()
        note.unlink(missing_ok=True)
    return done


def _identity(path: Path) -> list[object]:
    """Return what tells an input from another: path, size and time. Standard input is taken on trust."""
    if str(path) == "-" or not path.is_file():
        return [str(path)]
    facts = path.stat()
    return [str(path.absolute()), facts.st_size, facts.st_mtime_ns]


def _open_part(part: Path, note: Path, run: JsonObject) -> int:
    """Return the number of whole answers that an earlier run of the same kind left; cut off a half-written one."""
    with writing(part):
        if not part.is_file():
            write_json(note, run)
            return 0
    if not note.is_file() or read_json(note, OutputError) != json.loads(json.dumps(run)):
        raise OutputError(
            f"{part} was left by a run with another input, model or setting; remove it, or use another --output."
        )
    done = whole = 0
    with part.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                break
            done += 1
            whole += len(line)
    with writing(part):
        os.truncate(part, whole)
    return done
