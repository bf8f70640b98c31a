"""Measure how much faster two Ray workers are than one, on this machine and of one core each.

    python benchmarks/ray_workers.py [--rows 20000] [--workers 1 2]

`--rows 400` is a quick try. Rows are the questions of --source, repeated until there are enough, in eight files. Each
number of workers gets the same command, timed from its start to its end. The answers must be equal, every row once.
Writes results/ray_workers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from common import HERE, table, write_results

from subjectwise.types import JsonObject
from subjectwise.utils.versions import library_versions, machine_description

FILES = 8
# The throughput of two workers, as a multiple of that of one.
WANTED = 1.7


def write_rows(source: Path, rows: int, folder: Path) -> None:
    """Write `rows` rows into files of about equal length."""
    questions = [json.loads(line)["question"] for line in source.read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps({"question": text, "row": row}) for row, text in enumerate(islice(cycle(questions), rows))]
    for number in range(FILES):
        (folder / f"{number}.jsonl").write_text("\n".join(lines[number::FILES]) + "\n", encoding="utf-8")


def classify(model: str, questions: Path, answers: Path, workers: int) -> float:
    """Classify a folder with so many workers, and return how long it took, in seconds."""
    command = [
        sys.executable, "-m", "subjectwise.cli.app", "classify", "--ray", "local", "--ray-workers", str(workers),
        "--model", model, "--input", str(questions), "--output", str(answers),
    ]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return time.perf_counter() - start


def read_labels(answers: Path) -> dict[int, str]:
    """Return the label of each row."""
    read = [json.loads(line) for file in answers.glob("*.jsonl") for line in file.open(encoding="utf-8")]
    labels = {answer["row"]: str(answer["label"]) for answer in read}
    if len(labels) != len(read):
        sys.exit("A row has several answers.")
    return labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--source", type=Path, default=HERE.parent / "data" / "short_questions_test.jsonl")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    runs: list[JsonObject] = []
    first: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as parent:
        questions = Path(parent) / "questions"
        questions.mkdir()
        write_rows(options.source, options.rows, questions)
        for workers in options.workers:
            answers = Path(parent) / f"answers-{workers}"
            seconds = classify(options.model, questions, answers, workers)
            labels = read_labels(answers)
            first = first or labels
            if len(labels) != options.rows or labels != first:
                sys.exit("Rows are missing, or their labels differ.")
            runs.append({"workers": workers, "seconds": round(seconds, 1), "rows_per_second": options.rows / seconds})
    for run in runs:
        run["ratio"] = run["rows_per_second"] / runs[0]["rows_per_second"]
    lines = [
        [str(run["workers"]), *(f"{run[key]:.2f}" for key in ("seconds", "rows_per_second", "ratio"))] for run in runs
    ]
    print(f"{options.rows} rows; wanted of two workers: {WANTED} times the rows of one\n")
    print(table(["workers", "seconds", "rows/s", f"of {runs[0]['workers']}"], lines))
    described = {"versions": library_versions("ray", "openvino"), "machine": machine_description()}
    write_results("ray_workers.json", {"rows": options.rows, "model": options.model, "runs": runs, **described})


if __name__ == "__main__":
    main()
