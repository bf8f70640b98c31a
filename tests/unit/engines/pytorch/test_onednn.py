"""What oneDNN keeps of every shape that it has seen is bounded, unless the user has said how far."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


@pytest.mark.parametrize(("own", "wanted"), [({}, "64 64"), ({"LRU_CACHE_CAPACITY": "8"}, "64 8")])
def test_the_caches_are_bounded_before_the_first_product(own: dict[str, str], wanted: str) -> None:
    code = f"import os, subjectwise.engines.pytorch.forward; print(*(os.environ[name] for name in {VARIABLES!r}))"
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    run = subprocess.run([sys.executable, "-c", code], env=inherited | own, capture_output=True, text=True, check=True)
    assert run.stdout.split() == wanted.split()
