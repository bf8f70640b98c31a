"""`subjectwise train-sentences`: train the adapter that writes the sentence of an explanation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import AsJson, BaseName, Device, Dtype


def train_sentences(
    model: Annotated[Path, typer.Argument(help="A model folder; it stays as it is.")],
    reasons: Annotated[Path, typer.Option(help="A file with the columns question, label and reason.")],
    data: Annotated[Path, typer.Option(help="The split folder that has these questions.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to write; it must not exist yet.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as in training.epochs=3; may be repeated.")
    ] = None,
    base: BaseName = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a second adapter of a model, which writes the sentence of its explanations, "This is physics because ...".

    Example: `subjectwise train-sentences my-model --reasons reasons.jsonl --data split --output my-writing-model`
    """
    from dataclasses import asdict

    from subjectwise.data.split import open_split
    from subjectwise.models.devices import Compute
    from subjectwise.recipe import load_recipe
    from subjectwise.utils.optional_dependencies import require

    training = require("subjectwise.training.train_sentences", "train")
    rows = require("subjectwise.training.sentence_rows", "train")
    recipe = load_recipe("sentences", settings or [])
    result = training.train_sentences(
        model, rows.read_reasons(reasons), open_split(data), output, recipe,
        base=base or None, compute=Compute(device, dtype),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps({**asdict(result), "folder": str(output)}))
        return
    typer.echo(
        f"{output}: best epoch {result.best_epoch}, {result.rows:,} reasons; "
        f"validation NLL of a token {result.nll:.3f} on {result.validation_rows:,}"
    )
    typer.echo(f'Next: subjectwise explain --model {output} --sentence "your question"')
