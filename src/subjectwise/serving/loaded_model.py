"""The model that answers: a classifier with the name and version that its answers carry. Knows no requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from subjectwise.baselines.cascade import Cascade
from subjectwise.classifier import Classifier
from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import AUTO, Compute
from subjectwise.predictors import CASCADES, default_name, load_answering_predictor, split_cascade
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import MAX_CHARACTERS, Question
from subjectwise.serving.subject_descriptions import label_descriptions
from subjectwise.types import JsonObject
from subjectwise.utils.clean_text import clean_text

# Fields of a report that mean nothing to a reader elsewhere.
_PRIVATE = ("command", "before")

# A question of some 50 tokens: once, and in batches that take the next larger packs (`engines.pytorch.packs`), each as
# often as it takes until the pack is captured.
_WARM_UP_QUESTION = "Which of these is a consequence of what was said, and how would you explain it to a reader? " * 2
_WARM_UP_BATCHES = (1, 12, 48)
_WARM_UP_RUNS = 4


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A classifier as the server shows it.

    Attributes:
        classifier: what answers.
        name: without any path of this machine.
        version: the first 12 hex digits of the hash of its weights; empty where it has no file of its own.
        facts: what the model is and how well it was measured, as it was when it was loaded.
        max_tokens: the longest question that it reads, in tokens; 0 where that is unknown.
        writes_sentences: whether its sentence writer is loaded.
        dtype: the precision that it computes in, such as `float32`.
        device: the kind of device, such as `cpu`.
    """

    classifier: QuestionClassifier
    name: str
    version: str
    facts: JsonObject
    max_tokens: int = 0
    writes_sentences: bool = False
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        return self.classifier.labels

    @cached_property
    def explainer(self) -> LoadedModel:
        """The model as it answers questions that are to be explained; itself, unless it is a cascade."""
        classifier = self.classifier.explainer
        return self if classifier is self.classifier else replace(self, classifier=classifier)

    def cut(self, text: str, from_left: bool) -> str:
        """Return a text of which the model reads all, cut at one end where it is too long.

        Args:
            text: of any length.
            from_left: keep the end, instead of the beginning.
        """

        def kept(count: int) -> str:
            return text[len(text) - count :] if from_left else text[:count]

        def fits(count: int) -> bool:
            return not clean_text(kept(count)) or not self.classifier.encode([Question(kept(count))])[0].truncated

        low, high = 0, min(len(text), MAX_CHARACTERS)
        if fits(high):
            return kept(high)
        while low < high - 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return kept(low)


def describe(classifier: QuestionClassifier, name: str, *, sentences: bool = False) -> LoadedModel:
    """Return a loaded classifier as the server shows it.

    Args:
        classifier: what answers.
        name: without any path of this machine.
        sentences: load its sentence writer too.

    Raises:
        SubjectwiseError: it has no sentence writer.
    """
    if sentences:
        try:
            classifier.load_sentence_writer()
        except DataError as error:
            raise DataError(f"{name} writes no sentences; leave out --sentences.") from error
    version = classifier.weights_sha256[:12]
    behind = classifier.model if isinstance(classifier, Cascade) else classifier
    config = behind.config if isinstance(behind, Classifier) else None
    results = config.results if config else {}
    prompt = {"with_options": config.prompt.with_options, "max_tokens": config.prompt.max_tokens} if config else None
    reports = [
        {key: value for key, value in report.items() if key not in _PRIVATE} for report in results.get("reports", ())
    ]
    facts: JsonObject = {
        "name": name,
        "version": version,
        "base": {"name": config.base.public_name, "sha256": config.base.sha256} if config else None,
        "labels": [
            {"label": label, "description": text} for label, text in label_descriptions(classifier.labels).items()
        ],
        "prompt": prompt,
        "temperature": classifier.temperature,
        "thresholds": dict(classifier.thresholds),
        "min_in_scope": classifier.min_in_scope,
        "measured": {"validation": results.get("validation"), "test": reports},
        "cascade": classifier.is_cascade,
        "explains": True,
        "sentences": sentences,
        "warning": classifier.warning,
    }
    max_tokens = config.prompt.max_tokens if config else 0
    device, dtype = behind.runs_on if isinstance(behind, Classifier) else ("cpu", "float32")
    return LoadedModel(classifier, name, version, facts, max_tokens, sentences, dtype, device)


def load_model(
    name: str = "",
    labels: LabelSet | None = None,
    *,
    base: str = "",
    compute: Compute = AUTO,
    sentences: bool = False,
    spelling: str = "",
) -> LoadedModel:
    """Load a model by the name that every command takes, as `load_answering_predictor` does.

    Args:
        name: of the predictor; "" for the default.
        labels: the user's own, for `zero-shot:BASE`.
        base: where the base is, when it is not where the model folder says.
        compute: device, precision and engine.
        sentences: load its sentence writer too, which holds the base a second time.
        spelling: as for `load_predictor`.

    Raises:
        SubjectwiseError: it cannot be loaded; the sentence may name a folder of this machine.
    """
    name = name or default_name(labels, base)
    classifier = load_answering_predictor(name, labels, base=base, compute=compute, spelling=spelling)
    model = describe(classifier, _public(name), sentences=sentences)
    if model.device == "cuda":
        warm_up(classifier)
    return model


def warm_up(classifier: QuestionClassifier) -> None:
    """Score questions in batches of the usual sizes, so that a GPU has compiled and captured what clients ask for."""
    for count in _WARM_UP_BATCHES:
        for _ in range(_WARM_UP_RUNS):
            classifier.score([_WARM_UP_QUESTION] * count)


def _public(model: str) -> str:
    """Return the name without any path of this machine, also after `zero-shot:` and within a cascade's."""
    if model.partition(":")[0] in CASCADES:
        fast, behind = map(_public, split_cascade(model))
        return f"{model.partition(':')[0]}:{fast}+{behind}"
    kind, colon, rest = model.rpartition(":")
    path = Path(rest)
    return kind + colon + (path.resolve().name if path.exists() else rest)
