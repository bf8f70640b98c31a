"""`classify --input` with made-up files of every shape, killed at any moment: each row is answered or noted once."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.bulk import beside, read_answers
from helpers.commands import Finished, run_command
from helpers.fake_classifier import FakeClassifier
from subjectwise import predictors
from subjectwise.bulk import score_rows, write_answers

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a run is killed in a process of its own")

# What the system calls when files are written; a run may be killed at each of these moments.
MOMENTS = ("open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "shutil.rmtree", "score")

TEXT = st.text(max_size=12) | st.sampled_from(
    ["What is a tort?", "nan", "<NA>", '"', "a,b", "a\nb", "x\r", "\ufeff", "é什"]
)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["question", "text", "prompt", "label", "score", "input_label", "options", "id", "", "a b", "é"]
)


@dataclass(frozen=True)
class Made:
    """A file, and what is known of its rows.

    Attributes:
        name: with the extension.
        content: as bytes.
        ids: what identifies each row, in order; None for a row that cannot be read.
    """

    name: str
    content: bytes
    ids: list[int | None]


@st.composite
def json_files(draw: st.DrawFn) -> Made:
    lines, ids = [], []
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["row", "row", "row", "broken", "not an object", "latin"]))
        if kind == "row":
            row = draw(st.dictionaries(NAMES, JSON_VALUE, max_size=4))
            if draw(st.integers(0, 3)):
                row["question"] = draw(TEXT)
            # Escapes, so that halves of characters can be spelled too.
            lines.append(json.dumps({**row, "n": number}, ensure_ascii=True).encode())
        elif kind == "broken":
            lines.append(draw(st.sampled_from([b'{"question": "a', b"{", b'{"n": 1, "n": 2}', b'{"a": 1} x'])))
        else:
            lines.append(b"[1]" if kind == "not an object" else '{"question": "é"}'.encode("latin-1"))
        ids.append(number if kind == "row" else None)
        lines += [b""] * draw(st.integers(0, 1))
    return Made("in.jsonl", b"".join(line + draw(st.sampled_from([b"\n", b"\r\n"])) for line in lines), ids)


@st.composite
def csv_files(draw: st.DrawFn) -> Made:
    columns = draw(st.lists(NAMES, unique=True, max_size=4))
    columns = ["n", *columns, *(["question"] if "question" not in columns else [])]
    lines, ids = [_csv_line(columns)], []
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["row", "row", "row", "short", "long", "latin"]))
        cells = [str(number), *(draw(TEXT) for _ in columns[1:])]
        if kind == "latin":
            lines.append(b"\xe9" + b"," * (len(columns) - 1) + b"\n")
        else:
            lines.append(_csv_line(cells[:-1] if kind == "short" else [*cells, "more"] if kind == "long" else cells))
        ids.append(number if kind == "row" else None)
    if draw(st.booleans()):
        lines.append(b'n,"never closed\n')
        ids.append(None)
        for number in range(100, 100 + draw(st.integers(0, 3))):
            lines.append(_csv_line([str(number), *("plain" for _ in columns[1:])]))
            ids.append(number)
    return Made("in.csv", b"".join(lines), ids)


def _csv_line(cells: list[str]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerow(cells)
    return stream.getvalue().encode("utf-8", "replace")


@contextmanager
def fake_model(on_score: Callable[[object], object] = lambda texts: None) -> Iterator[None]:
    """Answer with a fake predictor, in chunks of a few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictors, "load_answering_predictor", lambda *_, **__: FakeClassifier(on_score=on_score))
        patch.setattr(score_rows, "CHUNK", 3)
        patch.setattr(write_answers, "ROWS_AT_ONCE", 2)
        yield


def killed(command: list[str | Path], moment: int) -> bool:
    """Run a command in another process, kill it at its `moment`-th moment, and return whether it came to that."""
    child = os.fork()
    if not child:  # pragma: no cover
        seen = 0

        def count(event: str, arguments: object = ()) -> None:
            nonlocal seen
            if event in MOMENTS:
                seen += 1
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            with fake_model(lambda texts: count("score")):
                run_command(*command)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def check(made: Made, suffix: str, options: list[str], moment: int, keep_going: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bulk-"))
    try:
        source = folder / made.name
        source.write_bytes(made.content)
        command: list[str | Path] = ["classify", "--input", source, "--question-column", "question", *options]
        whole, output = folder / f"whole{suffix}", folder / f"out{suffix}"
        # 1) Without interruption.
        with fake_model():
            finished = run_command(*command, "--output", whole, "--keep-going")
        if finished.returncode:
            assert_refused(finished, made)
            return
        rows = read_answers(whole)
        assert [row_id(row) for row in rows] == made.ids, "each row once, in order"
        answered = [row for row in rows if not row.get("error")]
        assert all(row["label"] in (*FakeClassifier.labels, "abstain") for row in answered), "answered, or noted"
        # 2) Killed at some moment, and started again: with the advice of the error, where there is one.
        arguments = [*command, "--output", output]
        first = [*arguments, "--keep-going"] if keep_going else arguments
        was_killed = killed(first, moment)
        if not output.exists():
            with fake_model():
                finished = run_command(*first)
                if finished.returncode:
                    assert not keep_going and len(answered) < len(rows), finished.stderr
                    assert "Use --keep-going to note it and go on." in finished.stderr
                    assert "Traceback" not in finished.stderr
                    finished = run_command(*arguments, "--keep-going")
            assert finished.returncode == 0, finished.stderr
            assert beside(output) == []
        else:
            # Killed after it was written, or not at all: given again, the command clears up and says that it is there.
            assert was_killed or beside(output) == []
            with fake_model():
                finished = run_command(*first)
            assert "already exists" in finished.stderr and beside(output) == []
        assert output.read_bytes() == whole.read_bytes(), "the same command twice gives the same file"
    finally:
        shutil.rmtree(folder)


def row_id(row: dict[str, Any]) -> int | None:
    value = row.get("n")
    return None if value in (None, "") else int(value)


def assert_refused(finished: Finished, made: Made) -> None:
    """A file is refused as a whole for its columns alone."""
    lines = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 and "Traceback" not in finished.stderr, finished.stderr
    assert "no column 'question'" in lines[0], lines


FILES = json_files() | csv_files()
OUTPUTS = st.sampled_from([".jsonl", ".csv", ".parquet"])
OPTIONS = st.sampled_from([[], ["--multi-label", "--min-confidence", "0.5"]])
WAYS = st.booleans()
MOMENT = st.integers(1, 30)
PROFILE = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)


@settings(PROFILE, max_examples=40)
@given(FILES, OUTPUTS, OPTIONS, MOMENT, WAYS)
def test_every_row_is_answered_or_noted_once(
    made: Made, suffix: str, options: list[str], moment: int, keep_going: bool
) -> None:
    check(made, suffix, options, moment, keep_going)


@pytest.mark.slow
@settings(PROFILE, max_examples=500, derandomize=False)
@given(FILES, OUTPUTS, OPTIONS, MOMENT, WAYS)
def test_every_row_of_many_files_is_answered_or_noted_once(
    made: Made, suffix: str, options: list[str], moment: int, keep_going: bool
) -> None:
    check(made, suffix, options, moment, keep_going)
