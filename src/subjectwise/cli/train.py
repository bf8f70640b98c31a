"""`subjectwise train`: train a model folder by a recipe on a split folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subjectwise.cli.options import AsJson, Device, Dtype

if TYPE_CHECKING:
    from subjectwise.data.split import SplitFolder
    from subjectwise.recipe import Recipe
    from subjectwise.records import Example


def train(
    recipe: Annotated[
        str, typer.Argument(help="small, embedded, full, reference, head, a recipe file, or baseline:KIND.")
    ],
    data: Annotated[Path, typer.Option(help="A folder that 'subjectwise data split' wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to write; it must not exist yet.")],
    base: Annotated[str, typer.Option(help="Base instead of the recipe's: embedded, Hub name, folder, GGUF.")] = "",
    also: Annotated[
        list[Path] | None, typer.Option(help="Labelled file to train on as well; may be repeated.", show_default=False)
    ] = None,
    start: Annotated[
        str, typer.Option("--from", help="Train the adapter of a model folder further; `shipped` for the package's.")
    ] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as in training.epochs=3; may be repeated.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report_to: Annotated[
        list[str] | None, typer.Option(help="Log metrics as well to tensorboard or trackio; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter or a head. A run that was stopped resumes when the same command is given again.

    Example: `subjectwise train small --data split --output my-model --set training.epochs=3`
    """
    from dataclasses import asdict, replace

    from subjectwise.data.read_table import read_examples
    from subjectwise.data.split import open_split
    from subjectwise.errors import RecipeError
    from subjectwise.models.devices import Compute
    from subjectwise.models.model_folder import shipped_folder
    from subjectwise.recipe import load_recipe
    from subjectwise.training.processes import join_processes
    from subjectwise.utils.optional_dependencies import require

    if recipe.startswith("baseline:"):
        if also or start:
            raise RecipeError("A baseline is trained on the split alone; leave out --also and --from.")
        _train_baseline(recipe, data, output, base, settings or [], device, as_json)
        return
    training = require("subjectwise.training.train", "train")
    processes = join_processes(device)

    def read_inputs() -> tuple[Recipe, SplitFolder, list[Example]]:
        chosen = load_recipe(recipe, settings or [])
        beside = [row for file in also or () for row in read_examples(str(file))]
        return replace(chosen, base=base) if base else chosen, open_split(data), beside

    chosen, opened, beside = processes.together(read_inputs)
    begun = (shipped_folder() if start == "shipped" else Path(start)) if start else None
    result = training.train(
        chosen, opened, output, also=beside, compute=Compute(device, dtype), report_to=report_to or (), start=begun
    )
    if not processes.is_first:
        return
    if result.warning:
        typer.echo(f"Warning: {result.warning}", err=True)
    if as_json:
        typer.echo(json.dumps({**asdict(result), "folder": str(output)}))
        return
    typer.echo(
        f"{output}: best epoch {result.best_epoch} of {result.epochs}, {result.seconds / 60:.1f} minutes; validation "
        f"accuracy {result.accuracy:.3f}, macro-F1 {result.macro_f1:.3f}, NLL {result.nll:.3f}, "
        f"temperature {result.temperature:.2f}"
    )
    typer.echo(f'Next: subjectwise classify --model {output} "your question"')


def _train_baseline(
    name: str, data: Path, output: Path, encoder: str, settings: list[str], device: str, as_json: bool
) -> None:
    """Train a baseline. It has one setting, whether it sees the options; --base is the encoder of minilm-lr."""
    from subjectwise.data.split import open_split
    from subjectwise.errors import RecipeError
    from subjectwise.predictors import fit_baseline
    from subjectwise.recipe import load_recipe
    from subjectwise.utils.atomic_files import check_new

    if any(not setting.startswith("prompt.with_options=") for setting in settings):
        raise RecipeError("A baseline has no settings but prompt.with_options.")
    check_new(output)
    opened = open_split(data)
    shown = load_recipe("small", settings).prompt.with_options
    baseline = fit_baseline(name.partition(":")[2], opened, encoder, shown, device)
    baseline.save(output, manifest_sha256=opened.manifest_sha256)
    measured = baseline.config.results.get("validation", {})
    if as_json:
        typer.echo(json.dumps({"folder": str(output), **measured}))
        return
    typer.echo(f"{output}: validation accuracy {measured['accuracy']:.3f}, macro-F1 {measured['macro_f1']:.3f}")
    typer.echo(f'Next: subjectwise classify --model {output} "your question"')
