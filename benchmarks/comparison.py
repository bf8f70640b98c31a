"""Compares generating the subject's name with a classification head, on decoders and encoders. Resumes.

    python benchmarks/comparison.py --source MMLU_PRO [--base KEY=WHERE ...] [--only NAME ...] [--train-only | --speed]

The rows are those of comparison.yaml. Each is a training run of the package's own commands, measured on the test rows
of its protocol; what is done is skipped. KEY is one of the file's bases, WHERE a folder, a GGUF file or a Hub name. A
row whose base is not given keeps empty cells, with the command that fills them. --speed measures how fast each answers,
in turn, for which nothing else should run: with models trained for a moment, since answering costs the same.
Writes benchmarks/results/comparison.json. A row takes minutes to hours on two cores: its table has them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from common import HERE, WORK, evaluate, read_report, read_results, split, subjectwise, table, train, write_results
from comparison_rows import BASES, LOST_HEAD, PROTOCOLS, ROWS, SPEC, Row
from safetensors.torch import load_file, save_file

from subjectwise.data.split import open_split
from subjectwise.errors import DataError
from subjectwise.evaluation.comparison import read_measured
from subjectwise.models.lora import WEIGHTS_FILE
from subjectwise.models.model_config import CONFIG_FILE
from subjectwise.statistics.significance import accuracy_difference, mcnemar
from subjectwise.types import FloatArray, IntArray
from subjectwise.utils.atomic_files import new_folder, read_json
from subjectwise.utils.versions import library_versions, machine_description

REPORTS = WORK / "comparison"
SPEED = WORK / "comparison-speed"
SPEED_ROUNDS = 2
SPEED_ROWS = 6  # of each label, to train for a moment on


def measure(row: Row, source: str, base: str, train_only: bool) -> None:
    """Trains the row's model and measures it, where that is not done."""
    data = split("reference" if row.protocol == "control" else row.protocol, source)
    if row.is_baseline:
        if not train_only:
            evaluate(REPORTS / row.name, row.recipe, data, *base_option(base))
        return
    if row.fault == LOST_HEAD:
        model = with_lost_head(row)
    elif row.of:
        model = WORK / "models" / row.of
    elif row.mean_of:
        model = average(row, data)
    else:
        model = WORK / "models" / row.name
        options = [*base_option(base), *row.set_options()]
        run(row, model, "train", row.recipe, "--data", data, "--output", model, *options)
    if not train_only:
        report = REPORTS / row.name
        run(row, report, "evaluate", model, "--data", data, "--output", report)


def run(row: Row, result: Path, *arguments: str | Path) -> None:
    """Runs a command of the package, with the row's fault if it has one, where its result does not exist."""
    if result.exists():
        return
    if row.fault in ("", LOST_HEAD):
        subjectwise(*arguments)
        return
    script = HERE / "head_faults.py"
    print("$ python", script, row.fault, *arguments, flush=True)
    subprocess.run([sys.executable, str(script), row.fault, *map(str, arguments)], check=True)


def base_option(base: str) -> list[str]:
    return ["--base", base] if base else []


def measure_speed(rows: Sequence[Row], source: str, bases: Mapping[str, str]) -> dict[str, Any]:
    """Questions per second on the test rows of `reference`, all rows in turn, round after round; the median of each."""
    data, few = split("reference", source), SPEED / "rows.jsonl"
    shutil.rmtree(SPEED / "reports", ignore_errors=True)
    if not few.exists():
        SPEED.mkdir(exist_ok=True)
        examples = sorted(open_split(data).examples("train"), key=lambda row: row.label)
        kept = [row for _, group in groupby(examples, key=lambda row: row.label) for row in islice(group, SPEED_ROWS)]
        few.write_text("".join(json.dumps({"question": row.question.text, "label": row.label}) + "\n" for row in kept))
    trained_on = split("comparison-speed-rows", str(few), "grouped")
    speeds: dict[str, list[float]] = {}
    for number in range(SPEED_ROUNDS):
        for row in rows:
            folder, base = SPEED / "reports" / f"{row.name}-{number}", base_option(bases.get(row.base, ""))
            if row.is_baseline:
                report = read_report(evaluate(folder, row.recipe, data, *base))
            else:
                once = ["--set", "training.epochs=1", "--set", "training.compile=false"]
                model = train(f"{row.name}-speed", row.recipe, trained_on, *base, *row.set_options(), *once)
                report = read_report(evaluate(folder, model, data))
            speeds.setdefault(row.name, []).append(report["speed"]["questions_per_second"])
    return {
        name: {"questions_per_second": statistics.median(rounds), "rounds": rounds, "machine": machine_description()}
        for name, rounds in speeds.items()
    }


def average(row: Row, data: Path) -> Path:
    """The mean of trained adapters, as `subjectwise average` makes it."""
    folder = WORK / "models" / row.name
    if not folder.exists():
        members = [WORK / "models" / name for name in row.mean_of]
        subjectwise("average", *members, "--data", data, "--output", folder)
    return folder


def with_lost_head(row: Row) -> Path:
    """A copy of a trained head whose weights are random, as those of one that was not saved."""
    folder = WORK / "models" / row.name
    if folder.exists():
        return folder
    with new_folder(folder) as copy:
        shutil.copytree(WORK / "models" / row.of, copy, dirs_exist_ok=True)
        weights = load_file(copy / WEIGHTS_FILE)
        torch.manual_seed(20261123)  # not that of the training run, whose first head it would draw again
        for name in weights:
            if ".score." in name:
                weights[name] = 0.02 * torch.randn_like(weights[name])
        save_file(weights, copy / WEIGHTS_FILE, metadata={"format": "pt"})
    return folder


@dataclass(frozen=True)
class MeasuredRow:
    """A row's report, and its predictions, [rows, labels], with the index of each row's label, [rows]."""

    report: dict[str, Any]
    probabilities: FloatArray
    truth: IntArray

    @classmethod
    def of(cls, row: Row) -> MeasuredRow | None:
        try:
            measured = read_measured(REPORTS / row.name)
        except DataError:
            return None
        return cls(read_report(REPORTS / row.name), measured.probabilities, measured.truth)


def facts(row: Row, measured: MeasuredRow) -> dict[str, Any]:
    """What the results keep of a row."""
    kept = {key: measured.report[key] for key in ("data", "metrics", "speed", "machine")}
    file = WORK / "models" / (row.name if row.fault == LOST_HEAD or not row.of else row.of) / CONFIG_FILE
    if file.exists():
        results = read_json(file, DataError)["results"]
        kept |= {key: results[key] for key in ("cost", "best_epoch", "validation") if key in results}
    fault = {"fault": row.fault} if row.fault else {}
    return {
        "shown": row.shown,
        "protocol": row.protocol,
        "recipe": row.recipe,
        "settings": row.settings,
        **fault,
        **kept,
    }


def difference(first: MeasuredRow, second: MeasuredRow) -> dict[str, Any]:
    """The first row's accuracy minus the second's, on the same test rows."""
    correct = [each.probabilities.argmax(axis=1) == each.truth for each in (first, second)]
    return {
        "accuracies": [float(each.mean()) for each in correct],
        "accuracy": asdict(accuracy_difference(first.probabilities, second.probabilities, first.truth)),
        "mcnemar": mcnemar(*correct),
    }


def metric_text(name: str, metric: Mapping[str, float]) -> str:
    """A metric as the table shows it: accuracy and macro-F1 in percent, its interval in brackets."""
    scale, digits = (100, 1) if name in ("accuracy", "macro_f1") else (1, 3)
    text = f"{metric['value'] * scale:.{digits}f}"
    ends = [f"{metric[end] * scale:.{digits}f}" for end in ("low", "high") if end in metric]
    return f"{text} [{', '.join(ends)}]" if ends else text


def fill_command(row: Row) -> str:
    only = " ".join(f"--only {name}" for name in (*row.needs, row.name))
    return f"python benchmarks/comparison.py {only} --base {row.base}={BASES[row.base]}"


def show(results: dict[str, Any]) -> None:
    header = ["", "accuracy", "macro-F1", "NLL", "questions/s", "trained parameters", "minutes", "peak memory"]
    for protocol in PROTOCOLS:
        rows = []
        for row in (row for row in ROWS if row.protocol == protocol):
            kept = results["rows"].get(row.name)
            if kept is None:
                rows.append([row.shown, f"`{fill_command(row)}`" if row.base else "not run", *[""] * 6])
                continue
            values, cost = kept["metrics"], kept.get("cost")
            cells = [row.shown, *(metric_text(key, values[key]) for key in ("accuracy", "macro_f1", "nll"))]
            speed = results["speed"].get(row.name)
            cells.append(f"{speed['questions_per_second']:.1f}" if speed else "")
            if cost:
                cells += [f"{cost['trainable_parameters']:,}", f"{cost['seconds'] / 60:.0f}"]
                cells.append(f"{(cost['peak_memory_bytes'] or 0) / 1e9:.1f} GB")
            rows.append([*cells, *[""] * (len(header) - len(cells))])
        print(f"\n{protocol}\n\n{table(header, rows)}")
    # A pair outlives its runs: the accuracies of the two say which runs it is of, where a row was measured again.
    print("\n" + table(["first", "second", "their accuracies", "first - second", "McNemar p"], [
        [first, second, " and ".join(f"{100 * value:.1f}" for value in pair.get("accuracies", [])),
         metric_text("accuracy", pair["accuracy"]), f"{pair['mcnemar']:.2g}"]
        for first, second in SPEC["pairs"] if (pair := results["pairs"].get(f"{first} - {second}"))
    ]))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--base", action="append", default=[], metavar="KEY=WHERE", help=", ".join(BASES))
    parser.add_argument("--only", action="append", default=[], metavar="NAME", choices=[row.name for row in ROWS])
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--train-only", action="store_true", help="measure later")
    part.add_argument("--speed", action="store_true", help="measure how fast each answers, and nothing else")
    arguments = parser.parse_args()
    bases = dict(given.split("=", 1) for given in arguments.base)
    if not bases.keys() <= BASES.keys():
        parser.error(f"a base is none of {', '.join(BASES)}")
    wanted = [row for row in ROWS if not arguments.only or row.name in arguments.only]
    speed: dict[str, Any] = {}
    if arguments.speed:
        one_each: dict[tuple[str, str], Row] = {}
        for row in wanted:
            if row.protocol == "reference" and row.can_be_trained(bases):
                # One of each recipe and base: another seed or schedule answers no sooner.
                one_each.setdefault((row.recipe, row.base), row)
        speed = measure_speed(list(one_each.values()), arguments.source, bases)
    else:
        for row in wanted:
            trained = all((WORK / "models" / name).exists() for name in row.needs or [row.name])
            if trained or row.can_be_trained(bases):
                measure(row, arguments.source, bases.get(row.base, ""), arguments.train_only)
    if arguments.train_only:
        return

    kept = read_results("comparison.json")
    results = {"rows": {}, "pairs": {}, **kept, "versions": library_versions()}
    results["speed"] = {**kept.get("speed", {}), **speed}
    measured = {row.name: item for row in ROWS if (item := MeasuredRow.of(row)) is not None}
    for row in ROWS:
        if row.name in measured:
            results["rows"][row.name] = facts(row, measured[row.name])
    for first, second in SPEC["pairs"]:
        if first in measured and second in measured:
            results["pairs"][f"{first} - {second}"] = difference(measured[first], measured[second])
    write_results("comparison.json", results)
    show(results)


if __name__ == "__main__":
    main()
