"""`subjectwise explain`: which words moved the answer, and a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subjectwise.cli.options import BaseName, Device, Dtype, Engine

if TYPE_CHECKING:
    from subjectwise.records import Evidence, Explanation

# Log-odds from which on a word is shown as having moved the answer, and from which on as having moved it far.
_SLIGHT, _STRONG = 0.2, 1.0


def explain(
    questions: Annotated[list[str], typer.Argument(help="One question or more, each in quotes.")],
    model: Annotated[str, typer.Option(help="A model folder, a Hub name, shipped, or zero-shot:BASE.")] = "",
    base: BaseName = "",
    labels: Annotated[Path | None, typer.Option(help="YAML file of your own labels, for zero-shot:BASE.")] = None,
    sentence: Annotated[
        bool, typer.Option(help="Let the base, without the adapter, write a sentence as well; a guess at a reason.")
    ] = True,
    rounds: Annotated[
        int, typer.Option(min=4, help="How many times words are hidden; more looks at a long question more finely.")
    ] = 16,
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "pytorch",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a question.")] = False,
) -> None:
    """Show why a question has its subject: the words that moved the answer, and a sentence.

    Example: `subjectwise explain "What torque stops a flywheel in ten seconds?"`
    """
    from subjectwise.cli.classify import load
    from subjectwise.models.devices import Compute
    from subjectwise.records import as_question

    asked = [as_question(question) for question in questions]
    classifier = load(model, labels, base, Compute(device, dtype, engine))
    if classifier.warning:
        typer.echo(f"Warning: {classifier.warning}", err=True)
    for question in asked:
        found = classifier.explain(question, sentence=sentence, rounds=rounds)
        if as_json:
            typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
        else:
            typer.echo(f"{found.label}, {found.score:.1%}")
            show_reason(found)


def explained(found: Explanation | None) -> dict[str, Any]:
    """What is added to an answer as JSON has it."""
    return {"explanation": found.to_dict()} if found else {}


def show_reason(found: Explanation) -> None:
    """Prints the question with its words marked, what spoke for both labels, and the sentence."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    text = Text(found.question)
    for item in found.evidence:
        if item.option is None and abs(item.weight) >= _SLIGHT:
            colour = "green" if item.weight > 0 else "red"
            text.stylize(f"bold reverse {colour}" if abs(item.weight) >= _STRONG else colour, item.start, item.end)
    console.print(text)
    console.print(Text(f"  {found.label} rather than {found.runner_up}:"))
    console.print(Text(f"    for {found.label}: {_listed(found.strongest(), runner_up=False)}"))
    against = sorted((item for item in found.evidence if item.weight < 0), key=lambda item: item.weight)[:3]
    if against:
        console.print(Text(f"    against it: {_listed(against, runner_up=False)}"))
    console.print(Text(f"    for {found.runner_up}: {_listed(found.strongest(runner_up=True), runner_up=True)}"))
    if found.sentence:
        console.print(Text(f"  {found.sentence}"))
    console.print()


def _listed(items: list[Evidence], *, runner_up: bool) -> str:
    """Words and their weights in log-odds, strongest first."""
    parts = []
    for item in items:
        weight = item.runner_up_weight if runner_up else item.weight
        parts.append(f"{shorten(item.text, 60, placeholder=' ...')} ({weight:+.1f})")
    return ", ".join(parts) or "no single word"
