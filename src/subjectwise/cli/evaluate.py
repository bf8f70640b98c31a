"""`subjectwise evaluate`: a predictor and a split folder into figures."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    predictor: Annotated[str, typer.Argument(help="A model folder, a Hub name, shipped, or zero-shot:BASE.")],
    data: Annotated[Path, typer.Option(help="A folder that 'subjectwise data split' wrote.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.json, predictions.jsonl.")
    ] = None,
    with_options: Annotated[bool, typer.Option("--with-options", help="Show the answer options to the model.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="Measure only this many rows, spread evenly; 0 for all.")] = 0,
    base: Annotated[str, typer.Option(help="Where the base is, when not where the model folder says.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure accuracy, macro-F1, NLL, Brier score and calibration error, each with its 95 % interval.

    Example: `subjectwise evaluate shipped --data split --split test --output report`
    """
    from tqdm import tqdm

    from subjectwise.data.split import open_split
    from subjectwise.errors import OutputError
    from subjectwise.evaluation import evaluate as run
    from subjectwise.evaluation import load_predictor, write_evaluation

    typed = ["subjectwise", "evaluate", predictor, "--data", str(data), "--split", split]
    typed += ["--with-options"] * with_options + ["--limit", str(limit)] * bool(limit) + ["--base", base] * bool(base)
    opened = open_split(data)
    if output is not None and output.exists():
        raise OutputError(f"{output} exists already; choose another place, or remove it first.")
    loaded = load_predictor(predictor, opened.labels, base=base or None, device=device, dtype=dtype)
    if loaded.warning:
        typer.echo(f"Warning: {loaded.warning}", err=True)
    rows = opened.manifest["splits"].get(split, {}).get("rows", 0)
    with tqdm(total=min(rows, limit or rows), desc="Measuring", unit=" questions", disable=None) as bar:
        evaluation = run(
            loaded, opened, split, name=predictor, command=shlex.join(typed), with_options=with_options, limit=limit,
            on_progress=bar.update,
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
    named = {"accuracy": "accuracy", "macro_f1": "macro-F1", "nll": "NLL", "brier": "Brier score", "ece": "ECE"}
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
    speed = report["speed"]
    assert isinstance(speed, dict)
    console.print(f"{speed['questions_per_second']:.1f} questions/s")
