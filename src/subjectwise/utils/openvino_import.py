"""OpenVINO, imported without its converter of models, which reports each import to its makers over the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

_CONVERTER, _REPORTS = "openvino.tools.ovc", "openvino_telemetry"


def import_openvino() -> None:
    """Import OpenVINO; the first import of a process leaves its converter to who asks for `openvino.convert_model`.

    Nothing is sent, and the import takes a third less time. Where it was imported before, it is as it was.
    """
    if "openvino" not in sys.modules:
        with _missing(_CONVERTER):
            module = import_module("openvino")
        vars(module)["__getattr__"] = _converter  # as PEP 562 has it


def _converter(name: str) -> Any:
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    with _missing(_REPORTS):
        return import_module(_CONVERTER).convert_model


@contextmanager
def _missing(name: str) -> Iterator[None]:
    """Let a module that was not imported yet seem not to be installed."""
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[name]


import_openvino()
import openvino  # noqa: E402

__all__ = ["openvino"]
