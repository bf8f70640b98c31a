"""One true end-to-end test: the shipped adapter on the embedded base answers real questions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kinds import CARD_QUESTIONS

import subjectwise
from helpers.tiny_models import needs_base
from subjectwise.classifier import Classifier
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.pytorch.plain_path import plain_log_probs
from subjectwise.models.base_model import load_base
from subjectwise.models.gguf import EMBEDDED_SHA256, embedded_file
from subjectwise.models.lora import merge_adapter
from subjectwise.models.model_config import read_config
from subjectwise.models.model_folder import load_tokenizer
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.text.prompt import Prompt
from subjectwise.utils.atomic_files import file_sha256

MODEL = Path(subjectwise.__file__).parent / "shipped"


def test_the_shipped_folder_is_complete_and_small() -> None:
    config = read_config(MODEL)
    assert config.base.name == "embedded" and config.base.sha256 == EMBEDDED_SHA256
    assert len(config.labels) == 14
    assert sum(file.stat().st_size for file in MODEL.iterdir()) <= 20 * 2**20
    assert (MODEL / "sentences").is_dir() and (MODEL / "fast").is_dir()
    assert read_config(MODEL, "en").words["photon"] > 1, "for --spelling of a call"
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
    predictions = classifier.classify(list(CARD_QUESTIONS))
    assert [item.label for item in predictions] == list(CARD_QUESTIONS.values())
    assert all(item.score > 0.5 for item in predictions)


@needs_base
def test_examples_of_the_page(classifier: Classifier) -> None:
    text = (Path(subjectwise.__file__).parent / "serving/page/examples.js").read_text(encoding="utf-8")
    examples: dict[str, str] = json.loads(text.split("EXAMPLES = ")[1].split(";\n")[0])
    no_subject: str = json.loads(text.split("NO_SUBJECT = ")[1].split(";\n")[0])
    assert set(examples) == set(classifier.labels)
    *answers, outside = classifier.classify([*examples.values(), no_subject])
    assert [answer.label for answer in answers] == list(examples)
    assert all(answer.score > 0.75 for answer in answers), [(answer.label, answer.score) for answer in answers]
    assert outside.in_scope is not None and classifier.min_in_scope is not None
    assert outside.in_scope < classifier.min_in_scope <= min(answer.in_scope or 0.0 for answer in answers)


@needs_base
@pytest.mark.slow  # 9 s: the real base, in a process of its own
def test_the_first_command_of_the_readme(classifier: Classifier) -> None:
    """Loading `classifier` has converted the base, which a first use says on standard error."""
    command = [sys.executable, "-m", "subjectwise.cli.app", "classify", "How do neurons transmit signals?", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout)["label"] == "biology"
    assert finished.stderr == ""


@needs_base
@pytest.mark.slow  # 9 s: the real base, in a process of its own
def test_the_demo(classifier: Classifier) -> None:
    demo = Path(__file__).parents[2] / "examples/demo.py"
    finished = subprocess.run([sys.executable, str(demo)], capture_output=True, text=True, check=True)
    assert "biology" in finished.stdout and "Try next" in finished.stdout


@needs_base
@pytest.mark.slow  # 12 s: 28 questions by the plain path
def test_bfloat16_and_batches_answer_as_the_plain_float32_path_does(classifier: Classifier) -> None:
    plain, config = Classifier.from_pretrained(device="cpu", dtype="float32"), read_config(MODEL)
    questions = [*CARD_QUESTIONS, *(f"{question} Give {n} reasons." for question in CARD_QUESTIONS for n in (2, 3, 5))]
    model = load_base(device="cpu", dtype="float32").model
    merge_adapter(model, MODEL)
    prompt = Prompt(load_tokenizer(MODEL), config.labels, config.prompt, words=config.words)
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    rows = prompt.encode([Question(question) for question in questions])
    summed = np.concatenate([plain_log_probs(model.eval(), [*prompt.prefix_ids, *row], trie) for row in rows])
    probabilities = apply_temperature(summed, config.temperature)
    np.testing.assert_allclose(plain.predict_proba(questions), probabilities, atol=1e-4)
    fast = classifier.predict_proba(questions)
    assert np.abs(fast - probabilities).max() < 0.1
    assert np.mean(fast.argmax(axis=1) == probabilities.argmax(axis=1)) >= 0.95
