"""`subjectwise mcp`: the classifier as tools for language models."""

from __future__ import annotations

from typing import Annotated

import typer

from subjectwise.cli.serve import EXTRA


def mcp(
    model: Annotated[
        str, typer.Option(help="A model folder, a Hub name, shipped, or zero-shot:BASE (the reference's 14 labels).")
    ] = "shipped",
    base: Annotated[str, typer.Option(help="Where the base is, when not where the model folder says.")] = "",
    http: Annotated[
        bool, typer.Option("--http", help="Streamable HTTP on this machine, at /mcp, instead of standard input.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of --http.")] = 8001,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Offer the tools classify_text and list_categories over the Model Context Protocol.

    Example, as a client starts it: `subjectwise mcp`
    """
    from subjectwise.errors import SubjectwiseError

    try:
        from subjectwise.serving.logs import log_to_stderr
        from subjectwise.serving.mcp import create_server
        from subjectwise.serving.served import load_served
    except ImportError as error:
        raise SubjectwiseError(EXTRA) from error

    log_to_stderr(quiet=True)
    server = create_server(load_served(model, base, device, dtype))
    if http:
        server.run("streamable-http", port=port)
    else:
        server.run("stdio")
