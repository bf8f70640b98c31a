"""`subjectwise serve`: the HTTP service."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import BaseName, Device, Dtype, Engine, LabelFile, ModelName
from subjectwise.utils.optional_dependencies import require

EXTRA = "serve"


def serve(
    model: ModelName = "",
    base: BaseName = "",
    labels: LabelFile = None,
    host: Annotated[
        str, typer.Option(help="0.0.0.0 to be reached from other machines; give an API key then.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free port.")] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(envvar="SUBJECTWISE_API_KEY", help="Require this key; repeat it for several."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help="File of keys, one per line; unlike --api-key not seen in the list of processes."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="On this machine without a key: another name by which it may be asked; repeat it for several."
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="A web origin whose pages may ask; repeat it for several.")
    ] = None,
    max_waiting: Annotated[int, typer.Option(min=1, help="Most waiting questions; more are refused with 429.")] = 512,
    deadline: Annotated[float, typer.Option(help="Seconds in which a request is answered, or refused with 504.")] = 30,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Most tokens per batch; more pays on a GPU.")] = 1024,
    sentences: Annotated[
        bool, typer.Option("--sentences", help="Write sentences on request; holds the base in memory a second time.")
    ] = False,
    log_questions: Annotated[bool, typer.Option("--log-questions", help="Log the text of questions too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log no line per request.")] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "pytorch",
) -> None:
    """Answer over HTTP. SIGHUP loads the model again; SIGTERM answers what was accepted and stops.

    Example: `subjectwise serve --port 8000`, then open http://127.0.0.1:8000
    """
    require("subjectwise.serving.app", EXTRA)
    from subjectwise.labels import LabelSet
    from subjectwise.models.devices import Compute
    from subjectwise.serving.access_log import LOGGER, log_to_stderr
    from subjectwise.serving.app import create_app
    from subjectwise.serving.limits import Limits
    from subjectwise.serving.loaded_model import load_model
    from subjectwise.serving.server import address, bind, is_loopback, loopback_names
    from subjectwise.serving.server import serve as run
    from subjectwise.serving.settings import ServerSettings, read_api_keys

    keys = tuple(api_key or ()) + (read_api_keys(api_key_file) if api_key_file else ())
    bound = bind(host, port)
    settings = ServerSettings(
        limits=Limits(waiting=max_waiting, tokens=batch_tokens, deadline=deadline),
        api_keys=keys,
        cors_origins=tuple(cors_origin or ()),
        hosts=() if keys or not is_loopback(bound) else loopback_names(host, *(allow_host or ())),
        log_questions=log_questions,
    )
    log_to_stderr(quiet)
    log = logging.getLogger(LOGGER)
    if not settings.api_keys and not is_loopback(bound):
        log.warning("open to other machines without an API key")
    own_labels = LabelSet.from_yaml(labels) if labels is not None else None
    compute = Compute(device, dtype, engine)
    app = create_app(lambda: load_model(model, own_labels, base=base, compute=compute, sentences=sentences), settings)
    if warning := app.state.service.model.classifier.warning:
        log.warning(warning)

    def ready() -> None:
        log.info("ready", extra={"fields": {"address": address(bound), "model": app.state.service.model.name}})
        if sys.stderr.isatty():
            typer.echo(f"Ready at {address(bound)}", err=True)

    run(app, bound, ready)
