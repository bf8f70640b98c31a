"""`subjectwise evaluate`: measure a predictor on labelled rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import BaseName, Device, Dtype, Engine, Spelling
from subjectwise.errors import SubjectwiseError

PREDICTOR_HELP = (
    "shipped, a model folder, a Hub name, zero-shot:BASE, few-shot:BASE, "
    "baseline:majority, baseline:tfidf-svm, baseline:minilm-lr, or cascade:FAST+MODEL."
)


def evaluate(
    context: typer.Context,
    predictor: Annotated[str, typer.Argument(help=PREDICTOR_HELP)],
    data: Annotated[str, typer.Option(help="A folder that 'subjectwise data split' wrote, or a labelled file.")],
    split: Annotated[str, typer.Option(help="train, validation or test, of a split folder.")] = "test",
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind of rows, of a mixture; may be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.json, predictions.jsonl.")
    ] = None,
    with_options: Annotated[bool, typer.Option("--with-options", help="Show the answer options to the model.")] = False,
    prior_correction: Annotated[str, typer.Option(help="none, match or batch, as classify has it.")] = "none",
    train_on: Annotated[
        Path | None, typer.Option(help="Split folder for few-shot:BASE and baseline:KIND, where --data is a file.")
    ] = None,
    question_column: Annotated[str, typer.Option(help="Column of the question, where --data is a file.")] = "",
    label_column: Annotated[str, typer.Option(help="Column of the label, where --data is a file.")] = "",
    allow_missing_labels: Annotated[
        bool, typer.Option("--allow-missing-labels", help="Measure even where some label has no rows.")
    ] = False,
    perturb: Annotated[
        list[str] | None,
        typer.Option(help="Measure again under noise: typos, case, spacing, no-punctuation or paraphrase-lead-in."),
    ] = None,
    perturb_seed: Annotated[int, typer.Option(min=0, help="Seed of that noise.")] = 0,
    spelling: Spelling = "",
    limit: Annotated[int, typer.Option(min=0, help="Measure only this many rows, spread evenly; 0 for all.")] = 0,
    base: BaseName = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure accuracy, macro-F1, NLL and Brier score with 95 % intervals, and the calibration error with its bound.

    Example: `subjectwise evaluate shipped --data split --split test --output report`
    """
    from subjectwise.cli.output import typed_command
    from subjectwise.data.column_names import Columns
    from subjectwise.data.split import open_split
    from subjectwise.evaluation.console import print_report
    from subjectwise.evaluation.evaluate import evaluate as run
    from subjectwise.evaluation.evaluate import file_rows, split_rows
    from subjectwise.evaluation.report_files import write_evaluation
    from subjectwise.labels import LabelSet
    from subjectwise.models.devices import Compute
    from subjectwise.predictors import load_predictor
    from subjectwise.text.typing_noise import levels_of
    from subjectwise.utils.atomic_files import check_new
    from subjectwise.utils.progress import progress_bar

    folder = Path(data) if (Path(data) / "manifest.json").is_file() else None
    _check_of_folder(context, ("question_column", "label_column") if folder else ("split", "kind"), folder)
    training_rows = train_on or folder
    known = open_split(training_rows) if training_rows else None
    if folder:
        rows = split_rows(open_split(folder), split, kind or ())
    else:
        rows = file_rows(data, Columns(question=question_column, label=label_column))
    names = known.labels if known else [row.label for row in rows.examples]
    labels = LabelSet.from_names(names) if predictor.startswith("zero-shot:") else None
    if output is not None:
        check_new(output)
    loaded = load_predictor(
        predictor,
        labels,
        data=known,
        with_options=with_options,
        base=base,
        compute=Compute(device, dtype, engine),
        spelling=spelling,
    )
    if loaded.warning:
        typer.echo(f"Warning: {loaded.warning}", err=True)
    noises = list(dict.fromkeys(perturb or []))
    rounds = 1 + sum(len(levels_of(noise)) for noise in noises)
    count = min(len(rows.examples), limit or len(rows.examples))
    with progress_bar("Measuring", count * rounds, "questions") as bar:
        evaluation = run(
            loaded, rows, name=predictor, command=typed_command(context),
            with_options=with_options, prior_correction=prior_correction, limit=limit,
            allow_missing=allow_missing_labels, perturb=noises, perturb_seed=perturb_seed, on_progress=bar.update,
        )  # fmt: skip
    if output is not None:
        write_evaluation(output, evaluation.report, evaluation.predictions)
    if as_json:
        typer.echo(json.dumps(evaluation.report.to_dict()))
    else:
        print_report(evaluation.report)


def _check_of_folder(context: typer.Context, others: Sequence[str], folder: Path | None) -> None:
    """Raise SubjectwiseError where an option was given that is for a file, or for a split folder, and not for this."""
    for name in others:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            what = "a labelled file, and --data is a split folder" if folder else "a split folder, and --data is a file"
            raise SubjectwiseError(f"--{name.replace('_', '-')} is for {what}; leave it out.")
