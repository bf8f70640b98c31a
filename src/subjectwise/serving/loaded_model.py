"""The model that is served: a classifier with the name and version that its answers carry. Knows no requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subjectwise.classifier import Classifier
from subjectwise.labels import LabelSet
from subjectwise.models.devices import AUTO, Compute
from subjectwise.predictors import default_name, load_answering_predictor
from subjectwise.records import Question, QuestionClassifier, show_options

# What is known of a report but says nothing to a reader elsewhere.
_PRIVATE = ("command", "before")


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A classifier as it is served.

    Attributes:
        name: without any path of this machine.
        version: the first 12 hex digits of the hash of its weights; empty where it has none of its own.
        facts: what the model is and how well it was measured, as it was when it was loaded.
    """

    classifier: QuestionClassifier
    name: str
    version: str
    facts: Mapping[str, Any]

    @property
    def labels(self) -> LabelSet:
        return self.classifier.labels

    def shown(self, questions: Sequence[Question], with_options: bool | None) -> list[Question]:
        """Return the questions as the model is shown them; None for the model's own setting."""
        return show_options(questions, self.classifier.reads_options if with_options is None else with_options)

    def count_tokens(self, questions: Sequence[Question], with_options: bool | None) -> list[int]:
        """Return the tokens that are read of each question."""
        return [encoded.tokens for encoded in self.classifier.encode(self.shown(questions, with_options))]


def describe(classifier: QuestionClassifier, name: str) -> ServedModel:
    """A loaded classifier as it is served."""
    version = classifier.weights_sha256[:12]
    config = classifier.config if isinstance(classifier, Classifier) else None
    results = config.results if config else {}
    prompt = {"with_options": config.prompt.with_options, "max_tokens": config.prompt.max_tokens} if config else None
    reports = [
        {key: value for key, value in report.items() if key not in _PRIVATE} for report in results.get("reports", ())
    ]
    described = classifier.labels.descriptions
    facts = {
        "name": name,
        "version": version,
        "base": {"name": config.base.public_name, "sha256": config.base.sha256} if config else None,
        "labels": [{"label": label, "description": described.get(label, "")} for label in classifier.labels],
        "prompt": prompt,
        "temperature": classifier.temperature,
        "thresholds": dict(classifier.thresholds),
        "measured": {"validation": results.get("validation"), "test": reports},
        "explains": True,
        "warning": classifier.warning,
    }
    return ServedModel(classifier, name, version, facts)


def load_served(
    model: str = "", labels: LabelSet | None = None, *, base: str = "", compute: Compute = AUTO
) -> ServedModel:
    """Loads a model by the name that every command takes, as `load_answering_predictor` does.

    Raises:
        SubjectwiseError: it cannot be loaded; the sentence may name a folder of this machine.
    """
    name = model or default_name(labels)
    return describe(load_answering_predictor(name, labels, base=base, compute=compute), _public(name))


def _public(model: str) -> str:
    """The name without any path of this machine, also after `zero-shot:`."""
    kind, colon, rest = model.rpartition(":")
    path = Path(rest)
    return kind + colon + (path.resolve().name if path.exists() else rest)
