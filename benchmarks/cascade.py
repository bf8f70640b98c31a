"""Measure a cascade on every kind of question: accuracy, calibration, how often the fast model answers, and speed.

    subjectwise evaluate MODEL --data mix --output test-report
    python benchmarks/cascade.py MODEL --data mix --report test-report [--leave-out] [--source-held-out SPLIT]

MODEL is a folder with a fast model, `shipped` for the shipped one. The language model's answers come from the report on
its own, so that everything but `--speed` takes seconds. `--leave-out` fits the fast model again without each group of
kinds, and measures it on these kinds with the promises of MODEL: half a minute per group on one core.
`--source-held-out` fits it on the training rows of that split folder, and counts what it would answer alone on sources
that it has not seen. `--speed N` times N questions of the kind mmlu-pro, in batches as `classify --input` has them, by
the language model and by the cascades in turn. Writes benchmarks/results/cascade.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from common import read_results, table, write_results

from subjectwise.baselines.cascade import Cascade, fast_folder
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder, open_split
from subjectwise.evaluation.report_files import PREDICTIONS_FILE, iterate_predictions
from subjectwise.models.fast_model import FastModel, load_fast_model
from subjectwise.models.model_config import read_config
from subjectwise.models.model_folder import shipped_folder
from subjectwise.records import OUT_OF_SCOPE, Example
from subjectwise.statistics.cascade import LOSSES, NEVER
from subjectwise.statistics.fair_labels import fair_labels
from subjectwise.statistics.intervals import mean_interval
from subjectwise.statistics.kind_weights import kind_weights
from subjectwise.statistics.metrics import calibration_error
from subjectwise.text.question_text import question_texts
from subjectwise.training.fit_fast_model import FastSettings, calibrate_fast_model, fit_fast_model
from subjectwise.types import BoolArray, FloatArray, JsonObject
from subjectwise.utils.versions import library_versions, machine_description

# Kinds of a mixture that resemble each other and are left out together.
GROUPS = (
    ("mmlu-pro",), ("textbook",), ("written", "chapters", "terms", "people"), ("queries", "messy", "exam"),
    ("context", "formula", "near-none"),
)  # fmt: skip

# Questions that `classify --input` scores together.
BATCH = 512


@dataclass(frozen=True)
class Answers:
    """What the language model said of rows whose labels are known.

    Attributes:
        rows: in the order of the report.
        probabilities: calibrated, [rows, labels].
        fair: whether each label is a row's own or one as fair, [rows, labels].
    """

    rows: list[Example]
    probabilities: FloatArray
    fair: BoolArray

    def right(self, probabilities: FloatArray) -> BoolArray:
        """Return whether the most probable label is fair, [rows]."""
        return np.asarray(self.fair[np.arange(len(self.rows)), probabilities.argmax(axis=1)])


def read_answers(report: Path, rows: Sequence[Example], labels: Sequence[str]) -> Answers:
    """Return the answers of a report on `rows`, in its order."""
    by_id = {row.row_id: row for row in rows}
    predictions = list(iterate_predictions(report / PREDICTIONS_FILE))
    found = [by_id[prediction.row_id] for prediction in predictions]
    probabilities = np.array([[prediction.scores[label] for label in labels] for prediction in predictions])
    return Answers(found, probabilities, fair_labels(found, labels))


def measure(fast: FastModel, answers: Answers, min_in_scope: float | None) -> dict[str, JsonObject]:
    """Return for every kind, and for the mean over kinds, what each way of answering measured."""
    said = fast.answer(question_texts([row.question.without_options() for row in answers.rows]))
    pooled = fast.config.pooling.combine(answers.probabilities, said.probabilities)
    ways: dict[str, tuple[FloatArray, BoolArray]] = {}
    for loss in (*LOSSES, NEVER):
        least = fast.config.promises[loss].min_confidence
        alone = fast.config.answers_alone(said, least, min_in_scope)
        ways[loss] = np.where(alone[:, None], said.probabilities, pooled), alone
    slow_right = answers.right(answers.probabilities)
    kinds = np.array([row.kind for row in answers.rows])
    results: dict[str, JsonObject] = {}
    for kind in sorted(set(kinds)):
        inside = kinds == kind
        results[str(kind)] = {
            "rows": int(inside.sum()),
            "model": _accuracy(answers.probabilities[inside], slow_right[inside]),
            "fast": _accuracy(said.probabilities[inside], answers.right(said.probabilities)[inside]),
            "known": float(said.known[inside].mean()),
        }
        for loss, (probabilities, alone) in ways.items():
            right = answers.right(probabilities)
            gain = right[inside].astype(np.float64) - slow_right[inside]
            interval = mean_interval(gain, -1.0, 1.0)
            answered = inside & alone
            results[str(kind)][f"cascade {loss}"] = {
                **_accuracy(probabilities[inside], right[inside]),
                "fast": float(alone[inside].mean()),
                "gain": float(gain.mean()),
                "low": interval.low, "high": interval.high,
                **({"fast_right": float(right[answered].mean()), "model_right": float(slow_right[answered].mean())}
                   if answered.any() else {}),
            }  # fmt: skip
    return results


def _accuracy(probabilities: FloatArray, right: BoolArray) -> JsonObject:
    return {"accuracy": float(right.mean()), "ece": calibration_error(probabilities.max(axis=1), right)}


def out_of_scope(fast: FastModel, rows: Sequence[Example], min_in_scope: float | None) -> JsonObject:
    """Return for every kind of requests of no label which share the fast model would answer alone."""
    results: JsonObject = {}
    foreign = [row for row in rows if row.label == OUT_OF_SCOPE]
    for kind in sorted({row.kind for row in foreign}):
        said = fast.answer(question_texts([row.question for row in foreign if row.kind == kind]))
        results[kind] = {"rows": len(said.known)}
        for loss in LOSSES:
            least = fast.config.promises[loss].min_confidence
            results[kind][loss] = float(fast.config.answers_alone(said, least, min_in_scope).mean())
    return results


def leave_out(
    fast: FastModel, data: SplitFolder, answers: Answers, min_in_scope: float | None
) -> dict[str, JsonObject]:
    """Return what is measured on each kind by a fast model that has seen no row of its group."""
    train = [row.without_options() for row in data.examples("train")]
    validation = [row.without_options() for row in data.examples("validation")]
    results: dict[str, JsonObject] = {}
    for group in GROUPS:
        kept = [index for index, row in enumerate(answers.rows) if row.kind in group]
        if not kept:
            continue
        fitted = fit_fast_model([row for row in train if row.kind not in group], fast.labels, settings_of(fast))
        others = [row for row in validation if row.kind not in group]
        calibrated = calibrate_fast_model(fitted, others, kind_weights([row.kind for row in others]))
        config = replace(fast.config, temperature=calibrated.config.temperature, scope=calibrated.config.scope)
        part = Answers([answers.rows[i] for i in kept], answers.probabilities[kept], answers.fair[kept])
        results |= measure(FastModel(config, calibrated.weights), part, min_in_scope)
        print(f"left out: {', '.join(group)}", flush=True)
    return results


def source_held_out(fast: FastModel, data: SplitFolder) -> JsonObject:
    """Return what a fast model answers alone on sources that it has not seen, and how often it is right there."""
    parts = {name: [row.without_options() for row in data.examples(name)] for name in ("train", "validation", "test")}
    fitted = fit_fast_model(parts["train"], fast.labels, settings_of(fast))
    calibrated = calibrate_fast_model(fitted, parts["validation"], np.ones(len(parts["validation"])))
    said = calibrated.answer(question_texts([row.question for row in parts["test"]]))
    names = list(fast.labels)
    right = said.probabilities.argmax(axis=1) == np.array([names.index(row.label) for row in parts["test"]])
    results: JsonObject = {"rows": len(right), "accuracy": float(right.mean())}
    for loss in LOSSES:
        least = fast.config.promises[loss].min_confidence
        alone = said.confidence >= (2.0 if least is None else least)
        alone &= said.known >= fast.config.min_known
        results[loss] = {"fast": float(alone.mean()), "right": float(right[alone].mean()) if alone.any() else None}
    return results


def settings_of(fast: FastModel) -> FastSettings:
    """Return the settings of the fit, with the features of a fast model."""
    return FastSettings(fast.config.features, 8 * len(fast.weights.vocabulary))


def time_ways(fast: FastModel, folder: Path, data: SplitFolder, count: int, rounds: int = 3) -> JsonObject:
    """Return questions per second of each way on questions of MMLU-Pro, the median of rounds taken in turn."""
    rows = [row for row in data.examples("test") if row.kind in ("mmlu-pro", "")]
    questions = [rows[i].question.without_options() for i in np.linspace(0, len(rows) - 1, count).astype(int)]
    model = Classifier.from_pretrained(folder)
    cascades = {f"cascade {loss}": Cascade(fast, model, loss) for loss in (*LOSSES, NEVER)}
    ways: Mapping[str, Classifier | Cascade] = {"model": model, **cascades}
    seconds: dict[str, list[float]] = {name: [] for name in (*ways, "fast alone")}
    model.score(questions[:8])
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            for start in range(0, count, BATCH):
                way.score(questions[start : start + BATCH])
            seconds[name].append(time.perf_counter() - started)
        started = time.process_time()
        fast.answer(question_texts(questions))
        seconds["fast alone"].append(time.process_time() - started)
    return {name: count / float(np.median(values)) for name, values in seconds.items()}


def kind_table(kinds: Mapping[str, JsonObject]) -> str:
    """Return a table with one row per kind."""
    lines = []
    for name, kind in kinds.items():
        line = [name, f"{kind['rows']:,}", *(f"{100 * kind[way]['accuracy']:.1f}" for way in ("model", "fast"))]
        pooled = kind[f"cascade {NEVER}"]
        line.append(f"{100 * pooled['accuracy']:.1f} ({_interval(pooled)})")
        for loss in LOSSES:
            way = kind[f"cascade {loss}"]
            line += [f"{way['fast']:.0%}", f"{100 * way['accuracy']:.1f} ({_interval(way)})", f"{way['ece']:.3f}"]
        lines.append(line)
    heading = ["kind", "rows", "language model", "fast model", "both combined"]
    for loss in LOSSES:
        heading += [f"answered fast, loss {loss}", "accuracy (gain)", "ECE"]
    return table(heading, lines)


def _interval(way: JsonObject) -> str:
    """Return a difference in points, with its 95 % interval."""
    return f"{100 * way['gain']:+.1f} [{100 * way['low']:+.1f}, {100 * way['high']:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder with a fast model, or shipped")
    parser.add_argument("--data", type=Path, required=True, help="a split folder of 'subjectwise data mix'")
    parser.add_argument("--report", type=Path, required=True, help="a report of the language model on its test rows")
    parser.add_argument("--split", default="test")
    parser.add_argument("--leave-out", action="store_true")
    parser.add_argument("--source-held-out", type=Path)
    parser.add_argument("--speed", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    folder = shipped_folder() if arguments.model == "shipped" else Path(arguments.model)
    fast, scope, data = load_fast_model(fast_folder(folder)), read_config(folder).scope, open_split(arguments.data)
    min_in_scope = scope.threshold if scope else None
    rows = data.examples(arguments.split)
    answers = read_answers(arguments.report, rows, fast.labels.names)
    results: JsonObject = {
        **read_results("cascade.json"),
        "fast": {"pooling": vars(fast.config.pooling), "min_known": fast.config.min_known,
                 "min_confidence": {loss: fast.config.promises[loss].min_confidence for loss in LOSSES}},
        "split": arguments.split, "kinds": measure(fast, answers, min_in_scope),
        "none": out_of_scope(fast, rows, min_in_scope),
        "versions": library_versions("scikit-learn"), "machine": machine_description(),
    }  # fmt: skip
    print(kind_table(results["kinds"]))
    for kind, shares in results["none"].items():
        alone = ", ".join(f"{shares[loss]:.1%} (loss {loss})" for loss in LOSSES)
        print(f"{kind}: {shares['rows']} requests of no label, answered by the fast model alone: {alone}")
    if arguments.leave_out:
        results["left_out"] = leave_out(fast, data, answers, min_in_scope)
        print(kind_table(results["left_out"]))
    if arguments.source_held_out:
        results["source_held_out"] = source_held_out(fast, open_split(arguments.source_held_out))
        print(f"sources not seen: {results['source_held_out']}")
    if arguments.speed:
        results["questions_per_second"] = time_ways(fast, folder, data, arguments.speed)
        for way, speed in results["questions_per_second"].items():
            print(f"{way}: {speed:,.0f} questions per second")
    write_results("cascade.json", results)


if __name__ == "__main__":
    main()
