"""Measure the accuracy that the README states, on MMLU-Pro. Resumes; finished steps are skipped.

    python benchmarks/accuracy.py --source MMLU_PRO_FILE_OR_HUB_NAME [--only shipped|reference] [--seeds 1,2,3]

`shipped`: the shipped adapter on the test rows of `grouped`, without and with options, and on short general questions.
`reference`: the recipe `small` trained three times on the 1,192 rows of `reference`, one seed each; seeds that are not
requested keep their results.
Writes benchmarks/results/accuracy.json. On two cores `shipped` takes ten minutes, `reference` forty.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

from common import HERE, WORK, evaluate, metric_table, read_report, read_results, split, train, write_results

REPORTS = WORK / "reports"
KEYS = ("data", "metrics", "speed", "versions", "machine", "command")


def shipped(source: str, seeds: Sequence[int]) -> dict[str, Path]:
    """Evaluate the shipped adapter; return the folder of each report."""
    data = split("grouped", source)
    short = HERE.parent / "data" / "short_questions_test.jsonl"
    return {
        "shipped, grouped test, question text": evaluate(REPORTS / "shipped", "shipped", data),
        "shipped, grouped test, with options": evaluate(REPORTS / "shipped-options", "shipped", data, "--with-options"),
        "shipped, short questions": evaluate(REPORTS / "shipped-short", "shipped", short),
    }


def reference(source: str, seeds: Sequence[int]) -> dict[str, Path]:
    """Train and evaluate the recipe `small` once per seed; return the folder of each report."""
    data = split("reference", source)
    # Compiling needs a C++ compiler; it changes the speed of training, not the result.
    compiled = "true" if shutil.which("c++") else "false"
    folders = {}
    for seed in seeds:
        name = f"small-seed-{seed}"
        settings = ["--set", f"training.seed={seed}", "--set", f"training.compile={compiled}"]
        model = train(name, "small", data, *settings)
        folders[f"small, reference test, seed {seed}"] = evaluate(REPORTS / name, model, data)
    return folders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--only", choices=["shipped", "reference"])
    parser.add_argument("--seeds", default="1,2,3", help="seeds of `reference`")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    kept = read_results("accuracy.json")
    for part in (shipped, reference):
        if arguments.only in (None, part.__name__):
            reports = {name: read_report(folder) for name, folder in part(arguments.source, seeds).items()}
            kept |= {name: {key: report[key] for key in KEYS} for name, report in reports.items()}
    write_results("accuracy.json", kept)
    print("\n" + metric_table("what", kept))
    accuracies = [report["metrics"]["accuracy"]["value"] for name, report in kept.items() if "seed" in name]
    if len(accuracies) > 1:
        print(
            f"\nreference test accuracy over {len(accuracies)} seeds: mean {100 * statistics.mean(accuracies):.1f}, "
            f"standard deviation {100 * statistics.stdev(accuracies):.1f}"
        )


if __name__ == "__main__":
    main()
