"""A plain install: every command works without the extras, or ends in one sentence that names the extra."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.commands import refused

# Runs each command with all modules blocked that only extras install, and prints what became of it.
SCRIPT = '''
import contextlib, io, json, sys, traceback
from importlib.machinery import PathFinder

blocked, commands = json.loads(sys.argv[1]), json.loads(sys.argv[2])


class Rest(PathFinder):
    """Finds what is installed, but for what is blocked."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in blocked else PathFinder.find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Rest
from subjectwise.cli.app import main

for name, command in commands.items():
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(command)
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            traceback.print_exc()
            code = -1
    print(json.dumps([name, code, err.getvalue()]))
'''


def closure(names: Iterable[str], extras: Iterable[str] = ("",)) -> set[str]:
    """Return the distributions that `names` need, themselves among them."""
    found: set[str] = set()
    waiting = [(name, tuple(extras)) for name in names]
    while waiting:
        name, wanted = waiting.pop()
        if canonicalize_name(name) in found and wanted == ("",):
            continue
        found.add(canonicalize_name(name))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        waiting.extend(
            (requirement.name, ("", *requirement.extras))
            for requirement in map(Requirement, lines)
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in wanted)
        )
    return found


def modules_of_extras() -> list[str]:
    """Return the top-level modules that extras install and a plain install does not."""
    extras = {"train", "qlora", "openvino", "baselines", "report", "serve", "audit", "export", "ray"}
    plain = closure(["subjectwise"])
    more = closure(["subjectwise"], ("", *extras)) - plain
    owners = {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}
    return sorted(module for module, names in owners.items() if names <= more)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, split_folder: Path, rows_file: Path
) -> dict[str, tuple[int, str]]:
    folder = tmp_path_factory.mktemp("plain")
    mine = shutil.copytree(tiny_model, folder / "mine")
    rows = ["--data", str(split_folder)]
    own = ["--device", "cpu", "--dtype", "float32"]
    answering = ["--model", str(tiny_model), *own]
    commands = {
        "classify": ["classify", "What is torque?", *answering],
        "classify a file": ["classify", "-i", str(rows_file), "-o", str(folder / "a.parquet"), *answering],
        "classify with openvino": ["classify", "a", *answering, "--engine", "openvino"],
        "explain": ["explain", "What is torque?", *answering],
        "data split": ["data", "split", "--source", str(rows_file), "--output", str(folder / "split")],
        "data split of the hub": ["data", "split", "--output", str(folder / "hub")],
        "train": ["train", "small", *rows, "--output", str(folder / "model"), *own],
        "train a head": ["train", "head", *rows, "--output", str(folder / "head"), *own],
        "train in 4 bits": ["train", "small", *rows, "--output", str(folder / "q"), "--set", "lora.quantize=nf4"],
        "train a baseline": ["train", "baseline:tfidf-svm", *rows, "--output", str(folder / "svm")],
        "evaluate": ["evaluate", str(tiny_model), *rows, "--output", str(folder / "report"), *own],
        "evaluate a baseline": ["evaluate", "baseline:tfidf-svm", *rows, "--output", str(folder / "svm-report")],
        "evaluate an encoder": ["evaluate", "baseline:minilm-lr", *rows],
        "average": ["average", str(tiny_model), str(tiny_model), *rows, "--output", str(folder / "mean"), *own],
        "calibrate": ["calibrate", str(mine), *rows, *own],
        "compare": ["compare", str(folder / "report"), str(folder / "svm-report")],
        "learning-curve": ["learning-curve", "small", *rows, "--output", str(folder / "curve"), "--sizes", "8"],
        "learning-curve of a baseline": [
            "learning-curve", "baseline:tfidf-svm", *rows, "--output", str(folder / "svm-curve"), "--sizes", "8",
        ],
        "report": ["report", str(folder)],
        "audit": ["audit", "--data", str(rows_file), "--method", "tfidf-svm"],
        "audit by an encoder": ["audit", "--data", str(rows_file)],
        "audit by predictions": [
            "audit", "--data", str(split_folder / "test.parquet"),
            "--predictions", str(folder / "report/predictions.jsonl"),
        ],
        "card": ["card", str(mine)],
        "push": ["push", str(mine), "me/mine"],
        "serve": ["serve", "--model", str(tiny_model), "--port", "0"],
        "mcp": ["mcp", "--model", str(tiny_model)],
    }  # fmt: skip
    arguments = [sys.executable, "-c", SCRIPT, json.dumps(modules_of_extras()), json.dumps(commands)]
    done = subprocess.run(arguments, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    assert done.returncode == 0, done.stderr
    results = {name: (code, error) for name, code, error in map(json.loads, done.stdout.splitlines())}
    assert set(results) == set(commands)
    return results


def test_what_a_plain_install_lacks() -> None:
    blocked = modules_of_extras()
    assert {"accelerate", "datasets", "datasketch", "peft", "skops", "sentence_transformers", "fastapi", "mcp"} <= {
        *blocked
    }
    assert not {"numpy", "torch", "transformers", "scipy", "pyarrow", "filelock"} & {*blocked}


@pytest.mark.slow
def test_every_command_works_or_names_its_extra(finished: dict[str, tuple[int, str]]) -> None:
    wrong = {}
    for name, (code, error) in finished.items():
        lines = [line for line in error.splitlines() if line.startswith("Error: ")]
        named = [line for line in lines if re.search(r"subjectwise\[\w+\]'|the `\w+` extra", line)]
        expected = [] if code == 0 else named[:1]
        if "Traceback" in error or code not in (0, 1) or lines != expected or len(lines) != code:
            wrong[name] = code, error.strip().splitlines()[-1:]
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classify", "classify a file", "explain", "evaluate", "calibrate", "push"])
def test_commands_that_need_no_extra(finished: dict[str, tuple[int, str]], name: str) -> None:
    assert finished[name][0] == 0, finished[name][1]


@pytest.mark.parametrize(
    ("library", "command"),
    [
        ("datasketch", ["data", "split", "--source", "ROWS", "--output", "OUTPUT"]),
        ("datasets", ["data", "split", "--output", "OUTPUT"]),
        ("peft", ["train", "small", "--data", "SPLIT", "--output", "OUTPUT"]),
        ("accelerate", ["train", "head", "--data", "SPLIT", "--output", "OUTPUT"]),
    ],
)
def test_a_missing_library_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rows_file: Path,
    split_folder: Path,
    library: str,
    command: list[str],
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    paths = {"ROWS": rows_file, "SPLIT": split_folder, "OUTPUT": tmp_path / "out"}
    refused(
        *(paths.get(part, part) for part in command), part=f"This needs {library}, which is not installed; run: pip"
    )
    assert list(tmp_path.glob("out")) == []
