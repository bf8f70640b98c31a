"""One artifact for other engines: its probabilities are the classifier's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.commands import refused, run_command
from helpers.encoders import LABELS as HEAD_LABELS
from helpers.folders import copy_folder, edit
from helpers.tiny_models import decoder_configs, make_rows, save_base
from helpers.training import CPU, head_recipe
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import ModelFolderError, OutputError, SubjectwiseError
from subjectwise.labels import LabelSet
from subjectwise.training.train import train

SHAPES = ("llama", "untied llama", "qwen2", "qwen3")
STYLES = ("bare", "plain", "chat")
LABELS = LabelSet(("biology", "law", "physics", "other"))
# Of different lengths, so that a batch is padded.
QUESTIONS = [
    *[row["question"] for row in make_rows()][::7], "Why?", "  What is\n2 + 2  ", "caf\u0065\u0301 law " * 20,
]  # fmt: skip


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
    return np.array(
        [[{item["label"]: item["score"] for item in answer}[label] for label in labels] for answer in answers]
    )


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


def run_card(folder: Path) -> dict[str, Any]:
    """Run the Python of an export's card and return its variables."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("DIR", str(folder)), names)  # noqa: S102  # the card's own code
    return names


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


@pytest.mark.slow
@pytest.mark.requires("openvino")
@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize("shape", SHAPES)
def test_graphs_answer_as_the_classifier(bases: dict[str, Path], shape: str, target: str, tmp_path: Path) -> None:
    classifier = Classifier.zero_shot(LABELS, base=str(bases[shape]), style="chat", device="cpu", dtype="float32")
    classifier.export(tmp_path / "out", target)
    own = own_probabilities(classifier)
    assert np.abs(by_tokenizers(tmp_path / "out", QUESTIONS) - own).max() < 1e-4
    for index in (0, -1):
        assert np.abs(by_tokenizers(tmp_path / "out", [QUESTIONS[index]])[0] - own[index]).max() < 1e-4
    card = run_card(tmp_path / "out")
    asked = ["How do neurons transmit signals?", "What is a tort?"]
    assert np.abs(card["probabilities"] - classifier.predict_proba(asked)).max() < 1e-4


@pytest.fixture(scope="module")
def exported(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32").export(folder)
    return folder


def test_a_trained_folder_with_its_temperature(tiny_model: Path, exported: Path) -> None:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    assert abs(classifier.temperature - 1) > 1e-3
    # The adapter was trained on short questions; those that it would cut are left out.
    questions = [question for question in QUESTIONS if len(question) < 200]
    own = np.asarray(classifier.predict_proba(questions))
    assert np.abs(by_pipeline(exported, questions, batch_size=8) - own).max() < 1e-4


def test_the_files_say_where_they_came_from(tiny_model: Path, exported: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    assert list(config["id2label"].values()) == list(HEAD_LABELS)
    assert config["pad_token_id"] is not None
    described = json.loads((exported / "export.json").read_text())
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    assert described["source"]["weights_sha256"] == classifier.weights_sha256
    assert described["source"]["description_sha256"] == classifier.description_sha256
    assert set(described["files"]) == {path.name for path in exported.iterdir()} - {"README.md", "export.json"}
    card = (exported / "README.md").read_text()
    for sentence in described["not_carried"]:
        assert sentence in card
    assert "vllm serve DIR --runner pooling" in card and "| validation |" in card
    [first, _] = run_card(exported)["classify"](["What is a tort?", "Why?"])
    assert first[0]["label"] == classifier.classify("What is a tort?").label
    written = "".join(path.read_text() for path in exported.glob("*.json")) + card
    assert str(tiny_model.parent) not in written and "/tmp/" not in written, "no path of this machine"


@pytest.mark.parametrize("kind", ["decoder", "bert", "modernbert", "mpnet"])
def test_a_head_answers_as_the_classifier(
    head_bases: dict[str, Path], kind: str, split_folder: Path, tmp_path: Path
) -> None:
    recipe = head_recipe(head_bases[kind], "training.epochs=2")
    train(recipe, open_split(split_folder), tmp_path / "model", compute=CPU, progress=False)
    classifier = Classifier.from_pretrained(tmp_path / "model", device="cpu", dtype="float32")
    classifier.export(tmp_path / "out")
    questions = [question for question in QUESTIONS if len(question) < 100]
    own = np.asarray(classifier.predict_proba(questions))
    assert np.abs(by_pipeline(tmp_path / "out", questions, batch_size=4) - own).max() < 1e-4


@pytest.mark.slow
@pytest.mark.requires("openvino")
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_an_encoder_as_a_graph(head_bases: dict[str, Path], target: str, split_folder: Path, tmp_path: Path) -> None:
    recipe = head_recipe(head_bases["bert"], "training.epochs=2")
    train(recipe, open_split(split_folder), tmp_path / "model", compute=CPU, progress=False)
    classifier = Classifier.from_pretrained(tmp_path / "model", device="cpu", dtype="float32")
    classifier.export(tmp_path / "out", target)
    questions = [question for question in QUESTIONS if len(question) < 100]
    own = np.asarray(classifier.predict_proba(questions))
    assert np.abs(by_tokenizers(tmp_path / "out", questions) - own).max() < 1e-4


def test_half_the_size_and_nearly_the_same_answers(bases: dict[str, Path], tmp_path: Path) -> None:
    classifier = Classifier.zero_shot(LABELS, base=str(bases["llama"]), style="bare", device="cpu", dtype="float32")
    classifier.export(tmp_path / "whole")
    classifier.export(tmp_path / "half", dtype="float16")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert np.abs(by_pipeline(tmp_path / "half", QUESTIONS) - own_probabilities(classifier)).max() < 0.02


def test_what_is_lost_is_said(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy_folder(tiny_model, tmp_path / "model")
    prompt = json.loads((folder / "subjectwise.json").read_text())["prompt"]
    (folder / "words.json").write_text("{}")
    edit(folder / "subjectwise.json", prompt={**prompt, "spelling": "en"})
    done = Classifier.from_pretrained(folder, device="cpu", dtype="float32").export(tmp_path / "out")
    assert done.not_carried[0] == "Spelling is not corrected."


def test_colliding_labels_are_named(bases: dict[str, Path], tmp_path: Path) -> None:
    labels = LabelSet(("law", "computer science", "computer security"))
    classifier = Classifier.zero_shot(labels, base=str(bases["llama"]), style="bare", device="cpu", dtype="float32")
    message = (
        "the labels 'computer science' and 'computer security' begin with the same token .* "
        "Rename 'computer security' to 'security computer', say, and train again."
    )
    with pytest.raises(ModelFolderError, match=message):
        classifier.export(tmp_path / "out")
    assert not list(tmp_path.iterdir()), "nothing is left"


def test_what_cannot_be_exported(tiny_model: Path, exported: Path, tmp_path: Path) -> None:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    with pytest.raises(OutputError, match="Unknown target 'tensorrt'; choose one of transformers, onnx, openvino."):
        classifier.export(tmp_path / "out", "tensorrt")
    with pytest.raises(OutputError, match="already exists"):
        classifier.export(exported)
    with pytest.raises(OutputError, match="Cannot export to onnx in 'float16'; choose one of float32."):
        classifier.export(tmp_path / "out", "onnx", dtype="float16")
    assert not list(tmp_path.iterdir())


def test_logits_that_are_more_than_a_product(tokenizer: Any, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", decoder_configs(len(tokenizer))["gemma2, capped logits"], tokenizer)
    classifier = Classifier.zero_shot(LABELS, base=str(base), style="bare", device="cpu", dtype="float32")
    with pytest.raises(ModelFolderError, match="its logits are more than a product"):
        classifier.export(tmp_path / "out")


def test_the_command(tiny_model: Path, tmp_path: Path) -> None:
    done = run_command("export", tiny_model, "--to", "transformers", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "What it does not carry:" in done.stdout and "lower case" in done.stdout
    refused("export", tiny_model, tmp_path / "out", part="already exists")
    refused("export", "baseline:majority", tmp_path / "b", part="a baseline is not a single language model")
    refused("export", "cascade:a+b", tmp_path / "c", part="a cascade is not a single language model")


def test_a_missing_library_is_one_sentence(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    with pytest.raises(SubjectwiseError, match="pip install 'subjectwise\\[export\\]'"):
        classifier.export(tmp_path / "out", "onnx")
