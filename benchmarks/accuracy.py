"""Measures the accuracy that the README states, on MMLU-Pro. Resumes; what is done is skipped.

    python benchmarks/accuracy.py --source MMLU_PRO_FILE_OR_HUB_NAME [--only shipped|reference] [--seeds 1,2,3]

`shipped`: the shipped adapter on the test rows of `grouped`, without and with options, and on short general questions.
`reference`: the recipe `small` trained three times on the 1,192 rows of `reference`, one seed each; seeds that are not
asked for keep the figures that the results file has of them.
Writes benchmarks/results/accuracy.json. On two cores `shipped` takes ten minutes, `reference` forty.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Relative, since the commands that are run stand in the results.
HERE = Path(os.path.relpath(Path(__file__).parent))
WORK = HERE / "work"


def subjectwise(*arguments: str | Path) -> None:
    """Runs a command of the package, shown as it could be typed."""
    print("$ subjectwise", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "subjectwise.cli.app", *map(str, arguments)], check=True)


def split(protocol: str, source: str) -> Path:
    folder = WORK / protocol
    if not folder.exists():
        subjectwise("data", "split", "--protocol", protocol, "--source", source, "--output", folder)
    return folder


def evaluate(name: str, predictor: str | Path, data: Path, *options: str) -> dict[str, Any]:
    folder = WORK / "reports" / name
    if not folder.exists():
        subjectwise("evaluate", predictor, "--data", data, "--output", folder, *options)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def shipped(source: str, seeds: Sequence[int]) -> dict[str, Any]:
    data = split("grouped", source)
    return {
        "shipped, grouped test, question text": evaluate("shipped", "shipped", data),
        "shipped, grouped test, with options": evaluate("shipped-options", "shipped", data, "--with-options"),
        "shipped, short questions": evaluate(
            "shipped-short", "shipped", HERE.parent / "data" / "short_questions_test.jsonl"
        ),
    }


def reference(source: str, seeds: Sequence[int]) -> dict[str, Any]:
    data = split("reference", source)
    # Compiling needs a C++ compiler and changes the speed of training, not what is computed.
    compiled = "true" if shutil.which("c++") else "false"
    reports: dict[str, Any] = {}
    for seed in seeds:
        model = WORK / "models" / f"small-seed-{seed}"
        if not model.exists():
            settings = ["--set", f"training.seed={seed}", "--set", f"training.compile={compiled}"]
            subjectwise("train", "small", "--data", data, "--output", model, *settings)
        reports[f"small, reference test, seed {seed}"] = evaluate(f"small-seed-{seed}", model, data)
    return reports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--only", choices=["shipped", "reference"])
    parser.add_argument("--seeds", default="1,2,3", help="of `reference`")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    reports: dict[str, Any] = {}
    for part in (shipped, reference):
        if arguments.only in (None, part.__name__):
            reports |= part(arguments.source, seeds)
    results = HERE / "results" / "accuracy.json"
    kept: dict[str, Any] = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    keys = ("data", "metrics", "speed", "versions", "machine", "command")
    kept |= {name: {key: report[key] for key in keys} for name, report in reports.items()}
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print("\n| what | rows | accuracy | macro-F1 | NLL | ECE |\n|---|---|---|---|---|---|")
    for name, report in kept.items():
        cells = []
        for key, digits in (("accuracy", 1), ("macro_f1", 1), ("nll", 3), ("ece", 3)):
            scale = 100 if digits == 1 else 1
            value, low, high = (report["metrics"][key][part] * scale for part in ("value", "low", "high"))
            cells.append(f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        print(f"| {name} | {report['data']['rows']:,} | {' | '.join(cells)} |")
    seeds = [report["metrics"]["accuracy"]["value"] for name, report in kept.items() if "seed" in name]
    if len(seeds) > 1:
        print(
            f"\nreference test accuracy over {len(seeds)} seeds: mean {100 * statistics.mean(seeds):.1f}, "
            f"standard deviation {100 * statistics.stdev(seeds):.1f}"
        )


if __name__ == "__main__":
    main()
