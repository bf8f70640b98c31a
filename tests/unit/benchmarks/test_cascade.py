"""The benchmark of cascades: what it measures on a tiny pair."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cascade import Answers, kind_table, measure, out_of_scope

from helpers.fake_classifiers import one_hot_like
from helpers.fast_models import examples, tiny_fast_model
from subjectwise.models.fast_model import FastModel
from subjectwise.records import OUT_OF_SCOPE
from subjectwise.statistics.cascade import NEVER, Promise
from subjectwise.statistics.fair_labels import fair_labels


@pytest.fixture(scope="module")
def fast() -> FastModel:
    model = tiny_fast_model()
    promises = {"0": Promise(0.7), "1": Promise(0.0), NEVER: Promise()}
    return FastModel(replace(model.config, promises=promises), model.weights)


def test_every_kind_has_each_way(fast: FastModel) -> None:
    rows = [replace(row, kind=row.label) for row in examples() if row.label != OUT_OF_SCOPE]
    names = fast.labels.names
    truth = [names.index(row.label) for row in rows]
    always_right = Answers(rows, one_hot_like(truth, len(names)), fair_labels(rows, names))
    kinds = measure(fast, always_right, 0.0)
    assert list(kinds) == sorted(names) and all(kind["model"]["accuracy"] == 1 for kind in kinds.values())
    for kind in kinds.values():
        assert kind["cascade 1"]["fast"] == 1 and kind[f"cascade {NEVER}"]["fast"] == 0
        assert kind["cascade 1"]["accuracy"] == kind["fast"]["accuracy"]
        assert kind["cascade 0"]["low"] <= kind["cascade 0"]["gain"] <= kind["cascade 0"]["high"] <= 1
    assert len(kind_table(kinds).splitlines()) == 2 + len(names)


def test_requests_of_no_label_that_pass(fast: FastModel) -> None:
    passed = out_of_scope(fast, examples(), 0.0)["talk"]
    assert passed["rows"] == 6 and passed["1"] == 1 and passed["0"] < 0.5
    assert out_of_scope(fast, examples(), 1.0)["talk"]["1"] == 0
