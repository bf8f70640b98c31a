"""`subjectwise mcp`: the classifier as tools for language models."""

from __future__ import annotations

from typing import Annotated

import typer

from subjectwise.cli.options import BaseName, Device, Dtype, Engine, LabelFile, ModelName
from subjectwise.utils.optional_dependencies import require

EXTRA = "serve"


def mcp(
    model: ModelName = "",
    base: BaseName = "",
    labels: LabelFile = None,
    http: Annotated[
        bool, typer.Option("--http", help="Streamable HTTP on this machine, at /mcp, instead of standard input.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of --http.")] = 8001,
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "pytorch",
) -> None:
    """Offer the tools classify_text and list_categories over the Model Context Protocol.

    Example, as a client starts it: `subjectwise mcp`
    """
    require("subjectwise.serving.mcp", EXTRA)
    from subjectwise.labels import LabelSet
    from subjectwise.models.devices import Compute
    from subjectwise.serving.access_log import log_to_stderr
    from subjectwise.serving.loaded_model import load_model
    from subjectwise.serving.mcp import create_server

    log_to_stderr(quiet=True)
    own_labels = LabelSet.from_yaml(labels) if labels is not None else None
    compute = Compute(device, dtype, engine)
    server = create_server(load_model(model, own_labels, base=base, compute=compute))
    if http:
        server.run("streamable-http", port=port)
    else:
        server.run("stdio")
