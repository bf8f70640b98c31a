"""One true end-to-end test: the shipped adapter on the embedded base answers real questions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subjectwise
from helpers.tiny_models import needs_base
from subjectwise.classifier import Classifier
from subjectwise.models.base_model import EMBEDDED_SHA256, embedded_file
from subjectwise.models.label_scores import score_plain
from subjectwise.models.model_config import read_config
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.utils.atomic_files import file_sha256

MODEL = Path(subjectwise.__file__).parent / "shipped"

# The questions of the model card and the answers that it gives or means.
CARD = {
    "What are the key principles of quantum mechanics?": "physics",
    "What is the optimal capital structure for a corporation?": "business",
    "How do neurons transmit signals?": "biology",
    "What are the principles of contract law?": "law",
    "What is the best strategy for corporate mergers?": "business",
    "How does cognitive bias affect decision making?": "psychology",
    "Explain the legal requirements for contract formation": "law",
}


def test_the_shipped_folder_is_whole_and_small() -> None:
    config = read_config(MODEL)
    assert config.base.name == "embedded" and config.base.sha256 == EMBEDDED_SHA256
    assert len(config.labels) == 14
    assert sum(file.stat().st_size for file in MODEL.iterdir()) <= 15 * 2**20
    assert (MODEL / "README.md").is_file()
    for name in ("subjectwise.json", "adapter_config.json"):
        assert '"/' not in (MODEL / name).read_text(), "a path of the machine that trained it"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.from_pretrained()


@needs_base
def test_the_embedded_file_is_the_one() -> None:
    assert file_sha256(embedded_file()) == EMBEDDED_SHA256


@needs_base
def test_examples_of_the_model_card(classifier: Classifier) -> None:
    predictions = classifier.classify(list(CARD))
    wrong = {item.question for item in predictions if item.label != CARD[item.question]}
    assert wrong == {"How does cognitive bias affect decision making?"}  # a known limit; the README says so
    assert all(item.score > 0.3 for item in predictions)


@needs_base
def test_the_first_command_of_the_readme(classifier: Classifier) -> None:
    """`classifier` has had the base converted, which a first use tells on standard error."""
    command = [sys.executable, "-m", "subjectwise.cli.app", "classify", "How do neurons transmit signals?", "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["label"] == "biology"
    assert found.stderr == ""


@needs_base
def test_the_demo(classifier: Classifier) -> None:
    demo = Path(__file__).parents[2] / "examples/demo.py"
    found = subprocess.run([sys.executable, str(demo)], capture_output=True, text=True, check=True)
    assert "biology" in found.stdout and "Try next" in found.stdout


@needs_base
def test_bfloat16_and_batches_answer_as_the_plain_float32_path_does(classifier: Classifier) -> None:
    plain = Classifier.from_pretrained(device="cpu", dtype="float32")
    scorer: Any = plain._scorer
    questions = [*CARD, *(f"{question} Give {n} reasons." for question in CARD for n in (2, 3, 5))]
    expected = [
        score_plain(scorer.engine.model, [*scorer.prompt.prefix_ids, *row], scorer.trie).log_probs[0]
        for row in scorer.prompt.encode_questions([Question(question) for question in questions])
    ]
    probabilities = apply_temperature(np.array(expected), plain.temperature)
    np.testing.assert_allclose(plain.predict_proba(questions), probabilities, atol=1e-4)
    fast = classifier.predict_proba(questions)
    assert np.abs(fast - probabilities).max() < 0.1
    assert np.mean(fast.argmax(axis=1) == probabilities.argmax(axis=1)) >= 0.95
