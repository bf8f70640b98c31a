"""Options that several commands share, and the predictor that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from subjectwise.models.devices import Compute
    from subjectwise.question_classifier import QuestionClassifier
    from subjectwise.records import Question

ModelName = Annotated[
    str,
    typer.Option(help="A model folder, a Hub name, shipped, zero-shot:BASE, or cascade:FAST+MODEL. [default: shipped]"),
]
BaseName = Annotated[str, typer.Option(help="Where the base is, if not where the model folder says.")]
LabelFile = Annotated[Path | None, typer.Option(help="YAML file of your own labels, for zero-shot:BASE (embedded).")]
QuestionColumn = Annotated[str, typer.Option(help="Question column; detected if it has a common name.")]
OptionsColumn = Annotated[str, typer.Option(help="Column of the answer options, a list.")]
Delimiter = Annotated[str, typer.Option(help="Between the cells of CSV: one character, or \\t for a tab. [default: ,]")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0 or mps.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Engine = Annotated[str, typer.Option(help="auto, openvino (for CPUs) or pytorch; auto is openvino where it can.")]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast", help="Let the model's fast model answer what it is sure of; the language model does the rest."
    ),
]
FastLoss = Annotated[str, typer.Option(help="Points of accuracy that --fast may cost: 0 or 1. [default: 0]")]
Spelling = Annotated[
    str,
    typer.Option(
        help="Correct spelling before the model reads: en or another language; or none. [default: as the model says]",
        show_default=False,
    ),
]
# Why a model has no threshold for an accuracy.
NO_THRESHOLD = (
    "its validation rows were too few for that, or too few of its answers right. 'subjectwise calibrate' fits "
    "it on some hundreds of rows; --min-confidence needs none"
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per question.")]


def read_questions(arguments: Sequence[str]) -> list[Question]:
    """Return the questions that were typed as arguments.

    Raises:
        QuestionError: one of them cannot be read; where it is too long it may be a file, for which there is --input.
    """
    from subjectwise.errors import QuestionError
    from subjectwise.records import MAX_CHARACTERS
    from subjectwise.text.question_list import question_list

    try:
        return question_list(arguments)
    except QuestionError as error:
        if max(map(len, arguments)) <= MAX_CHARACTERS:
            raise
        raise QuestionError(f"{error} To classify a file of questions, use 'subjectwise classify --input'.") from error


def fast_name(model: str, fast: bool, fast_loss: str, labels: Path | None) -> str:
    """Return the name of the predictor: with --fast that of the cascade of a model and its fast model.

    Raises:
        SubjectwiseError: --fast-loss without --fast, an unknown loss, or a predictor that has no fast model.
    """
    from subjectwise.errors import SubjectwiseError
    from subjectwise.predictors import cascade_name

    if not fast:
        if fast_loss:
            raise SubjectwiseError("--fast-loss needs --fast; give both, or neither.")
        return model
    if labels is not None and not model:
        raise SubjectwiseError("Cannot use --fast with --labels: an untrained model has no fast model.")
    return cascade_name(model, fast_loss or "0")


def load_classifier(
    model: str, labels: Path | None, base: str, compute: Compute, spelling: str = ""
) -> QuestionClassifier:
    """Load the predictor that answers, and print its warning where it has one.

    Args:
        model: as `ModelName`.
        labels: a YAML file of labels.
        base: as `BaseName`.
        compute: device, precision and engine.
        spelling: as `Spelling`.
    """
    from subjectwise.labels import LabelSet
    from subjectwise.predictors import load_answering_predictor

    known = LabelSet.from_yaml(labels) if labels is not None else None
    classifier = load_answering_predictor(model, known, base=base, compute=compute, spelling=spelling)
    if classifier.warning:
        typer.echo(f"Warning: {classifier.warning}", err=True)
    return classifier


def read_min_in_scope(text: str) -> float | None:
    """Return the minimum that was typed, 0 for none, None for the model's own (`auto`).

    Raises:
        SubjectwiseError: it is not a number from 0 to 1.
    """
    from subjectwise.errors import SubjectwiseError

    if text == "auto":
        return None
    try:
        minimum = float(text or 0)
    except ValueError:
        minimum = -1.0
    if not 0 <= minimum <= 1:
        raise SubjectwiseError(f"--min-in-scope is {text!r}; give a number from 0 to 1, or auto.")
    return minimum


def own_min_in_scope(classifier: QuestionClassifier) -> float:
    """Return the model's own minimum; raise SubjectwiseError where it has none."""
    from subjectwise.errors import SubjectwiseError

    if classifier.min_in_scope is None:
        raise SubjectwiseError(
            "This model does not tell requests that belong to no label, since it was trained without "
            "prompt.out_of_scope; leave --min-in-scope out."
        )
    return classifier.min_in_scope


def confidence_for_accuracy(classifier: QuestionClassifier, accuracy: str) -> float:
    """Return the model's threshold for an accuracy, such as "0.95", on new questions like its validation rows.

    Raises:
        SubjectwiseError: the model has no threshold for it.
    """
    from subjectwise.errors import SubjectwiseError

    thresholds = classifier.thresholds
    try:
        return thresholds[f"{float(accuracy):g}"]
    except (KeyError, ValueError):
        known = f"it has {', '.join(thresholds)}" if thresholds else NO_THRESHOLD
        raise SubjectwiseError(f"This model has no threshold for the accuracy {accuracy!r}: {known}.") from None
