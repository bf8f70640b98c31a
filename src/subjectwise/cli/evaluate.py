"""`subjectwise evaluate`: a predictor and a split folder into figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subjectwise.cli.options import BaseName, Device, Dtype, Engine

if TYPE_CHECKING:
    from rich.console import Console

PREDICTOR_HELP = (
    "shipped, a model folder, a Hub name, zero-shot:BASE, few-shot:BASE, "
    "or baseline:majority, baseline:tfidf-svm, baseline:minilm-lr."
)


def evaluate(
    context: typer.Context,
    predictor: Annotated[str, typer.Argument(help=PREDICTOR_HELP)],
    data: Annotated[str, typer.Option(help="A folder that 'subjectwise data split' wrote, or a labelled file.")],
    split: Annotated[str, typer.Option(help="train, validation or test, of a split folder.")] = "test",
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
        bool, typer.Option("--allow-missing-labels", help="Measure rows that have none of some label.")
    ] = False,
    perturb: Annotated[
        list[str] | None,
        typer.Option(help="Measure again under noise: typos, case, spacing, no-punctuation or paraphrase-lead-in."),
    ] = None,
    perturb_seed: Annotated[int, typer.Option(min=0, help="Seed of that noise.")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="Measure only this many rows, spread evenly; 0 for all.")] = 0,
    base: BaseName = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "pytorch",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure accuracy, macro-F1, NLL, Brier score and calibration error, each with its 95 % interval.

    Example: `subjectwise evaluate shipped --data split --split test --output report`
    """
    from subjectwise.cli.output import typed_command
    from subjectwise.data.column_names import Columns
    from subjectwise.data.split import open_split
    from subjectwise.errors import OutputError
    from subjectwise.evaluation.evaluate import evaluate as run
    from subjectwise.evaluation.evaluate import file_rows, split_rows, write_evaluation
    from subjectwise.labels import LabelSet
    from subjectwise.models.devices import Compute
    from subjectwise.predictors import load_predictor
    from subjectwise.text.typing_noise import levels_of
    from subjectwise.utils.progress import progress_bar

    folder = Path(data) if (Path(data) / "manifest.json").is_file() else None
    learnt_from = train_on or folder
    known = open_split(learnt_from) if learnt_from else None
    if folder:
        rows = split_rows(open_split(folder), split)
    else:
        rows = file_rows(data, Columns(question=question_column, label=label_column))
    names = known.labels if known else [row.label for row in rows.examples]
    labels = LabelSet.from_names(names) if predictor.startswith("zero-shot:") else None
    if output is not None and output.exists():
        raise OutputError(f"{output} exists already; choose another place, or remove it first.")
    loaded = load_predictor(
        predictor,
        labels,
        data=known,
        with_options=with_options,
        base=base,
        compute=Compute(device, dtype, engine),
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
        write_evaluation(output, evaluation)
    if as_json:
        typer.echo(json.dumps(evaluation.report))
        return
    _show(evaluation.report)


def _show(report: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 100)
    facts = report["data"]
    assert isinstance(facts, dict)
    shown = "with options" if facts["with_options"] else "question text only"
    console.print(f"{report['predictor']} on {facts['protocol']} {facts['split']}, {facts['rows']:,} rows, {shown}")
    figures = Table("", "value", "95 % interval", box=None)
    named = {
        "accuracy": "accuracy", "macro_f1": "macro-F1", "nll": "NLL", "brier": "Brier score", "ece": "ECE",
        "classwise_ece": "classwise ECE",
    }  # fmt: skip
    measured = report["metrics"]
    assert isinstance(measured, dict)
    for key, name in named.items():
        value = measured[key]
        figures.add_row(name, f"{value['value']:.3f}", f"{value['low']:.3f} to {value['high']:.3f}")
    console.print(figures)
    classes = Table("label", "rows", "precision", "recall", "F1", box=None)
    per_class = report["per_class"]
    assert isinstance(per_class, dict)
    for label, row in per_class.items():
        classes.add_row(label, str(row["rows"]), f"{row['precision']:.3f}", f"{row['recall']:.3f}", f"{row['f1']:.3f}")
    console.print(classes)
    honesty, curve = report["calibration"], report["risk_coverage"]
    assert isinstance(honesty, dict) and isinstance(curve, list)
    before = f", {honesty['before']['ece']:.3f} before the temperature" if honesty["before"] else ""
    console.print(
        f"ECE {honesty['after']['ece']:.3f}{before}; a perfectly calibrated model shows up to "
        f"{honesty['perfect_ece_p95']:.3f} on as many rows"
    )
    shares = ", ".join(f"{curve[share - 1]['accuracy']:.1%} at {share} %" for share in (50, 75, 90))
    console.print(f"accuracy on the surest rows: {shares} coverage")
    thresholds = report["thresholds"]
    assert isinstance(thresholds, dict)
    for target, row in thresholds.items():
        reached = f"{row['accuracy']['value']:.1%} right" if row["accuracy"] else "no row answered"
        console.print(
            f"threshold {row['threshold']:.3f} for {float(target):.0%} on validation: {reached}, "
            f"{row['coverage']:.0%} answered"
        )
    _show_robustness(console, report.get("robustness"))
    speed = report["speed"]
    assert isinstance(speed, dict)
    console.print(f"{speed['questions_per_second']:.1f} questions/s")


def _show_robustness(console: Console, found: object) -> None:
    from rich.table import Table

    if not isinstance(found, dict):
        return
    noisy = Table("noise", "level", "accuracy", "change", "95 % interval", "labels kept", "NLL", box=None)
    for kind, levels in found.items():
        for row in levels:
            change, kept = row["change"], row["labels_kept"]
            level = f"{float(row['level']):.0%}" if row["level"][0].isdigit() else row["level"]
            noisy.add_row(
                kind, level, f"{row['accuracy']['value']:.3f}", f"{change['value']:+.3f}",
                f"{change['low']:+.3f} to {change['high']:+.3f}", f"{kept['value']:.3f}", f"{row['nll']:.3f}",
            )  # fmt: skip
    console.print(noisy)
