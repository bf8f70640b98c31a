"""The Classifier: questions in, predictions out. A scikit-learn classifier with a language model inside."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from subjectwise.engines.engine import AUTO_ENGINE
from subjectwise.errors import DataError
from subjectwise.explain.sentence import SentenceWriter
from subjectwise.labels import LabelSet
from subjectwise.models.devices import Compute
from subjectwise.models.encode_ahead import encode_and_score
from subjectwise.models.generating_base import load_generator
from subjectwise.models.gguf import EMBEDDED
from subjectwise.models.label_scores import Scorer
from subjectwise.models.model_config import SENTENCE_FOLDER, ModelConfig, description_sha256, read_config
from subjectwise.models.model_folder import load_model
from subjectwise.models.pretrained_folder import find_pretrained
from subjectwise.models.zero_shot import ZeroShot
from subjectwise.publish.exportable import Exportable
from subjectwise.question_classifier import ScoreBasedClassifier
from subjectwise.recipe import load_recipe
from subjectwise.records import EncodedQuestion, Example, Explanation, Question, Scored
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.statistics.scope import ScopeCalibration
from subjectwise.text.question_list import QuestionsLike, column_values, question_list
from subjectwise.types import Progress
from subjectwise.utils.atomic_files import file_sha256
from subjectwise.utils.estimator import ClassifierEstimator, not_fitted
from subjectwise.utils.hub_download import HubOptions, folder_name


class Classifier(Exportable, ScoreBasedClassifier, ClassifierEstimator):
    """Classifies questions by subject.

    Load a trained one with `Classifier.from_pretrained()`, use any labels and any base with
    `Classifier.zero_shot(labels)`, or train one with `fit`.

    Args:
        recipe: how `fit` trains: a shipped recipe or a recipe file.
        settings: `section.key=value` changes to it.
        validation_share: the share of the rows that choose the epoch and fit the temperature, above 0 up to 0.5.
        device: `auto`, or a PyTorch device.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        engine: `auto` (OpenVINO on a CPU for the families that it knows, else PyTorch), `openvino` or `pytorch`.

    Attributes:
        classes_: the labels, in the order of `predict_proba`'s columns.
        temperature: what the log-probabilities are divided by.
        thresholds: the confidence for an accuracy on new rows like the validation rows, such as {"0.95": 0.71}.
        min_in_scope: the probability of belonging to any label below which few questions are; None where unknown.
        warning: one sentence when the base is not quite the one that the model was trained on, else empty.
    """

    classes_: npt.NDArray[Any]
    warning: str = ""
    temperature: float = 1.0
    thresholds: Mapping[str, float] = {}
    reads_options: bool = False
    min_in_scope: float | None = None
    _scope: ScopeCalibration = ScopeCalibration()
    _prior: Sequence[float] = ()
    _writer: SentenceWriter | None = None

    def __init__(
        self,
        recipe: str = "small",
        *,
        settings: Sequence[str] = (),
        validation_share: float = 0.2,
        device: str = "auto",
        dtype: str = "auto",
        engine: str = AUTO_ENGINE,
    ) -> None:
        self.recipe = recipe
        self.settings = settings
        self.validation_share = validation_share
        self.device = device
        self.dtype = dtype
        self.engine = engine

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path | None = None,
        *,
        base: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: Path | str | None = None,
        local_files_only: bool = False,
        device: str = "auto",
        dtype: str = "auto",
        engine: str = AUTO_ENGINE,
        spelling: str | None = None,
    ) -> Classifier:
        """Load a model folder from disk or from the Hub; without a name the shipped adapter on the embedded base.

        Args:
            name: a folder, or a name on the Hub, which is then downloaded.
            base: where the base is, when it is not where the folder says.
            revision: a commit, branch or tag of the model on the Hub.
            token: to read private repositories on the Hub; None for that of `hf auth login` or HF_TOKEN.
            cache_dir: where downloads are kept; None for the Hub's own cache.
            local_files_only: use what was downloaded before, and no network.
            device: as for the class.
            dtype: as for the class.
            engine: as for the class.
            spelling: `en`, another language whose spelling is corrected, or `none`; None for what the folder says.

        Raises:
            ModelFolderError: the folder is missing, incomplete, on another base, or cannot correct spelling.
            BaseModelError, RecipeError: the base is missing, with the command that installs it; an unknown language.
        """
        classifier = cls(device=device, dtype=dtype, engine=engine)
        classifier._spelling = spelling
        classifier._load(*find_pretrained(name, base, revision, HubOptions(token, cache_dir, local_files_only)))
        return classifier

    @classmethod
    def zero_shot(
        cls,
        labels: LabelSet,
        *,
        base: str = EMBEDDED,
        style: str = "plain",
        shots: Sequence[Example] | None = None,
        device: str = "auto",
        dtype: str = "auto",
        engine: str = AUTO_ENGINE,
    ) -> Classifier:
        """Return a classifier of any `labels` by the prompt alone, on an untrained base; not calibrated.

        Args:
            labels: to choose from; the prompt has their descriptions and examples.
            base: as for `load_base`.
            style: of the prompt: plain, chat or bare.
            shots: examples for the prompt, in place of the labels' own.
            device: as for the class.
            dtype: as for the class.
            engine: as for the class.
        """
        classifier = cls(device=device, dtype=dtype, engine=engine)
        classifier._load_zero_shot(ZeroShot(labels, base, style, shots))
        return classifier

    def fit(self, X: QuestionsLike, y: npt.ArrayLike) -> Classifier:
        """Train by the recipe on questions `X` and their labels `y`; part of the rows, drawn with the seed, validates.

        Args:
            X: a list, an array, a Series, or a frame of one column.
            y: their labels, of any type that has a name: text, numbers, booleans.

        Raises:
            DataError: lengths differ, a row has no label, fewer than two labels, or a label with fewer than two rows.
        """
        from subjectwise.training.fit_rows import fit_rows

        recipe = load_recipe(self.recipe, self.settings)
        kept = tempfile.TemporaryDirectory(prefix="subjectwise-")  # lives as long as this classifier
        fitted = fit_rows(recipe, X, y, Path(kept.name), self.validation_share, Compute(self.device, self.dtype))
        if fitted.warning:
            warnings.warn(fitted.warning, UserWarning, stacklevel=2)
        self._spelling = None
        self._load(fitted.folder, recipe.base if Path(recipe.base).exists() else None)
        self._kept = kept
        # Columns are in the order of names; classes_ has the values that `y` had.
        self.classes_ = np.array([fitted.value_of[name] for name in self.labels])
        return self

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return the token ids of each question, for `score`."""
        self._check_fitted()
        return self._scorer.encode(questions)

    @overload
    def score(
        self,
        questions: Sequence[Question | str],
        y: None = None,
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored: ...

    @overload
    def score(self, questions: Sequence[Question | str], y: Sequence[Any], sample_weight: Any = None) -> float: ...

    def score(
        self,
        questions: Sequence[Question | str],
        y: Sequence[Any] | None = None,
        sample_weight: Any = None,
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored | float:
        """Return calibrated probabilities of the labels and their probability mass; with `y` the accuracy.

        Args:
            questions: each with the answer options that the model is to be shown.
            y: their labels, with which scikit-learn asks for the accuracy.
            sample_weight: of the accuracy.
            encoded: what `encode` returned for the questions, to save encoding them again.
            on_progress: called after each batch with the number of its questions.

        Raises:
            QuestionError: a question is empty or too long; its number is given where there are several.
            DataError: `y` has another length than `questions`.
        """
        self._check_fitted()
        if y is not None:
            return self._accuracy(questions, y, sample_weight)
        if encoded is None:
            encoded, scores = encode_and_score(self._scorer, question_list(questions), on_progress)
        else:
            scores = self._scorer.score(encoded, on_progress)
        truncated = np.array([question.truncated for question in encoded], dtype=np.bool_)
        in_scope = None if scores.in_scope is None else self._scope.apply(scores.in_scope)
        return Scored(apply_temperature(scores.log_probs, self.temperature), scores.label_mass, truncated, in_scope)

    def _accuracy(self, questions: Sequence[Question | str], y: Sequence[Any], sample_weight: Any) -> float:
        predicted, wanted = self.predict(questions), column_values(y, "the labels")
        if len(wanted) != len(predicted):
            raise DataError(f"{len(predicted)} questions have {len(wanted)} labels; give one label per question.")
        right = [value == label for value, label in zip(predicted.tolist(), wanted, strict=True)]
        return float(np.average(right, weights=sample_weight))

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        self._check_fitted()
        return self._scorer.labels

    @property
    def prior(self) -> Sequence[float]:
        """The share of each label among the training rows; empty where it was not kept."""
        return self._prior

    @property
    def config(self) -> ModelConfig | None:
        """What the model folder says of itself; None for a classifier without one."""
        return read_config(self._folder) if self._folder else None

    @property
    def weights_sha256(self) -> str:
        """The hash of the file of weights, which identifies the model; empty for a classifier without one."""
        return file_sha256(self._folder / read_config(self._folder).weights_file) if self._folder else ""

    @property
    def description_sha256(self) -> str:
        """The hash of what the model folder says of it: prompt, labels, calibration; empty without a folder."""
        return "-".join(filter(None, (description_sha256(self._folder), self._spelling))) if self._folder else ""

    @property
    def runs_on(self) -> tuple[str, str]:
        """The kind of device that computes and the precision, such as `cpu` and `float32`."""
        self._check_fitted()
        return self._scorer.runs_on

    def load_sentence_writer(self) -> None:
        """Load what writes sentences: the base once more, with the folder's sentence adapter where it has one."""
        self._sentence_writer()

    def write_sentence(self, explanation: Explanation) -> str:
        """Write the sentence of an explanation with the folder's adapter for it, or the base alone; loaded once."""
        return self._sentence_writer().write(explanation, list(self.labels))

    def _sentence_writer(self) -> SentenceWriter:
        if self._writer is None:
            adapter = self._folder / SENTENCE_FOLDER if self._folder else None
            trained = adapter is not None and adapter.is_dir()
            compute = Compute(self.device, self.dtype, self.engine)
            self._writer = SentenceWriter(
                *load_generator(self._base, compute, adapter if trained else None), trained=trained
            )
        return self._writer

    def __repr__(self) -> str:
        if not self.__sklearn_is_fitted__():
            return super().__repr__()
        name = f"zero-shot:{self._zero_shot.base}" if self._zero_shot else folder_name(self._folder or Path())
        device, dtype = self.runs_on
        return f"<Classifier {'fitted' if self._kept else name}: {len(self.labels)} labels, {dtype} on {device}>"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_scorer")

    def _load(self, folder: Path, base: str | None) -> None:
        config = read_config(folder, self._spelling)
        loaded = load_model(folder, base=base, compute=Compute(self.device, self.dtype, self.engine), config=config)
        self._use(loaded.scorer, loaded.config.temperature)
        self.thresholds = dict(loaded.config.thresholds)
        self.reads_options = loaded.config.prompt.with_options
        self.min_in_scope = loaded.config.scope.threshold if loaded.config.scope else None
        self._scope = loaded.config.scope or ScopeCalibration()
        self.warning, self._prior = loaded.warning, loaded.config.prior
        self._folder, self._base = folder, loaded.base.name

    def _load_zero_shot(self, zero_shot: ZeroShot) -> None:
        scorer, generator = zero_shot.load(Compute(self.device, self.dtype, self.engine))
        self._use(scorer, temperature=1.0)
        self._zero_shot, self._writer = zero_shot, SentenceWriter(generator, scorer.prompt.tokenizer)

    def _use(self, scorer: Scorer, temperature: float) -> None:
        self._scorer = scorer
        self.temperature = temperature
        self._folder = self._kept = self._zero_shot = self._writer = None
        self.classes_ = np.array(scorer.labels.names)

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise not_fitted("This Classifier is not trained yet; call fit, or use Classifier.from_pretrained().")
