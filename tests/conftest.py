"""Fixtures: a tiny real model with random weights, and rows to learn from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

# One thread each: two processes of tests share two cores. Before anything imports numpy or torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tests that hide modules undo setuptools' replacement of distutils, which compiling layers would then miss.
os.environ.setdefault("SETUPTOOLS_USE_DISTUTILS", "stdlib")

# A hook, which pytest finds here by its name.
from helpers.requirements import pytest_runtest_setup  # noqa: F401
from helpers.tiny_models import TINY_SETTINGS, corpus, make_rows, save_base, tiny_config, train_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return train_tokenizer(corpus())


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    return save_base(tmp_path_factory.mktemp("bases") / "tiny", tiny_config(len(tokenizer)), tokenizer)


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in make_rows()), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def split_folder(tmp_path_factory: pytest.TempPathFactory, rows_file: Path) -> Path:
    from subjectwise.data.protocols import split_examples
    from subjectwise.data.read_table import read_examples
    from subjectwise.data.split import write_split

    examples = read_examples(str(rows_file))
    path = tmp_path_factory.mktemp("split") / "grouped"
    split = split_examples(examples, "grouped")
    write_split(path, examples, split, protocol="grouped", seed=42, source=str(rows_file))
    return path


@pytest.fixture(scope="session")
def tiny_recipe(tiny_base: Path) -> Any:
    from dataclasses import replace

    from subjectwise.recipe import load_recipe

    return replace(load_recipe("small", TINY_SETTINGS), base=str(tiny_base))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Any, split_folder: Path) -> Path:
    """A model folder that was really trained, in seconds."""
    from subjectwise.data.split import open_split
    from subjectwise.models.devices import Compute
    from subjectwise.training.train import train

    output = tmp_path_factory.mktemp("models") / "tiny"
    train(tiny_recipe, open_split(split_folder), output, compute=Compute("cpu", "float32"), progress=False)
    return output


@pytest.fixture(scope="session")
def head_bases(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> dict[str, Path]:
    """A decoder, and one encoder of each kind, by name."""
    from helpers.encoders import ENCODERS, save_encoder

    folder = tmp_path_factory.mktemp("encoders")
    return {"decoder": tiny_base} | {kind: save_encoder(folder / kind, kind) for kind in ENCODERS}


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder, as it is published."""
    from helpers.baselines import save_sentence_encoder

    return save_sentence_encoder(tmp_path_factory.mktemp("encoders") / "tiny-bert")
