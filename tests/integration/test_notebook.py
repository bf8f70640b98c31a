"""The notebook of the tour: it runs, and shows what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.tiny_models import needs_base

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tour.ipynb"


def cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook: Any) -> str:
    """Everything that the cells printed or returned, as text."""
    outputs = [output for cell in cells(notebook) for output in cell.outputs]
    return "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)


def check(notebook: Any) -> None:
    """Check the answers that outputs show, by what holds on every machine."""
    kinds = [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in cells(notebook)]
    assert sum("image/png" in kind for kind in kinds) == 1, "the plot"
    assert sum("text/html" in kind for kind in kinds) == 3, "a prediction, an explanation, a frame"
    text = shown(notebook)
    assert "label='biology'" in text and re.search(r"contract law\? +law ", text)
    assert int(re.findall(r"(\d+) of 10 as asked", text)[0]) >= 8
    scopes = [float(share) for share in re.findall(r"in scope +([\d.]+)%", text)]
    assert scopes[0] > 90 > 50 > scopes[1]
    assert all(0 <= float(share) <= 100 for share in re.findall(r"([\d.]+)%", text))
    assert not re.search(r"/(?:tmp|home|root|Users)/", nbformat.writes(notebook)), "a path of a machine"


def test_the_stored_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(output.get("name") == "stderr" for cell in cells(notebook) for output in cell.outputs), "a warning"
    assert [cell.execution_count for cell in cells(notebook)] == list(range(1, len(cells(notebook)) + 1))
    check(notebook)


@needs_base
@pytest.mark.slow  # a kernel, the shipped model and a plot
def test_it_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in cells(notebook):
        cell.outputs = []
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    check(notebook)
