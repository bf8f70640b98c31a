"""The `subjectwise` command: all commands in one; errors become one sentence and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

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


class Command(NamedTuple):
    """A command, or a group of them, as the list of all commands needs it.

    Attributes:
        module: of `subjectwise.cli`; it has a function of that name, or `app`, where it is a group.
        summary: the first line of its help, repeated here so that the list needs no import of all modules.
        questions: whether its arguments are questions.
    """

    module: str
    summary: str
    questions: bool = False


# In the order of the list.
COMMANDS = {
    "setup": Command("setup", "Fetch the weights of the embedded base, once; asks before it downloads anything."),
    "classify": Command("classify", "Name the subject of questions, with calibrated probabilities.", questions=True),
    "explain": Command(
        "explain",
        "Show why a question has its subject: the words that changed the answer, and a sentence.",
        questions=True,
    ),
    "train": Command(
        "train",
        "Train an adapter or a head. A run that was stopped resumes when the same command is given again.",
    ),
    "evaluate": Command(
        "evaluate",
        "Measure accuracy, macro-F1, NLL and Brier score with 95 % intervals, and the calibration error with its "
        "bound.",
    ),
    "average": Command(
        "average",
        "Average adapters of several training runs into one, which is often better than each and costs no more.",
    ),
    "train-sentences": Command(
        "train_sentences",
        "Train a second adapter of a model, which writes the sentence of its explanations, "
        '"This is physics because ...".',
    ),
    "train-fast": Command(
        "train_fast",
        "Train a fast model, which answers the questions that it is sure of before the language model reads them.",
    ),
    "calibrate": Command(
        "calibrate",
        "Fit temperature and thresholds of a trained model on validation rows, and keep them in its folder.",
    ),
    "compare": Command(
        "compare",
        "Rank reports on the same rows, each against the next with a paired interval and McNemar's test.",
    ),
    "learning-curve": Command(
        "learning_curve",
        "Train on more and more rows and measure each model. The same command continues an interrupted curve.",
    ),
    "report": Command(
        "report",
        "Show the reports of a folder, up to three levels deep, and its learning curves as one HTML page.",
    ),
    "audit": Command("audit", "Rank the rows whose label is most likely wrong, and estimate how many there are."),
    "card": Command(
        "card",
        "Write the model card: results with intervals, prompt, data, training curve, limits, how to reproduce.",
    ),
    "serve": Command(
        "serve",
        "Answer over HTTP. SIGHUP loads the model again; SIGTERM answers what was accepted and stops.",
    ),
    "mcp": Command("mcp", "Offer the tools classify_text and list_categories over the Model Context Protocol."),
    "export": Command(
        "export",
        "Write a plain sequence-classification model that answers with the same probabilities in other engines.",
    ),
    "push": Command("push", "Upload a model folder to the Hub. Without --upload it is a dry run."),
    "data": Command("data", "Prepare data for training and measuring."),
}


def build_app(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """Build the program with the named commands, by default all; a command's module is imported for it."""
    app = _empty_app()
    for name in names:
        command = COMMANDS[name]
        module = import_module(f"subjectwise.cli.{command.module}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name, cls=QuestionCommand if command.questions else None)(getattr(module, command.module))
    return app


def build_list() -> typer.Typer:
    """Build the program that prints the list of commands and runs none: in a third of the time of `build_app`."""
    app = _empty_app()
    for name, command in COMMANDS.items():
        app.command(name, help=command.summary)(lambda: None)
    return app


def _empty_app() -> typer.Typer:
    app = typer.Typer(
        name="subjectwise",
        help="Classify questions by subject, with calibrated probabilities.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    return app


def _app_for(arguments: Sequence[str]) -> typer.Typer:
    """Build what `arguments` need: one command, the list, or all where the shell completes or a name is unknown."""
    if "_SUBJECTWISE_COMPLETE" in os.environ:
        return build_app()
    first = arguments[0] if arguments else "--help"
    if first in COMMANDS:
        return build_app([first])
    return build_list() if first in ("-h", "--help", "--version") else build_app()


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"subjectwise {version('subjectwise')}")
        raise typer.Exit()


_Version = Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")]


def _options(version: _Version = False) -> None:
    """Classify questions by subject, with calibrated probabilities."""


_INTERRUPTED = 130
_CONTINUE = "Interrupted. Run the same command again to continue."


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
    import warnings

    warnings.simplefilter("ignore")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A stream that cannot show a character, as that of a Windows console, shows another in its place.
        sys.stdout.reconfigure(errors="replace")
    try:
        typed = list(sys.argv[1:] if arguments is None else arguments)
        _app_for(typed)(args=typed, obj=typed)
    except SubjectwiseError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except SystemExit as error:
        if error.code == _INTERRUPTED:  # as typer ends a command at Ctrl-C
            typer.echo(_CONTINUE, err=True)
        raise
    except BrokenPipeError:
        # The reader of our output has ended (`| head`), so nothing more is printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"Error: {where}{error.strerror or error}.", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo(_CONTINUE, err=True)
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
