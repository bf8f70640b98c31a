"""What a trained model learns last: how sure it may be. Reads validation rows; changes no weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from subjectwise import metrics
from subjectwise.calibration import apply_temperature, fit_temperature
from subjectwise.card import write_card
from subjectwise.data.protocols import SPLIT_NAMES
from subjectwise.data.split import SplitFolder
from subjectwise.decision import find_thresholds
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.model_folder import ModelConfig, load_model, read_config, write_config
from subjectwise.progress import progress_bar
from subjectwise.records import Example
from subjectwise.scoring import Scorer, Scores
from subjectwise.spelling import count_words


def calibrate(
    folder: Path,
    data: SplitFolder,
    *,
    base: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    spelling: str | None = None,
    progress: bool = True,
) -> ModelConfig:
    """Fits the temperature, the thresholds and the prior of a model folder on a split folder, and writes them.

    The saved model is read by the path that answers. Of the training rows only the labels are counted, and the words
    where `spelling` asks that mistyped words be mended from now on.

    Args:
        spelling: a language as in `prompt.spelling`, or `none`; None leaves it as it is.

    Raises:
        DataError: the labels of the data are not the model's.
        RecipeError: no such language.
        ModelFolderError: words are to be mended for a classification head.
        ModelFolderError, BaseModelError: the model cannot be loaded.
    """
    config = read_config(folder)
    if list(data.labels) != list(config.labels):
        raise DataError(f"{data.path} has other labels than {folder}; give a split with the same labels.")
    if spelling is not None:
        config = with_spelling(config, spelling, data)
    loaded = load_model(folder, base=base or config.base.name, device=device, dtype=dtype, config=config)
    held = data.examples("validation")
    scores, truth = score_examples(loaded.scorer, held, progress=progress)
    temperature = fit_temperature(scores.log_probs, truth)
    probabilities = apply_temperature(scores.log_probs, temperature)
    measured: dict[str, Any] = {"rows": len(held), "manifest_sha256": data.manifest_sha256}
    for name in ("accuracy", "macro_f1", "nll", "ece"):
        measured[name] = metrics.MEASURES[name](probabilities, truth)
    results = {**config.results, "validation": measured}
    if data.manifest_sha256 == config.manifest_sha256:
        results["data"] = _facts(data)
    counts = Counter(row.label for row in data.examples("train"))
    fitted = replace(
        config,
        temperature=temperature,
        prior=tuple(counts[label] / counts.total() for label in config.labels),
        thresholds=find_thresholds(probabilities, truth),
        results=results,
    )
    write_config(folder, fitted)
    write_card(folder)
    return fitted


def with_spelling(config: ModelConfig, spelling: str, data: SplitFolder) -> ModelConfig:
    """`config` with `prompt.spelling` set, and the words of the training rows of `data` where it needs them."""
    prompt = replace(config.prompt, spelling=spelling)
    if prompt.mends and config.head.used:
        raise ModelFolderError(
            "Mistyped words are mended for scored labels; a classification head reads them as typed."
        )
    texts = (row.question.text for row in data.examples("train"))
    return replace(config, prompt=prompt, words=count_words(texts) if prompt.mends else {})


def _facts(data: SplitFolder) -> dict[str, Any]:
    """What the card says of the rows that the model was trained on."""
    manifest = data.manifest
    return {
        "source": manifest["source"],
        "protocol": manifest["protocol"],
        "seed": manifest["seed"],
        "rows": {name: manifest["splits"][name]["rows"] for name in SPLIT_NAMES},
    }


def score_examples(scorer: Scorer, examples: Sequence[Example], *, progress: bool) -> tuple[Scores, metrics.IntArray]:
    """Scores of the examples and the place of each one's label."""
    truth = np.array([scorer.labels.index(example.label) for example in examples])
    with progress_bar("Validating", len(examples), "questions", hidden=not progress) as bar:
        return scorer.score([example.question for example in examples], on_progress=bar.update), truth
