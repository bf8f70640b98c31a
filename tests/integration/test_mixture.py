"""From files of several kinds to a model that tells requests of no label: mixed, trained, calibrated, answering."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.commands import refused, run_command
from helpers.tiny_models import TINY_SETTINGS, make_rows
from helpers.training import CPU
from subjectwise.classifier import Classifier
from subjectwise.data.mix import load_mixture, write_mixture
from subjectwise.data.split import SplitFolder
from subjectwise.errors import RecipeError
from subjectwise.evaluation.report_files import read_report
from subjectwise.models.model_config import read_config
from subjectwise.recipe import load_recipe
from subjectwise.records import Decision
from subjectwise.training.train import train

CHAT = ("Hello there number {}", "Please write a poem of {} lines", "Book me a table for {}", "Thanks {} times")
MIXTURE = """
kinds:
  exam: {source: exam.jsonl, group: [question]}
  chat: {source: chat.jsonl, out_of_scope: true, weight: 2}
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    labels = sorted({row["category"] for row in make_rows()})
    exam = [
        {"id": row["question_id"], "question": row["question"], "label": row["category"],
         "also": [labels[0]] if number % 5 == 0 and row["category"] != labels[0] else []}
        for number, row in enumerate(make_rows())
    ]  # fmt: skip
    chat = [{"id": i, "question": CHAT[i % 4].format(i), "label": "none"} for i in range(60)]
    for name, rows in (("exam", exam), ("chat", chat)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mixture.yaml").write_text(MIXTURE)
    return folder


@pytest.fixture(scope="module")
def mixture(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> SplitFolder:
    return write_mixture(load_mixture(sources / "mixture.yaml"), tmp_path_factory.mktemp("mixed") / "mix")


@pytest.fixture(scope="module")
def scoped_model(mixture: SplitFolder, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = [*TINY_SETTINGS, "prompt.out_of_scope=true", "training.also_share=0.2", "training.epochs=3"]
    recipe = replace(load_recipe("small", settings), base=str(tiny_base))
    folder = tmp_path_factory.mktemp("scoped") / "model"
    train(recipe, mixture, folder, compute=CPU, progress=False)
    return folder


def test_a_model_of_several_kinds(mixture: SplitFolder, scoped_model: Path) -> None:
    config = read_config(scoped_model)
    assert set(config.results["validation"]["kinds"]) == {"exam"} and len(config.prior) == len(mixture.labels)
    assert config.scope is not None and config.scope.slope > 0

    classifier = Classifier.from_pretrained(scoped_model, device="cpu", dtype="float32")
    assert "none" not in classifier.labels and classifier.min_in_scope == config.scope.threshold
    asked = [row.question for row in mixture.examples("test")]
    known = [row.label != "none" for row in mixture.examples("test")]
    answers = classifier.classify(asked, decision=Decision(min_in_scope=config.scope.threshold))
    in_scope = [answer.in_scope for answer in answers if answer.in_scope is not None]
    assert len(in_scope) == len(asked) and all(0 <= value <= 1 for value in in_scope)
    means = [
        sum(value for value, is_known in zip(in_scope, known, strict=True) if is_known == side) / known.count(side)
        for side in (True, False)
    ]
    assert means[0] > means[1] + 0.2, "it learned to tell them"
    for answer, value in zip(answers, in_scope, strict=True):
        assert (answer.label == "abstain") == (value < config.scope.threshold)


def test_data_without_such_requests_is_refused(split_folder: Path, tiny_base: Path, tmp_path: Path) -> None:
    from subjectwise.data.split import open_split

    recipe = replace(load_recipe("small", [*TINY_SETTINGS, "prompt.out_of_scope=true"]), base=str(tiny_base))
    with pytest.raises(RecipeError, match="prompt.out_of_scope is set, but the data has no requests of no label"):
        train(recipe, open_split(split_folder), tmp_path / "model", compute=CPU, progress=False)
    assert not (tmp_path / "model").exists()


def test_a_model_without_that_answer_leaves_them_out(mixture: SplitFolder, tiny_base: Path, tmp_path: Path) -> None:
    recipe = replace(load_recipe("small", [*TINY_SETTINGS, "training.epochs=1"]), base=str(tiny_base))
    train(recipe, mixture, tmp_path / "model", compute=CPU, progress=False)
    classifier = Classifier.from_pretrained(tmp_path / "model", device="cpu", dtype="float32")
    assert classifier.min_in_scope is None and classifier.classify("Hello!").in_scope is None


def test_each_kind_is_reported_apart(mixture: SplitFolder, scoped_model: Path, tmp_path: Path) -> None:
    model = ("--device", "cpu", "--dtype", "float32")
    evaluate = ("evaluate", str(scoped_model), "--data", str(mixture.path), *model)
    finished = run_command(*evaluate, "--output", str(tmp_path / "report"), "--json")
    report = json.loads(finished.stdout)
    exam = [row for row in mixture.examples("test") if row.kind == "exam"]
    assert list(report["kinds"]) == ["exam"] and report["kinds"]["exam"]["rows"] == report["data"]["rows"] == len(exam)
    assert report["metrics"]["accuracy"]["value"] == report["kinds"]["exam"]["accuracy"]["value"]
    assert report["kinds"]["exam"]["fair_accuracy"]["value"] >= report["kinds"]["exam"]["accuracy"]["value"]
    assert report["scope"]["auroc"] > 0.8 and set(report["scope"]["kinds"]) == {"exam", "chat"}
    assert len((tmp_path / "report" / "predictions.jsonl").read_text().splitlines()) == len(exam)
    assert read_report(tmp_path / "report" / "report.json").to_dict() == report
    shown = run_command(*evaluate, "--kind", "exam").stdout
    assert "any fair label" in shown and "requests of no label" not in shown and "test (exam)" in shown
    assert "requests of no label: AUROC" in run_command(*evaluate).stdout
    refused(*evaluate, "--kind", "poems", part="have no kind 'poems'; their kinds: exam, chat")
    refused(*evaluate, "--kind", "chat", part="All rows are requests of no label")


def test_baselines_leave_requests_of_no_label_out(mixture: SplitFolder, tmp_path: Path) -> None:
    folder = str(tmp_path / "baseline")
    run_command("train", "baseline:tfidf-svm", "--data", str(mixture.path), "--output", folder)
    finished = run_command("evaluate", folder, "--data", str(mixture.path), "--json")
    report = json.loads(finished.stdout)
    assert set(report["kinds"]) == {"exam"} and report["metrics"]["accuracy"]["value"] > 0.5
    assert "scope" not in report, "a baseline does not tell requests of no label"
    audited = json.loads(run_command("audit", "--data", str(mixture.path), "--method", "tfidf-svm", "--json").stdout)
    questions = sum(row.label != "none" for split in ("train", "validation", "test") for row in mixture.examples(split))
    assert audited["rows"] == questions


def test_the_commands(sources: Path, mixture: SplitFolder, scoped_model: Path, tmp_path: Path) -> None:
    finished = run_command("data", "mix", str(sources / "mixture.yaml"), "--output", str(tmp_path / "mix"), "--json")
    mixed = json.loads(finished.stdout)
    assert mixed["manifest_sha256"] == mixture.manifest_sha256
    assert mixed["kinds"]["chat"]["train"] > mixed["kinds"]["chat"]["test"] > 0
    mixture_file = str(sources / "mixture.yaml")
    refused("data", "mix", mixture_file, "-o", str(tmp_path / "x"), "--source", "a", part="KIND=PATH")

    rows, output = tmp_path / "rows.csv", tmp_path / "answers.csv"
    rows.write_text("question\nHello there number 7\nWhat is a tort?\n")
    options = ("--model", str(scoped_model), "--device", "cpu", "--dtype", "float32")
    run_command("classify", "--input", str(rows), "--output", str(output), "--min-in-scope", "1", *options)
    with output.open(newline="") as stream:
        answers = list(csv.DictReader(stream))
    assert [row["label"] for row in answers] == ["abstain", "abstain"] and all(row["best_label"] for row in answers)
    alone = run_command("classify", "What is a tort?", "--min-in-scope", "auto", "--json", *options)
    assert json.loads(alone.stdout)["in_scope"] == pytest.approx(float(answers[1]["in_scope"]), abs=1e-4)
    refused("classify", "What?", "--min-in-scope", "2", *options, part="give a number from 0 to 1, or auto")


def test_a_model_without_that_answer_has_no_minimum(tiny_model: Path, tmp_path: Path) -> None:
    options = ("--model", str(tiny_model), "--device", "cpu", "--dtype", "float32", "--min-in-scope")
    rows = tmp_path / "rows.txt"
    rows.write_text("What is a tort?\n")
    for minimum in ("auto", "0.5"):
        refused("classify", "What?", *options, minimum, part="does not tell requests that belong to no label")
        output = ("--output", str(tmp_path / "answers.jsonl"))
        part = "does not tell requests that belong to no label"
        refused("classify", "--input", str(rows), *output, *options, minimum, part=part)
