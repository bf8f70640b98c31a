"""Measures how far the shipped adapter's probabilities can be trusted. Resumes; what is done is skipped.

    python benchmarks/judgement.py --source MMLU_PRO [--encoder NAME_OR_FOLDER] [--only shipped|baselines|held-out ...]

1. the baselines and the untrained base on the test rows of every protocol, the shipped adapter on those of `grouped`,
   and an adapter trained by the recipe `embedded` on `source-held-out` on its own;
2. calibration, coverage and thresholds on `grouped` test rows;
3. the correction of the prior where the mix of subjects is skewed;
4. telling requests that are no question of any subject (benchmarks/data/out_of_scope.jsonl) from test rows.
Writes benchmarks/results/judgement.json, where parts that are not asked for keep their figures, and reports to
benchmarks/work/reports, of which `subjectwise report benchmarks/work/reports --main shipped` makes a page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import HERE, WORK, auroc, evaluate, metric_table, read_results, split, train, write_results

from subjectwise.evaluation.comparison import Measured, figure, read_measured
from subjectwise.models.model_folder import library_versions
from subjectwise.statistics import metrics, significance
from subjectwise.statistics.calibration import batch_calibration, match_prior

REPORTS = WORK / "reports"
BASELINES = ("majority", "tfidf-svm", "minilm-lr")
UNTRAINED = ("zero-shot", "few-shot")
UNTRAINED_ROWS = 200  # spread over the test rows; a few-shot prompt is long


# The settings of the last of the runs whose mean is shipped: `gen-smollm2-grouped` of comparison.py is its like.
HELD_OUT = ("training.epochs=3", "training.options_share=0", "prompt.max_tokens=128")


def shipped(source: str, encoder: str) -> dict[str, Path]:
    """The shipped adapter on the test rows of `grouped`; the folders are those of benchmarks/accuracy.py."""
    data = split("grouped", source)
    return {
        "shipped": evaluate(REPORTS / "shipped", "shipped", data),
        "shipped-options": evaluate(REPORTS / "shipped-options", "shipped", data, "--with-options"),
    }


def baselines(source: str, encoder: str) -> dict[str, Path]:
    found = {}
    for protocol in ("grouped", "reference", "source-held-out"):
        data = split(protocol, source)
        for kind in BASELINES:
            options = ["--base", encoder] if encoder and kind == "minilm-lr" else []
            name = f"{kind}-{protocol}"
            found[name] = evaluate(REPORTS / name, f"baseline:{kind}", data, *options)
        for kind in UNTRAINED:
            name = f"{kind}-{protocol}"
            found[name] = evaluate(REPORTS / name, f"{kind}:embedded", data, "--limit", str(UNTRAINED_ROWS))
    return found


def held_out(source: str, encoder: str) -> dict[str, Path]:
    """The recipe of the shipped adapter, trained on sources other than those of the test rows."""
    data = split("source-held-out", source)
    settings = [part for setting in HELD_OUT for part in ("--set", setting)]
    model = train("embedded-source-held-out", "embedded", data, *settings)
    # The page sets it beside `shipped`, by its name.
    return {"shipped-source-held-out": evaluate(REPORTS / "shipped-source-held-out", model, data)}


PARTS = {"shipped": shipped, "baselines": baselines, "held-out": held_out}


def trust(measured: Measured) -> dict[str, Any]:
    """What the issue of trust asks of the shipped adapter, read from its report."""
    report = measured.report
    curve = metrics.risk_coverage(measured.probabilities, measured.truth)
    at = {}
    for share in (0.5, 0.75, 0.9):
        point = metrics.accuracy_at(curve, share)
        rows = round(point.coverage * len(measured.truth))
        found = significance.wilson_interval(round(point.accuracy * rows), rows)
        at[f"{share:.0%}"] = {"value": found.value, "low": found.low, "high": found.high}
    return {
        "calibration": {key: value for key, value in report["calibration"].items() if key != "after"},
        "after": {key: report["calibration"]["after"][key] for key in ("ece", "classwise_ece", "nll", "brier")},
        "ece_below_bound": report["calibration"]["after"]["ece"] <= report["calibration"]["perfect_ece_p95"],
        "accuracy_at_coverage": at,
        "thresholds": report["thresholds"],
        "uncertainty": report["uncertainty"],
    }


def prior_correction(measured: Measured, draws: int = 50) -> dict[str, Any]:
    """Accuracy and NLL on resamples of the rows with a skewed mix of subjects; means over the draws."""
    labels, rows = len(measured.labels), len(measured.truth)
    trained = np.bincount(measured.truth, minlength=labels) / rows
    found: dict[str, Any] = {}
    mixes: dict[str, Callable[[np.random.Generator], Any]] = {
        "as drawn": lambda generator: trained,
        "three subjects are most of it": lambda generator: generator.dirichlet(np.full(labels, 0.2)),
        "one subject is half": lambda generator: 0.5 * np.eye(labels)[generator.integers(labels)] + 0.5 * trained,
    }
    for name, weights in mixes.items():
        generator = np.random.default_rng(0)
        figures: dict[str, list[tuple[float, float]]] = {"none": [], "batch": [], "match": []}
        for _ in range(draws):
            mix = weights(generator)
            chance = (mix / trained)[measured.truth]
            drawn = generator.choice(rows, 1000, p=chance / chance.sum())
            own, truth = measured.probabilities[drawn], measured.truth[drawn]
            for how, corrected in (
                ("none", own), ("batch", batch_calibration(own)), ("match", match_prior(own, trained)),
            ):  # fmt: skip
                figures[how].append((metrics.accuracy(corrected, truth), metrics.nll(corrected, truth)))
        found[name] = {
            how: dict(zip(("accuracy", "nll"), np.mean(values, axis=0).tolist(), strict=True))
            for how, values in figures.items()
        }
    return found


def out_of_scope(measured: Measured) -> dict[str, Any]:
    """AUROC of label mass, top score and entropy in telling test rows from requests that are no such question."""
    from subjectwise.classifier import Classifier
    from subjectwise.statistics.thresholds import normalised_entropy

    file = HERE / "data" / "out_of_scope.jsonl"
    requests = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    classifier = Classifier.from_pretrained()
    predictions = classifier.classify([row["question"] for row in requests])
    foreign = np.array([list(prediction.scores.values()) for prediction in predictions])
    with (REPORTS / "shipped" / "predictions.jsonl").open(encoding="utf-8") as stream:
        known_mass = np.array([json.loads(line)["label_mass"] for line in stream])
    signs = {
        "label_mass": (known_mass, np.array([prediction.label_mass for prediction in predictions])),
        "top score": (measured.probabilities.max(axis=1), foreign.max(axis=1)),
        "1 - entropy": (1 - normalised_entropy(measured.probabilities), 1 - normalised_entropy(foreign)),
    }
    kinds = np.array([row["kind"] for row in requests])
    found: dict[str, Any] = {}
    for name, (known, unknown) in signs.items():
        generator = np.random.default_rng(0)
        drawn = [
            auroc(generator.choice(known, len(known)), generator.choice(unknown, len(unknown))) for _ in range(500)
        ]
        low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
        found[name] = {
            "auroc": {"value": auroc(known, unknown), "low": low, "high": high},
            "by_kind": {str(kind): auroc(known, unknown[kinds == kind]) for kind in np.unique(kinds)},
        }
    return {"requests": len(requests), "test_rows": len(known_mass), "signs": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--encoder", default="", help="folder of all-MiniLM-L6-v2, where the Hub is not to be asked")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    arguments = parser.parse_args()
    folders: dict[str, Path] = {}
    asked = arguments.only or list(PARTS)
    for name, part in PARTS.items():
        if name in asked:
            folders |= part(arguments.source, arguments.encoder)
    found = {name: read_measured(folder) for name, folder in folders.items()}
    reports = {
        name: {
            "data": item.report["data"],
            "metrics": item.report["metrics"],
            "questions_per_second": item.report["speed"]["questions_per_second"],
        }
        for name, item in found.items()
    }
    result = read_results("judgement.json")
    result["reports"] = result.get("reports", {}) | reports
    if "shipped" in asked:
        result |= {
            "trust": trust(found["shipped"]),
            "prior_correction": prior_correction(found["shipped"]),
            "out_of_scope": out_of_scope(found["shipped"]),
        }
    result["versions"] = library_versions()
    write_results("judgement.json", result)
    show(result)


def show(result: dict[str, Any]) -> None:
    print("\n" + metric_table("protocol, predictor", result["reports"]))
    if "trust" not in result:
        return
    trusted = result["trust"]
    print(
        f"\nECE {trusted['after']['ece']:.4f}, before the temperature {trusted['calibration']['before']['ece']:.4f}; "
        f"bound of a perfectly calibrated model {trusted['calibration']['perfect_ece_p95']:.4f}"
    )
    for share, value in trusted["accuracy_at_coverage"].items():
        print(f"accuracy at {share} coverage: {figure('accuracy', value)}")
    for target, row in trusted["thresholds"].items():
        reached = f"{figure('accuracy', row['accuracy'])} at {100 * row['coverage']:.1f} % coverage"
        print(f"threshold {row['threshold']:.3f} for {float(target):.0%}: {reached}")
    print("\n| entropy | rows | accuracy | labels given | one of them right |\n|---|---|---|---|---|")
    for row in trusted["uncertainty"]:
        if row["rows"]:
            print(
                f"| {row['low']:.1f} to {row['high']:.1f} | {row['rows']} | {100 * row['accuracy']:.1f} "
                f"| {row['labels']} | {100 * row['contains_truth']:.1f} |"
            )
    print("\n| mix of subjects | none | batch | match |  (accuracy, NLL)\n|---|---|---|---|")
    for name, row in result["prior_correction"].items():
        cells = [f"{100 * row[how]['accuracy']:.1f}, {row[how]['nll']:.3f}" for how in ("none", "batch", "match")]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| sign | AUROC | by kind |\n|---|---|---|")
    for name, row in result["out_of_scope"]["signs"].items():
        value = row["auroc"]
        kinds = ", ".join(f"{kind} {figure:.3f}" for kind, figure in row["by_kind"].items())
        print(f"| {name} | {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}] | {kinds} |")


if __name__ == "__main__":
    main()
