"""One artifact for other engines: its probabilities are the classifier's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.tiny_models import decoder_configs, make_rows, save_base
from subjectwise.classifier import Classifier
from subjectwise.errors import ModelFolderError, OutputError
from subjectwise.labels import LabelSet
from subjectwise.publish.export import TARGETS

SHAPES = ("llama", "untied llama", "qwen2", "qwen3")
STYLES = ("bare", "plain", "chat")
LABELS = LabelSet(("biology", "law", "physics", "other"))
# Of different lengths, so that a batch is padded.
QUESTIONS = [row["question"] for row in make_rows()][::7] + ["Why?", "  What is\n2 + 2  ", "caf\u0065\u0301 law " * 20]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shapes")
    configs = decoder_configs(len(tokenizer))
    return {shape: save_base(folder / shape.replace(" ", "-"), configs[shape], tokenizer) for shape in SHAPES}


def own_probabilities(classifier: Classifier) -> np.ndarray[Any, Any]:
    return np.asarray(classifier.predict_proba(QUESTIONS))


def by_pipeline(folder: Path, questions: list[str], **options: Any) -> np.ndarray[Any, Any]:
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    labels = list(json.loads((folder / "export.json").read_text())["labels"])
    answers = classify(questions, **options)
    return np.array([[{item["label"]: item["score"] for item in answer}[label] for label in labels] for answer in answers])


def by_tokenizers(folder: Path, questions: list[str]) -> np.ndarray[Any, Any]:
    """Answer with the engine and the library `tokenizers` alone, as the card says."""
    from tokenizers import Tokenizer

    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=config["pad_token_id"])
    rows = tokenizer.encode_batch(questions)
    inputs = {
        "input_ids": np.array([row.ids for row in rows], dtype=np.int64),
        "attention_mask": np.array([row.attention_mask for row in rows], dtype=np.int64),
    }
    if (folder / "model.onnx").exists():
        import onnxruntime

        logits = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(["logits"], inputs)[0]
    else:
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        logits = openvino.Core().compile_model(folder / "openvino_model.xml", "CPU", settings)(inputs)["logits"]
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("style", STYLES)
def test_transformers_answers_as_the_classifier(bases: dict[str, Path], shape: str, style: str, tmp_path: Path) -> None:
    classifier = Classifier.zero_shot(LABELS, base=str(bases[shape]), style=style, device="cpu", dtype="float32")
    done = classifier.export(tmp_path / "out")
    assert done.gap < 1e-5
    own = own_probabilities(classifier)
    assert own.max(axis=1).std() > 0.01, "the answers differ from each other"
    for options in ({}, {"batch_size": 4}, {"batch_size": len(QUESTIONS)}):
        assert np.abs(by_pipeline(tmp_path / "out", QUESTIONS, **options) - own).max() < 1e-4


@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize("shape", SHAPES)
def test_graphs_answer_as_the_classifier(bases: dict[str, Path], shape: str, target: str, tmp_path: Path) -> None:
    classifier = Classifier.zero_shot(LABELS, base=str(bases[shape]), style="chat", device="cpu", dtype="float32")
    classifier.export(tmp_path / "out", target)
    own = own_probabilities(classifier)
    assert np.abs(by_tokenizers(tmp_path / "out", QUESTIONS) - own).max() < 1e-4
    for index in (0, -1):
        assert np.abs(by_tokenizers(tmp_path / "out", [QUESTIONS[index]])[0] - own[index]).max() < 1e-4
