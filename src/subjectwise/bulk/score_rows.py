"""The rows of a file or stream, scored chunk by chunk. Knows no output file, and makes no answers yet.

What becomes of a row that cannot be read or scored is decided here: an error, or a note and the next row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from subjectwise.data.cell_values import read_question
from subjectwise.data.column_names import USUAL_NAMES, find_column
from subjectwise.data.table_formats import TableRow, open_table
from subjectwise.errors import DataError, QuestionError, SubjectwiseError
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import ALWAYS_ONE, Decision, Question, Scored
from subjectwise.types import JsonObject, Row

_T = TypeVar("_T")

# Rows that are read, sorted by length and scored together; what an interruption can lose.
CHUNK = 512


@dataclass(frozen=True)
class BulkOptions:
    """How the rows of a file are read and answered.

    Attributes:
        question_column: "" for the first of the usual names.
        options_column: "" for the first of the usual names.
        delimiter: between the cells of CSV; "" for a comma.
        with_options: whether the model is shown the answer options of a row.
        options_if_any: the same where the rows have a column of options, for a model that was trained to see them.
        decision: when to abstain, and whether to give several labels.
        prior_correction: as for `QuestionClassifier.classify`, over all rows of the file.
        keep_going: a row without an answer gets an `error`, and the run goes on.
        explain: add its `explanation` to each answer.
    """

    question_column: str = ""
    options_column: str = ""
    delimiter: str = ""
    with_options: bool = False
    options_if_any: bool = False
    decision: Decision = ALWAYS_ONE
    prior_correction: str = "none"
    keep_going: bool = False
    explain: bool = False

    @property
    def shows_options(self) -> bool:
        """Whether options are read at all; where there is no column of them, that is an error or not."""
        return self.with_options or self.options_if_any


@dataclass(frozen=True)
class ScoredRow:
    """One row with its calibrated probabilities, or with the reason why it has none.

    Attributes:
        cells: the row as it was read; empty where it could not be read.
        probabilities: one per label; None where `error` says why.
        label_mass: as in `Scored`.
        truncated: whether the middle of the question was cut out.
        replaced: whether the row had text that UTF-8 cannot store, which was replaced.
        explanation: where one was requested.
        error: why the row has no answer; "" where it has one.
        in_scope: as in `Scored`.
        by_fast: as in `Scored`.
    """

    cells: Row
    probabilities: list[float] | None = None
    label_mass: float | None = None
    truncated: bool = False
    replaced: bool = False
    explanation: JsonObject | None = None
    error: str = ""
    in_scope: float | None = None
    by_fast: bool | None = None


@dataclass
class BulkCounts:
    """What a run has to report at its end.

    Attributes:
        rows: of the input.
        unanswered: rows with an `error` in place of an answer.
        truncated: questions of which the middle was cut out.
        replaced: rows with text that UTF-8 cannot store.
    """

    rows: int = 0
    unanswered: int = 0
    truncated: int = 0
    replaced: int = 0

    def add(self, rows: Sequence[ScoredRow]) -> None:
        """Count more rows."""
        self.rows += len(rows)
        self.unanswered += sum(bool(row.error) for row in rows)
        self.truncated += sum(row.truncated for row in rows)
        self.replaced += sum(row.replaced for row in rows)


@dataclass(frozen=True)
class InputRows:
    """An opened input whose columns are known.

    Attributes:
        location: for messages.
        rows: to be read once.
        question_column: of the whole input.
        options_column: of the whole input; "" where options are not shown.
        header: the names of its columns; () where the format has none.
        row_count: None where the format does not say it.
    """

    location: str
    rows: Iterator[TableRow] = field(repr=False)
    question_column: str
    options_column: str
    header: tuple[str, ...]
    row_count: int | None


def open_input(path: Path, options: BulkOptions) -> InputRows:
    """Open a table and find its columns, which are the same from the first row to the last.

    They are found in the header, or in the first rows of JSON lines.

    Raises:
        DataError: the input cannot be read, or has no such column.
    """
    table = open_table(path, delimiter=options.delimiter, question_column=options.question_column)
    rows, samples = table.rows, [list(table.columns)]
    if not table.columns:
        first = list(_first_readable(table.rows, CHUNK))
        rows, samples = chain(first, table.rows), [list(row.cells) for row in first if not row.problem]

    def find(role: str, given: str, required: bool = True) -> str:
        every = list(dict.fromkeys(name for names in samples for name in names))
        for names in samples if not given else ():
            if name := find_column(names, role, "", table.location, required=False):
                return name
        if not every:  # where no row can be read, there is nothing to find a column in
            return given or USUAL_NAMES[role][0]
        return find_column(every, role, given, table.location, required=required)

    return InputRows(
        table.location, rows, find("question", options.question_column),
        find("options", options.options_column, options.with_options) if options.shows_options else "",
        table.columns, table.row_count,
    )  # fmt: skip


def _first_readable(rows: Iterator[TableRow], count: int) -> Iterator[TableRow]:
    """Yield rows until `count` of them could be read."""
    for row in rows:
        yield row
        count -= not row.problem
        if not count:
            return


def chunks(rows: Iterator[_T]) -> Iterator[list[_T]]:
    """Yield rows in lists of `CHUNK`, the last of which may be shorter."""
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def in_whole_chunks(count: int) -> int:
    """Return how many of the first `count` rows are in whole chunks."""
    return count - count % CHUNK


def score_rows(classifier: QuestionClassifier, source: InputRows, options: BulkOptions) -> Iterator[list[ScoredRow]]:
    """Yield the rows of an input with their scores, in their order, one chunk at a time.

    Raises:
        DataError: a row cannot be read or scored, and `options.keep_going` is off.
    """
    for chunk in chunks(source.rows):
        results: dict[int, ScoredRow] = {}
        asked: dict[int, Question] = {}
        for row in chunk:
            try:
                asked[row.number] = _question(row, source)
            except (QuestionError, DataError) as error:
                results[row.number] = _failed(row, error, source, options)
        rows = [row for row in chunk if row.number in asked]
        for row, scored in zip(rows, _score(classifier, rows, list(asked.values()), source, options), strict=True):
            results[row.number] = scored
            if options.explain and not scored.error:
                results[row.number] = _explained(classifier, row, scored, asked[row.number], source, options)
        yield [results[row.number] for row in chunk]


def row_error(location: str, row: TableRow, reason: str) -> DataError:
    """Return the error for a row without an answer, where the run is to stop at it."""
    where = row.problem or f"row {row.number}: {reason}"
    return DataError(f"{location}, {where} Use --keep-going to note it and go on.")


def _question(row: TableRow, source: InputRows) -> Question:
    if row.problem:
        raise DataError(row.problem)
    if source.question_column not in row.cells:
        raise QuestionError(f"The row has no column {source.question_column!r}.")
    options = row.cells.get(source.options_column) if source.options_column else None
    return read_question(row.cells[source.question_column], options)


def _failed(row: TableRow, error: Exception, source: InputRows, options: BulkOptions) -> ScoredRow:
    """Return a note of the error; raise it where the run is to stop, with its row where it is one of ours."""
    ours = isinstance(error, SubjectwiseError)
    if not options.keep_going:
        raise row_error(source.location, row, str(error)) if ours else error
    reason = str(error) if ours else f"{type(error).__name__}: {error}"
    return ScoredRow(row.cells, replaced=row.replaced, error=reason)


def _score(
    classifier: QuestionClassifier,
    rows: Sequence[TableRow],
    questions: Sequence[Question],
    source: InputRows,
    options: BulkOptions,
) -> list[ScoredRow]:
    """Score a batch; where that fails, its rows one at a time, so that one fails for itself alone."""
    if not rows:
        return []
    try:
        scored = classifier.score(questions)
    except Exception as error:
        if len(rows) == 1:
            return [_failed(rows[0], error, source, options)]
        pairs = zip(rows, questions, strict=True)
        results = [_score(classifier, [row], [question], source, options)[0] for row, question in pairs]
        if all(result.error for result in results) and not isinstance(error, SubjectwiseError):
            # The model fails and not a row: nothing is gained by a file of errors.
            raise
        return results
    return [_scored(row, scored, index) for index, row in enumerate(rows)]


def _scored(row: TableRow, scored: Scored, index: int) -> ScoredRow:
    return ScoredRow(
        row.cells,
        scored.probabilities[index].tolist(),
        None if scored.label_mass is None else float(scored.label_mass[index]),
        scored.truncated is not None and bool(scored.truncated[index]),
        row.replaced,
        in_scope=None if scored.in_scope is None else float(scored.in_scope[index]),
        by_fast=None if scored.by_fast is None else bool(scored.by_fast[index]),
    )


def _explained(
    classifier: QuestionClassifier,
    row: TableRow,
    scored: ScoredRow,
    question: Question,
    source: InputRows,
    options: BulkOptions,
) -> ScoredRow:
    try:
        return replace(scored, explanation=classifier.explain(question).to_dict())
    except Exception as error:
        return _failed(row, error, source, options)
