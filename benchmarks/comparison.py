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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
import yaml
from common import HERE, WORK, evaluate, read_report, read_results, split, subjectwise, table, train, write_results
from safetensors.torch import load_file, save_file

from subjectwise.data.split import open_split
from subjectwise.errors import DataError
from subjectwise.evaluation.comparison import Measured, figure, read_measured
from subjectwise.evaluation.evaluate import machine_description
from subjectwise.models.lora import WEIGHTS_FILE
from subjectwise.models.model_folder import CONFIG_FILE, library_versions
from subjectwise.statistics import metrics, significance
from subjectwise.utils.atomic_files import new_folder, read_json, write_json

REPORTS = WORK / "comparison"
SPEED = WORK / "comparison-speed"
SPEED_ROUNDS = 2
SPEED_ROWS = 6  # of each label, to train for a moment on


@dataclass(frozen=True)
class Row:
    """One predictor of the table.

    Attributes:
        name: of its folders.
        base: a key of the file's `bases`; empty for the embedded base and for baselines that need none.
        of: the row whose trained model is read with the fault `spoil`; empty where one is trained.
        mean_of: rows whose trained adapters are averaged; empty where one is trained.
    """

    name: str
    shown: str
    protocol: str
    recipe: str
    settings: tuple[str, ...]
    base: str = ""
    of: str = ""
    spoil: str = ""
    mean_of: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The rows whose trained models it is made of."""
        return (self.of,) if self.of else self.mean_of

    @property
    def is_baseline(self) -> bool:
        return self.recipe.startswith("baseline:")

    def can_be_trained(self, bases: Mapping[str, str]) -> bool:
        """Whether it is made of no other row, and its base is at hand."""
        return not self.needs and (not self.base or self.base in bases)

    def set_options(self) -> list[str]:
        return [part for setting in self.settings for part in ("--set", setting)]


SPEC: dict[str, Any] = yaml.safe_load((HERE / "comparison.yaml").read_text(encoding="utf-8"))
BASES: dict[str, str] = SPEC["bases"]
PROTOCOLS = ("reference", "grouped", "control")


def read_rows() -> list[Row]:
    rows = []
    for protocol in PROTOCOLS:
        for entry in SPEC[protocol]:
            # A list within the list is a group of settings that many rows share.
            settings = [[part] if isinstance(part, str) else part for part in entry.pop("settings", [])]
            made_of = tuple(entry.pop("mean_of", []))
            flat = tuple(part for group in settings for part in group)
            rows.append(Row(protocol=protocol, settings=flat, mean_of=made_of, **entry))
    return rows


ROWS = read_rows()


def measure(row: Row, source: str, base: str, train_only: bool) -> None:
    """Trains the row's model and measures it, where that is not done."""
    data = split("reference" if row.protocol == "control" else row.protocol, source)
    if row.is_baseline:
        if not train_only:
            evaluate(REPORTS / row.name, row.recipe, data, *base_option(base))
        return
    if row.of:
        model = spoil(row)
    elif row.mean_of:
        model = average(row, data)
    else:
        model = train(row.name, row.recipe, data, *base_option(base), *row.set_options())
    if not train_only:
        evaluate(REPORTS / row.name, model, data)


def base_option(base: str) -> list[str]:
    return ["--base", base] if base else []


def measure_speed(rows: Sequence[Row], source: str, bases: Mapping[str, str]) -> dict[str, Any]:
    """Questions a second on the test rows of `reference`, all rows in turn, round after round; the median of each."""
    data, few = split("reference", source), SPEED / "rows.jsonl"
    shutil.rmtree(SPEED / "reports", ignore_errors=True)
    if not few.exists():
        SPEED.mkdir(exist_ok=True)
        examples = sorted(open_split(data).examples("train"), key=lambda row: row.label)
        kept = [row for _, group in groupby(examples, key=lambda row: row.label) for row in islice(group, SPEED_ROWS)]
        few.write_text("".join(json.dumps({"question": row.question.text, "label": row.label}) + "\n" for row in kept))
    trained_on = split("comparison-speed-rows", str(few), "grouped")
    found: dict[str, list[float]] = {}
    for number in range(SPEED_ROUNDS):
        for row in rows:
            folder, where = SPEED / "reports" / f"{row.name}-{number}", base_option(bases.get(row.base, ""))
            if row.is_baseline:
                report = read_report(evaluate(folder, row.recipe, data, *where))
            else:
                once = ["--set", "training.epochs=1", "--set", "training.compile=false"]
                model = train(f"{row.name}-speed", row.recipe, trained_on, *where, *row.set_options(), *once)
                report = read_report(evaluate(folder, model, data))
            found.setdefault(row.name, []).append(report["speed"]["questions_per_second"])
    return {
        name: {"questions_per_second": statistics.median(rounds), "rounds": rounds, "machine": machine_description()}
        for name, rounds in found.items()
    }


def average(row: Row, data: Path) -> Path:
    """The mean of trained adapters, as `subjectwise average` makes it."""
    folder = WORK / "models" / row.name
    if not folder.exists():
        members = [WORK / "models" / name for name in row.mean_of]
        subjectwise("average", *members, "--data", data, "--output", folder)
    return folder


def spoil(row: Row) -> Path:
    """A copy of a trained head that is read at the end of the padded row, or is random as one that was not saved."""
    folder = WORK / "models" / row.name
    if folder.exists():
        return folder
    with new_folder(folder) as copy:
        shutil.copytree(WORK / "models" / row.of, copy, dirs_exist_ok=True)
        if row.spoil == "row_end":
            config = read_json(copy / CONFIG_FILE, DataError)
            config["head"]["pooling"] = "row_end"
            write_json(copy / CONFIG_FILE, config)
        elif row.spoil == "lost_head":
            weights = load_file(copy / WEIGHTS_FILE)
            torch.manual_seed(20261123)  # not that of the training run, whose first head it would draw again
            for name in weights:
                if ".score." in name:
                    weights[name] = 0.02 * torch.randn_like(weights[name])
            save_file(weights, copy / WEIGHTS_FILE, metadata={"format": "pt"})
        else:
            raise SystemExit(f"{row.name}: {row.spoil!r} is no fault that is known here.")
    return folder


def facts(row: Row, measured: Measured) -> dict[str, Any]:
    found = {key: measured.report[key] for key in ("data", "metrics", "speed", "machine")}
    file = WORK / "models" / row.name / CONFIG_FILE
    if file.exists():
        results = read_json(file, DataError)["results"]
        found |= {key: results[key] for key in ("cost", "best_epoch", "validation") if key in results}
    return {"shown": row.shown, "protocol": row.protocol, "recipe": row.recipe, "settings": row.settings, **found}


def difference(first: Measured, second: Measured) -> dict[str, Any]:
    pair = first.probabilities, second.probabilities, first.truth
    gap = significance.paired_difference(*pair, of=metrics.accuracy)
    return {
        "accuracies": [float(each.right.mean()) for each in (first, second)],
        "accuracy": asdict(gap),
        "mcnemar": significance.mcnemar(first.right, second.right),
    }


def fill_command(row: Row) -> str:
    only = " ".join(f"--only {name}" for name in (*row.needs, row.name))
    return f"python benchmarks/comparison.py {only} --base {row.base}={BASES[row.base]}"


def show(results: dict[str, Any]) -> None:
    header = ["", "accuracy", "macro-F1", "NLL", "questions/s", "trained parameters", "minutes", "peak memory"]
    for protocol in PROTOCOLS:
        rows = []
        for row in (row for row in ROWS if row.protocol == protocol):
            found = results["rows"].get(row.name)
            if found is None:
                rows.append([row.shown, f"`{fill_command(row)}`" if row.base else "not run", *[""] * 6])
                continue
            figures, cost = found["metrics"], found.get("cost")
            cells = [row.shown, *(figure(key, figures[key]) for key in ("accuracy", "macro_f1", "nll"))]
            speed = results["speed"].get(row.name)
            cells.append(f"{speed['questions_per_second']:.1f}" if speed else "")
            if cost:
                cells += [f"{cost['trainable_parameters']:,}", f"{cost['seconds'] / 60:.0f}"]
                cells.append(f"{(cost['peak_memory_bytes'] or 0) / 1e9:.1f} GB")
            rows.append([*cells, *[""] * (len(header) - len(cells))])
        print(f"\n{protocol}\n\n{table(header, rows)}")
    # A pair outlives its runs: the accuracies of the two say which runs it is of, where a row was measured again.
    print("\n" + table(["first", "second", "their accuracies", "first - second", "McNemar p"], [
        [first, second, " and ".join(f"{100 * value:.1f}" for value in found.get("accuracies", [])),
         figure("accuracy", found["accuracy"]), f"{found['mcnemar']:.2g}"]
        for first, second in SPEC["pairs"] if (found := results["pairs"].get(f"{first} - {second}"))
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
    measured: dict[str, Measured] = {}
    for row in ROWS:
        try:
            measured[row.name] = read_measured(REPORTS / row.name)
        except DataError:
            continue
        results["rows"][row.name] = facts(row, measured[row.name])
    for first, second in SPEC["pairs"]:
        if first in measured and second in measured:
            results["pairs"][f"{first} - {second}"] = difference(measured[first], measured[second])
    write_results("comparison.json", results)
    show(results)


if __name__ == "__main__":
    main()
