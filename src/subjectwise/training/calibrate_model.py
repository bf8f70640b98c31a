"""Calibrate a trained model: temperature, thresholds, label prior. Reads validation rows; changes no weight."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from subjectwise.data.protocols import SPLIT_NAMES
from subjectwise.data.split import SplitFolder
from subjectwise.errors import DataError
from subjectwise.models.base_info import remember_base
from subjectwise.models.devices import AUTO, Compute
from subjectwise.models.model_config import ModelConfig, correcting, read_config, write_config
from subjectwise.models.model_folder import load_model
from subjectwise.publish.model_card import write_card
from subjectwise.statistics.calibration import ENOUGH_ROWS, apply_temperature, fit_temperature
from subjectwise.statistics.metrics import MEASURES
from subjectwise.statistics.scope import ScopeCalibration, fit_scope
from subjectwise.statistics.thresholds import RISK, find_thresholds
from subjectwise.text.spelling import count_words
from subjectwise.training.validation import ValidationScores, score_examples
from subjectwise.types import BoolArray, FloatArray, JsonObject


def calibrate(
    folder: Path,
    data: SplitFolder,
    *,
    base: str | None = None,
    compute: Compute = AUTO,
    spelling: str | None = None,
    progress: bool = True,
) -> ModelConfig:
    """Fit temperature, thresholds and prior of a model folder on a split folder, and write them.

    The saved model is scored by the path that answers. Of the training rows the words alone are read, where `spelling`
    is given.

    Args:
        folder: the model folder.
        data: its validation rows are scored.
        base: where the base is, when it is not where the folder says.
        compute: device, precision and engine.
        spelling: a language as in `prompt.spelling`, or `none`, with which a call may still ask for it; None leaves
            it as it is.
        progress: whether to show it.

    Raises:
        DataError: the labels of the data are not the model's.
        RecipeError: an unknown language.
        ModelFolderError: spelling is to be corrected for a classification head.
        ModelFolderError, BaseModelError: the model cannot be loaded.
    """
    config = read_config(folder)
    if list(data.labels) != list(config.labels):
        raise DataError(f"{data.path} has other labels than {folder}; give a split with the same labels.")
    if spelling is not None:
        config = with_spelling(config, spelling, data)
    loaded = load_model(folder, base=base, compute=compute, config=config)
    options_shown = config.prompt.with_options
    scores = score_examples(loaded.scorer, data.examples("validation"), options_shown, progress=progress)
    rows = scores.labelled()
    temperature = fit_temperature(rows.log_probs, rows.truth, rows.weights)
    probabilities = apply_temperature(rows.log_probs, temperature)
    fair = rows.fair[np.arange(len(rows.truth)), probabilities.argmax(axis=1)]
    measured: JsonObject = {
        "rows": len(rows.truth),
        "manifest_sha256": data.manifest_sha256,
        "threshold_risk": RISK,
        **{name: MEASURES[name](probabilities, rows.truth) for name in ("accuracy", "macro_f1", "nll", "ece")},
        **({"kinds": _per_kind(rows, probabilities, fair)} if data.kinds else {}),
    }
    results = {**config.results, "validation": measured}
    if data.manifest_sha256 == config.manifest_sha256:
        results["data"] = _data_description(data)
    counts = Counter({label: data.manifest["splits"]["train"]["labels"].get(label, 0) for label in config.labels})
    fitted = replace(
        config,
        temperature=temperature,
        prior=tuple(counts[label] / counts.total() for label in config.labels),
        thresholds=find_thresholds(probabilities.max(axis=1), fair, weights=rows.weights),
        scope=_fit_scope(scores),
        results=results,
    )
    if not config.head.whole:
        remember_base(loaded.base)
    write_config(folder, fitted)
    write_card(folder)
    return fitted


def calibration_warning(config: ModelConfig) -> str:
    """Return one sentence where a model was calibrated on too few validation rows; else an empty text."""
    rows = int(config.results.get("validation", {}).get("rows", 0))
    if not 0 < rows < ENOUGH_ROWS:
        return ""
    return (
        f"{rows} validation rows are too few to know how sure the model may be; "
        f"its probabilities may be too high or too low. Give it {ENOUGH_ROWS} or more."
    )


def with_spelling(config: ModelConfig, spelling: str, data: SplitFolder) -> ModelConfig:
    """Return `config` with `prompt.spelling` set, and the training vocabulary of `data`."""
    texts = (row.question.text for row in data.examples("train"))
    return replace(correcting(config, spelling), words={} if config.head.used else count_words(texts))


def _data_description(data: SplitFolder) -> JsonObject:
    """Return what the card says of the rows that the model was trained on."""
    manifest = data.manifest
    return {
        "source": manifest["source"],
        "protocol": manifest["protocol"],
        "seed": manifest["seed"],
        "rows": {name: manifest["splits"][name]["rows"] for name in SPLIT_NAMES},
        **({"kinds": _kinds(manifest)} if "kinds" in manifest else {}),
    }


def _kinds(manifest: JsonObject) -> dict[str, JsonObject]:
    """Return how many training rows each kind of a mixture has, its weight, and whom to credit."""
    rows = manifest["splits"]["train"]["kinds"]
    named = ("weight", "out_of_scope", "licence", "credits")
    return {
        kind: {"rows": rows[kind], **{key: description[key] for key in named if key in description}}
        for kind, description in manifest["kinds"].items()
        if kind in rows
    }


def _per_kind(rows: ValidationScores, probabilities: FloatArray, fair: BoolArray) -> dict[str, JsonObject]:
    """Return rows, accuracy, and accuracy with a fair label counted as right, for each kind of rows."""
    best, kinds = probabilities.argmax(axis=1), np.array(rows.kinds)
    return {
        str(kind): {
            "rows": int(np.sum(kinds == kind)),
            "accuracy": float(np.mean((best == rows.truth)[kinds == kind])),
            "fair_accuracy": float(np.mean(fair[kinds == kind])),
        }
        for kind in np.unique(kinds)
    }


def _fit_scope(scores: ValidationScores) -> ScopeCalibration | None:
    """Return the calibration of the answer for requests of no label; without such validation rows it is left as is."""
    if scores.in_scope is None:
        return None
    in_scope = scores.truth >= 0
    if in_scope.all() or not in_scope.any():
        return ScopeCalibration()
    return fit_scope(scores.in_scope, in_scope, scores.weights)
