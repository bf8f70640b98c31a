"""Calibrate a trained model: temperature, thresholds, label prior. Reads validation rows; changes no weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from subjectwise.data.protocols import SPLIT_NAMES
from subjectwise.data.split import SplitFolder
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.models.base_info import remember_base
from subjectwise.models.devices import AUTO, Compute
from subjectwise.models.label_scores import LabelLogProbs, Scorer
from subjectwise.models.model_config import ModelConfig, read_config, write_config
from subjectwise.models.model_folder import load_model
from subjectwise.publish.model_card import write_card
from subjectwise.records import Example, show_options
from subjectwise.statistics.calibration import ENOUGH_ROWS, apply_temperature, fit_temperature
from subjectwise.statistics.metrics import MEASURES
from subjectwise.statistics.thresholds import RISK, find_thresholds
from subjectwise.text.spelling import count_words
from subjectwise.types import IntArray, JsonObject
from subjectwise.utils.progress import progress_bar


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
    turns spelling correction on.

    Args:
        folder: the model folder.
        data: its validation rows are scored.
        base: where the base is, when it is not where the folder says.
        compute: device, precision and engine.
        spelling: a language as in `prompt.spelling`, or `none`; None leaves it as it is.
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
    validation = data.examples("validation")
    scores, truth = score_examples(loaded.scorer, validation, config.prompt.with_options, progress=progress)
    temperature = fit_temperature(scores.log_probs, truth)
    probabilities = apply_temperature(scores.log_probs, temperature)
    measured: JsonObject = {"rows": len(validation), "manifest_sha256": data.manifest_sha256, "threshold_risk": RISK}
    for name in ("accuracy", "macro_f1", "nll", "ece"):
        measured[name] = MEASURES[name](probabilities, truth)
    results = {**config.results, "validation": measured}
    if data.manifest_sha256 == config.manifest_sha256:
        results["data"] = _data_description(data)
    counts = Counter(data.manifest["splits"]["train"]["labels"])
    fitted = replace(
        config,
        temperature=temperature,
        prior=tuple(counts[label] / counts.total() for label in config.labels),
        thresholds=find_thresholds(probabilities, truth),
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
    """Return `config` with `prompt.spelling` set, and the training vocabulary of `data` where it needs one."""
    prompt = replace(config.prompt, spelling=spelling)
    if prompt.corrects_spelling and config.head.used:
        raise ModelFolderError("Cannot correct spelling for a classification head, which reads questions as typed.")
    texts = (row.question.text for row in data.examples("train"))
    return replace(config, prompt=prompt, words=count_words(texts) if prompt.corrects_spelling else {})


def _data_description(data: SplitFolder) -> JsonObject:
    """Return what the card says of the rows that the model was trained on."""
    manifest = data.manifest
    return {
        "source": manifest["source"],
        "protocol": manifest["protocol"],
        "seed": manifest["seed"],
        "rows": {name: manifest["splits"][name]["rows"] for name in SPLIT_NAMES},
    }


def score_examples(
    scorer: Scorer, examples: Sequence[Example], options_shown: bool, *, progress: bool
) -> tuple[LabelLogProbs, IntArray]:
    """Return the scores of the examples, shown with or without their options, and the index of each one's label."""
    truth = np.array([scorer.labels.index(example.label) for example in examples], dtype=np.int64)
    encoded = scorer.encode(show_options((example.question for example in examples), options_shown))
    with progress_bar("Validating", len(examples), "questions", hidden=not progress) as bar:
        return scorer.score(encoded, bar.update), truth
