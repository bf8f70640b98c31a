"""Measures the accuracy that the README states, on MMLU-Pro. Resumes; what is done is skipped.

    python benchmarks/accuracy.py --source MMLU_PRO_FILE_OR_HUB_NAME [--only shipped|reference] [--seeds 1,2,3]

`shipped`: the shipped adapter on the test rows of `grouped`, without and with options, and on short general questions.
`reference`: the recipe `small` trained three times on the 1,192 rows of `reference`, one seed each; seeds that are not
asked for keep the figures that the results file has of them.
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
    data = split("grouped", source)
    short = HERE.parent / "data" / "short_questions_test.jsonl"
    return {
        "shipped, grouped test, question text": evaluate(REPORTS / "shipped", "shipped", data),
        "shipped, grouped test, with options": evaluate(REPORTS / "shipped-options", "shipped", data, "--with-options"),
        "shipped, short questions": evaluate(REPORTS / "shipped-short", "shipped", short),
    }


def reference(source: str, seeds: Sequence[int]) -> dict[str, Path]:
    data = split("reference", source)
    # Compiling needs a C++ compiler and changes the speed of training, not what is computed.
    compiled = "true" if shutil.which("c++") else "false"
    found = {}
    for seed in seeds:
        name = f"small-seed-{seed}"
        settings = ["--set", f"training.seed={seed}", "--set", f"training.compile={compiled}"]
        model = train(name, "small", data, *settings)
        found[f"small, reference test, seed {seed}"] = evaluate(REPORTS / name, model, data)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--only", choices=["shipped", "reference"])
    parser.add_argument("--seeds", default="1,2,3", help="of `reference`")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    kept = read_results("accuracy.json")
    for part in (shipped, reference):
        if arguments.only in (None, part.__name__):
            reports = {name: read_report(folder) for name, folder in part(arguments.source, seeds).items()}
            kept |= {name: {key: report[key] for key in KEYS} for name, report in reports.items()}
    write_results("accuracy.json", kept)
    print("\n" + metric_table("what", kept))
    seeds = [report["metrics"]["accuracy"]["value"] for name, report in kept.items() if "seed" in name]
    if len(seeds) > 1:
        print(
            f"\nreference test accuracy over {len(seeds)} seeds: mean {100 * statistics.mean(seeds):.1f}, "
            f"standard deviation {100 * statistics.stdev(seeds):.1f}"
        )


if __name__ == "__main__":
    main()
