"""`subjectwise classify --ray`: a folder of files on a Ray cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from subjectwise.cli.output import print_counts

if TYPE_CHECKING:
    from subjectwise.bulk.ray_workers import RayWorkers, WorkerModel
    from subjectwise.bulk.score_rows import BulkOptions


def classify_by_ray(
    pattern: str,
    output: str,
    model: WorkerModel,
    options: BulkOptions,
    workers: RayWorkers,
    address: str,
    csv_encoding: str,
    as_json: bool,
) -> None:
    """Classify the files of a folder into another, and print what was done.

    Args:
        pattern: a folder, a glob pattern or a URI.
        output: a folder or a URI.
        model: what each worker loads.
        options: how rows are read and answered.
        workers: how many there are, and what each may use.
        address: of the cluster.
        csv_encoding: of CSV files.
        as_json: print the result as JSON.
    """
    from subjectwise.bulk.ray_files import classify_folder
    from subjectwise.utils.progress import progress_bar

    with progress_bar("Classifying", None, "questions") as bar:
        counts = classify_folder(
            pattern, output, model, options, workers, address=address, csv_encoding=csv_encoding, on_progress=bar.update
        )
    print_counts(counts)
    done = f"{counts.rows:,} questions classified in {output}"
    typer.echo(json.dumps({"output": output, "rows": counts.rows}) if as_json else done)
