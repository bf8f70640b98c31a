"""A Ray Dataset of questions in, a Dataset of answers out: for a pipeline of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from subjectwise.bulk.answer_rows import ANSWER_KEYS, Answering, kept_name, make_answering
from subjectwise.bulk.ray_workers import RayWorkers, WorkerModel
from subjectwise.bulk.score_rows import CHUNK, BulkOptions, InputRows, score_rows
from subjectwise.data.column_names import find_column
from subjectwise.data.table_formats import TableRow
from subjectwise.errors import DataError
from subjectwise.types import Row
from subjectwise.utils.optional_dependencies import require

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

__all__ = ["BulkOptions", "RayWorkers", "WorkerModel", "classify"]


def classify(
    dataset: Dataset,
    model: WorkerModel = WorkerModel(),
    options: BulkOptions = BulkOptions(),
    workers: RayWorkers = RayWorkers(),
    *,
    batch_size: int = CHUNK,
) -> Dataset:
    """Return a Dataset with the answers to the questions of `dataset`; nothing runs until it is read.

    Each row keeps its other columns; those that are called as a key of an answer get `input_` before their name. Every
    batch has the same columns of the same types, so that the Dataset can be written as parquet.

    Args:
        dataset: with a column of questions.
        model: what each worker loads.
        options: how rows are read and answered, without explanations and prior correction.
        workers: how many there are, and what each may use.
        batch_size: rows that are scored together.

    Raises:
        SubjectwiseError: Ray is not installed.
        DataError: explanations or a prior correction are asked for. While it runs: there is no column of questions, or
            a row has no answer and `options.keep_going` is off.
    """
    ray_data = require("ray.data", "ray")
    if options.explain or options.prior_correction != "none":
        raise DataError("Explanations and a prior correction are not available on Ray; leave them out.")
    return dataset.map_batches(
        AnswerBatches,
        fn_constructor_kwargs={"model": model, "options": options},
        compute=ray_data.ActorPoolStrategy(size=workers.count),
        batch_size=batch_size,
        batch_format="pyarrow",
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )


class AnswerBatches:
    """A worker: holds the model and answers batches.

    Args:
        model: to load.
        options: how rows are read and answered.
    """

    def __init__(self, model: WorkerModel, options: BulkOptions) -> None:
        self._classifier = model.load()
        self._options = replace(options, options_if_any=self._classifier.reads_options)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """Return the answers to a batch, one row per row."""
        names = batch.column_names
        question_column = find_column(names, "question", self._options.question_column, "the dataset")
        options_column = ""
        if self._options.shows_options:
            needed, given = self._options.with_options, self._options.options_column
            options_column = find_column(names, "options", given, "the dataset", required=needed)
        rows = [TableRow(number, cells) for number, cells in enumerate(batch.to_pylist(), 1)]
        source = InputRows("the dataset", iter(rows), question_column, options_column, tuple(names), len(rows))
        answering = make_answering(self._classifier, question_column, self._options)
        answers: list[Row] = []
        for scored in score_rows(self._classifier, source, self._options):
            answers += answering.answers(scored)
        return _table(answers, batch, answering)


def _table(answers: Sequence[Row], batch: pyarrow.Table, answering: Answering) -> pyarrow.Table:
    """Return answers as a table, the other columns of the batch in their own types."""
    import pyarrow

    number, text = pyarrow.float64(), pyarrow.string()
    types = {
        "label": text, "score": number, "label_mass": number, "in_scope": number, "best_label": text,
        "scores": pyarrow.struct([(label, number) for label in answering.labels]),
        "labels": pyarrow.list_(text), "entropy": number, "truncated": pyarrow.bool_(), "answered_by": text,
        "error": text,
    }  # fmt: skip
    shown = {*answering.header([]), "truncated", "error"}
    columns = {"question": batch.column(answering.question_column)}
    for key in ANSWER_KEYS:
        if key in shown and key in types:
            columns[key] = pyarrow.array([row.get(key) for row in answers], types[key])
    for name in batch.column_names:
        if name != answering.question_column:
            columns[kept_name(name)] = batch.column(name)
    return pyarrow.table(columns)
