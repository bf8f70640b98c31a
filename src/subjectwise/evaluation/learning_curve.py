"""How accuracy grows with training rows: one predictor, several sizes, several draws. Resumes."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from subjectwise.baselines.baseline import Baseline
from subjectwise.classifier import Classifier
from subjectwise.data.protocols import Split
from subjectwise.data.split import SplitFolder, open_split, write_split
from subjectwise.errors import DataError, OutputError
from subjectwise.evaluation.evaluate import Rows, evaluate, split_rows
from subjectwise.evaluation.learning_curve_schema import LearningCurve, LearningCurvePoint
from subjectwise.evaluation.report_files import LEARNING_CURVE_FILE, read_learning_curve, write_learning_curve
from subjectwise.evaluation.report_schema import MeasuredRows
from subjectwise.models.devices import Compute
from subjectwise.predictors import BASELINE
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.recipe import load_recipe
from subjectwise.records import Example
from subjectwise.utils.atomic_files import writing
from subjectwise.utils.optional_dependencies import require
from subjectwise.utils.versions import library_versions, machine_description


def learning_curve(
    learner: str,
    data: SplitFolder,
    sizes: Sequence[int],
    seeds: Sequence[int],
    output: Path,
    *,
    split: str = "test",
    settings: Sequence[str] = (),
    base: str = "",
    device: str = "auto",
    command: str = "",
    on_point: Callable[[LearningCurvePoint], None] | None = None,
) -> LearningCurve:
    """Train `learner` on each number of rows with each seed, measure it, and write learning_curve.json to `output`.

    The rows are drawn with the seed, each label by its share; all validation rows choose the epoch and the
    temperature. The file is written after every point, and a point that it has is not measured again.

    Args:
        learner: a recipe, or `baseline:KIND`.
        data: the rows.
        sizes: numbers of training rows; 0 for all.
        seeds: one draw of rows per seed.
        output: a folder.
        split: to measure on.
        settings: changes to the recipe.
        base: of the recipe, or the encoder of a baseline.
        device: as for `load_predictor`.
        command: which measures this again, for the file.
        on_point: called with each point when it is measured.

    Raises:
        DataError: a size is more than there are rows, or too few for every label; or the file is damaged.
        OutputError: `output` has the curve of another learner or of other data, or cannot be written.
        SubjectwiseError: a recipe is to be trained without the `train` extra.
    """
    train = data.examples("train")
    wanted = [size or len(train) for size in sizes]
    for size in wanted:
        if not len(data.labels) <= size <= len(train):
            raise DataError(
                f"A size is {size}; it must be from {len(data.labels)} to the {len(train):,} training rows."
            )
    if not _is_baseline(learner):
        # Said before the first rows are drawn.
        require("accelerate", "train")
        require("peft", "train")
    rows = split_rows(data, split)
    curve = _opened(output, _empty_curve(learner, rows, settings, base, command))
    write_learning_curve(output / LEARNING_CURVE_FILE, curve)  # so that no other curve takes over what is begun here
    done = {(point.rows, point.seed) for point in curve.points}
    for size in sorted(set(wanted)):
        for seed in seeds:
            if (size, seed) in done:
                continue
            started = time.monotonic()
            part = draw_rows(train, size, seed)
            work = output / f".rows-{size}-seed-{seed}"
            predictor = _train(learner, data, part, seed, work, settings, base, device)
            metrics = evaluate(predictor, rows, name=learner).report.metrics
            shutil.rmtree(work, ignore_errors=True)
            point = LearningCurvePoint(
                rows=size,
                seed=seed,
                accuracy=metrics.accuracy,
                macro_f1=metrics.macro_f1.value if metrics.macro_f1 else None,
                nll=metrics.nll.value if metrics.nll else None,
                seconds=time.monotonic() - started,
            )
            curve = replace(curve, points=[*curve.points, point])
            write_learning_curve(output / LEARNING_CURVE_FILE, curve)
            if on_point:
                on_point(point)
    return curve


def _empty_curve(learner: str, rows: Rows, settings: Sequence[str], base: str, command: str) -> LearningCurve:
    return LearningCurve(
        predictor=learner,
        settings=list(settings),
        base=base,
        data=MeasuredRows(
            protocol=rows.protocol, split=rows.split, rows=len(rows.examples), manifest_sha256=rows.manifest_sha256
        ),
        points=[],
        command=command,
        versions=dict(library_versions()),
        machine=machine_description(),
    )


def _opened(output: Path, curve: LearningCurve) -> LearningCurve:
    """Return `curve` with the points that `output` has; raise OutputError where those are of another curve."""
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    file = output / LEARNING_CURVE_FILE
    if not file.is_file():
        return curve
    kept = read_learning_curve(file)
    if (kept.predictor, kept.settings, kept.base, kept.data) != (
        curve.predictor, curve.settings, curve.base, curve.data,
    ):  # fmt: skip
        raise OutputError(f"{file} is the curve of another learner or of other data; use another --output.")
    return replace(curve, points=kept.points)


def draw_rows(train: Sequence[Example], size: int, seed: int) -> list[Example]:
    """Return `size` rows drawn with the seed, each label by its share and with at least one row."""
    train_test_split = require("sklearn.model_selection", "train").train_test_split

    if size == len(train):
        return list(train)
    labels = [row.label for row in train]
    first = {label: labels.index(label) for label in reversed(labels)}
    try:
        drawn, _ = train_test_split(range(len(train)), train_size=size, random_state=seed, stratify=labels)
    except ValueError as error:
        raise DataError(f"Cannot draw {size} rows from the training rows: {error}") from error
    counts = Counter(labels[index] for index in drawn)
    for label in sorted(set(labels) - set(counts)):
        # One row of the most frequent label gives way to the first row of a label without any.
        common = max(counts, key=lambda name: counts[name])
        drawn.remove(next(index for index in drawn if labels[index] == common))
        counts[common] -= 1
        drawn.append(first[label])
    return [train[index] for index in sorted(drawn)]


def _is_baseline(learner: str) -> bool:
    kind, colon, _ = learner.partition(":")
    return bool(colon) and kind == BASELINE


def _train(
    learner: str, data: SplitFolder, part: list[Example], seed: int, work: Path, settings: Sequence[str],
    base: str, device: str,
) -> QuestionClassifier:  # fmt: skip
    validation = data.examples("validation")
    if _is_baseline(learner):
        return Baseline.fit(
            learner.partition(":")[2], [row.without_options() for row in part],
            [row.without_options() for row in validation], data.labels, encoder=base, seed=seed, device=device,
        )  # fmt: skip
    from subjectwise.training.train import train

    recipe = load_recipe(learner, [*settings, f"training.seed={seed}"])
    recipe = replace(recipe, base=base) if base else recipe
    if not (work / "data").is_dir():
        trained = list(range(len(part)))
        validated = list(range(len(part), len(part) + len(validation)))
        write_split(
            work / "data", [*part, *validation], Split(trained, validated, validated),
            protocol="learning-curve", seed=seed, source="learning-curve",
        )  # fmt: skip
    if not (work / "model").is_dir():
        train(recipe, open_split(work / "data"), work / "model", compute=Compute(device), progress=False)
    return Classifier.from_pretrained(work / "model", device=device)
