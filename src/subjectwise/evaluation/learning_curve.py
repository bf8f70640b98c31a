"""How accuracy grows with training rows: one predictor, several sizes, several draws. Resumes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from subjectwise.baselines.baseline import Baseline
from subjectwise.classifier import Classifier
from subjectwise.data.protocols import Split
from subjectwise.data.split import SplitFolder, open_split, write_split
from subjectwise.errors import DataError, OutputError
from subjectwise.evaluation.evaluate import evaluate, split_rows
from subjectwise.models.devices import Compute
from subjectwise.predictors import BASELINE
from subjectwise.recipe import load_recipe
from subjectwise.records import Example, QuestionClassifier
from subjectwise.utils.atomic_files import read_json, write_json, writing
from subjectwise.utils.versions import library_versions, machine_description

SCHEMA_VERSION = 1
FILE = "learning_curve.json"


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
    on_point: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Trains `learner` on each number of rows with each seed, measures it, and writes learning_curve.json to `output`.

    The rows are drawn with the seed, each label by its share; all validation rows choose the epoch and the
    temperature. The file is written after every point, and a point that it holds is not measured again.

    Args:
        learner: a recipe, or `baseline:KIND`.
        sizes: numbers of training rows; 0 for all.
        settings, base: changes to the recipe, and its base; or the encoder of a baseline.
        on_point: told each point when it is measured.

    Raises:
        DataError: a size is more than there are rows, or too few for every label.
        OutputError: `output` holds the curve of another learner or of other data, or cannot be written.
    """
    train = data.examples("train")
    wanted = [size or len(train) for size in sizes]
    for size in wanted:
        if not len(data.labels) <= size <= len(train):
            raise DataError(
                f"A size is {size}; it must be from {len(data.labels)} to the {len(train):,} training rows."
            )
    rows = split_rows(data, split)
    curve: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "predictor": learner,
        "settings": list(settings),
        "base": base,
        "data": {
            "protocol": rows.protocol,
            "split": split,
            "rows": len(rows.examples),
            "with_options": False,
            "manifest_sha256": rows.manifest_sha256,
        },
        "points": [],
        "command": command,
        "versions": library_versions(),
        "machine": machine_description(),
    }
    file = output / FILE
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        kept = read_json(file, OutputError)
        if any(kept.get(key) != curve[key] for key in ("predictor", "settings", "base", "data")):
            raise OutputError(f"{file} is the curve of another learner or of other data; use another --output.")
        curve["points"] = kept["points"]
    done = {(point["rows"], point["seed"]) for point in curve["points"]}
    for size in sorted(wanted):
        for seed in seeds:
            if (size, seed) in done:
                continue
            started = time.monotonic()
            part = draw_rows(train, size, seed)
            work = output / f".rows-{size}-seed-{seed}"
            predictor = _trained(learner, data, part, seed, work, settings, base, device)
            report = evaluate(predictor, rows, name=learner).report
            shutil.rmtree(work, ignore_errors=True)
            point = {
                "rows": size,
                "seed": seed,
                "accuracy": report["metrics"]["accuracy"],
                "macro_f1": report["metrics"]["macro_f1"]["value"],
                "nll": report["metrics"]["nll"]["value"],
                "seconds": time.monotonic() - started,
            }
            curve["points"].append(point)
            write_json(file, curve)
            if on_point:
                on_point(point)
    return curve


def draw_rows(train: Sequence[Example], size: int, seed: int) -> list[Example]:
    """`size` rows drawn with the seed, every label by its share and one row at least."""
    from sklearn.model_selection import train_test_split

    if size == len(train):
        return list(train)
    labels = [row.label for row in train]
    first = {label: labels.index(label) for label in reversed(labels)}
    try:
        drawn, _ = train_test_split(range(len(train)), train_size=size, random_state=seed, stratify=labels)
    except ValueError as error:
        raise DataError(f"{size} rows cannot be drawn from the training rows: {error}") from error
    present = {labels[place] for place in drawn}
    missing = [first[label] for label in sorted(set(labels) - present)]
    # A rare label takes the place of a row whose label has others.
    counts = {label: sum(labels[place] == label for place in drawn) for label in present}
    for place in missing:
        common = max(counts, key=lambda label: counts[label])
        drawn.remove(next(other for other in drawn if labels[other] == common))
        counts[common] -= 1
        drawn.append(place)
    return [train[place] for place in sorted(drawn)]


def _trained(
    learner: str, data: SplitFolder, part: list[Example], seed: int, work: Path, settings: Sequence[str],
    base: str, device: str,
) -> QuestionClassifier:  # fmt: skip
    held = data.examples("validation")
    kind, colon, rest = learner.partition(":")
    if colon and kind == BASELINE:
        return Baseline.fit(
            rest, [row.without_options() for row in part], [row.without_options() for row in held], data.labels,
            encoder=base, seed=seed, device=device,
        )  # fmt: skip
    from subjectwise.training.train import train

    recipe = load_recipe(learner, [*settings, f"training.seed={seed}"])
    recipe = replace(recipe, base=base) if base else recipe
    if not (work / "data").is_dir():
        place = len(part)
        write_split(
            work / "data", [*part, *held],
            Split(list(range(place)), list(range(place, place + len(held))), list(range(place, place + len(held)))),
            protocol="learning-curve", seed=seed, source="learning-curve",
        )  # fmt: skip
    if not (work / "model").is_dir():
        train(recipe, open_split(work / "data"), work / "model", compute=Compute(device), progress=False)
    return Classifier.from_pretrained(work / "model", device=device)
