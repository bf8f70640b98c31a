"""The core install answers: no PyTorch, transformers or scikit-learn, and nothing else that an extra brings."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from helpers.core_install import run_hidden
from helpers.tiny_models import needs_base

HEAVY = ("torch", "transformers", "sklearn", "scipy", "pandas", "pyarrow", "peft", "datasketch")

# Runs one command; on the last line, which heavy modules were imported, which the finder should have made impossible.
COMMAND = """
from subjectwise.cli.app import main
try:
    main(sys.argv[2:])
except SystemExit as stop:
    if stop.code:
        raise
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} & {*json.loads(sys.argv[1])})))
"""

SERVE = """
import os, signal, threading, urllib.request
import subjectwise.serving.server as server
from subjectwise.cli.app import main

real = server.serve


def serve(app, bound, ready):
    def ask():
        host, port = bound.getsockname()[:2]
        body = json.dumps({"inputs": "How do neurons transmit signals?"}).encode()
        request = urllib.request.Request(f"http://{host}:{port}/classify", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            os.write(1, json.loads(answer.read())[0]["label"].encode())  # what is printed goes to the log
        os.kill(os.getpid(), signal.SIGTERM)

    def started():
        ready()
        threading.Thread(target=ask).start()

    real(app, bound, started)


server.serve = serve
main(["serve", "--port", "0", "--quiet"])
"""


@pytest.mark.parametrize(
    "module",
    [
        "subjectwise", "subjectwise.cli.app", "subjectwise.utils.estimator", "subjectwise.bulk.classify_files",
        "subjectwise.text.prompt", "subjectwise.models.tokenizer", "subjectwise.question_classifier",
        "subjectwise.statistics.thresholds", "subjectwise.models.embedded_weights", "subjectwise.data.read_table",
    ],
)  # fmt: skip
def test_modules_on_the_way_of_an_answer(module: str) -> None:
    done = run_hidden(f"import {module}\nassert not {{*{HEAVY!r}}} & {{*sys.modules}}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["classifier", "predictors", "explain.sentence", "publish.model_card"])
def test_modules_that_load_models(module: str) -> None:
    done = run_hidden(f"import subjectwise.{module}\nassert not {{*{HEAVY!r}}} & {{*sys.modules}}")
    assert done.returncode == 0, done.stderr


def command(*arguments: str) -> list[str]:
    """Run a command and return the lines that it printed."""
    done = run_hidden(COMMAND, json.dumps(HEAVY), *arguments)
    assert done.returncode == 0, done.stderr
    *lines, imported = done.stdout.splitlines()
    assert json.loads(imported) == []
    return lines


def test_the_list_of_commands() -> None:
    done = run_hidden(COMMAND, json.dumps(HEAVY), "--help")
    assert done.returncode == 0, done.stderr
    assert "classify" in done.stdout


@needs_base
@pytest.mark.slow
def test_a_question() -> None:
    [line] = command("classify", "How do neurons transmit signals?", "--json")
    assert json.loads(line)["label"] == "biology"


@needs_base
@pytest.mark.slow
def test_a_file(tmp_path: Path) -> None:
    questions = ["How do neurons transmit signals?", "What are the principles of contract law?"]
    for suffix in ("csv", "jsonl"):
        source, output = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
        if suffix == "csv":
            source.write_text("question\n" + "".join(f"{question}\n" for question in questions))
        else:
            source.write_text("".join(json.dumps({"question": question}) + "\n" for question in questions))
        command("classify", "--input", str(source), "--output", str(output))
        with output.open(newline="") as stream:
            rows = list(csv.DictReader(stream)) if suffix == "csv" else list(map(json.loads, stream))
        assert [row["label"] for row in rows] == ["biology", "law"]


@needs_base
@pytest.mark.slow
def test_an_explanation() -> None:
    [line] = command("explain", "How do neurons transmit signals?", "--json")
    explanation = json.loads(line)
    assert explanation["label"] == "biology" and explanation["sentence"].startswith("This is biology because")


@needs_base
@pytest.mark.slow
def test_a_server() -> None:
    done = run_hidden(SERVE, kept=["serve"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["biology"]


@needs_base
@pytest.mark.slow
def test_the_estimator_without_scikit_learn() -> None:
    done = run_hidden(
        """
from subjectwise import Classifier, SubjectwiseError
from subjectwise.errors import NotFittedError

assert Classifier("full").get_params()["recipe"] == "full"
try:
    Classifier().predict(["What is torque?"])
except NotFittedError as error:
    assert "not trained yet" in str(error)
classifier = Classifier.from_pretrained()
assert list(classifier.predict(["How do neurons transmit signals?"])) == ["biology"]
assert classifier.score(["How do neurons transmit signals?"], ["biology"]) == 1.0
"""
    )
    assert done.returncode == 0, done.stderr
