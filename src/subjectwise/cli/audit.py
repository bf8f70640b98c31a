"""`subjectwise audit`: the rows whose label is most likely wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import AsJson, OptionsColumn, QuestionColumn


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
    was not trained on, since a model that has learnt a wrong label repeats it.

    Example: `subjectwise audit --data questions.csv --output audit.jsonl`
    """
    from subjectwise.data.column_names import Columns
    from subjectwise.data.protocols import SPLIT_NAMES
    from subjectwise.data.read_table import read_examples
    from subjectwise.data.split import MANIFEST, open_split
    from subjectwise.evaluation.audit import audit as run
    from subjectwise.evaluation.audit import cross_validated, read_predictions, write_rows
    from subjectwise.evaluation.console import print_audit
    from subjectwise.labels import LabelSet
    from subjectwise.statistics.fair_labels import questions_in_scope
    from subjectwise.utils.atomic_files import check_new
    from subjectwise.utils.progress import progress_bar

    if output is not None:
        check_new(output)
    if (Path(data) / MANIFEST).is_file():
        opened = open_split(data)
        every = [example for name in SPLIT_NAMES for example in opened.examples(name)]
        examples = questions_in_scope(every, opened.labels.names)
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
    audited = run(examples, probabilities, labels)
    if output is not None:
        write_rows(output, audited)
    if as_json:
        shown = [vars(row) for row in audited.rows[:top]]
        typer.echo(json.dumps({**audited.to_dict(), "top": shown}, ensure_ascii=False))
    else:
        print_audit(audited, top)
