"""Reports and learning curves of predictors that do not exist, as `subjectwise evaluate` writes them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from helpers.fake_classifiers import FakeClassifier
from subjectwise.evaluation.evaluate import Evaluation, Rows, evaluate
from subjectwise.evaluation.learning_curve_schema import LearningCurve, LearningCurvePoint
from subjectwise.evaluation.report_schema import MeasuredRows, Speed
from subjectwise.records import Example, Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.statistics.intervals import proportion_interval
from subjectwise.types import FloatArray, IntArray, JsonObject

LABELS = ["biology", "computer science", "law", "US$ and $"]
SOURCES = ["ori_mmlu-<b>law</b>", "theoremQA", "stemez"]
QUESTION = "Why is <script>alert(1)</script> & \"x\" 'y' wrong?"
TEMPERATURE = 1.6


def make_predictions(labels: int, rows: int, skill: float, seed: int) -> tuple[FloatArray, IntArray]:
    """Return calibrated probabilities, [rows, labels], and the truth that was drawn with them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, labels))
    logits += skill * np.eye(labels)[generator.integers(0, labels, rows)]
    probabilities = apply_temperature(logits, 1.0)
    return probabilities, np.array([generator.choice(labels, p=row) for row in probabilities])


def make_evaluation(
    predictor: str = "shipped",
    protocol: str = "grouped",
    labels: list[str] = LABELS,
    rows: int = 400,
    skill: float = 4.0,
    seed: int = 0,
    with_options: bool = False,
) -> Evaluation:
    """Return the evaluation of a predictor whose probabilities were 1.6 times as sharp before its temperature."""
    probabilities, truth = make_predictions(len(labels), rows, skill, seed)
    generator = np.random.default_rng(seed)
    examples = [
        Example(
            row_id=str(number),
            question=Question(QUESTION + " word" * int(generator.integers(0, 90)), ("yes", "no")),
            label=labels[index],
            source=SOURCES[(int(index) * 7 + number % 5) % len(SOURCES)],
        )
        for number, index in enumerate(truth)
    ]
    classifier = FakeClassifier(
        labels, lambda questions: probabilities, TEMPERATURE, {"0.95": 0.8, "0.99": 0.93} if skill > 2 else None
    )
    manifest = hashlib.sha256(protocol.encode()).hexdigest()
    evaluation = evaluate(
        classifier, Rows(examples, protocol, "test", manifest), name=predictor, with_options=with_options,
        command=f"subjectwise evaluate {predictor} --data {protocol} --split test", allow_missing=True,
    )  # fmt: skip
    # A measured speed would make pages differ.
    speed = Speed(seconds=20.0, questions_per_second=rows / 20)
    return replace(evaluation, report=replace(evaluation.report, speed=speed))


def make_report(*arguments: Any, **options: Any) -> JsonObject:
    """Return the content of report.json for `make_evaluation`'s arguments."""
    content: JsonObject = json.loads(json.dumps(make_evaluation(*arguments, **options).report.to_dict()))
    return content


def make_curve(predictor: str = "small", seed: int = 0, rows: tuple[int, ...] = (100, 1000)) -> JsonObject:
    """Return the content of learning_curve.json."""
    generator = np.random.default_rng(seed)
    points = [
        LearningCurvePoint(
            rows=count,
            seed=number,
            accuracy=proportion_interval(int(generator.binomial(400, 0.9 - 3.5 / count**0.5)), 400),
        )
        for count in rows
        for number in (1, 2, 3)
    ]
    data = MeasuredRows("grouped", "test", 400, manifest_sha256="0" * 64)
    return LearningCurve(predictor=predictor, data=data, points=points, command="subjectwise x").to_dict()


def put(folder: Path, content: JsonObject, file: str = "report.json") -> Path:
    """Write a file into a folder, which is created, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(json.dumps(content), encoding="utf-8")
    return folder
