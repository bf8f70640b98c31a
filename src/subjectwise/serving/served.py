"""The model that is served: a classifier with the name and version that its answers carry. Knows no requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subjectwise.baselines.baseline import Baseline
from subjectwise.classifier import Classifier
from subjectwise.evaluation.predictors import load_for_answers
from subjectwise.labels import LabelSet
from subjectwise.model_folder import public_name
from subjectwise.records import Question

# What is known of a report but says nothing to a reader elsewhere.
_PRIVATE = ("command", "before")


@dataclass(frozen=True, eq=False)
class Served:
    """A classifier as it is served.

    Attributes:
        name: without any path of this machine.
        version: the first 12 hex digits of the hash of its weights; empty where it has none of its own.
        facts: what the model is and how well it was measured, as it was when it was loaded.
    """

    classifier: Classifier | Baseline
    name: str
    version: str
    facts: Mapping[str, Any]

    @property
    def labels(self) -> LabelSet:
        return self.classifier.labels

    @property
    def explains(self) -> bool:
        return hasattr(self.classifier, "explain")

    def count_tokens(self, questions: Sequence[Question], with_options: bool | None) -> list[int]:
        """The tokens that are read of each question; a quarter of its characters where the model has no tokens."""
        count = getattr(self.classifier, "count_tokens", None)
        if count is None:
            return [1 + len(question.text) // 4 for question in questions]
        return list(count(questions, with_options))


def describe(classifier: Classifier | Baseline, name: str) -> Served:
    """A loaded classifier as it is served."""
    version = getattr(classifier, "weights_sha256", "")[:12]
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
        "base": {"name": public_name(config.base.name), "sha256": config.base.sha256} if config else None,
        "labels": [{"label": label, "description": described.get(label, "")} for label in classifier.labels],
        "prompt": prompt,
        "temperature": classifier.temperature,
        "thresholds": dict(classifier.thresholds),
        "measured": {"validation": results.get("validation"), "test": reports},
        "explains": hasattr(classifier, "explain"),
        "warning": classifier.warning,
    }
    return Served(classifier, name, version, facts)


def load_served(model: str = "", labels: LabelSet | None = None, **options: Any) -> Served:
    """Loads a model by the name that every command takes, as `load_for_answers` does.

    Raises:
        SubjectwiseError: it cannot be loaded; the sentence may name a folder of this machine.
    """
    name = model or ("shipped" if labels is None else "zero-shot:embedded")
    return describe(load_for_answers(name, labels, **options), _public(name))


def _public(model: str) -> str:
    """The name without any path of this machine, also after `zero-shot:`."""
    kind, colon, rest = model.rpartition(":")
    path = Path(rest)
    return kind + colon + (path.resolve().name if path.exists() else rest)
