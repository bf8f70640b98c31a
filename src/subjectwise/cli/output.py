"""What several commands print: answers, explanations, and the command as it was typed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from subjectwise.bulk.score_rows import BulkCounts
    from subjectwise.records import Evidence, Explanation, Prediction
    from subjectwise.types import JsonObject

# Log-odds from which on a word is shown as having changed the answer, and from which on as having changed it much.
_SLIGHT, _STRONG = 0.2, 1.0


def typed_command(context: typer.Context) -> str:
    """Return the running command as a line for the shell, for the files that say how they were made."""
    arguments = context.obj if isinstance(context.obj, list) else sys.argv[1:]
    return shlex.join(["subjectwise", *arguments])


def json_text(content: object) -> str:
    """Return `content` as one line of JSON that standard output can show: with escapes where it lacks a character."""
    from subjectwise.utils.json_records import json_text as strict_json

    text = strict_json(content)
    return text if _can_show(text) else strict_json(content, ensure_ascii=True)


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def prediction_json(prediction: Prediction, top_k: int) -> JsonObject:
    """Return an answer with its `top_k` most probable labels."""
    top = [{"label": label, "score": score} for label, score in prediction.top(top_k)]
    return prediction.to_dict() | {"top": top}


def prediction_text(prediction: Prediction, top_k: int, min_in_scope: float | None = None) -> str:
    """Return an answer as lines of text, one per label with a bar as long as its probability.

    Args:
        prediction: the answer.
        top_k: how many labels to show.
        min_in_scope: below this `in_scope` a line says that the question belongs to no label.
    """
    from subjectwise.records import ABSTAIN, BY_FAST

    lines = [prediction.question if len(prediction.question) <= 100 else prediction.question[:97] + "..."]
    if prediction.label == ABSTAIN:
        lines.append("  abstain: below the minimum")
    elif len(prediction.labels) > 1:
        lines.append(f"  unsure, one of: {', '.join(prediction.labels)}")
    if prediction.in_scope is not None and prediction.in_scope < (min_in_scope or 0):
        lines.append(f"  probably none of the labels: {prediction.in_scope:.1%} that it belongs to any")
    if prediction.truncated:
        lines.append("  longer than the model reads: its middle was cut out")
    if prediction.answered_by:
        lines.append(f"  answered by the {'fast' if prediction.answered_by == BY_FAST else 'language'} model")
    bar = "█" if _can_show("█") else "#"
    for label, score in prediction.top(top_k):
        lines.append(f"  {label:<18} {score:6.1%}  {bar * round(score * 30)}")
    return "\n".join(lines) + "\n"


def print_explanation(explanation: Explanation) -> None:
    """Print the question with its words marked, the evidence for both labels, and the sentence."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    label, runner_up = explanation.label, explanation.runner_up
    text = Text(explanation.question)
    for item in explanation.evidence:
        if item.option is None and abs(item.weight) >= _SLIGHT:
            colour = "green" if item.weight > 0 else "red"
            text.stylize(f"bold reverse {colour}" if abs(item.weight) >= _STRONG else colour, item.start, item.end)
    console.print(text)
    console.print(Text(f"  {label} rather than {runner_up}:"))
    console.print(Text(f"    for {label}: {_weights_text(explanation.strongest(), runner_up=False)}"))
    against = sorted((item for item in explanation.evidence if item.weight < 0), key=lambda item: item.weight)[:3]
    if against:
        console.print(Text(f"    against it: {_weights_text(against, runner_up=False)}"))
    console.print(Text(f"    for {runner_up}: {_weights_text(explanation.strongest(runner_up=True), runner_up=True)}"))
    if explanation.sentence:
        console.print(Text(f"  {explanation.sentence}"))
    console.print()


def print_counts(counts: BulkCounts) -> None:
    """Print on standard error which rows of a file did not get what a reader expects."""
    for count, note in (
        (counts.unanswered, "without an answer; `error` in the output says why"),
        (counts.truncated, "longer than the model reads; its middle was cut out, and it has `truncated`"),
        (counts.replaced, "with characters that cannot be stored; each is now \ufffd"),
    ):
        if count:
            typer.echo(f"Note: {count:,} row{'s' * (count > 1)} {note}.", err=True)


def _weights_text(items: Sequence[Evidence], *, runner_up: bool) -> str:
    """Return words and their weights in log-odds, strongest first."""
    parts = []
    for item in items:
        weight = item.runner_up_weight if runner_up else item.weight
        parts.append(f"{shorten(item.text, 60, placeholder=' ...')} ({weight:+.1f})")
    return ", ".join(parts) or "no single word"
