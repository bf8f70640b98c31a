from __future__ import annotations

import json
from pathlib import Path

from helpers.report_files import make_evaluation, make_report, put
from subjectwise.evaluation.report.find_reports import open_reports
from subjectwise.evaluation.report.kind_sections import noise_rows, origins, ranked_kinds
from subjectwise.evaluation.report.render_page import render_reports
from subjectwise.evaluation.report_schema import KindMetrics, NoiseResult, ScopeMetrics
from subjectwise.statistics.intervals import proportion_interval
from subjectwise.types import JsonObject
from subjectwise.utils.json_records import to_json


def kind(hits: int, rows: int, fair: int) -> KindMetrics:
    share = proportion_interval(hits, rows)
    return KindMetrics(
        rows=rows, accuracy=share, fair_accuracy=proportion_interval(fair, rows), ece=0.02, fair_ece=0.03,
        lowest_label="law", lowest_fair_accuracy=share,
    )  # fmt: skip


KINDS = {"written": kind(60, 80, 72), "mmlu-pro": kind(180, 200, 180), "test-<b>terms</b>": kind(5, 20, 5)}


def mixture(**fields: object) -> JsonObject:
    content = make_report(protocol="mixture") | {"kinds": {name: to_json(each) for name, each in KINDS.items()}}
    return json.loads(json.dumps(content | fields))  # type: ignore[no-any-return]


def test_home_and_abroad_stand_side_by_side(tmp_path: Path) -> None:
    put(tmp_path / "mix", mixture())
    sides = origins(open_reports(tmp_path))
    assert sides is not None
    assert (sides.home.rows, sides.home.value) == (200, "90.0\u202f%") and not sides.home.notes
    assert (sides.abroad.rows, sides.abroad.value) == (100, "65.0\u202f%")
    assert sides.abroad.notes[0].startswith("77.0"), "where any fair label counts"
    assert "2 kinds, from 25.0\u202f% (test-" in sides.abroad.notes[1]
    names = [name for name, _ in ranked_kinds(sides.report.report)]
    assert names == ["mmlu-pro", "test-<b>terms</b>", "written"]


def test_a_mixture_beside_the_main_report_counts_for_the_same_predictor_alone(tmp_path: Path) -> None:
    put(tmp_path / "a-grouped", make_report())
    put(tmp_path / "mix", mixture())
    beside = origins(open_reports(tmp_path))
    assert beside is not None and beside.report.name == "mix"
    put(tmp_path / "mix", mixture(predictor="another"))
    assert origins(open_reports(tmp_path)) is None
    put(tmp_path / "mix", mixture(kinds={"written": to_json(KINDS["written"])}))
    assert origins(open_reports(tmp_path)) is None, "there is no home"


def test_the_page_opens_with_both(tmp_path: Path) -> None:
    scope = ScopeMetrics(
        threshold=0.2, auroc=0.987, flagged=proportion_interval(9, 10), questions_flagged=proportion_interval(1, 200)
    )
    put(tmp_path / "mix", mixture(scope=to_json(scope)))
    page = render_reports(open_reports(tmp_path))
    assert "<strong>90.0\u202f%</strong> of MMLU-Pro" in page and "<strong>65.0\u202f%</strong> of questions of" in page
    assert (
        page.index('id="origins"') < page.index('id="headline"') < page.index('id="kinds"') < page.index('id="where"')
    )
    assert "90.0\u202f% of them are flagged" in page and "0.987" in page
    assert "<b>terms" not in page


def test_noise_is_shown_with_its_change() -> None:
    change = proportion_interval(1, 10)
    result = NoiseResult("0.2", proportion_interval(8, 10), change, proportion_interval(9, 10), 0.5)
    report = make_evaluation().report
    assert noise_rows(report) == []
    report.robustness["typos"] = [result]
    assert noise_rows(report)[0][:3] == ("typos, 0.2", "80.0\u202f%", "+10.0")
