"""`subjectwise audit`: the rows whose label is most likely wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subjectwise.cli.options import AsJson, OptionsColumn, QuestionColumn

if TYPE_CHECKING:
    from subjectwise.evaluation.audit import Audit

_CLIPPED = 110
_PAIRS = 10


def audit(
    data: Annotated[str, typer.Option(help="A labelled parquet, JSONL or CSV file, or a split folder (all its rows).")],
    method: Annotated[str, typer.Option(help="What judges the labels: minilm-lr or tfidf-svm.")] = "minilm-lr",
    encoder: Annotated[
        str, typer.Option(help="Folder or Hub name of minilm-lr's encoder.  [default: all-MiniLM-L6-v2]")
    ] = "",
    predictions: Annotated[
        Path | None, typer.Option(help="A predictions.jsonl of 'subjectwise evaluate', in place of a method.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option(help="Decides which rows share a fold.")] = 42,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSONL file for all rows, ranked.")] = None,
    top: Annotated[int, typer.Option(min=0, help="How many rows to show.")] = 20,
    question_column: QuestionColumn = "",
    label_column: Annotated[str, typer.Option(help="Column of the label.")] = "",
    options_column: OptionsColumn = "",
    row_id_column: Annotated[str, typer.Option(help="Column of the row's id.")] = "",
    as_json: AsJson = False,
) -> None:
    """Rank the rows whose label is most likely wrong, and estimate how many there are.

    Each row is judged by a model that was trained on the other rows; or by predictions for rows that their model
    was not trained on, since one that has learnt a wrong label repeats it.

    Example: `subjectwise audit --data questions.csv --output audit.jsonl`
    """
    from subjectwise.data.column_names import Columns
    from subjectwise.data.protocols import SPLIT_NAMES
    from subjectwise.data.read_table import read_examples
    from subjectwise.data.split import MANIFEST, open_split
    from subjectwise.errors import OutputError
    from subjectwise.evaluation.audit import audit as run
    from subjectwise.evaluation.audit import cross_validated, read_predictions, write_rows
    from subjectwise.labels import LabelSet
    from subjectwise.utils.progress import progress_bar

    if output is not None and output.exists():
        raise OutputError(f"{output} exists already; choose another place, or remove it first.")
    if (Path(data) / MANIFEST).is_file():
        opened = open_split(data)
        examples = [example for name in SPLIT_NAMES for example in opened.examples(name)]
    else:
        examples = read_examples(data, Columns(question_column, label_column, options_column, row_id=row_id_column))
    if predictions is not None:
        read = read_predictions(predictions, examples)
        probabilities, labels = read.probabilities, read.labels
    else:
        labels = LabelSet.from_names(example.label for example in examples)
        with progress_bar("Embedding", len(examples), "questions", hidden=method != "minilm-lr") as bar:
            probabilities = cross_validated(
                examples, labels, method, encoder=encoder, folds=folds, seed=seed, on_progress=bar.update
            )
    found = run(examples, probabilities, labels)
    if output is not None:
        write_rows(output, found)
    if as_json:
        shown = [vars(row) for row in found.rows[:top]]
        typer.echo(json.dumps({**found.to_dict(), "top": shown}, ensure_ascii=False))
        return
    _show(found, top)


def _show(found: Audit, top: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    overall = found.overall
    console.print(
        f"{overall.suspects:,} of {overall.rows:,} labels are suspect ({overall.share:.1%}); were all of them wrong, "
        f"a model that is always right would be measured at {overall.ceiling:.1%}."
    )
    console.print(f"The judge agrees with {found.accuracy:.1%} of the labels: the better it is, the more this tells.")
    labels = Table("label", "rows", "suspects", "share", "ceiling", box=None)
    for label, estimate in found.per_label.items():
        shares = f"{estimate.share:.1%}", f"{estimate.ceiling:.1%}"
        labels.add_row(escape(label), f"{estimate.rows:,}", f"{estimate.suspects:,}", *shares)
    console.print(labels)
    pairs = [f"{label} -> {suggested} {rows:,}" for (label, suggested), rows in found.pairs.items()][:_PAIRS]
    if pairs:
        console.print(f"Most frequent: {escape(', '.join(pairs))}")
    rows = Table("row", "label -> suggested", "quality", "question", box=None)
    for row in found.rows[:top]:
        text = " ".join(row.question.split())
        clipped = text if len(text) <= _CLIPPED else text[: _CLIPPED - 1] + "…"
        rows.add_row(
            escape(row.row_id), escape(f"{row.label} -> {row.suggested}"), f"{row.quality:.3f}", escape(clipped)
        )
    if top:
        console.print(rows)
