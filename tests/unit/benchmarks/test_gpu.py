"""The script for a GPU runs from its first part to its last on a CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import common
import gpu
import pytest
from gpu_parts import Figure, Run


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    monkeypatch.setattr(common, "RESULTS", folder)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
    gpu.main()


@pytest.mark.slow
def test_a_trial_on_a_cpu_fills_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, tmp_path, "--tiny")
    results = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert results["failures"] == {}
    figures = {(figure["part"], figure["what"]): figure for figure in results["figures"]}
    assert {part for part, _ in figures} == {"limits", "right", "speed", "training"}
    assert figures["right", "labels equal"]["met"] and figures["right", "gap of probabilities, p99"]["met"]
    table = capsys.readouterr().out
    for way in ("ours, plain", "ours, bare", "plain head", "generate, batches", "card's loop"):
        assert figures["speed", way]["value"] > 0 and f"| {way} |" in table


def test_a_part_that_fails_is_noted_and_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(run: Run) -> list[Figure]:
        raise RuntimeError("out of memory")

    def works(run: Run) -> list[Figure]:
        return [Figure("works", "it", 1.0, "s")]

    monkeypatch.setattr(gpu, "PARTS", (fails, works))
    with pytest.raises(SystemExit, match="Failed: fails"):
        run(monkeypatch, tmp_path, "--tiny", "--results", "some.json")
    results = json.loads((tmp_path / "some.json").read_text(encoding="utf-8"))
    assert results["failures"] == {"fails": "RuntimeError: out of memory"}
    assert [figure["part"] for figure in results["figures"]] == ["works"]


def test_it_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="use --tiny"):
        run(monkeypatch, tmp_path)
