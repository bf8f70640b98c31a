"""`subjectwise explain`: which words changed the answer, and a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import (
    AsJsonLines,
    BaseName,
    Device,
    Dtype,
    Engine,
    Spelling,
    load_classifier,
    read_questions,
)
from subjectwise.cli.output import json_text, print_explanation


def explain(
    questions: Annotated[list[str], typer.Argument(help="One question or more, each in quotes.")],
    model: Annotated[str, typer.Option(help="A model folder, a Hub name, shipped, or zero-shot:BASE.")] = "",
    base: BaseName = "",
    labels: Annotated[Path | None, typer.Option(help="YAML file of your own labels, for zero-shot:BASE.")] = None,
    sentence: Annotated[bool, typer.Option(help="Write a sentence as well: a guess at a reason.")] = True,
    rounds: Annotated[
        int, typer.Option(min=4, help="How many times words are hidden; more looks at a long question more finely.")
    ] = 16,
    spelling: Spelling = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "auto",
    as_json: AsJsonLines = False,
) -> None:
    """Show why a question has its subject: the words that changed the answer, and a sentence.

    Example: `subjectwise explain "What torque stops a flywheel in ten seconds?"`
    """
    from subjectwise.models.devices import Compute

    asked = read_questions(questions)
    classifier = load_classifier(model, labels, base, Compute(device, dtype, engine), spelling)
    for question in asked:
        explanation = classifier.explain(question, sentence=sentence, rounds=rounds)
        if as_json:
            typer.echo(json_text(explanation.to_dict()))
        else:
            typer.echo(f"{explanation.label}, {explanation.score:.1%}")
            print_explanation(explanation)
