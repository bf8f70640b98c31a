"""A file or stream of questions in, answers out: chunk by chunk, or into a file by a run that can be interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from subjectwise.bulk.answer_rows import Answering, correct_rows, make_answering
from subjectwise.bulk.score_rows import BulkCounts, BulkOptions, chunks, open_input, score_rows
from subjectwise.bulk.unfinished_run import UnfinishedRun
from subjectwise.bulk.write_answers import check_output_format, write_answers
from subjectwise.data.table_formats import is_stream
from subjectwise.errors import DataError, OutputError
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.statistics.calibration import check_prior_correction
from subjectwise.types import FloatArray, Progress, Row
from subjectwise.utils.atomic_files import check_new, new_file


def check_request(path: Path, output: Path | None, options: BulkOptions, csv_encoding: str = "utf-8") -> int | None:
    """Refuse what cannot be done before a model is loaded for it; return the number of rows where it is known.

    Raises:
        DataError: the input is missing, cannot be read, or has no such column; or a prior is to be corrected without
            an output file.
        OutputError: the output exists, or has an unknown format.
    """
    check_prior_correction(options.prior_correction, 0)
    if output is None:
        _refuse_correction(options)
    else:
        check_output_format(output, csv_encoding)
        if output.exists():
            # What a run left that was killed at its very end is removed with the lock.
            with suppress(OutputError), UnfinishedRun(output).locked():
                pass
        check_new(output)
    return None if is_stream(path) else open_input(path, options).row_count


def classify_rows(
    classifier: QuestionClassifier, path: Path, options: BulkOptions = BulkOptions(), counts: BulkCounts | None = None
) -> Iterator[list[Row]]:
    """Yield the answers to the rows of `path`, in their order, one chunk at a time.

    An answer is the prediction's fields and every other column of its row. Without a prior correction, which needs all
    rows at once; see `classify_file`.

    Args:
        classifier: which answers.
        path: of a TXT, JSONL, CSV or parquet file, or a stream; "-" for standard input.
        options: how rows are read and answered.
        counts: to which each chunk is added.

    Raises:
        DataError: the input cannot be read; or a row has no answer, and `options.keep_going` is off.
    """
    _refuse_correction(options)
    source = open_input(path, options)
    answering = make_answering(classifier, source.question_column, options)
    for rows in score_rows(classifier, source, options):
        if counts:
            counts.add(rows)
        yield answering.answers(rows)


def classify_file(
    classifier: QuestionClassifier,
    path: Path,
    output: Path,
    options: BulkOptions = BulkOptions(),
    *,
    run: Mapping[str, object],
    csv_encoding: str = "utf-8",
    on_progress: Progress | None = None,
) -> BulkCounts:
    """Classify the rows of `path` into `output`, a JSONL, CSV or parquet file by its extension.

    An interrupted run continues where it stopped, when the same command is given again.

    Args:
        classifier: which answers.
        path: as for `classify_rows`.
        output: a new file.
        options: how rows are read and answered.
        run: what else must be the same for an interrupted run to continue; see `model_identity`.
        csv_encoding: of a CSV file: utf-8, or utf-8-sig with the byte order mark that Excel needs.
        on_progress: called after each chunk with the number of its rows.

    Raises:
        OutputError: the output exists, has an unknown format, cannot be written, or has the part of another run.
        DataError: the input cannot be read; or a row has no answer, and `options.keep_going` is off.
    """
    check_output_format(output, csv_encoding)
    unfinished = UnfinishedRun(output)
    with unfinished.locked():
        check_new(output)
        # 1) Score all rows into the part. Decisions and corrections come later, and may change between two attempts.
        source = open_input(path, options)
        answering = make_answering(classifier, source.question_column, options)
        columns = {"question_column": source.question_column, "options_column": source.options_column}
        depends_on = {**run, **columns, "with_options": options.shows_options, "explain": options.explain}
        counts = unfinished.resume(source, depends_on, options.keep_going)
        if counts.rows and on_progress:
            on_progress(counts.rows)
        for rows in unfinished.append(score_rows(classifier, source, options)):
            counts.add(rows)
            if on_progress:
                on_progress(len(rows))
        # 2) Make answers of them.
        corrected: FloatArray | None = None
        if options.prior_correction != "none":
            corrected = correct_rows(
                unfinished.rows(), options.prior_correction, classifier.prior, len(answering.labels)
            )
        with new_file(output) as temporary:
            write_answers(
                partial(_answers, unfinished, answering, corrected), temporary, output.suffix.lower(),
                answering.header(source.header), answering.labels, csv_encoding,
            )  # fmt: skip
            unfinished.finish()
        unfinished.remove()
    return counts


def _refuse_correction(options: BulkOptions) -> None:
    """Raise DataError where answers are wanted before all rows are known, on which they would depend."""
    if options.prior_correction != "none":
        raise DataError("--prior-correction needs --output: the mix of subjects is estimated over all rows.")


def _answers(unfinished: UnfinishedRun, answering: Answering, corrected: FloatArray | None) -> Iterator[Row]:
    """Yield the answers to all scored rows."""
    used = 0
    for rows in chunks(unfinished.rows()):
        count = sum(not row.error for row in rows)
        yield from answering.answers(rows, None if corrected is None else corrected[used : used + count])
        used += count
