"""A second adapter that writes reasons: it learns them, changes no answer, and resumes where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from helpers.commands import refused, run_command
from helpers.training import CPU, InterruptedRunError, StopAt
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder, open_split
from subjectwise.errors import DataError
from subjectwise.models.lora import WEIGHTS_FILE
from subjectwise.models.model_config import SENTENCE_FOLDER, read_config
from subjectwise.publish.hub import plan_upload
from subjectwise.recipe import load_recipe
from subjectwise.training import train_sentences as module
from subjectwise.training import trainer
from subjectwise.training.sentence_rows import Reason, read_reasons
from subjectwise.training.train_sentences import train_sentences

SETTINGS = ["lora.r=4", "training.epochs=3", "training.learning_rate=5e-3", "training.checkpoint_steps=2"]


@pytest.fixture(scope="module")
def reasons_file(split_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reasons that follow from the label alone, so that a tiny model can learn them."""
    file = tmp_path_factory.mktemp("reasons") / "reasons.jsonl"
    rows = [row for split in ("train", "validation", "test") for row in open_split(split_folder).examples(split)]
    file.write_text(
        "".join(
            json.dumps({"question": row.question.text, "label": row.label, "reason": f"it asks what {row.label} asks"})
            + "\n"
            for row in rows
        )
    )
    return file


@pytest.fixture(scope="module")
def data(split_folder: Path) -> SplitFolder:
    return open_split(split_folder)


def test_reasons_are_learned_and_answers_stay(
    tiny_model: Path, reasons_file: Path, data: SplitFolder, tmp_path: Path
) -> None:
    reasons, output = read_reasons(reasons_file), tmp_path / "writing"
    results = []
    for epochs in (1, 3):
        recipe = load_recipe("sentences", [*SETTINGS, f"training.epochs={epochs}"])
        folder = tmp_path / f"epochs{epochs}" if epochs == 1 else output
        results.append(train_sentences(tiny_model, reasons, data, folder, recipe, compute=CPU, progress=False))
    assert results[1].nll < results[0].nll - 0.1 and results[1].rows > results[1].validation_rows > 0
    assert (output / SENTENCE_FOLDER / WEIGHTS_FILE).is_file() and not list(tmp_path.glob("*.checkpoints"))
    assert read_config(output).results["sentences"]["nll"] == results[1].nll
    question = reasons[0].question
    plain, writing = (Classifier.from_pretrained(path, device="cpu", dtype="float32") for path in (tiny_model, output))
    assert plain.classify(question) == writing.classify(question)
    assert plain.weights_sha256 == writing.weights_sha256
    assert f"{SENTENCE_FOLDER}/{WEIGHTS_FILE}" in plan_upload(output, "someone/model").files
    # The adapter writes, on both engines: its own words, which the base does not have.
    explanation = plain.explain(question)
    sentences = {classifier.write_sentence(explanation) for classifier in (plain, writing)}
    on_pytorch = Classifier.from_pretrained(output, device="cpu", dtype="float32", engine="pytorch")
    assert len(sentences) == 2 and on_pytorch.write_sentence(explanation) in sentences
    assert all(sentence.startswith(f"This is {explanation.label} because") for sentence in sentences)


def test_a_run_that_was_stopped_ends_with_the_same_adapter(
    tiny_model: Path, reasons_file: Path, data: SplitFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons, recipe = read_reasons(reasons_file), load_recipe("sentences", [*SETTINGS, "training.epochs=2"])

    def start(name: str) -> None:
        train_sentences(tiny_model, reasons, data, tmp_path / name, recipe, compute=CPU, progress=False)

    start("whole")
    make_trainer = trainer.make_trainer

    def stopping(report_to: Any, run: Any, callbacks: Any) -> Any:
        return make_trainer(report_to, run, [*callbacks, StopAt(5)])

    with monkeypatch.context() as patched:
        patched.setattr(module, "make_trainer", stopping)
        with pytest.raises(InterruptedRunError):
            start("stopped")
    assert not (tmp_path / "stopped").exists()
    start("stopped")
    whole, stopped = (load_file(tmp_path / name / SENTENCE_FOLDER / WEIGHTS_FILE) for name in ("whole", "stopped"))
    assert whole.keys() == stopped.keys() and all(torch.equal(whole[name], stopped[name]) for name in whole)


def test_the_command(tiny_model: Path, reasons_file: Path, split_folder: Path, tmp_path: Path) -> None:
    arguments: list[str | Path] = ["train-sentences", tiny_model, "--reasons", reasons_file, "--data", split_folder]
    arguments += ["--device", "cpu"]
    arguments += ["--dtype", "float32", "--output", tmp_path / "writing", "--json"]
    arguments += [part for setting in (*SETTINGS, "training.epochs=1") for part in ("--set", setting)]
    finished = run_command(*arguments)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["best_epoch"] == 1
    refused(*arguments, part="already exists")
    for text, part in (
        ('{"question": "What?", "label": "law"}\n', "row 1 has no reason"),
        (
            '{"question": "Where is none of the data?", "label": "law", "reason": "so."}\n',
            "No reason belongs to a train",
        ),
        ("", "has no rows"),
    ):
        (tmp_path / "bad.jsonl").write_text(text)
        arguments[3], arguments[arguments.index("--output") + 1] = tmp_path / "bad.jsonl", tmp_path / "new"
        refused(*arguments, part=part)


def test_a_model_that_answers_otherwise_has_nothing_to_learn_from(
    tiny_model: Path, data: SplitFolder, tmp_path: Path
) -> None:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    rows = [row for split in ("train", "validation") for row in data.examples(split)]
    answers = classifier.predict([row.question.text for row in rows])
    others = [next(label for label in classifier.labels if label != answer) for answer in answers]
    reasons = [Reason(row.question.without_options(), other, "so.") for row, other in zip(rows, others, strict=True)]
    with pytest.raises(DataError, match="gives no question of the reasons its label"):
        train_sentences(
            tiny_model, reasons, data, tmp_path / "new", load_recipe("sentences"), compute=CPU, progress=False
        )
