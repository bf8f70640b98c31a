"""`subjectwise mcp`: the classifier as tools for language models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.serve import EXTRA


def mcp(
    model: Annotated[
        str, typer.Option(help="A model folder, a Hub name, shipped, or zero-shot:BASE. [default: shipped]")
    ] = "",
    base: Annotated[str, typer.Option(help="Where the base is, when not where the model folder says.")] = "",
    labels: Annotated[
        Path | None, typer.Option(help="YAML file of your own labels, for zero-shot:BASE (embedded).")
    ] = None,
    http: Annotated[
        bool, typer.Option("--http", help="Streamable HTTP on this machine, at /mcp, instead of standard input.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of --http.")] = 8001,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    engine: Annotated[str, typer.Option(help="pytorch, or openvino: faster on a CPU, slower to start.")] = "pytorch",
) -> None:
    """Offer the tools classify_text and list_categories over the Model Context Protocol.

    Example, as a client starts it: `subjectwise mcp`
    """
    from subjectwise.errors import SubjectwiseError
    from subjectwise.labels import LabelSet

    try:
        from subjectwise.serving.logs import log_to_stderr
        from subjectwise.serving.mcp import create_server
        from subjectwise.serving.served import load_served
    except ImportError as error:
        raise SubjectwiseError(EXTRA) from error

    log_to_stderr(quiet=True)
    known = LabelSet.from_yaml(labels) if labels is not None else None
    options = {"base": base or None, "device": device, "dtype": dtype, "engine": engine}
    server = create_server(load_served(model, known, **options))
    if http:
        server.run("streamable-http", port=port)
    else:
        server.run("stdio")
