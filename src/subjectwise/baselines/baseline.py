"""A baseline: an estimator fitted on rows and calibrated, behind the protocol of every predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise.baselines.estimators import (
    MAJORITY,
    MINILM_LR,
    Estimator,
    Inputs,
    check_kind,
    fit_estimator,
    out_of_fold_scores,
    raw_scores,
)
from subjectwise.baselines.saved_baseline import (
    CONFIG_FILE,
    MODEL_FILE,
    BaselineConfig,
    read_config,
    read_estimator,
    save_folder,
)
from subjectwise.baselines.sentence_encoder import SentenceEncoder
from subjectwise.data.near_duplicates import near_duplicate_groups
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.labels import LabelSet
from subjectwise.question_classifier import ScoreBasedClassifier
from subjectwise.records import EncodedQuestion, Example, Question, Scored
from subjectwise.statistics.calibration import apply_temperature, fit_temperature
from subjectwise.statistics.fair_labels import questions_in_scope
from subjectwise.statistics.metrics import MEASURES
from subjectwise.statistics.thresholds import find_thresholds
from subjectwise.text.question_list import question_list
from subjectwise.text.question_text import question_texts
from subjectwise.types import FloatArray, IntArray, JsonObject, Progress
from subjectwise.utils.atomic_files import files_sha256


@dataclass(frozen=True)
class Baseline(ScoreBasedClassifier):
    """A fitted baseline. Build one with `Baseline.fit` or `Baseline.load`.

    Attributes:
        config: what its folder says of it.
        estimator: a scikit-learn classifier.
        encoder: what embeds the questions, where the kind has an encoder.
        warning: one sentence when the encoder is not quite the one that the baseline was fitted on, else empty.
        description_sha256: the hash of the folder's files; empty where it was not loaded from one.
    """

    config: BaselineConfig
    estimator: Estimator = field(repr=False)
    encoder: SentenceEncoder | None = field(default=None, repr=False)
    warning: str = ""
    description_sha256: str = ""

    reads_options = False
    weights_sha256 = ""

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        return self.config.labels

    @property
    def temperature(self) -> float:
        """What the scores were divided by."""
        return self.config.temperature

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The confidence for a wanted accuracy on the validation rows; empty where there were none."""
        return self.config.thresholds

    @property
    def prior(self) -> Sequence[float]:
        """The share of each label among the training rows."""
        return self.config.prior

    @property
    def classes_(self) -> npt.NDArray[Any]:  # type: ignore[override]  # an attribute where `fit` sets it
        """scikit-learn's name for the labels."""
        return np.array(self.config.labels.names)

    @classmethod
    def fit(
        cls,
        kind: str,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: LabelSet,
        *,
        encoder: str = "",
        seed: int = 42,
        device: str = "auto",
        on_progress: Progress | None = None,
    ) -> Baseline:
        """Fit an estimator on `train` and its temperature on `validation`.

        Without validation rows the temperature is fitted on the training rows' own scores by estimators that have
        not seen them (cross-validation, near-duplicates kept together).

        Args:
            kind: one of `KINDS`.
            train: to learn from, each with the options that the baseline is to see; requests of no label are left out.
            validation: to calibrate on; may be empty.
            labels: in the order of the columns; each needs a training row.
            encoder: of `minilm-lr`: a folder or a name on the Hub; "" for all-MiniLM-L6-v2.
            seed: of the estimator.
            device: of the encoder.
            on_progress: called after each embedded batch with the number of its questions.

        Raises:
            DataError: an unknown kind, a row whose label is not one of `labels`, or a label without training rows.
            SubjectwiseError: a library is missing; the message has the command that installs it.
            BaseModelError: the encoder cannot be loaded.
        """
        check_kind(kind)
        train, validation = (questions_in_scope(rows, labels.names) for rows in (train, validation))
        truth = label_indices(train, labels)
        if missing := [name for index, name in enumerate(labels) if index not in truth]:
            raise DataError(f"The label {missing[0]!r} has no training rows.")
        validation_truth = label_indices(validation, labels)
        loaded = SentenceEncoder(encoder, device) if kind == MINILM_LR else None
        inputs = estimator_inputs([row.question for row in train], loaded, on_progress)
        estimator = fit_estimator(kind, inputs, truth, seed)
        results: JsonObject = {}
        # 1) The majority's probabilities are the labels' shares: there is nothing to correct.
        temperature = 1.0
        thresholds: Mapping[str, float] = {}
        # 2) Validation rows, where there are some, calibrate the others; rows of every label are not needed.
        if validation:
            scores = raw_scores(estimator, estimator_inputs([row.question for row in validation], loaded, on_progress))
            if kind != MAJORITY:
                temperature = fit_temperature(scores, validation_truth)
            probabilities = apply_temperature(scores, temperature)
            results["validation"] = _measured(probabilities, validation_truth)
            thresholds = find_thresholds(probabilities.max(axis=1), probabilities.argmax(axis=1) == validation_truth)
        # 3) Else the training rows do, each scored by an estimator that has not seen it.
        elif kind != MAJORITY:
            groups = near_duplicate_groups([row.question.text for row in train])
            temperature = fit_temperature(out_of_fold_scores(kind, inputs, truth, groups, labels, seed=seed), truth)
        shares = np.bincount(truth, minlength=len(labels)) / len(truth)
        config = BaselineConfig(
            kind, labels, temperature, tuple(shares.tolist()), thresholds, loaded.info if loaded else None,
            results=results,
        )  # fmt: skip
        return cls(config, estimator, loaded)

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return an estimate of each question's tokens, since a baseline has none: a quarter of its characters."""
        return [EncodedQuestion([], 1 + len(question.text) // 4) for question in questions]

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        """Return calibrated probabilities, without a label mass; `encoded` is not used."""
        asked = question_list(questions)
        if not asked:
            return Scored(np.zeros((0, len(self.config.labels))))
        inputs = estimator_inputs(asked, self.encoder, on_progress)
        return Scored(apply_temperature(raw_scores(self.estimator, inputs), self.config.temperature))

    def save(self, folder: Path | str, *, manifest_sha256: str = "") -> None:
        """Write a new `folder`, whole or not at all. `manifest_sha256` identifies the rows it was fitted on."""
        config = replace(self.config, manifest_sha256=manifest_sha256 or self.config.manifest_sha256)
        save_folder(Path(folder), self.estimator, config)

    @classmethod
    def load(cls, folder: Path | str, *, encoder: str = "", device: str = "auto") -> Baseline:
        """Load the folder of a baseline.

        Args:
            folder: which `save` wrote.
            encoder: where the encoder is, when it is not where the folder says (an offline copy, say).
            device: of the encoder.

        Raises:
            ModelFolderError: the folder is missing, damaged, has a type that is not trusted, or belongs to an
                encoder of another width.
            BaseModelError: the encoder cannot be loaded.
        """
        path = Path(folder)
        config = read_config(path)
        estimator = read_estimator(path, config)
        sha256 = files_sha256([path / CONFIG_FILE, path / MODEL_FILE])
        if config.encoder is None:
            return cls(config, estimator, description_sha256=sha256)
        loaded = SentenceEncoder(encoder or config.encoder.name, device)
        if loaded.info.size != config.encoder.size:
            raise ModelFolderError(
                f"{path} was fitted on embeddings of width {config.encoder.size}; those of {loaded.info.name} have "
                f"{loaded.info.size}. Give its own encoder, {config.encoder.name}."
            )
        warning = ""
        if loaded.info.sha256 != config.encoder.sha256:
            warning = f"The encoder {loaded.info.name} is not the one that {path} was fitted on (its hash differs)."
        return cls(config, estimator, loaded, warning, sha256)


def label_indices(examples: Sequence[Example], labels: LabelSet) -> IntArray:
    """Return the index of each row's label, [examples]; raise DataError where it is not one of `labels`."""
    return np.array([labels.index(example.label) for example in examples], dtype=np.int64)


def estimator_inputs(
    questions: Sequence[Question], encoder: SentenceEncoder | None, on_progress: Progress | None = None
) -> Inputs:
    """Return what the estimator reads of questions and their options: texts, [rows], or embeddings, [rows, size]."""
    texts = question_texts(questions)
    return encoder.encode(texts, on_progress) if encoder else np.array(texts, dtype=object)


def _measured(probabilities: FloatArray, truth: IntArray) -> JsonObject:
    names = ("accuracy", "macro_f1", "nll", "ece")
    return {"rows": len(truth), **{name: MEASURES[name](probabilities, truth) for name in names}}
