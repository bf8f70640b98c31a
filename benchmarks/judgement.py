"""Measure how far the shipped adapter's probabilities can be trusted. Resumes; finished steps are skipped.

    python benchmarks/judgement.py --source MMLU_PRO [--encoder NAME_OR_FOLDER] [--only shipped|baselines|held-out ...]

1. the baselines and the untrained base on the test rows of every protocol, the shipped adapter on those of `grouped`,
   and an adapter trained by the recipe `embedded` on `source-held-out`, on that protocol's test rows;
2. calibration, coverage and thresholds on `grouped` test rows;
3. prior correction where the mix of subjects is skewed;
4. separating out-of-scope requests (benchmarks/data/out_of_scope.jsonl) from test rows.
Writes benchmarks/results/judgement.json, where parts that are not requested keep their results, and reports to
benchmarks/work/reports, of which `subjectwise report benchmarks/work/reports --main shipped` makes a page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from common import (
    HERE,
    WORK,
    auroc,
    evaluate,
    metric_table,
    metric_text,
    read_report,
    read_results,
    split,
    table,
    train,
    write_results,
)

from subjectwise.classifier import Classifier
from subjectwise.evaluation.comparison import read_measured
from subjectwise.statistics import metrics
from subjectwise.statistics.calibration import batch_calibration, match_prior
from subjectwise.statistics.intervals import proportion_interval
from subjectwise.statistics.thresholds import normalised_entropy
from subjectwise.types import FloatArray, JsonObject
from subjectwise.utils.versions import library_versions

REPORTS = WORK / "reports"
BASELINES = ("majority", "tfidf-svm", "minilm-lr")
UNTRAINED = ("zero-shot", "few-shot")
UNTRAINED_ROWS = 200  # spread over the test rows; a few-shot prompt is long

# The settings of the last of the runs whose mean is shipped; `gen-smollm2-grouped` of comparison.py has the same.
HELD_OUT = ("training.epochs=3", "training.options_share=0", "prompt.max_tokens=128")


def shipped(source: str, encoder: str) -> dict[str, Path]:
    """Evaluate the shipped adapter on the test rows of `grouped`, into the folders of benchmarks/accuracy.py."""
    data = split("grouped", source)
    return {
        "shipped": evaluate(REPORTS / "shipped", "shipped", data),
        "shipped-options": evaluate(REPORTS / "shipped-options", "shipped", data, "--with-options"),
    }


def baselines(source: str, encoder: str) -> dict[str, Path]:
    """Evaluate the baselines and the untrained base on the test rows of every protocol."""
    folders = {}
    for protocol in ("grouped", "reference", "source-held-out"):
        data = split(protocol, source)
        for kind in BASELINES:
            options = ["--base", encoder] if encoder and kind == "minilm-lr" else []
            name = f"{kind}-{protocol}"
            folders[name] = evaluate(REPORTS / name, f"baseline:{kind}", data, *options)
        for kind in UNTRAINED:
            name = f"{kind}-{protocol}"
            folders[name] = evaluate(REPORTS / name, f"{kind}:embedded", data, "--limit", str(UNTRAINED_ROWS))
    return folders


def held_out(source: str, encoder: str) -> dict[str, Path]:
    """Train the recipe of the shipped adapter on other sources than those of the test rows, and evaluate it."""
    data = split("source-held-out", source)
    settings = [part for setting in HELD_OUT for part in ("--set", setting)]
    model = train("embedded-source-held-out", "embedded", data, *settings)
    # The report page shows it next to `shipped` because of its name.
    return {"shipped-source-held-out": evaluate(REPORTS / "shipped-source-held-out", model, data)}


PARTS = {"shipped": shipped, "baselines": baselines, "held-out": held_out}


def trust(folder: Path) -> JsonObject:
    """Return calibration, coverage and thresholds of the report in `folder`."""
    report, measured = read_report(folder), read_measured(folder)
    curve = metrics.risk_coverage(measured.probabilities, measured.truth)
    at_coverage = {}
    for share in (0.5, 0.75, 0.9):
        point = metrics.accuracy_at(curve, share)
        rows = round(point.coverage * len(measured.truth))
        at_coverage[f"{share:.0%}"] = asdict(proportion_interval(round(point.accuracy * rows), rows))
    return {
        "calibration": {key: value for key, value in report["calibration"].items() if key != "after"},
        "after": {key: report["calibration"]["after"][key] for key in ("ece", "classwise_ece", "nll", "brier")},
        "ece_below_bound": report["calibration"]["after"]["ece"] <= report["calibration"]["perfect_ece_p95"],
        "accuracy_at_coverage": at_coverage,
        "thresholds": report["thresholds"],
        "uncertainty": report["uncertainty"],
    }


def prior_correction(folder: Path, draws: int = 50) -> JsonObject:
    """Return accuracy and NLL on resampled rows with a skewed mix of subjects, means over the draws."""
    measured = read_measured(folder)
    labels, rows = len(measured.labels), len(measured.truth)
    trained = np.bincount(measured.truth, minlength=labels) / rows
    mixes: dict[str, Callable[[np.random.Generator], FloatArray]] = {
        "as drawn": lambda generator: trained,
        "three subjects are most of it": lambda generator: generator.dirichlet(np.full(labels, 0.2)),
        "one subject is half": lambda generator: 0.5 * np.eye(labels)[generator.integers(labels)] + 0.5 * trained,
    }
    results: JsonObject = {}
    for name, draw_mix in mixes.items():
        generator = np.random.default_rng(0)
        drawn: dict[str, list[tuple[float, float]]] = {"none": [], "batch": [], "match": []}
        for _ in range(draws):
            chance = (draw_mix(generator) / trained)[measured.truth]
            chosen = generator.choice(rows, 1000, p=chance / chance.sum())
            own, truth = measured.probabilities[chosen], measured.truth[chosen]
            for how, corrected in (
                ("none", own), ("batch", batch_calibration(own)), ("match", match_prior(own, trained)),
            ):  # fmt: skip
                drawn[how].append((metrics.accuracy(corrected, truth), metrics.nll(corrected, truth)))
        results[name] = {
            how: dict(zip(("accuracy", "nll"), np.mean(values, axis=0).tolist(), strict=True))
            for how, values in drawn.items()
        }
    return results


def out_of_scope(folder: Path) -> JsonObject:
    """Return the AUROC of label mass, top score and entropy in separating test rows from out-of-scope requests."""
    file = HERE / "data" / "out_of_scope.jsonl"
    requests = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    foreign = Classifier.from_pretrained().score([row["question"] for row in requests])
    assert foreign.label_mass is not None
    known = read_measured(folder).probabilities
    with (folder / "predictions.jsonl").open(encoding="utf-8") as stream:
        known_mass = np.array([json.loads(line)["label_mass"] for line in stream])
    signs = {
        "label_mass": (known_mass, foreign.label_mass),
        "top score": (known.max(axis=1), foreign.probabilities.max(axis=1)),
        "1 - entropy": (1 - normalised_entropy(known), 1 - normalised_entropy(foreign.probabilities)),
    }
    kinds = np.array([row["kind"] for row in requests])
    results: JsonObject = {}
    for name, (of_known, of_foreign) in signs.items():
        generator = np.random.default_rng(0)
        drawn = [
            auroc(generator.choice(of_known, len(of_known)), generator.choice(of_foreign, len(of_foreign)))
            for _ in range(500)
        ]
        low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
        results[name] = {
            "auroc": {"value": auroc(of_known, of_foreign), "low": low, "high": high},
            "by_kind": {str(kind): auroc(of_known, of_foreign[kinds == kind]) for kind in np.unique(kinds)},
        }
    return {"requests": len(requests), "test_rows": len(known_mass), "signs": results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--encoder", default="", help="folder of all-MiniLM-L6-v2, where the Hub cannot be reached")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    arguments = parser.parse_args()
    requested = arguments.only or list(PARTS)
    folders: dict[str, Path] = {}
    for name, part in PARTS.items():
        if name in requested:
            folders |= part(arguments.source, arguments.encoder)
    reports = {}
    for name, folder in folders.items():
        report = read_report(folder)
        reports[name] = {
            "data": report["data"],
            "metrics": report["metrics"],
            "questions_per_second": report["speed"]["questions_per_second"],
        }
    result = read_results("judgement.json")
    result["reports"] = result.get("reports", {}) | reports
    if "shipped" in requested:
        result |= {
            "trust": trust(folders["shipped"]),
            "prior_correction": prior_correction(folders["shipped"]),
            "out_of_scope": out_of_scope(folders["shipped"]),
        }
    result["versions"] = library_versions()
    write_results("judgement.json", result)
    show(result)


def show(result: JsonObject) -> None:
    """Print the tables of docs/judgement.md."""
    print("\n" + metric_table("protocol, predictor", result["reports"]))
    if "trust" not in result:
        return
    trusted = result["trust"]
    print(
        f"\nECE {trusted['after']['ece']:.4f}, before the temperature {trusted['calibration']['before']['ece']:.4f}; "
        f"bound of a perfectly calibrated model {trusted['calibration']['perfect_ece_p95']:.4f}"
    )
    for share, value in trusted["accuracy_at_coverage"].items():
        print(f"accuracy at {share} coverage: {metric_text('accuracy', value)}")
    for target, row in trusted["thresholds"].items():
        reached = f"{metric_text('accuracy', row['accuracy'])} at {100 * row['coverage']:.1f} % coverage"
        print(f"threshold {row['threshold']:.3f} for {float(target):.0%}: {reached}")
    bands = [
        [
            f"{row['low']:.1f} to {row['high']:.1f}",
            f"{row['rows']:,}",
            f"{100 * row['accuracy']:.1f}",
            f"{row['labels']}",
            f"{100 * row['contains_truth']:.1f}",
        ]
        for row in trusted["uncertainty"]
        if row["rows"]
    ]
    print("\n" + table(["entropy", "rows", "first label right", "labels given", "one of them right"], bands))
    ways = ("none", "batch", "match")
    mixes = [
        [name, *(f"{100 * row[way]['accuracy']:.1f}, {row[way]['nll']:.3f}" for way in ways)]
        for name, row in result["prior_correction"].items()
    ]
    print("\n" + table(["mix of subjects (accuracy, NLL)", *ways], mixes))
    signs = []
    for name, row in result["out_of_scope"]["signs"].items():
        value = row["auroc"]
        kinds = ", ".join(f"{kind} {share:.3f}" for kind, share in row["by_kind"].items())
        signs.append([name, f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]", kinds])
    print("\n" + table(["sign", "AUROC", "by kind"], signs))


if __name__ == "__main__":
    main()
