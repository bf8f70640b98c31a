"""The model card's own code, as printed and corrected, on adapters that this package trained on the embedded base."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny_models import needs_base
from subjectwise.classifier import Classifier
from subjectwise.data.protocols import split_examples
from subjectwise.data.read_table import read_examples
from subjectwise.data.split import open_split, write_split
from subjectwise.models.gguf import EMBEDDED, EMBEDDED_SHA256, converted_gguf, embedded_file
from subjectwise.recipe import load_recipe
from subjectwise.training.train import train

ROOT = Path(__file__).parents[2]
SHORT = ROOT / "data" / "short_questions_train.jsonl"
# More take minutes: SUBJECTWISE_EXAMPLE_QUESTIONS=200.
QUESTIONS = int(os.environ.get("SUBJECTWISE_EXAMPLE_QUESTIONS", "28"))
SETTINGS = [
    "training.loss=answer", "training.epochs=2", "training.batch_size=8", "training.learning_rate=1e-3",
]  # fmt: skip

pytestmark = needs_base


@pytest.fixture(scope="module")
def base() -> Path:
    return converted_gguf(embedded_file(), EMBEDDED_SHA256)[0]


@pytest.fixture(scope="module", params=["plain", "chat"])
def model(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    examples = read_examples(str(SHORT))
    examples = [row for place, row in enumerate(examples) if place % 27 < 5]
    split = split_examples(examples, "grouped")
    write_split(folder / "split", examples, split, protocol="grouped", seed=42, source="short questions")
    recipe = load_recipe("small", [*SETTINGS, f"prompt.style={request.param}"])
    assert recipe.base == EMBEDDED
    train(recipe, open_split(folder / "split"), folder / "model", progress=False)
    return folder / "model"


def run(script: str, *arguments: Path, text: str = "") -> list[str]:
    command = [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)]
    found = subprocess.run(command, input=text, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


def test_the_corrected_code_answers_as_the_classifier_does(base: Path, model: Path) -> None:
    every = [row.question.text for row in read_examples(str(SHORT))]
    questions = every[:: len(every) // QUESTIONS][:QUESTIONS]
    classifier = Classifier.from_pretrained(model, device="cpu", dtype="float32")
    expected = [prediction.label for prediction in classifier.classify(questions)]
    assert len(set(expected)) > 7, "an adapter that gives few labels would show nothing"
    assert run("model_card_corrected.py", base, model, text="\n".join(questions)) == expected


def test_the_printed_code_prints_the_first_word_of_a_label(base: Path, model: Path) -> None:
    config = json.loads((model / "subjectwise.json").read_text())
    if config["prompt"]["style"] != "plain":
        pytest.skip("the card's own prompt is the plain one")
    (line,) = [line for line in run("model_card_quick_start.py", base, model) if line.startswith("Category: ")]
    classifier = Classifier.from_pretrained(model, device="cpu", dtype="float32")
    answer = classifier.classify("What are the key principles of quantum mechanics?")
    assert line == f"Category: {answer.label.split()[0]}"
