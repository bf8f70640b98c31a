"""The `subjectwise` command: all commands in one; errors become one sentence and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

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
    export,
    learning_curve,
    mcp,
    push,
    report,
    serve,
    train,
    train_sentences,
)
from subjectwise.engines.pytorch.onednn import limit_caches
from subjectwise.errors import SubjectwiseError


class QuestionCommand(TyperCommand):
    """A command whose arguments are questions, of which some begin with a dash."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse `args`; where a question is taken for an option, say how to write it."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # By name: typer has a copy of click of its own, whose exceptions it does not export.
            option = str(getattr(error, "option_name", ""))
            if type(error).__name__ == "NoSuchOption" and (" " in option or not option.startswith("--")):
                hint = f'Before a question that begins with a dash, write --: {ctx.command_path} -- "-5 + 3 = ?"'
                error.message = f"No such option: {option}. {hint}"  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    name="subjectwise",
    help="Classify questions by subject, with calibrated probabilities.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("classify", cls=QuestionCommand)(classify.classify)
app.command("explain", cls=QuestionCommand)(explain.explain)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("average")(average.average)
app.command("train-sentences")(train_sentences.train_sentences)
app.command("calibrate")(calibrate.calibrate)
app.command("compare")(compare.compare)
app.command("learning-curve")(learning_curve.learning_curve)
app.command("report")(report.report)
app.command("audit")(audit.audit)
app.command("card")(card.card)
app.command("serve")(serve.serve)
app.command("mcp")(mcp.mcp)
app.command("export")(export.export)
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
    """Classify questions by subject, with calibrated probabilities."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command in `arguments`, by default those of the process, and exit where it fails.

    Exit codes: 0 done, 1 an error reported in one sentence, 2 wrong usage, 130 interrupted.
    """
    # oneDNN and tokenizers read their settings when PyTorch and transformers are imported, so all are set before.
    limit_caches()
    # Warnings of these libraries are for their developers; ours are printed on their own.
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    limit_caches()
    import warnings

    warnings.simplefilter("ignore")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A stream that cannot show a character, as that of a Windows console, shows another in its place.
        sys.stdout.reconfigure(errors="replace")
    try:
        typed = list(sys.argv[1:] if arguments is None else arguments)
        app(args=typed, obj=typed)
    except SubjectwiseError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has ended (`| head`), so nothing more is printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"Error: {where}{error.strerror or error}.", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("Interrupted. Run the same command again to continue.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
