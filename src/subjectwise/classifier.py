"""The Classifier: questions in, predictions out. A scikit-learn classifier with a language model inside."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from subjectwise.base_models import choose_dtype, load_base
from subjectwise.calibration import apply_temperature, correct_prior
from subjectwise.decision import ALWAYS_ONE, Decision, decide
from subjectwise.engines.output_head import check_head
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.explain.evidence import ROUNDS, find_evidence
from subjectwise.explain.sentence import SentenceWriter
from subjectwise.files import file_sha256, new_folder
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.model_folder import ModelConfig, load_model, read_config, shipped_folder
from subjectwise.prompt import Prompt
from subjectwise.recipe import PromptSettings, load_recipe
from subjectwise.records import Example, Explanation, FloatArray, Prediction, Question, as_question
from subjectwise.scoring import PYTORCH, LabelScorer, Scorer, loading_dtype

Questions = Sequence[Question | str]


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Names the subject of a question.

    Get one that is trained with `Classifier.from_pretrained()`, one for any labels and any base with
    `Classifier.zero_shot(labels)`, or train one with `fit`.

    Args:
        recipe: how `fit` trains: a shipped recipe or a recipe file.
        settings: `section.key=value` changes to it.
        validation_share: the share of the rows that choose the epoch and fit the temperature, 0 to 0.5.
        device: `auto`, or a PyTorch device.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        engine: `pytorch`, or `openvino`, which is faster on a CPU and slower to start.

    Attributes:
        classes_: the labels, in the order of `predict_proba`'s columns.
        temperature: what the log-probabilities are divided by.
        thresholds: the confidence from which on the validation rows were right as often as the key says ("0.95").
        warning: one sentence when the base is not quite the one that the model was trained on, else empty.
    """

    classes_: npt.NDArray[Any]
    warning: str = ""
    temperature: float = 1.0
    thresholds: Mapping[str, float] = {}
    _prior: Sequence[float] = ()
    _folder: Path | None = None
    _base: str = ""
    _with_options: bool = False
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
        """Loads a model folder, here or on the Hub; without a name the shipped adapter on the embedded base.

        Args:
            name: a folder, or a name on the Hub, which is then downloaded.
            base: where the base is, when not where the folder says.
            device, dtype, engine: as for the class.

        Raises:
            ModelFolderError: the folder is missing, not whole, or made for another base.
            BaseModelError: the base is missing; the message has the command that brings it.
        """
        classifier = cls(device=device, dtype=dtype, engine=engine)
        if name is None:
            classifier._load(shipped_folder(), base)
        else:
            classifier._load(_find_folder(name), base)
        return classifier

    @classmethod
    def zero_shot(
        cls,
        labels: LabelSet,
        *,
        base: str = "embedded",
        style: str = "plain",
        shots: Sequence[Example] | None = None,
        device: str = "auto",
        dtype: str = "auto",
        engine: str = PYTORCH,
    ) -> Classifier:
        """A classifier of any `labels` by the prompt alone, on an untrained base; not calibrated.

        The prompt has the labels' descriptions and examples, where they have any, and `shots` in place of those
        examples where they are given. The reference's 14 labels alone have the reference's prompt and its examples.
        """
        classifier = cls(device=device, dtype=dtype, engine=engine)
        loaded = load_base(base, device=device, dtype=loading_dtype(engine, dtype))
        check_head(loaded.model)
        shown = _shown(labels) if shots is None else [(example.question.text, example.label) for example in shots]
        own = labels != LabelSet(MMLU_PRO_LABELS)
        prompt = Prompt(loaded.tokenizer, labels, PromptSettings(style=style), shown, described=own)
        precision = choose_dtype(loaded.model.device, dtype)
        classifier._use(LabelScorer(loaded.model, prompt, engine, precision), temperature=1.0)
        classifier._writer = SentenceWriter(loaded.model, loaded.tokenizer)
        return classifier

    def fit(self, X: Questions, y: Sequence[Any]) -> Classifier:
        """Trains by the recipe on questions `X` and their labels `y`; part of the rows, drawn with the seed, validates.

        Raises:
            DataError: lengths differ, fewer than two labels, or a label with fewer than two rows.
        """
        from sklearn.model_selection import train_test_split

        from subjectwise.data.protocols import Split
        from subjectwise.data.split import write_split
        from subjectwise.training.run import train

        if len(X) != len(y):
            raise DataError(f"There are {len(X)} questions for {len(y)} labels.")
        if not 0 < self.validation_share <= 0.5:
            raise DataError(f"validation_share is {self.validation_share}; it must be above 0 and at most 0.5.")
        recipe = load_recipe(self.recipe, self.settings)
        classes, positions = np.unique(np.asarray(y), return_inverse=True)
        names = [str(value) for value in classes]
        rows = [
            Example(str(number), as_question(question), names[position])
            for number, (question, position) in enumerate(zip(X, positions, strict=True))
        ]
        LabelSet(tuple(names))
        try:
            chosen, held = train_test_split(
                list(range(len(rows))),
                test_size=max(self.validation_share, len(names) / len(rows)),
                random_state=recipe.training.seed,
                stratify=positions,
            )
        except ValueError as error:
            raise DataError(f"The rows cannot be divided for validation: {error}") from error
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            split = write_split(
                folder / "data",
                rows,
                Split(chosen, held, held),
                protocol="fit",
                seed=recipe.training.seed,
                source="fit",
            )
            train(recipe, split, folder / "model", device=self.device, dtype=self.dtype, progress=False)
            self._load(folder / "model", base=None)
            self._keep(folder / "model")
        # Columns follow the label set, which is in the order of names; classes_ has the values that `y` had.
        value_of = dict(zip(names, classes, strict=True))
        self.classes_ = np.array([value_of[name] for name in self.labels])
        return self

    def save_pretrained(self, folder: Path | str) -> None:
        """Writes the model folder to a new `folder`, whole or not at all."""
        self._check_fitted()
        if self._folder is None:
            raise ModelFolderError(
                "A zero-shot classifier has nothing to save; train one with fit, or 'subjectwise train'."
            )
        with new_folder(Path(folder)) as temporary:
            shutil.copytree(self._folder, temporary, dirs_exist_ok=True)

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a sequence of str too, and is one question here
        self,
        questions: Question | str,
        *,
        with_options: bool | None = None,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Callable[[int], None] | None = None,
    ) -> Prediction: ...

    @overload
    def classify(
        self,
        questions: Questions,
        *,
        with_options: bool | None = None,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Prediction]: ...

    def classify(
        self,
        questions: Question | str | Questions,
        *,
        with_options: bool | None = None,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Callable[[int], None] | None = None,
    ) -> Prediction | list[Prediction]:
        """The prediction for one question, or a list of them for many, in their order.

        Args:
            with_options: whether the model sees the answer options; None for the model's own setting.
            decision: whether to abstain when unsure, or to give several labels.
            prior_correction: `none`; or for many questions whose mix of labels is not that of the training rows:
                `match` finds the mix and answers accordingly, `batch` takes every label for equally frequent.
                An answer then depends on the other questions.
            on_progress: told the number of questions of each batch that is done.

        Raises:
            QuestionError: a question is empty, too long or holds control characters.
        """
        if isinstance(questions, (str, Question)):
            return self.classify([questions], with_options=with_options, decision=decision)[0]
        read = [as_question(question) for question in questions]
        names = list(self.labels)
        decision.check_labels(names)
        probabilities, mass = self._probabilities(read, with_options, on_progress)
        probabilities = correct_prior(probabilities, prior_correction, self._prior)
        return decide(read, probabilities, names, decision, mass)

    def explain(
        self,
        question: Question | str,
        *,
        with_options: bool | None = None,
        sentence: bool = False,
        rounds: int = ROUNDS,
    ) -> Explanation:
        """Why a question has its label: the words that moved the answer, found by hiding them.

        Args:
            with_options: as for `classify`; the options are then hidden in turn as well.
            sentence: adds "This is physics because ...", written by the base without the adapter, which is loaded
                once for it. It is a guess at a reason; small bases guess badly.
            rounds: how many times words are hidden: what an explanation costs, in classifications, and how finely
                a long question is looked at.

        Raises:
            QuestionError: as for `classify`.
            BaseModelError: a sentence is asked of a base that cannot write, such as an encoder.
        """
        read, labels = as_question(question), list(self.labels)
        shown = self._with_options if with_options is None else with_options

        def answer(questions: Sequence[Question]) -> FloatArray:
            return self._probabilities(questions, shown, None)[0]

        found = find_evidence(read, labels, answer, shown, rounds)
        return replace(found, sentence=self._sentences().write(found, labels)) if sentence else found

    def predict_proba(self, X: Questions, with_options: bool | None = None) -> FloatArray:
        """Calibrated probabilities, [questions, labels], columns in the order of `classes_`."""
        return self._probabilities([as_question(question) for question in X], with_options, None)[0]

    def predict(self, X: Questions) -> npt.NDArray[Any]:
        """The label of highest probability for each question, [questions]."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    @property
    def labels(self) -> LabelSet:
        self._check_fitted()
        return self._scorer.labels

    def count_tokens(self, questions: Questions, with_options: bool | None = None) -> list[int]:
        """How many tokens of each question the model reads, beside those that all share."""
        self._check_fitted()
        return self._scorer.count_tokens([as_question(question) for question in questions], with_options)

    @property
    def config(self) -> ModelConfig | None:
        """What the model folder says of itself; None where there is none."""
        return read_config(self._folder) if self._folder else None

    @property
    def weights_sha256(self) -> str:
        """The hash of the file of weights, which tells this model from any other; empty where there is none."""
        return file_sha256(self._folder / read_config(self._folder).weights_file) if self._folder else ""

    def _probabilities(
        self, questions: Sequence[Question], with_options: bool | None, on_progress: Callable[[int], None] | None
    ) -> tuple[FloatArray, FloatArray]:
        self._check_fitted()
        scores = self._scorer.score(questions, with_options, on_progress)
        return apply_temperature(scores.log_probs, self.temperature), scores.label_mass

    def _sentences(self) -> SentenceWriter:
        """The base without the adapter, with which the scorer's own copy is merged."""
        if self._writer is None:
            loaded = load_base(self._base, device=self.device, dtype=self.dtype)
            self._writer = SentenceWriter(loaded.model, loaded.tokenizer)
        return self._writer

    def _load(self, folder: Path, base: str | None) -> None:
        loaded = load_model(folder, base=base, device=self.device, dtype=self.dtype, engine=self.engine)
        self._use(loaded.scorer, loaded.config.temperature)
        self.thresholds = dict(loaded.config.thresholds)
        self._prior = loaded.config.prior
        self._folder = folder
        self._base = base or loaded.config.base.name
        self._with_options = loaded.config.prompt.with_options
        self.warning = loaded.warning

    def _use(self, scorer: Scorer, temperature: float) -> None:
        self._scorer = scorer
        self.temperature = temperature
        self._folder = None
        self._writer = None
        self.classes_ = np.array(scorer.labels.names)

    def _keep(self, folder: Path) -> None:
        """Copies the folder that `fit` made to a temporary place that lives as long as this classifier."""
        self._kept = tempfile.TemporaryDirectory(prefix="subjectwise-")
        self._folder = Path(shutil.copytree(folder, Path(self._kept.name) / "model"))

    def _check_fitted(self) -> None:
        if not hasattr(self, "_scorer"):
            raise NotFittedError("This Classifier is not trained yet; call fit, or use Classifier.from_pretrained().")


def _shown(labels: LabelSet) -> list[tuple[str, str]] | None:
    """The labels' examples for the prompt: the first of each label, then the second; None where there are none."""
    rounds = max(map(len, labels.examples.values()), default=0)
    given = [
        (labels.examples[name][turn], name)
        for turn in range(rounds)
        for name in labels
        if turn < len(labels.examples.get(name, ()))
    ]
    return given or None


def _find_folder(name: str | Path) -> Path:
    """A folder here, or the local copy of one on the Hub."""
    path = Path(name)
    if path.is_dir():
        return path
    text = str(name)
    if text.count("/") != 1 or text.startswith((".", "/", "~")):
        raise ModelFolderError(f"There is no model folder {name}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # Never a pickle: only the files that a model folder has.
        return Path(
            snapshot_download(text, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt", "README.md"])
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelFolderError(
            f"There is no folder {name} here, and no model of that name could be brought from the Hub "
            f"({type(error).__name__}); check the name, or download the folder first."
        ) from error
