"""`subjectwise mcp`: the classifier as tools for language models."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from subjectwise.cli.options import BaseName, Device, Dtype, Engine, LabelFile, ModelName
from subjectwise.cli.serve import EXTRA, ApiKeyFile, ApiKeys, json_lines_only
from subjectwise.utils.optional_dependencies import require


def mcp(
    model: ModelName = "",
    base: BaseName = "",
    labels: LabelFile = None,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP at /mcp, instead of standard input.")] = False,
    host: Annotated[str, typer.Option(help="Of --http; give an API key where other machines reach it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --http; 0 for any free port.")] = 8001,
    api_key: ApiKeys = None,
    api_key_file: ApiKeyFile = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "auto",
) -> None:
    """Offer the tools classify_text and list_categories over the Model Context Protocol.

    Example, as a client starts it: `subjectwise mcp`
    """
    require("subjectwise.serving.mcp", EXTRA)
    from subjectwise.labels import LabelSet
    from subjectwise.models.devices import Compute
    from subjectwise.serving.access_log import LOGGER
    from subjectwise.serving.inference_service import InferenceService
    from subjectwise.serving.loaded_model import load_model
    from subjectwise.serving.mcp import create_http_app, serve_stdio
    from subjectwise.serving.server import address, bind, is_loopback, loopback_names, serve
    from subjectwise.serving.settings import ServerSettings, collect_api_keys

    log = logging.getLogger(LOGGER)
    with json_lines_only(quiet=True):
        settings = ServerSettings()
        if http:
            keys = collect_api_keys(api_key or (), api_key_file)
            bound = bind(host, port)
            hosts = () if keys or not is_loopback(bound) else loopback_names(host)
            settings = ServerSettings(api_keys=keys, hosts=hosts)
            if not keys and not is_loopback(bound):
                log.warning("open to other machines without an API key")
        own_labels = LabelSet.from_yaml(labels) if labels is not None else None
        compute = Compute(device, dtype, engine)
        service = InferenceService(lambda: load_model(model, own_labels, base=base, compute=compute), settings)
        if http:
            fields = {"address": f"{address(bound)}/mcp", "model": service.model.name}
            serve(create_http_app(service, host), bound, lambda: log.info("ready", extra={"fields": fields}))
            return
    with json_lines_only(quiet=True, stdout=False):
        serve_stdio(service)
