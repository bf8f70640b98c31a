"""A folder of files in, a folder of answers out, on a Ray cluster; a stopped run continues with the unfinished files.

Tasks read the files in chunks, workers that hold the model answer the chunks, and this process writes one file of
answers per file of questions, each whole or not at all. Chunks are those of a run on one machine, and so are the
answers.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from subjectwise.bulk.answer_rows import make_answering
from subjectwise.bulk.ray_workers import RayWorkers, WorkerModel, ray_cluster
from subjectwise.bulk.remote_files import is_below, is_uri, list_files, list_tables, local_copy, new_output
from subjectwise.bulk.score_rows import BulkCounts, BulkOptions, InputRows, chunks, open_input, score_rows
from subjectwise.bulk.write_answers import check_output_format, json_line, write_answers
from subjectwise.data.table_formats import TableRow
from subjectwise.errors import DataError, OutputError, SubjectwiseError
from subjectwise.types import JsonObject, Progress, Row
from subjectwise.utils.atomic_files import read_json
from subjectwise.utils.optional_dependencies import require

if TYPE_CHECKING:
    from ray.data import Dataset

# Beside the answers: what they depend on.
_NOTE = ".run.json"


def classify_folder(
    pattern: str,
    output: str,
    model: WorkerModel,
    options: BulkOptions,
    workers: RayWorkers,
    *,
    address: str,
    csv_encoding: str = "utf-8",
    on_progress: Progress | None = None,
) -> BulkCounts:
    """Classify the files of a folder, a glob pattern or a URI into the folder `output`, one file each.

    Args:
        pattern: of TXT, JSONL, CSV or parquet files.
        output: a folder or a URI; files that it has already are finished, and stay.
        model: what each worker loads.
        options: how rows are read and answered, without explanations and prior correction.
        workers: how many there are, and what each may use.
        address: as for `ray_cluster`.
        csv_encoding: of CSV files.
        on_progress: called after each chunk with the number of its rows.

    Raises:
        DataError: a file cannot be read, or lacks the column of questions; a row has no answer and
            `options.keep_going` is off; or the cluster does not answer.
        OutputError: a file cannot be written, or the folder has answers of another run.
    """
    options = replace(options, options_if_any=model.reads_options())
    if options.explain or options.prior_correction != "none":
        raise DataError("--explain and --prior-correction do not work with --ray; classify such files one by one.")
    check_output_format(Path("answers.csv"), csv_encoding)
    # Answers below the questions are not questions of the next attempt.
    tables = [(path, name) for path, name in list_tables(pattern) if not is_below(path, output)]
    finished = set(list_files(output))
    run = {**model.identity(), **asdict(replace(options, keep_going=False)), "csv_encoding": csv_encoding}
    run["with_options"] = options.shows_options
    del run["options_if_any"]  # so that runs which an earlier version began go on
    _check_run(output, run, finished)
    waiting = [
        (path, f"{output.rstrip('/')}/{output_name(name)}")
        for path, name in tables
        if output_name(name) not in finished
    ]
    for path, _ in waiting:
        if not is_uri(path):
            open_input(Path(path), options)  # a file of another schema ends the run before it begins
    counts = BulkCounts()
    if not waiting:
        return counts
    require("ray", "ray")
    with ray_cluster(address, workers):
        dataset = _answer_chunks([path for path, _ in waiting], model, options, workers)
        _write([target for _, target in waiting], dataset, counts, csv_encoding, on_progress)
    return counts


def output_name(name: str) -> str:
    """Return the name of the file of answers to the file `name`: the same, but JSON lines for text."""
    return f"{name}.jsonl" if PurePosixPath(name).suffix.lower() == ".txt" else name


def _check_run(output: str, run: Mapping[str, object], there: Collection[str]) -> None:
    """Keep what the answers depend on beside them; refuse a folder whose answers depend on something else.

    Args:
        output: a folder or a URI.
        run: what the answers depend on.
        there: the files that it has already.
    """
    note = f"{output.rstrip('/')}/{_NOTE}"
    now: JsonObject = json.loads(json.dumps(run))
    answered = any(name != _NOTE for name in there)
    if answered and _NOTE in there:
        with local_copy(note) as path:
            before = read_json(path, OutputError)
        if changed := sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key)):
            raise OutputError(
                f"{output} has answers of a run that differs in {', '.join(changed)}; choose another --output."
            )
        return
    if answered or (not is_uri(output) and Path(output).is_file()):
        raise OutputError(f"{output} already exists and is not of such a run; choose another --output.")
    with new_output(note) as path:
        path.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


def _answer_chunks(paths: list[str], model: WorkerModel, options: BulkOptions, workers: RayWorkers) -> Dataset:
    """Return a Dataset with one row per chunk of answers, in the order of the files and of their rows."""
    data = require("ray.data", "ray")
    data.DataContext.get_current().execution_options.preserve_order = True
    items = [{"file": index, "path": path} for index, path in enumerate(paths)]
    read = data.from_items(items, override_num_blocks=len(items)).flat_map(
        read_chunks, fn_kwargs={"options": options}, num_cpus=0.1
    )
    return read.repartition(target_num_rows_per_block=1).map_batches(
        AnswerChunks,
        fn_constructor_kwargs={"model": model, "options": options},
        compute=data.ActorPoolStrategy(size=workers.count),
        batch_size=1,
        batch_format="numpy",
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )


def read_chunks(item: Row, options: BulkOptions) -> Iterator[Row]:
    """Yield the rows of a file in chunks as JSON, then one row that ends the file, or one with the error."""
    shared = {"file": item["file"], "location": item["path"], "columns": "", "rows": "", "error": ""}
    try:
        with local_copy(item["path"]) as path:
            source = open_input(path, options)
            shared["columns"] = json.dumps([source.question_column, source.options_column, list(source.header)])
            for rows in chunks(source.rows):
                yield {**shared, "rows": json.dumps([asdict(row) for row in rows], default=str)}
            yield shared
    except SubjectwiseError as error:
        yield {**shared, "error": str(error)}


class AnswerChunks:
    """A worker: holds the model and answers chunks.

    An error of this package is returned and not raised: Ray would wrap it in a report of where it was raised.

    Args:
        model: to load.
        options: how rows are read and answered.
    """

    def __init__(self, model: WorkerModel, options: BulkOptions) -> None:
        self._options = options
        self._error = ""
        try:
            self._classifier = model.load()
        except SubjectwiseError as error:
            self._error = str(error)

    def __call__(self, batch: Row) -> Row:
        """Return the answers to the one chunk of a batch as JSON lines; at the end of a file its header and labels."""
        result = {"file": batch["file"], **{key: [""] for key in ("header", "labels", "answers", "counts", "error")}}
        error = self._error or str(batch["error"][0])
        if error:
            return result | {"error": [error]}
        try:
            return result | {key: [value] for key, value in self._answer(batch).items()}
        except SubjectwiseError as error:
            return result | {"error": [str(error)]}

    def _answer(self, batch: Row) -> dict[str, str]:
        question_column, options_column, header = json.loads(str(batch["columns"][0]))
        answering = make_answering(self._classifier, question_column, self._options)
        if not batch["rows"][0]:
            return {"header": json.dumps(answering.header(header)), "labels": json.dumps(answering.labels)}
        rows = [TableRow(**row) for row in json.loads(str(batch["rows"][0]))]
        source = InputRows(
            str(batch["location"][0]), iter(rows), question_column, options_column, tuple(header), len(rows)
        )
        counts, lines = BulkCounts(), []
        for scored in score_rows(self._classifier, source, self._options):
            counts.add(scored)
            lines += [json_line(answer) for answer in answering.answers(scored)]
        return {"answers": "".join(lines), "counts": json.dumps(asdict(counts))}


def _write(
    targets: list[str], dataset: Dataset, counts: BulkCounts, csv_encoding: str, on_progress: Progress | None
) -> None:
    """Write each file of answers once its last chunk has come."""
    with tempfile.TemporaryDirectory(prefix="subjectwise-") as folder:
        part = Path(folder) / "answers.jsonl"
        stream = part.open("w", encoding="utf-8")
        try:
            for row in dataset.iter_rows():
                if row["error"]:
                    raise DataError(row["error"])
                if not row["header"]:
                    stream.write(row["answers"])
                    done = json.loads(row["counts"])
                    for name, count in done.items():
                        setattr(counts, name, getattr(counts, name) + count)
                    if on_progress:
                        on_progress(done["rows"])
                    continue
                stream.close()
                target = targets[int(row["file"])]
                with new_output(target) as temporary:
                    write_answers(
                        lambda: _read_lines(part), temporary, PurePosixPath(target).suffix.lower(),
                        json.loads(row["header"]), json.loads(row["labels"]), csv_encoding,
                    )  # fmt: skip
                stream = part.open("w", encoding="utf-8")
        finally:
            stream.close()


def _read_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)
