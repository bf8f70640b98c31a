"""What oneDNN keeps of every shape is bounded before the first product, unless the user has said how far."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from subjectwise.engines.pytorch.onednn import limit_caches

VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")

# Whether the limits are set after importing the package, and at the first product of a model that it loads.
REPORT = """
import json, os, sys
import torch

def limits():
    return [os.environ.get(name) for name in json.loads(sys.argv[2])]

seen = []
linear = torch.nn.functional.linear
def watched(*args, **options):
    seen.append(limits())
    return linear(*args, **options)
torch.nn.functional.linear = watched

import subjectwise
from subjectwise.classifier import Classifier
from subjectwise.labels import LabelSet
from subjectwise.engines.pytorch import forward
imported = limits()
Classifier.zero_shot(LabelSet(("law", "math")), base=sys.argv[1], device="cpu", engine="pytorch").classify("Why?")
print(json.dumps([imported, seen[0]]))
"""


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "8")
    limit_caches()
    assert [os.environ[name] for name in VARIABLES] == ["64", "8"]


def test_they_are_set_before_anything_of_a_base_is_loaded(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from subjectwise.models import base_model, devices

    seen: list[list[str | None]] = []

    def watched(device: str) -> Any:
        seen.append([os.environ.get(name) for name in VARIABLES])
        return devices.choose_device(device)

    monkeypatch.setattr(base_model, "choose_device", watched)
    base_model.load_base(str(tiny_base), device="cpu")
    assert seen == [["64", "64"]]


@pytest.mark.slow  # 7 s: a process that imports PyTorch
def test_loading_a_base_sets_them_and_importing_does_not(tiny_base: Path) -> None:
    command = [sys.executable, "-c", REPORT, str(tiny_base), json.dumps(VARIABLES)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    imported, first_product = json.loads(finished.stdout.splitlines()[-1])
    assert imported == [None, None] and first_product == ["64", "64"]


def test_the_command_sets_them_as_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    from helpers.commands import run_command

    assert run_command("--version").returncode == 0
    assert [os.environ[name] for name in VARIABLES] == ["64", "64"]
