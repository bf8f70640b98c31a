"""A plain install: every command works without the extras, or ends in one sentence that names the extra."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import subjectwise
from helpers.commands import refused
from helpers.core_install import EXTRAS, modules_of_extras, run_hidden

# Runs each command, and prints what became of it.
SCRIPT = """
import contextlib, io, traceback
from subjectwise.cli.app import main

for name, command in json.loads(sys.argv[1]).items():
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
"""


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, split_folder: Path, rows_file: Path
) -> dict[str, tuple[int, str]]:
    folder = tmp_path_factory.mktemp("plain")
    mine = shutil.copytree(tiny_model, folder / "mine")
    reports = shutil.copytree(Path(__file__).parents[1] / "data/evaluation-0.1.0", folder / "reports")
    rows = ["--data", str(split_folder)]
    own = ["--device", "cpu", "--dtype", "float32"]
    answering = ["--model", str(tiny_model), *own]
    commands = {
        "classify": ["classify", "What is torque?", *answering],
        "classify a file": ["classify", "-i", str(rows_file), "-o", str(folder / "a.csv"), *answering],
        "classify into parquet": ["classify", "-i", str(rows_file), "-o", str(folder / "a.parquet"), *answering],
        "classify with pytorch": ["classify", "a", *answering, "--engine", "pytorch"],
        "classify on ray": ["classify", "--ray", "local", "-i", str(rows_file), "-o", str(folder / "ray"), *answering],
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
        "compare": ["compare", str(reports / "adapter"), str(reports / "baseline")],
        "learning-curve": ["learning-curve", "small", *rows, "--output", str(folder / "curve"), "--sizes", "8"],
        "learning-curve of a baseline": [
            "learning-curve", "baseline:tfidf-svm", *rows, "--output", str(folder / "svm-curve"), "--sizes", "8",
        ],
        "report": ["report", str(reports)],
        "audit": ["audit", "--data", str(rows_file), "--method", "tfidf-svm"],
        "audit by an encoder": ["audit", "--data", str(rows_file)],
        "audit by predictions": [
            "audit", "--data", str(split_folder / "test.parquet"),
            "--predictions", str(reports / "adapter/predictions.jsonl"),
        ],
        "card": ["card", str(mine)],
        "export": ["export", str(tiny_model), str(folder / "exported")],
        "push": ["push", str(mine), "me/mine"],
        "serve": ["serve", "--model", str(tiny_model), "--port", "0"],
        "mcp": ["mcp", "--model", str(tiny_model)],
    }  # fmt: skip
    done = run_hidden(SCRIPT, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    results = {name: (code, error) for name, code, error in map(json.loads, done.stdout.splitlines())}
    assert set(results) == set(commands)
    return results


def test_what_a_plain_install_lacks() -> None:
    blocked = modules_of_extras()
    extras = {"accelerate", "datasets", "datasketch", "peft", "skops", "sentence_transformers", "fastapi", "mcp"}
    assert extras | {"torch", "transformers", "sklearn", "scipy", "pandas", "pyarrow"} <= {*blocked}
    assert not {"numpy", "openvino", "tokenizers", "safetensors", "gguf", "filelock", "jinja2"} & {*blocked}


def test_every_extra_that_an_error_names_exists() -> None:
    sources = Path(subjectwise.__file__).parent.rglob("*.py")
    named = {extra for source in sources for extra in re.findall(r'require\([^)]+, "(\w+)"\)', source.read_text())}
    assert {"train", "evaluate", "parquet"} <= named <= {*EXTRAS}


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
@pytest.mark.parametrize("name", ["classify", "classify a file", "explain", "card", "push"])
def test_commands_that_need_no_extra(finished: dict[str, tuple[int, str]], name: str) -> None:
    assert finished[name][0] == 0, finished[name][1]


@pytest.mark.parametrize(
    ("library", "command"),
    [
        ("pyarrow.parquet", ["classify", "--input", "ROWS", "--output", "OUTPUT.parquet"]),
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
    paths["OUTPUT.parquet"] = tmp_path / "out.parquet"
    refused(
        *(paths.get(part, part) for part in command), part=f"This needs {library}, which is not installed; run: pip"
    )
    assert not any(path.exists() for path in (paths["OUTPUT"], paths["OUTPUT.parquet"]))
