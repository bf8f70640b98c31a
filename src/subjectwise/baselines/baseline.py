"""The baseline: fitted on rows and calibrated, with the face of every predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise import metrics
from subjectwise.baselines.encoder import Encoder, missing_library
from subjectwise.baselines.folder import BaselineConfig, read_config, read_estimator, save_folder
from subjectwise.baselines.kinds import (
    MAJORITY,
    MINILM_LR,
    Inputs,
    check_kind,
    fit_estimator,
    out_of_fold_scores,
    raw_scores,
)
from subjectwise.calibration import apply_temperature, correct_prior, fit_temperature
from subjectwise.data.twins import twin_groups
from subjectwise.decision import ALWAYS_ONE, Decision, decide, find_thresholds
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.explain.evidence import ROUNDS, find_evidence
from subjectwise.labels import LabelSet
from subjectwise.metrics import IntArray
from subjectwise.prompt import question_text
from subjectwise.records import Example, Explanation, FloatArray, Prediction, Question, as_question

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline. Get one with `Baseline.fit` or `Baseline.load`.

    It sees the text of a question and the options that the question has; hide options by leaving them out, when
    fitting as when predicting.

    Attributes:
        warning: one sentence when the encoder is not quite the one that the baseline was fitted on, else empty.
    """

    config: BaselineConfig
    estimator: Any = field(repr=False)
    encoder: Encoder | None = field(default=None, repr=False)
    warning: str = ""

    @property
    def labels(self) -> LabelSet:
        return self.config.labels

    @property
    def temperature(self) -> float:
        return self.config.temperature

    @property
    def thresholds(self) -> Mapping[str, float]:
        return self.config.thresholds

    @property
    def classes_(self) -> npt.NDArray[Any]:
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
        """Fits an estimator on `train` and its temperature on `validation`.

        Without validation rows the temperature is fitted on the training rows' own scores by estimators that have
        not seen them (cross-validation, twins kept together).

        Args:
            kind: one of `KINDS`.
            labels: gives the order of the columns; each needs a training row.
            encoder: of `minilm-lr`: a folder or a name on the Hub; "" for all-MiniLM-L6-v2.
            on_progress: told the number of questions of each batch that is embedded.

        Raises:
            DataError: an unknown kind, a row whose label is not one of `labels`, or a label without training rows.
            SubjectwiseError: a library is missing; the message has the command that brings it.
            BaseModelError: the encoder cannot be loaded.
        """
        check_kind(kind)
        truth = label_positions(train, labels)
        if missing := [name for position, name in enumerate(labels) if position not in truth]:
            raise DataError(f"The label {missing[0]!r} has no training row.")
        held = label_positions(validation, labels)
        loaded = Encoder(encoder, device) if kind == MINILM_LR else None
        inputs = estimator_inputs(train, loaded, on_progress)
        estimator = fit_estimator(kind, inputs, truth, seed)
        results: dict[str, Any] = {}
        # 1) The majority's probabilities are the labels' shares: there is nothing to correct.
        temperature = 1.0
        thresholds: Mapping[str, float] = {}
        # 2) Validation rows, where there are some, correct the others; rows of every label are not needed.
        if validation:
            scores = raw_scores(estimator, estimator_inputs(validation, loaded, on_progress))
            if kind != MAJORITY:
                temperature = fit_temperature(scores, held)
            probabilities = apply_temperature(scores, temperature)
            results["validation"] = _figures(probabilities, held)
            thresholds = find_thresholds(probabilities, held)
        # 3) Else the training rows do, each scored by an estimator that has not seen it.
        elif kind != MAJORITY:
            groups = twins(train)
            temperature = fit_temperature(out_of_fold_scores(kind, inputs, truth, groups, labels, seed=seed), truth)
        shares = np.bincount(truth, minlength=len(labels)) / len(truth)
        config = BaselineConfig(
            kind, labels, temperature, tuple(shares.tolist()), thresholds, loaded.info if loaded else None,
            results=results,
        )  # fmt: skip
        return cls(config, estimator, loaded)

    def predict_proba(self, questions: Sequence[Question | str], on_progress: Progress | None = None) -> FloatArray:
        """Calibrated probabilities, [questions, labels], columns in the order of `classes_`."""
        if not len(questions):
            return np.zeros((0, len(self.config.labels)))
        inputs = estimator_inputs([as_question(question) for question in questions], self.encoder, on_progress)
        return apply_temperature(raw_scores(self.estimator, inputs), self.config.temperature)

    def classify(
        self,
        questions: Sequence[Question | str],
        *,
        with_options: bool | None = None,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Progress | None = None,
    ) -> list[Prediction]:
        """The prediction for each question, as `Classifier.classify` has it; without a label mass."""
        read = [as_question(question) for question in questions]
        decision.check_labels(list(self.labels))
        seen = read if with_options else [Question(question.text) for question in read]
        probabilities = correct_prior(self.predict_proba(seen, on_progress), prior_correction, self.config.prior)
        return decide(read, probabilities, list(self.labels), decision)

    def explain(
        self,
        question: Question | str,
        *,
        with_options: bool | None = None,
        sentence: bool = False,
        rounds: int = ROUNDS,
    ) -> Explanation:
        """The words that moved the answer, as `Classifier.explain` has it; DataError where a sentence is asked for."""
        if sentence:
            raise DataError("A baseline cannot write a sentence; ask it for the words alone (--no-sentence).")
        read, shown = as_question(question), bool(with_options)
        seen = read if shown else Question(read.text)
        return find_evidence(seen, list(self.labels), self.predict_proba, shown, rounds)

    def save(self, folder: Path | str, *, manifest_sha256: str = "") -> None:
        """Writes a new `folder`, whole or not at all. `manifest_sha256` names the rows it was fitted on."""
        config = replace(self.config, manifest_sha256=manifest_sha256 or self.config.manifest_sha256)
        save_folder(Path(folder), self.estimator, config)

    @classmethod
    def load(cls, folder: Path | str, *, encoder: str = "", device: str = "auto") -> Baseline:
        """Loads a baseline folder.

        Args:
            encoder: where the encoder is, when it is not where the folder says (an offline copy, say).

        Raises:
            ModelFolderError: the folder is missing, damaged, holds a type that is not trusted, or belongs to an
                encoder of another width.
            BaseModelError: the encoder cannot be loaded.
        """
        place = Path(folder)
        config = read_config(place)
        estimator = read_estimator(place, config)
        if config.encoder is None:
            return cls(config, estimator)
        loaded = Encoder(encoder or config.encoder.name, device)
        if loaded.info.size != config.encoder.size:
            raise ModelFolderError(
                f"{place} was fitted on embeddings of width {config.encoder.size}; those of {loaded.info.name} have "
                f"{loaded.info.size}. Give its own encoder, {config.encoder.name}."
            )
        warning = ""
        if loaded.info.sha256 != config.encoder.sha256:
            warning = f"The encoder {loaded.info.name} is not the one that {place} was fitted on (its hash differs)."
        return cls(config, estimator, loaded, warning)


def label_positions(examples: Sequence[Example], labels: LabelSet) -> IntArray:
    """The position of each row's label, [examples]; DataError where it is not one of `labels`."""
    return np.array([labels.index(example.label) for example in examples], dtype=np.int64)


def twins(examples: Sequence[Example]) -> IntArray:
    """The group of each row, [examples]; twins and near-twins share one."""
    try:
        return twin_groups([example.question.text for example in examples])
    except ImportError as error:
        raise missing_library("Keeping twins together", error, extra="train") from error


def estimator_inputs(
    rows: Sequence[Example | Question], encoder: Encoder | None, on_progress: Progress | None = None
) -> Inputs:
    """What the estimator reads of questions and their options: texts, [rows], or embeddings, [rows, size]."""
    questions = [row.question if isinstance(row, Example) else row for row in rows]
    texts = [question_text(question, with_options=True) for question in questions]
    return encoder.encode(texts, on_progress) if encoder else np.array(texts, dtype=object)


def _figures(probabilities: FloatArray, truth: IntArray) -> dict[str, Any]:
    named = {"accuracy": metrics.accuracy, "macro_f1": metrics.macro_f1, "nll": metrics.nll, "ece": metrics.ece}
    return {"rows": len(truth), **{name: of(probabilities, truth) for name, of in named.items()}}
