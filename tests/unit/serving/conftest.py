"""Fixtures: the tiny trained model as it is served, and a client of a server with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from helpers.serving import serving
from subjectwise.models.devices import Compute
from subjectwise.serving.app import create_app
from subjectwise.serving.loaded_model import LoadedModel, load_model


@pytest.fixture(scope="session")
def loaded(tiny_model: Path) -> LoadedModel:
    return load_model(str(tiny_model), compute=Compute("cpu", "float32"))


@pytest.fixture(scope="session")
def client(loaded: LoadedModel) -> Iterator[httpx.Client]:
    with serving(create_app(lambda: loaded)) as connected:
        yield connected
