"""The card says what the folder knows, in the Hub's own forms."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.evaluation.evaluate import evaluate, split_rows, write_evaluation
from subjectwise.publish.model_card import add_report, write_card


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture(scope="module")
def report(tiny_model: Path, split_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    path = tmp_path_factory.mktemp("report") / "test"
    command = "subjectwise evaluate model --data split --output report"
    write_evaluation(path, evaluate(classifier, split_rows(open_split(split_folder)), command=command))
    return path


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_training_ends_with_a_card(tiny_model: Path) -> None:
    card = ModelCard.load(tiny_model / "README.md")
    measured = read(tiny_model / "subjectwise.json")["results"]["validation"]
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert values["Accuracy"] == pytest.approx(measured["accuracy"], abs=1e-4)
    assert all(isinstance(value, float) for value in values.values())
    assert {result.dataset_split for result in card.data.eval_results} == {"validation"}
    assert "Not measured on sources that it has not seen" in card.text
    assert not (tiny_model / ".eval_results").exists()


def test_a_report_enters_the_card_once(folder: Path, report: Path, split_folder: Path) -> None:
    for _ in range(2):
        add_report(folder, report)
    write_card(folder)
    card, figures = ModelCard.load(folder / "README.md"), read(report / "report.json")["metrics"]
    test = [result for result in card.data.eval_results if result.dataset_split == "test"]
    assert [result.metric_name for result in test] == [
        "Accuracy", "Macro-F1", "Negative log-likelihood", "Brier score", "Expected calibration error",
    ]  # fmt: skip
    assert test[0].metric_value == pytest.approx(figures["accuracy"]["value"], abs=1e-4)
    low, high = (100 * figures["accuracy"][end] for end in ("low", "high"))
    assert f"[{low:.1f}, {high:.1f}]" in card.text
    data = open_split(split_folder)
    for told in (data.manifest_sha256, "Q: {question}\nA:", "(kept)", "Weakest by F1 on grouped test", "seed 42"):
        assert told in card.text, told
    assert "subjectwise evaluate model --data split --output report" in card.text
    recipe = yaml.safe_load(card.text.split("with `recipe.yaml`:")[1].split("```yaml\n")[1].split("```")[0])
    assert recipe == read(folder / "subjectwise.json")["recipe"]
    [result] = yaml.safe_load((folder / ".eval_results/grouped-test.yaml").read_text())
    assert result["value"] == pytest.approx(figures["accuracy"]["value"], abs=1e-4)
    assert result["dataset"]["task_id"] == "subject-classification-grouped"
    assert data.manifest_sha256 in result["notes"]
    assert Classifier.from_pretrained(folder, device="cpu").classify("What is a photon?").label


def test_no_path_of_this_machine(folder: Path, report: Path) -> None:
    add_report(folder, report)
    write_card(folder)
    base = read(folder / "subjectwise.json")["base"]["name"]
    text = (folder / "README.md").read_text().replace(base, "")
    assert "/tmp" not in text and "/home" not in text


def test_what_a_card_cannot_be_written_from(folder: Path, report: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        add_report(folder, tmp_path)
    other = Path(shutil.copytree(report, tmp_path / "other"))
    content = read(other / "report.json")
    (other / "report.json").write_text(json.dumps({**content, "model_sha256": "0" * 64}))
    with pytest.raises(DataError, match="measured with another model"):
        add_report(folder, other)
    del content["model_sha256"]
    (other / "report.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="no report of this version"):
        add_report(folder, other)
    file = folder / "subjectwise.json"
    file.write_text(json.dumps({**read(file), "results": {}}))
    before = (folder / "README.md").read_text()
    with pytest.raises(ModelFolderError, match="no measured results"):
        write_card(folder)
    assert (folder / "README.md").read_text() == before
