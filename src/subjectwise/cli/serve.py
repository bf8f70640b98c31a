"""`subjectwise serve`: the HTTP service."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import (
    BaseName,
    Device,
    Dtype,
    Engine,
    Fast,
    FastLoss,
    LabelFile,
    ModelName,
    Spelling,
    fast_name,
)
from subjectwise.errors import SubjectwiseError
from subjectwise.utils.optional_dependencies import require

EXTRA = "serve"

ApiKeys = Annotated[
    list[str] | None,
    typer.Option("--api-key", envvar="SUBJECTWISE_API_KEY", help="Require this key; repeat it for several."),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file", help="File of keys, one per line. Unlike --api-key not seen in the list of processes."
    ),
]


def serve(
    model: ModelName = "",
    fast: Fast = False,
    fast_loss: FastLoss = "",
    base: BaseName = "",
    labels: LabelFile = None,
    spelling: Spelling = "",
    host: Annotated[
        str, typer.Option(help="0.0.0.0 to be reached from other machines; give an API key then.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free port.")] = 8000,
    api_key: ApiKeys = None,
    api_key_file: ApiKeyFile = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name by which a server on this machine without a key is asked; repeat it for several."
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="A web origin whose pages may ask; repeat it for several.")
    ] = None,
    max_waiting: Annotated[int, typer.Option(min=1, help="Most waiting questions; more are refused with 429.")] = 512,
    max_connections: Annotated[int, typer.Option(min=1, help="Most open connections.")] = 512,
    deadline: Annotated[float, typer.Option(help="Seconds in which a request is answered, or refused with 504.")] = 30,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Most tokens per batch; more pays on a GPU.")] = 1024,
    sentences: Annotated[
        bool, typer.Option("--sentences", help="Write sentences on request; holds the base in memory a second time.")
    ] = False,
    log_questions: Annotated[bool, typer.Option("--log-questions", help="Log the text of questions too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log no line per request.")] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "auto",
) -> None:
    """Answer over HTTP. SIGHUP loads the model again; SIGTERM answers what was accepted and stops.

    Example: `subjectwise serve --port 8000`, then open http://127.0.0.1:8000
    """
    require("subjectwise.serving.app", EXTRA)
    from subjectwise.labels import LabelSet
    from subjectwise.models.devices import Compute
    from subjectwise.serving.access_log import LOGGER
    from subjectwise.serving.app import create_app
    from subjectwise.serving.limits import ConnectionLimits, Limits
    from subjectwise.serving.loaded_model import load_model
    from subjectwise.serving.server import address, bind, is_loopback, loopback_names
    from subjectwise.serving.server import serve as run
    from subjectwise.serving.settings import ServerSettings, collect_api_keys

    log, terminal = logging.getLogger(LOGGER), sys.stderr
    with json_lines_only(quiet):
        model = fast_name(model, fast, fast_loss, labels)
        keys = collect_api_keys(api_key or (), api_key_file)
        bound = bind(host, port)
        settings = ServerSettings(
            limits=Limits(waiting=max_waiting, tokens=batch_tokens, deadline=deadline),
            connections=ConnectionLimits(most=max_connections),
            api_keys=keys,
            cors_origins=tuple(cors_origin or ()),
            hosts=() if keys or not is_loopback(bound) else loopback_names(host, *(allow_host or ())),
            log_questions=log_questions,
        )
        if not keys and not is_loopback(bound):
            log.warning("open to other machines without an API key")
        own_labels = LabelSet.from_yaml(labels) if labels is not None else None
        compute = Compute(device, dtype, engine)
        app = create_app(
            lambda: load_model(model, own_labels, base=base, compute=compute, sentences=sentences, spelling=spelling),
            settings,
        )
        if warning := app.state.service.model.classifier.warning:
            log.warning(warning)

        def ready() -> None:
            log.info("ready", extra={"fields": {"address": address(bound), "model": app.state.service.model.name}})
            if terminal.isatty():
                typer.echo(f"Ready at {address(bound)}", file=terminal)

        run(app, bound, ready)


@contextmanager
def json_lines_only(quiet: bool, stdout: bool = True) -> Iterator[None]:
    """Write one JSON object per line to standard error, whatever happens.

    An error that a person at a terminal reads as one sentence is a line of the log elsewhere.

    Args:
        quiet: log no line per request.
        stdout: log what is printed to standard output as well.
    """
    from subjectwise.serving.access_log import LOGGER, captured_output, log_to_stderr

    terminal = sys.stderr.isatty()
    log_to_stderr(quiet)
    try:
        with captured_output(stdout):
            yield
    except SubjectwiseError as error:
        if terminal:
            raise
        logging.getLogger(LOGGER).error("not started", extra={"fields": {"reason": str(error)}})
        raise typer.Exit(1) from error
