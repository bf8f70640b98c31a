"""The `subjectwise` command: gathers the commands and turns errors into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from subjectwise.cli import (
    audit,
    average,
    calibrate,
    card,
    classify,
    compare,
    data,
    evaluate,
    explain,
    learning_curve,
    mcp,
    push,
    report,
    serve,
    train,
)
from subjectwise.engines.pytorch.onednn import limit_caches
from subjectwise.errors import SubjectwiseError

app = typer.Typer(
    name="subjectwise",
    help="Tells which subject a question belongs to: the name and an honest probability.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("classify")(classify.classify)
app.command("explain")(explain.explain)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("average")(average.average)
app.command("calibrate")(calibrate.calibrate)
app.command("compare")(compare.compare)
app.command("learning-curve")(learning_curve.learning_curve)
app.command("report")(report.report)
app.command("audit")(audit.audit)
app.command("card")(card.card)
app.command("serve")(serve.serve)
app.command("mcp")(mcp.mcp)
app.command("push")(push.push)
app.add_typer(data.app, name="data")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"subjectwise {version('subjectwise')}")
        raise typer.Exit()


_Version = Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")]


@app.callback()
def _options(version: _Version = False) -> None:
    """Tells which subject a question belongs to: the name and an honest probability."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; `arguments` are those of the process unless given.

    Exit codes: 0 done, 1 an error told in one sentence, 2 wrong usage, 130 interrupted.
    """
    # Warnings of the libraries below are for their developers; ours are printed on their own.
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    limit_caches()
    import warnings

    warnings.simplefilter("ignore")
    try:
        typed = list(sys.argv[1:] if arguments is None else arguments)
        app(args=typed, obj=typed)
    except SubjectwiseError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("Interrupted. Run the same command again to go on.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
