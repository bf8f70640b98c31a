"""The Classifier: questions in, predictions out. A scikit-learn classifier with a language model inside."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from subjectwise.engines.engine import PYTORCH, loading_dtype
from subjectwise.engines.pytorch.output_head import check_head
from subjectwise.errors import ModelFolderError
from subjectwise.explain.sentence import SentenceWriter
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.devices import Compute, choose_dtype
from subjectwise.models.folder_bytes import read_bytes, write_bytes
from subjectwise.models.gguf import EMBEDDED
from subjectwise.models.label_scores import LabelScorer, Scorer
from subjectwise.models.model_config import CONFIG_FILE, VOCABULARY_FILE, ModelConfig, read_config
from subjectwise.models.model_folder import load_model, remove_base_path, shipped_folder
from subjectwise.publish.model_card import write_card
from subjectwise.recipe import PromptSettings, load_recipe
from subjectwise.records import EncodedQuestion, Example, Explanation, Question, Scored
from subjectwise.score_based_classifier import ScoreBasedClassifier
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.text.prompt import Prompt, label_shots
from subjectwise.text.question_list import QuestionsLike, question_list
from subjectwise.types import Progress
from subjectwise.utils.atomic_files import file_sha256, files_sha256, new_folder
from subjectwise.utils.hub_download import local_folder

# What a model folder may have; never a pickle.
_MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "README.md")


class Classifier(ScoreBasedClassifier, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifies questions by subject.

    Load a trained one with `Classifier.from_pretrained()`, use any labels and any base with
    `Classifier.zero_shot(labels)`, or train one with `fit`.

    Args:
        recipe: how `fit` trains: a shipped recipe or a recipe file.
        settings: `section.key=value` changes to it.
        validation_share: the share of the rows that choose the epoch and fit the temperature, above 0 up to 0.5.
        device: `auto`, or a PyTorch device.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        engine: `pytorch`, or `openvino`, which is faster on a CPU and slower to start.

    Attributes:
        classes_: the labels, in the order of `predict_proba`'s columns.
        temperature: what the log-probabilities are divided by.
        thresholds: the confidence from which on the validation rows reached an accuracy, such as {"0.95": 0.71}.
        warning: one sentence when the base is not quite the one that the model was trained on, else empty.
    """

    classes_: npt.NDArray[Any]
    warning: str = ""
    temperature: float = 1.0
    thresholds: Mapping[str, float] = {}
    reads_options: bool = False
    _prior: Sequence[float] = ()
    _folder: Path | None = None
    _base: str = ""
    _kept: tempfile.TemporaryDirectory[str] | None = None
    _zero_shot: Mapping[str, Any] | None = None
    _writer: SentenceWriter | None = None

    def __init__(
        self,
        recipe: str = "small",
        *,
        settings: Sequence[str] = (),
        validation_share: float = 0.2,
        device: str = "auto",
        dtype: str = "auto",
        engine: str = PYTORCH,
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
        device: str = "auto",
        dtype: str = "auto",
        engine: str = PYTORCH,
    ) -> Classifier:
        """Load a model folder from disk or from the Hub; without a name the shipped adapter on the embedded base.

        Args:
            name: a folder, or a name on the Hub, which is then downloaded.
            base: where the base is, when it is not where the folder says.
            device: as for the class.
            dtype: as for the class.
            engine: as for the class.

        Raises:
            ModelFolderError: the folder is missing, incomplete, or belongs to another base.
            BaseModelError: the base is missing; the message has the command that installs it.
        """
        classifier = cls(device=device, dtype=dtype, engine=engine)
        folder = shipped_folder() if name is None else local_folder(name, "model", _MODEL_FILES, ModelFolderError)
        classifier._load(folder, base)
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
        engine: str = PYTORCH,
    ) -> Classifier:
        """Return a classifier of any `labels` by the prompt alone, on an untrained base; not calibrated.

        The prompt has the labels' descriptions and examples, where they have any. The reference's 14 labels alone have
        the reference's prompt and its examples.

        Args:
            labels: to choose from.
            base: as for `load_base`.
            style: of the prompt: plain, chat or bare.
            shots: examples for the prompt, in place of the labels' own.
            device: as for the class.
            dtype: as for the class.
            engine: as for the class.
        """
        classifier = cls(device=device, dtype=dtype, engine=engine)
        classifier._load_zero_shot({"labels": labels, "base": base, "style": style, "shots": shots})
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
        self._load(fitted.folder, recipe.base if Path(recipe.base).exists() else None)
        self._kept = kept
        # Columns follow the label set, which is in the order of names; classes_ has the values that `y` had.
        self.classes_ = np.array([fitted.value_of[name] for name in self.labels])
        return self

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model folder to a new `folder`, whole or not at all."""
        self._check_fitted()
        if self._folder is None:
            raise ModelFolderError("Cannot save a zero-shot classifier; train one with fit, or 'subjectwise train'.")
        with new_folder(Path(folder)) as temporary:
            shutil.copytree(self._folder, temporary, dirs_exist_ok=True)
            if remove_base_path(temporary):
                write_card(temporary)

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
        """
        self._check_fitted()
        if y is not None:
            return float(ClassifierMixin.score(self, questions, y, sample_weight))
        if encoded is None:
            encoded = self._scorer.encode(question_list(questions))
        scores = self._scorer.score(encoded, on_progress)
        truncated = np.array([question.truncated for question in encoded], dtype=np.bool_)
        return Scored(apply_temperature(scores.log_probs, self.temperature), scores.label_mass, truncated)

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
        if self._folder is None:
            return ""
        files = (self._folder / name for name in (CONFIG_FILE, VOCABULARY_FILE))
        return files_sha256([file for file in files if file.is_file()])

    def load_sentence_writer(self) -> None:
        """Load the base without its adapter, which is merged in the scorer's own copy."""
        self._sentence_writer()

    def write_sentence(self, explanation: Explanation) -> str:
        """Write the sentence of an explanation with the base without its adapter, which is loaded once for it."""
        return self._sentence_writer().write(explanation, list(self.labels))

    def _sentence_writer(self) -> SentenceWriter:
        if self._writer is None:
            loaded = load_base(self._base, device=self.device, dtype=self.dtype)
            self._writer = SentenceWriter(loaded.model, loaded.tokenizer)
        return self._writer

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_scorer")

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle keeps: the settings and where the model is, or its files after `fit`; no base."""
        heavy = ("_scorer", "_writer", "_kept")
        state = {key: value for key, value in self.__dict__.items() if key not in heavy}
        if self._kept is not None and self._folder is not None:
            state["_files"] = read_bytes(self._folder)
        elif self._folder is not None:  # the shipped folder may be elsewhere where the pickle is read
            state["_folder"] = None if self._folder == shipped_folder() else self._folder.absolute()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files, fitted, folder = state.pop("_files", None), "classes_" in state, state.pop("_folder", None)
        self.__dict__.update(state)
        if self._zero_shot is not None:
            self._load_zero_shot(self._zero_shot)
        elif files is not None:
            kept = tempfile.TemporaryDirectory(prefix="subjectwise-")
            write_bytes(Path(kept.name) / "model", files)
            self._load(Path(kept.name) / "model", self._base)
            self._kept = kept
        elif fitted:
            self._load(folder or shipped_folder(), self._base)
        if fitted:
            self.classes_ = state["classes_"]

    def _load(self, folder: Path, base: str | None) -> None:
        loaded = load_model(folder, base=base, compute=Compute(self.device, self.dtype, self.engine))
        self._use(loaded.scorer, loaded.config.temperature)
        self.thresholds = dict(loaded.config.thresholds)
        self.reads_options = loaded.config.prompt.with_options
        self.warning = loaded.warning
        self._prior = loaded.config.prior
        self._folder = folder
        self._base = loaded.base.name

    def _load_zero_shot(self, options: Mapping[str, Any]) -> None:
        labels, shots = options["labels"], options["shots"]
        loaded = load_base(options["base"], device=self.device, dtype=loading_dtype(self.engine, self.dtype))
        check_head(loaded.model)
        shown = label_shots(labels) if shots is None else [(row.question.text, row.label) for row in shots]
        described = labels != LabelSet(MMLU_PRO_LABELS)
        prompt = Prompt(loaded.tokenizer, labels, PromptSettings(style=options["style"]), shown, described)
        precision = choose_dtype(loaded.model.device, self.dtype)
        self._use(LabelScorer(loaded.model, prompt, self.engine, precision), temperature=1.0)
        self._zero_shot = options
        self._writer = SentenceWriter(loaded.model, loaded.tokenizer)

    def _use(self, scorer: Scorer, temperature: float) -> None:
        self._scorer = scorer
        self.temperature = temperature
        self._folder = self._kept = self._zero_shot = self._writer = None
        self.classes_ = np.array(scorer.labels.names)

    def _check_fitted(self) -> None:
        if not hasattr(self, "_scorer"):
            raise NotFittedError("This Classifier is not trained yet; call fit, or use Classifier.from_pretrained().")
