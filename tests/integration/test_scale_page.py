"""docs/scale.md: its code runs, on pandas in place of Spark, and its probes ask a path that is served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas
import pytest
import yaml

from helpers.serving import fake_model, serving
from helpers.tiny_models import make_rows
from subjectwise.classifier import Classifier
from subjectwise.serving.app import create_app

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")


def block(language: str, part: str) -> str:
    """Return the one block of code of the page that has `part`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    [chosen] = [code for code in blocks if part in code]
    return str(chosen)


def test_a_series_of_questions_becomes_a_series_of_labels(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    loads: list[int] = []

    def load() -> Classifier:
        loads.append(1)
        return classifier

    monkeypatch.setattr(Classifier, "from_pretrained", load)
    names: dict[str, Any] = {}
    exec(block("python", "pd.Series"), names)  # noqa: S102  # the page's own code
    questions = pandas.Series([row["question"] for row in make_rows()[:8]], index=range(10, 18))
    for part in (questions[:5], questions[5:]):
        subjects = names["subjects"](part)
        assert list(subjects.index) == list(part.index)
        assert list(subjects) == list(classifier.predict(list(part)))
    assert len(loads) == 1, "loaded once per process"


def test_the_probes_ask_a_path_that_answers() -> None:
    probes = yaml.safe_load(block("yaml", "Probe"))
    assert set(probes) == {"startupProbe", "readinessProbe", "livenessProbe"}
    with serving(create_app(fake_model)) as client:
        for probe in probes.values():
            assert client.get(probe["httpGet"]["path"]).status_code == 200


def test_its_python_can_be_compiled() -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        compile(code, "scale.md", "exec")
