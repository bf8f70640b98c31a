"""The folder of checkpoints beside a model folder: whose run it is, and the newest complete checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from subjectwise.data.split import SplitFolder, rows_sha256
from subjectwise.errors import OutputError
from subjectwise.models.model_config import read_config
from subjectwise.recipe import Recipe
from subjectwise.records import Example
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import file_sha256, read_json, write_json, writing

RUN_FILE = "run.json"
_STATE_FILE = "trainer_state.json"

# What a checkpoint consists of; one of another version is not resumed.
_VERSION = 2


def open_checkpoints(
    output: Path,
    recipe: Recipe,
    data: SplitFolder,
    *,
    also: Sequence[Example] = (),
    start: Path | None = None,
    processes: int = 1,
) -> Path:
    """Return the folder of checkpoints for `output`, which is made where it does not exist.

    Args:
        output: the model folder to be.
        recipe: of the run.
        data: its rows.
        also: further rows that it trains on.
        start: the model folder whose adapter it trains further.
        processes: in how many it runs, on which the order of the rows depends.

    Raises:
        OutputError: another run left its checkpoints there, or they cannot be written.
    """
    folder = output.with_name(f"{output.name}.checkpoints")
    run: JsonObject = {
        "version": _VERSION,
        "recipe": recipe.to_dict(),
        "manifest_sha256": data.manifest_sha256,
        "processes": processes,
    }
    if also:
        run["also_sha256"] = rows_sha256(also)
    if start:
        run["start"] = start_identity(start)
    file = folder / RUN_FILE
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if file.is_file() and (other := _difference(read_json(file, OutputError), json.loads(json.dumps(run)))):
        raise OutputError(f"{folder} belongs to a run with {other}; remove it, or use another --output.")
    write_json(file, run)
    return folder


def _difference(kept: JsonObject, run: JsonObject) -> str:
    """Return what differs between two runs in words; "" where nothing does."""
    if kept == run:
        return ""
    named = {
        "version": "another version of this package",
        "processes": f"{kept.get('processes')} processes, and this one has {run['processes']}",
    }
    differing = [key for key in {**kept, **run} if kept.get(key) != run.get(key)]
    return next((named[key] for key in named if differing == [key]), "another recipe or other data")


def start_identity(start: Path) -> JsonObject:
    """Return what identifies the adapter that a run starts from."""
    config = read_config(start)
    return {"sha256": file_sha256(start / config.weights_file), "manifest_sha256": config.manifest_sha256}


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint, and remove those that were not written to their end."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for path in checkpoints:
        try:
            json.loads((path / _STATE_FILE).read_text(encoding="utf-8"))  # the Trainer writes it last
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
            continue
        return path
    return None


def read_history(checkpoint: Path | None) -> list[JsonObject]:
    """Return the log of a checkpoint; empty for None."""
    if checkpoint is None:
        return []
    return list(read_json(checkpoint / _STATE_FILE, OutputError)["log_history"])
