"""Versions of libraries, and what of the machine a speed depends on: for files that say how they were made."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from subjectwise.types import JsonObject

_LIBRARIES = ("subjectwise", "torch", "transformers", "peft", "tokenizers")


def library_versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of the libraries that answers depend on, and of `more`, where installed."""
    versions = {"python": platform.python_version()}
    for name in (*_LIBRARIES, *more):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def machine_description() -> JsonObject:
    """Return what a speed depends on, without anything that identifies the machine."""
    machine: JsonObject = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    # Imported by whoever computes with it, and not for this alone.
    torch = sys.modules.get("torch")
    if torch is not None:
        machine["instructions"] = torch.backends.cpu.get_cpu_capability()
        if torch.cuda.is_available():
            machine["gpu"] = torch.cuda.get_device_name()
    return machine
