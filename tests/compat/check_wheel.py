"""Check a wheel that is installed alone: its content, every command's help, and answers with the weights.

    make wheel-test

`python -I check_wheel.py DIST` runs by the Python of an environment that has the wheel of the folder DIST and what it
depends on. It knows the standard library and the installed package alone; -I keeps the source tree out.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import subjectwise

MOST_MEGABYTES = 20
BIN = Path(sys.executable).parent

# What is read when the package runs, and is not a module.
NEEDED = [
    "data/mmlu_pro_sources.json",
    "evaluation/report/page.html",
    "publish/export_card.md.jinja",
    "publish/model_card.md.jinja",
    "py.typed",
    "recipes/small.yaml",
    "serving/page/index.html",
    "serving/page/page.css",
    "serving/page/page.js",
    "shipped/adapter_config.json",
    "shipped/adapter_model.safetensors",
    "shipped/subjectwise.json",
    "shipped/tokenizer.json",
    "utils/notebook.html.jinja",
]

QUESTIONS = {"How do neurons transmit signals?": "biology", "What are the principles of contract law?": "law"}

PYTHON = """
from subjectwise import Classifier
answer = Classifier.from_pretrained().classify("How do neurons transmit signals?")
assert answer.label == "biology" and abs(sum(answer.scores.values()) - 1) < 1e-6, answer
assert "<table" in answer._repr_html_()
"""


def check_content(wheel: Path) -> None:
    """Check what is in the wheel, and its size."""
    size = wheel.stat().st_size
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = [name for name in NEEDED if f"subjectwise/{name}" not in names]
    extra = sorted(name for name in names if not name.startswith(("subjectwise/", "subjectwise-")))
    print(f"{wheel.name}: {size / 1e6:.1f} MB, {len(names)} files")
    assert not missing, f"missing from the wheel: {missing}"
    assert not extra, f"beside the package: {extra}"
    assert size < MOST_MEGABYTES * 1e6, f"more than {MOST_MEGABYTES} MB"


def check_installed(wheel: Path) -> None:
    """Check that this environment has this wheel, and not the source tree."""
    home = Path(subjectwise.__file__)
    assert "site-packages" in home.parts, f"{home} is not an installed package"
    assert wheel.name.split("-")[1] == version("subjectwise") == subjectwise.__version__


def check_modules() -> None:
    """Import every module; one may miss an optional library, and nothing else."""
    missing: dict[str, list[str]] = {}
    modules = [module.name for module in pkgutil.walk_packages(subjectwise.__path__, "subjectwise.")]
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            library = str(error.name).partition(".")[0]
            if library == "subjectwise":
                raise
            missing.setdefault(library, []).append(name)
    print(f"{len(modules) - sum(map(len, missing.values()))} of {len(modules)} modules need no other library")
    print("the others need " + ", ".join(f"{library} ({len(names)})" for library, names in sorted(missing.items())))


def run(*arguments: str | Path, folder: Path) -> str:
    """Run the installed command and return what it printed."""
    command = [str(BIN / "subjectwise"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "Traceback" not in done.stderr, f"{command}: {done.stderr or done.stdout}"
    return done.stdout


def command_names() -> Iterator[tuple[str, ...]]:
    """Yield every command, those within groups too."""
    import typer

    from subjectwise.cli.app import build_app

    program = typer.main.get_command(build_app())
    for name, command in program.commands.items():  # type: ignore[attr-defined]
        yield (name,)
        yield from ((name, inner) for inner in getattr(command, "commands", ()))


def check_commands(folder: Path) -> None:
    """Run the help of every command."""
    assert version("subjectwise") in run("--version", folder=folder)
    names = list(command_names())
    listed = run("--help", folder=folder)
    for name in names:
        assert name[0] in listed and "Usage: subjectwise" in run(*name, "--help", folder=folder), name
    print(f"--help of {len(names)} commands")


def check_answers(folder: Path) -> None:
    """Classify and explain with the shipped adapter, on the weights that `setup` fetches."""
    run("setup", "--yes", folder=folder)
    (folder / "questions.txt").write_text("\n".join(QUESTIONS), encoding="utf-8")
    run("classify", "--input", "questions.txt", "--output", "answers.jsonl", folder=folder)
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {answer["question"]: answer["label"] for answer in answers} == QUESTIONS
    for question, label in QUESTIONS.items():
        assert label in run("classify", question, folder=folder)
    assert "biology" in run("explain", next(iter(QUESTIONS)), folder=folder)
    labels = ["a", "b"]
    (folder / "labels.yaml").write_text("".join(f"- {label}\n" for label in labels), encoding="utf-8")
    run("classify", "--labels", "labels.yaml", "Is it a or b?", folder=folder)
    subprocess.run([sys.executable, "-I", "-c", PYTHON], cwd=folder, check=True)
    print("answers with the shipped adapter, on the command line and in Python")


def main() -> None:
    """Run all checks, and say what was checked."""
    [wheel] = Path(sys.argv[1]).glob("*.whl")
    check_content(wheel)
    check_installed(wheel)
    check_modules()
    with tempfile.TemporaryDirectory() as folder:
        check_commands(Path(folder))
        check_answers(Path(folder))


if __name__ == "__main__":
    main()
