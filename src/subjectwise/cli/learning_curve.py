"""`subjectwise learning-curve`: how accuracy grows with training rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subjectwise.cli.options import Device

if TYPE_CHECKING:
    from subjectwise.evaluation.learning_curve_schema import LearningCurvePoint


def learning_curve(
    context: typer.Context,
    learner: Annotated[str, typer.Argument(help="A recipe (small, embedded …, or a file), or baseline:KIND.")],
    data: Annotated[Path, typer.Option(help="A folder that 'subjectwise data split' wrote.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for learning_curve.json; an existing curve is continued.")
    ],
    sizes: Annotated[str, typer.Option(help="Numbers of training rows; 0 for all.")] = "200,600,2000,0",
    seeds: Annotated[int, typer.Option(min=1, help="How many draws of each size.")] = 3,
    split: Annotated[str, typer.Option(help="validation or test.")] = "test",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting of the recipe; may be repeated.")
    ] = None,
    base: Annotated[str, typer.Option(help="Base of the recipe, or encoder of the baseline.")] = "",
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the curve as JSON.")] = False,
) -> None:
    """Train on more and more rows and measure each model. The same command continues an interrupted curve.

    Example: `subjectwise learning-curve baseline:tfidf-svm --data split --sizes 200,600,2000,0 --output curve`
    """
    from subjectwise.cli.output import typed_command
    from subjectwise.data.split import open_split
    from subjectwise.errors import DataError
    from subjectwise.evaluation.learning_curve import learning_curve as run

    try:
        numbers = [int(size) for size in sizes.split(",")]
    except ValueError:
        raise DataError(f"--sizes is {sizes!r}; write whole numbers with commas, as in 200,600,0.") from None

    def print_point(point: LearningCurvePoint) -> None:
        accuracy = point.accuracy
        typer.echo(
            f"{point.rows:>7,} rows, seed {point.seed}: accuracy {accuracy.value:.3f} "
            f"[{accuracy.low:.3f}, {accuracy.high:.3f}], {point.seconds:.0f} s",
            err=as_json,
        )

    curve = run(
        learner, open_split(data), numbers, range(1, seeds + 1), output, split=split, settings=settings or (),
        base=base, device=device, command=typed_command(context), on_point=print_point,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(curve.to_dict()))
