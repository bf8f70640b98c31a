from __future__ import annotations

from pathlib import Path

from helpers.report_files import make_curve, make_report, put
from subjectwise.evaluation.report.find_reports import open_reports


def test_which_report_is_the_main_one(tmp_path: Path) -> None:
    grouped, held_out = make_report(rows=40), make_report(rows=40, protocol="source-held-out")
    put(tmp_path / "a", make_report(rows=40, with_options=True))
    assert open_reports(tmp_path).main.name == "a"
    put(tmp_path / "deep/er/c", grouped)
    put(tmp_path / "deep/er/too/deep", grouped)
    opened = open_reports(tmp_path)
    assert (opened.main.name, [other.name for other in opened.others]) == ("deep/er/c", ["a"])
    assert open_reports(tmp_path, "a").main.name == "a"
    assert open_reports(tmp_path, "c/").main.name == "deep/er/c"
    assert opened.held_out is None
    put(tmp_path / "z", held_out)
    opened = open_reports(tmp_path)
    assert opened.held_out is not None and opened.held_out.name == "z"
    assert open_reports(tmp_path, "a").held_out is None, "with options is compared with options only"
    alone = open_reports(put(tmp_path / "alone", grouped))
    assert (alone.main.name, alone.others) == ("alone", [])


def test_models_trained_for_each_protocol_are_paired_by_folder(tmp_path: Path) -> None:
    for name in ("small", "tfidf"):
        put(tmp_path / f"{name}-grouped", make_report(f"models/{name}", rows=40))
    put(tmp_path / "tfidf-sources", make_report("models/y", "source-held-out", rows=40))
    assert open_reports(tmp_path, "small-grouped").held_out is None
    put(tmp_path / "small-sources", make_report("models/x", "source-held-out", rows=40))
    held_out = open_reports(tmp_path, "small-grouped").held_out
    assert held_out is not None and held_out.report.predictor == "models/x"


def test_curves_without_points_and_unfinished_folders_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, make_report(rows=40))
    put(tmp_path / ".written", make_report(rows=40))
    put(tmp_path / "one", make_curve(), "learning_curve.json")
    put(tmp_path / "two", make_curve() | {"points": []}, "learning_curve.json")
    opened = open_reports(tmp_path)
    assert opened.others == [] and [curve.predictor for curve in opened.curves] == ["small"]
