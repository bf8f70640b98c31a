"""The card says what the folder knows, in the Hub's own forms."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import ModelFolderError
from subjectwise.evaluation.add_report import add_report
from subjectwise.evaluation.evaluate import evaluate, split_rows
from subjectwise.evaluation.report_files import write_evaluation
from subjectwise.models.model_config import read_config
from subjectwise.publish.model_card import render_card, write_card


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture(scope="module")
def report(tiny_model: Path, split_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    path = tmp_path_factory.mktemp("report") / "test"
    command = "subjectwise evaluate model --data split --output report"
    evaluation = evaluate(classifier, split_rows(open_split(split_folder)), command=command)
    write_evaluation(path, evaluation.report, evaluation.predictions)
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
    assert "Not measured on unseen sources" in card.text
    assert not (tiny_model / ".eval_results").exists()


def test_a_report_enters_the_card_once(folder: Path, report: Path, split_folder: Path) -> None:
    for _ in range(2):
        add_report(folder, report)
    write_card(folder)
    card, metrics = ModelCard.load(folder / "README.md"), read(report / "report.json")["metrics"]
    test = [result for result in card.data.eval_results if result.dataset_split == "test"]
    assert [result.metric_name for result in test] == [
        "Accuracy", "Macro-F1", "Negative log-likelihood", "Brier score", "Expected calibration error",
    ]  # fmt: skip
    assert test[0].metric_value == pytest.approx(metrics["accuracy"]["value"], abs=1e-4)
    low, high = (100 * metrics["accuracy"][end] for end in ("low", "high"))
    assert f"[{low:.1f}, {high:.1f}]" in card.text
    data = open_split(split_folder)
    assert f"| {metrics['ece']['value']:.3f} |" in card.text, "a calibration error has no interval"
    for part in (data.manifest_sha256, "Q: {question}\nA:", "(kept)", "Lowest F1 on grouped test", "seed 42"):
        assert part in card.text, part
    assert "subjectwise evaluate model --data split --output report" in card.text
    recipe = yaml.safe_load(card.text.split("with `recipe.yaml`:")[1].split("```yaml\n")[1].split("```")[0])
    own = read(folder / "subjectwise.json")["recipe"]
    assert recipe == {**own, "base": Path(own["base"]).name}
    [result] = yaml.safe_load((folder / ".eval_results/grouped-test.yaml").read_text())
    assert result["value"] == pytest.approx(metrics["accuracy"]["value"], abs=1e-4)
    assert result["dataset"]["task_id"] == "subject-classification-grouped"
    assert data.manifest_sha256 in result["notes"]
    assert Classifier.from_pretrained(folder, device="cpu").classify("What is a photon?").label


def test_no_path_of_this_machine(folder: Path, report: Path) -> None:
    add_report(folder, report)
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert "/tmp" not in text and "/home" not in text and str(folder) not in text
    # Folders of 0.1.0 have the path of their base in the recipe.
    config = read_config(folder)
    old = replace(config, recipe={**config.recipe, "base": "/home/someone/bases/tiny"})
    assert "/home" not in render_card(old) and "base: tiny" in render_card(old)


def test_a_folder_without_results_has_no_card(folder: Path) -> None:
    file = folder / "subjectwise.json"
    file.write_text(json.dumps({**read(file), "results": {}}))
    before = (folder / "README.md").read_text()
    with pytest.raises(ModelFolderError, match="has no measured results"):
        write_card(folder)
    assert (folder / "README.md").read_text() == before


def test_a_card_without_reports_says_what_it_knows(folder: Path) -> None:
    config = read_config(folder)
    [row] = [line for line in render_card(config).splitlines() if line.startswith("| validation")]
    validation = config.results["validation"]
    assert f"| {validation['rows']} | {100 * validation['accuracy']:.1f} |" in row
    assert "{{" not in render_card(config) and "{%" not in render_card(config)


def test_the_card_of_a_mean_has_every_run(folder: Path) -> None:
    config = read_config(folder)
    run = {"epochs": config.results["epochs"], "best_epoch": config.results["best_epoch"], "recipe": config.recipe}
    also = {"rows": 1234, "sha256": "b" * 64}
    runs = [{**run, "times": 2}, {**run, "start": {"sha256": "a" * 64}, "also": also}]
    results = {**config.results, "rank": 18, "average_of": runs}
    text = render_card(replace(config, results=results))
    for part in (
        "mean of 2 training runs, reduced to rank 18", "Run 1, counted 2 times:", "Run 2:", "a" * 64,
        "1,234 rows of another file", "train run-2.yaml --data split --from MODEL --also FILE --output run-2",
        "subjectwise average run-1 run-1 run-2 --data split --rank 18 --output model", "with `run-2.yaml`:",
    ):  # fmt: skip
        assert part in text, part
    assert text.count("(kept)") == 2


def test_reports_kept_by_0_1_0_have_no_interval_of_the_calibration_error(folder: Path, report: Path) -> None:
    config = add_report(folder, report)
    [kept] = config.results["reports"]
    kept["metrics"]["ece"] = {"value": 0.0139, "low": 0.0, "high": 0.0154}
    del kept["perfect_ece_p95"]
    text = render_card(replace(config, results={**config.results, "reports": [kept]}))
    assert "| 0.014 |" in text and "0.015" not in text


def test_a_threshold_says_what_it_promises(folder: Path) -> None:
    config = read_config(folder)
    promised = replace(config, thresholds={"0.95": 0.8234})
    assert config.results["validation"]["threshold_risk"] == 0.05
    text = render_card(promised)
    assert "probability is at least 0.823, at least 95 % of the answers are right on new questions" in text
    assert "fails for at most 5 % of validation sets" in text
    del promised.results["validation"]["threshold_risk"]
    assert "Of the validation rows with a probability of at least 0.823, 95 % are classified right" in render_card(
        promised
    ), "0.1.0 chose thresholds by the validation rows alone"


def test_the_card_of_a_mixture(folder: Path, report: Path) -> None:
    add_report(folder, report)
    config = read_config(folder)
    share = {"value": 0.9, "low": 0.85, "high": 0.94}
    kind = {"rows": 40, "accuracy": share, "fair_accuracy": share, "lowest_label": "law", "lowest_fair_accuracy": share}
    kept = config.results["reports"][0] | {
        "kinds": {"exam": kind},
        "scope": {"auroc": 0.99, "threshold": 0.4, "flagged": share, "questions_flagged": share},
    }
    kinds = {
        "exam": {
            "rows": 300,
            "weight": 0.5,
            "out_of_scope": False,
            "licence": "CC BY 4.0",
            "credits": ["Optics", "Cells"],
        },
        "none": {"rows": 1200, "weight": 1.0, "out_of_scope": True},
    }
    data = {"source": "mixture.yaml", "protocol": "mixture", "seed": 42, "rows": {"train": 1500}, "kinds": kinds}
    prompt = replace(config.prompt, out_of_scope=True)
    text = render_card(replace(config, prompt=prompt, results={**config.results, "reports": [kept], "data": data}))
    assert "| exam | 40 | 90.0 [85.0, 94.0] | 90.0 [85.0, 94.0] | law 90.0 |" in text
    assert "AUROC of 0.9900" in text and "`in_scope` beside it" in text
    assert "| none (no label) | 1,200 | 1.0 |" in text
    assert "from: Optics; Cells (CC BY 4.0)." in text
    assert "A mixture of kinds by mixture.yaml, split with seed 42: 1,500 train." in text
    assert "subjectwise data mix mixture.yaml --output split" in text


def test_a_small_validation_set_is_a_limit(folder: Path) -> None:
    config = read_config(folder)
    rows = config.results["validation"]["rows"]
    assert f"calibrated on only {rows} validation rows" in render_card(config)
    config.results["validation"]["rows"] = 100
    assert "calibrated on only" not in render_card(config)
