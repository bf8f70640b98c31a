"""The model card's own code, as printed and corrected, on adapters that this package trained."""

from __future__ import annotations

import io
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.folders import read
from helpers.tiny_models import make_rows, needs_base
from helpers.training import CPU
from subjectwise.classifier import Classifier
from subjectwise.data.protocols import split_examples
from subjectwise.data.read_table import read_examples
from subjectwise.data.split import open_split, write_split
from subjectwise.models.gguf import EMBEDDED, EMBEDDED_SHA256, converted_gguf, embedded_file
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.training.train import train

ROOT = Path(__file__).parents[2]
SHORT = ROOT / "data" / "short_questions_train.jsonl"
# More take minutes: SUBJECTWISE_EXAMPLE_QUESTIONS=200.
QUESTIONS = int(os.environ.get("SUBJECTWISE_EXAMPLE_QUESTIONS", "28"))
SETTINGS = [
    "training.loss=answer", "training.epochs=2", "training.batch_size=8", "training.learning_rate=1e-3",
]  # fmt: skip
STYLES = ("plain", "chat")


@pytest.mark.parametrize("style", ["bare", "chat"])  # a random base learns nothing behind the plain prompt
def test_the_corrected_code_answers_as_the_classifier_does_on_a_tiny_base(
    tmp_path: Path, tiny_recipe: Recipe, tiny_base: Path, split_folder: Path, style: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    recipe = tiny_recipe.with_settings(["training.loss=answer", f"prompt.style={style}"])
    train(recipe, open_split(split_folder), tmp_path / "m", compute=CPU, progress=False)
    questions = [row["question"] for row in make_rows()[::5]]
    classifier = Classifier.from_pretrained(tmp_path / "m", device="cpu", dtype="float32")
    expected = [answer.label for answer in classifier.classify(questions)]
    assert len(set(expected)) > 2, "an adapter that gives few labels would show nothing"
    monkeypatch.setattr(sys, "argv", ["model_card_corrected.py", str(tiny_base), str(tmp_path / "m")])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(questions)))
    capsys.readouterr()
    runpy.run_path(str(ROOT / "examples/model_card_corrected.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == expected


@pytest.fixture(scope="module")
def base() -> Path:
    return converted_gguf(embedded_file(), EMBEDDED_SHA256)[0]


@pytest.fixture(scope="module", params=STYLES)
def model(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp(request.param)
    examples = [row for index, row in enumerate(read_examples(str(SHORT))) if index % 27 < 5]
    split = split_examples(examples, "grouped")
    write_split(folder / "split", examples, split, protocol="grouped", seed=42, source="short questions")
    recipe = load_recipe("small", [*SETTINGS, f"prompt.style={request.param}"])
    assert recipe.base == EMBEDDED
    train(recipe, open_split(folder / "split"), folder / "model", progress=False)
    return folder / "model"


def run(script: str, *arguments: Path, text: str = "") -> list[str]:
    command = [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)]
    finished = subprocess.run(command, input=text, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


@needs_base
@pytest.mark.slow  # 20 s of training per style and 20 s of generating
def test_the_corrected_code_answers_as_the_classifier_does(base: Path, model: Path) -> None:
    every = [row.question.text for row in read_examples(str(SHORT))]
    questions = every[:: len(every) // QUESTIONS][:QUESTIONS]
    classifier = Classifier.from_pretrained(model, device="cpu", dtype="float32")
    expected = [prediction.label for prediction in classifier.classify(questions)]
    assert len(set(expected)) > 7, "an adapter that gives few labels would show nothing"
    assert run("model_card_corrected.py", base, model, text="\n".join(questions)) == expected


@needs_base
@pytest.mark.slow
def test_the_printed_code_prints_the_first_word_of_a_label(base: Path, model: Path) -> None:
    if read(model / "subjectwise.json")["prompt"]["style"] != "plain":
        pytest.skip("the card's own prompt is the plain one")
    (line,) = [line for line in run("model_card_quick_start.py", base, model) if line.startswith("Category: ")]
    classifier = Classifier.from_pretrained(model, device="cpu", dtype="float32")
    answer = classifier.classify("What are the key principles of quantum mechanics?")
    assert line == f"Category: {answer.label.split()[0]}"
