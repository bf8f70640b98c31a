"""Heads on decoders and encoders: trained, saved, loaded by others, and never taken for labels that are scored."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from helpers.encoders import LABELS
from helpers.folders import copy_folder, edit, read
from helpers.tiny_models import make_rows
from helpers.training import CPU, head_recipe
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder, open_split
from subjectwise.errors import BaseModelError, ModelFolderError
from subjectwise.evaluation.add_report import add_report
from subjectwise.evaluation.evaluate import evaluate, split_rows
from subjectwise.evaluation.report_files import write_evaluation
from subjectwise.models.base_model import load_base
from subjectwise.models.devices import Compute
from subjectwise.models.lora import merge_adapter
from subjectwise.models.model_folder import PEFT_0_17_KEYS, load_model
from subjectwise.publish.hub import plan_upload
from subjectwise.publish.model_card import write_card
from subjectwise.records import Example, Question
from subjectwise.training.calibrate_model import calibrate
from subjectwise.training.tasks import Task, head_task
from subjectwise.training.train import train

QUESTIONS = [row["question"] for row in make_rows()[::7]]
ASKED = [Question(text) for text in QUESTIONS]
CASES = [
    ("decoder", "lora"),
    ("decoder", "full"),
    ("decoder", "frozen"),
    ("bert", "lora"),
    ("bert", "full"),
    ("modernbert", "lora"),
    ("mpnet", "full"),
    ("mpnet", "lora"),
]
Trained = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def data(split_folder: Path) -> SplitFolder:
    return open_split(split_folder)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, head_bases: dict[str, Path], split_folder: Path) -> Trained:
    """Model folders that were really trained, each once."""
    made: dict[tuple[str, str], Path] = {}

    def make(kind: str, tune: str) -> Path:
        if (kind, tune) not in made:
            rate = "2e-3" if tune == "full" else "5e-3"
            # Adapters of encoders with random weights learn slowly: 0.85 to 1 of the rows for three seeds at 40 epochs.
            epochs = 40 if tune == "lora" and kind != "decoder" else 24
            settings = (f"head.tune={tune}", f"training.epochs={epochs}", f"training.patience={epochs}")
            recipe = head_recipe(head_bases[kind], *settings, f"training.learning_rate={rate}")
            output = tmp_path_factory.mktemp("heads") / f"{kind}-{tune}"
            train(recipe, open_split(split_folder), output, compute=CPU, progress=False)
            made[kind, tune] = output
        return made[kind, tune]

    return make


def load(folder: Path, dtype: str = "float32") -> Classifier:
    return Classifier.from_pretrained(folder, device="cpu", dtype=dtype)


def log_probs(folder: Path, dtype: str = "float32") -> Any:
    scorer = load_model(folder, compute=Compute("cpu", dtype)).scorer
    return scorer.score(scorer.encode(ASKED)).log_probs


@pytest.mark.parametrize(
    ("kind", "tune"),
    [
        pytest.param(*case, marks=() if case in (("decoder", "lora"), ("bert", "full")) else pytest.mark.slow)
        for case in CASES
        if case != ("decoder", "frozen")  # random layers have little for a head alone to read
    ],
)
def test_it_learns_and_answers(trained: Trained, kind: str, tune: str) -> None:
    folder = trained(kind, tune)
    results = read(folder / "subjectwise.json")["results"]
    assert results["validation"]["accuracy"] > 0.6, "four labels; chance is 0.25"
    assert results["best_epoch"] == min(results["epochs"], key=lambda epoch: epoch["nll"])["epoch"]
    classifier = load(folder)
    assert {item.label_mass for item in classifier.classify(QUESTIONS)} == {1.0}
    one = [classifier.predict_proba([question])[0] for question in QUESTIONS]
    np.testing.assert_allclose(classifier.predict_proba(QUESTIONS), one, atol=1e-5)
    assert classifier.weights_sha256
    question = Question("Which of these is right?", ("a photon", "a lens"))
    assert classifier.classify(question).scores != classifier.classify(question.without_options()).scores


@pytest.mark.parametrize(("kind", "tune"), CASES)
def test_the_saved_model_answers_as_the_trained_one(
    tmp_path: Path, head_bases: dict[str, Path], data: SplitFolder, kind: str, tune: str
) -> None:
    kept: list[Task] = []

    def keep(*args: Any) -> Task:
        kept.append(head_task(*args))
        return kept[0]

    recipe = head_recipe(head_bases[kind], f"head.tune={tune}", "training.epochs=1", "training.learning_rate=2e-3")
    train(recipe, data, tmp_path / "m", compute=CPU, progress=False, make_task=keep)
    scorer = kept[0].scorer()
    expected = scorer.score(scorer.encode(ASKED)).log_probs
    # An adapter is saved in bfloat16.
    np.testing.assert_allclose(log_probs(tmp_path / "m"), expected, atol=3e-2 if tune == "lora" else 1e-5)


def test_peft_and_transformers_load_it_as_it_is(head_bases: dict[str, Path], trained: Trained) -> None:
    from peft import PeftModel

    base = AutoModelForSequenceClassification.from_pretrained(head_bases["decoder"], num_labels=4, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, str(trained("decoder", "lora"))).eval()
    whole = AutoModelForSequenceClassification.from_pretrained(trained("bert", "full")).eval()
    assert whole.config.id2label == dict(enumerate(LABELS.names))
    for model, folder in ((adapted, trained("decoder", "lora")), (whole, trained("bert", "full"))):
        scorer: Any = load_model(folder, compute=CPU).scorer
        row = scorer.encode(ASKED[:1])[0].ids
        with torch.no_grad():
            theirs = model(input_ids=torch.tensor([row])).logits
            torch.testing.assert_close(scorer.logits([row]), theirs, atol=1e-3, rtol=1e-3)


def test_answering_needs_no_peft(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained("decoder", "lora")
    monkeypatch.setitem(sys.modules, "peft", None)
    assert load(folder).classify("What is a photon?").label in LABELS.names


def test_the_folder(trained: Trained, tmp_path: Path, data: SplitFolder) -> None:
    adapter, whole = trained("decoder", "lora"), trained("bert", "full")
    assert (adapter / "adapter_model.safetensors").is_file() and not (adapter / "model.safetensors").exists()
    assert (whole / "model.safetensors").is_file() and not (whole / "adapter_model.safetensors").exists()
    assert read(adapter / "subjectwise.json")["head"] == {"tune": "lora"}
    assert set(read(adapter / "adapter_config.json")) <= PEFT_0_17_KEYS
    assert read(whole / "label_mapping.json")["instruction_template"] == "{question}"
    card = (whole / "README.md").read_text()
    assert "trained with all weights" in card and "library_name: transformers" in card and "Input" in card
    for folder in (adapter, whole):
        copy, report = copy_folder(folder, tmp_path / folder.name), tmp_path / f"{folder.name}-report"
        evaluation = evaluate(load(copy), split_rows(data))
        write_evaluation(report, evaluation.report, evaluation.predictions)
        add_report(copy, report)
        write_card(copy)
        assert "grouped test" in (copy / "README.md").read_text()
        before = read(copy / "subjectwise.json")["calibration"]
        assert calibrate(copy, data, compute=CPU, progress=False).temperature == before["temperature"]
        files = plan_upload(copy, "me/subjects").files
        assert {"README.md", "subjectwise.json"} < set(files)
        assert any(name.endswith("model.safetensors") for name in files)


def test_the_base_of_a_whole_model_may_be_gone(tmp_path: Path, trained: Trained) -> None:
    copy = copy_folder(trained("bert", "full"), tmp_path / "alone")
    base = read(copy / "subjectwise.json")["base"]
    edit(copy / "subjectwise.json", base=base | {"name": "./nowhere", "sha256": "0" * 64})
    np.testing.assert_allclose(log_probs(copy), log_probs(trained("bert", "full")))


def test_one_kind_is_never_taken_for_the_other(
    tmp_path: Path, trained: Trained, tiny_model: Path, head_bases: dict[str, Path]
) -> None:
    scored = copy_folder(tiny_model, tmp_path / "labels")
    for tune, part in [
        ("lora", "lacks a head for this base: score.weight is missing"),
        ("full", "lacks config.json, model.safetensors"),
        ("half", "head.tune is 'half'"),
    ]:
        edit(scored / "subjectwise.json", head={"tune": tune})
        with pytest.raises(ModelFolderError, match=part):
            load(scored)
    adapter = copy_folder(trained("decoder", "lora"), tmp_path / "head")
    edit(adapter / "subjectwise.json", head={})
    with pytest.raises(ModelFolderError, match="has a classification head; load it as a head"):
        load(adapter)
    with pytest.raises(ModelFolderError, match="has a classification head; load it as a head"):
        merge_adapter(load_base(str(head_bases["decoder"]), device="cpu", dtype="float32").model, adapter)
    edit(adapter / "subjectwise.json", head={"tune": "lora"})
    tensors, head = load_file(adapter / "adapter_model.safetensors"), "base_model.model.score.weight"
    save_file(tensors | {head: tensors[head][:2].contiguous()}, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelFolderError, match="lacks a head for this base"):
        load(adapter)


def test_a_damaged_whole_model_is_refused(tmp_path: Path, trained: Trained) -> None:
    whole = copy_folder(trained("bert", "full"), tmp_path / "whole")
    with pytest.raises(BaseModelError, match="is an encoder, which cannot continue a text"):
        load_base(str(whole))
    (whole / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="a whole model and an adapter"):
        load(whole)
    (whole / "adapter_config.json").unlink()
    tensors = load_file(whole / "model.safetensors")
    del tensors["classifier.weight"]
    save_file(tensors, whole / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match="is damaged: classifier.weight is missing"):
        load(whole)


@pytest.mark.parametrize(("kind", "tune"), [("decoder", "lora"), ("bert", "full"), ("decoder", "full")])
def test_bfloat16(tmp_path: Path, head_bases: dict[str, Path], data: SplitFolder, kind: str, tune: str) -> None:
    recipe = head_recipe(head_bases[kind], "training.epochs=1", f"head.tune={tune}", "training.learning_rate=1e-3")
    result = train(recipe, data, tmp_path / "m", compute=Compute("cpu", "bfloat16"), progress=False)
    assert np.isfinite(result.nll)
    scorer: Any = load_model(tmp_path / "m", compute=Compute("cpu", "bfloat16")).scorer
    assert scorer.model.dtype == (torch.float32 if kind == "bert" else torch.bfloat16)
    assert 0 < np.abs(log_probs(tmp_path / "m", "bfloat16") - log_probs(tmp_path / "m")).max() < 0.3


def test_options_validation_rows_and_rows_beside(
    tmp_path: Path, head_bases: dict[str, Path], data: SplitFolder
) -> None:
    own = Example("own", Question("An entirely different matter, never seen before?"), "law")
    shown = ("training.options_share=0.5", "training.option_halves=1", "training.validation_rows=8")
    recipe = head_recipe(head_bases["bert"], "training.epochs=1", *shown)
    train(recipe, data, tmp_path / "m", also=[own], compute=CPU, progress=False)
    assert read(tmp_path / "m/subjectwise.json")["results"]["also"]["rows"] == 1


def test_scikit_learn_fits_a_head(head_bases: dict[str, Path]) -> None:
    rows = make_rows()
    settings = (f"base={head_bases['bert']}", "prompt.max_tokens=48", "training.epochs=1")
    classifier = Classifier("head", settings=settings, device="cpu", dtype="float32")
    classifier.fit([row["question"] for row in rows], [row["category"] for row in rows])
    assert classifier.predict_proba(QUESTIONS).shape == (len(QUESTIONS), 4)
