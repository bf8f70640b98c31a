from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold
from typer.testing import CliRunner

from helpers.tiny_models import WORDS, make_rows
from subjectwise.errors import DataError, SubjectwiseError
from subjectwise.evaluation.audit import Audit, audit, cross_validated, read_predictions, write_rows
from subjectwise.labels import LabelSet
from subjectwise.records import Example, Question
from subjectwise.types import FloatArray

LABELS = LabelSet(tuple(WORDS))


def examples() -> list[Example]:
    return [
        Example(str(row["question_id"]), Question(row["question"], tuple(row["options"])), row["category"])
        for row in make_rows()
    ]


def with_flips(seed: int = 0, share: float = 0.05) -> tuple[list[Example], set[str]]:
    """Rows with `share` of their labels changed to the next one, and the ids of those."""
    rows = examples()
    chosen = np.random.default_rng(seed).choice(len(rows), round(share * len(rows)), replace=False)
    for i in chosen:
        rows[i] = replace(rows[i], label=LABELS.names[(LABELS.index(rows[i].label) + 1) % 4])
    return rows, {rows[i].row_id for i in chosen}


@pytest.fixture(scope="module")
def flipped() -> tuple[Audit, set[str]]:
    rows, wrong = with_flips()
    return audit(rows, cross_validated(rows, LABELS, "tfidf-svm"), LABELS), wrong


def test_flipped_labels_come_first(flipped: tuple[Audit, set[str]]) -> None:
    found, wrong = flipped
    assert len(wrong) == 5
    assert len(wrong & {row.row_id for row in found.rows[: len(wrong)]}) >= 4
    truth = {row.row_id: row.label for row in examples()}
    first = found.rows[0]
    assert first.suspect and first.suggested == truth[first.row_id] != first.label
    assert first.quality < 0.5 < first.probability


def test_the_estimates_add_up(flipped: tuple[Audit, set[str]]) -> None:
    found, wrong = flipped
    assert [row.quality for row in found.rows] == sorted(row.quality for row in found.rows)
    assert len(found.rows) == found.overall.rows == sum(estimate.rows for estimate in found.per_label.values())
    suspects = sum(row.suspect for row in found.rows)
    assert suspects == found.overall.suspects == sum(found.pairs.values())
    assert suspects == sum(estimate.suspects for estimate in found.per_label.values())
    assert abs(suspects - len(wrong)) <= 2
    assert found.overall.ceiling == 1 - suspects / len(found.rows)
    assert all(row.suggested != row.label for row in found.rows if row.suspect)
    written = found.to_dict()
    assert written["rows"] == 96 and written["pairs"][0]["rows"] == max(found.pairs.values())
    assert json.loads(json.dumps(written)) == written


def test_near_duplicates_stay_in_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = examples()
    copies = [replace(row, row_id=f"{row.row_id}-copy", question=Question(row.question.text.upper())) for row in rows]
    both = rows + copies
    seen: list[set[str]] = []
    split = StratifiedGroupKFold.split

    def watched(self: Any, *given: Any) -> Any:
        for train, scored in split(self, *given):
            texts = [{both[i].question.text.casefold() for i in part} for part in (train, scored)]
            seen.append(texts[0] & texts[1])
            yield train, scored

    monkeypatch.setattr(StratifiedGroupKFold, "split", watched)
    cross_validated(both, LABELS, "tfidf-svm", folds=3)
    assert seen == [set()] * 3


def test_questions_are_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import subjectwise.evaluation.audit as module

    class Counting:
        """Embeds a question as the words it has."""

        calls = 0

        def __init__(self, name: str) -> None:
            assert name == "some-encoder"

        def encode(self, texts: list[str], on_progress: Any) -> FloatArray:
            Counting.calls += 1
            on_progress(len(texts))
            words = [word for group in WORDS.values() for word in group]
            return np.array([[word in text for word in words] for text in texts], dtype=float)

    monkeypatch.setattr(module, "SentenceEncoder", Counting)
    done: list[int] = []
    rows = examples()
    found = cross_validated(rows, LABELS, encoder="some-encoder", on_progress=done.append)
    assert Counting.calls == 1 and done == [96]
    assert audit(rows, found, LABELS).accuracy > 0.95


def test_more_labels_than_the_rows_have() -> None:
    rows = [row for row in examples() if row.label != "law"]
    table = np.full((len(rows), 4), 0.05)
    table[np.arange(len(rows)), [LABELS.index(row.label) for row in rows]] = 0.85
    found = audit(rows, table, LABELS)
    assert found.overall.suspects == 0 and found.per_label["law"].rows == 0
    assert found.per_label["law"].ceiling == 1.0 and found.accuracy == 1.0


def test_what_cannot_be_audited() -> None:
    rows = examples()
    even = np.full((96, 4), 0.25)
    with pytest.raises(DataError, match="There are 95 predictions for 96 labels"):
        audit(rows, even[:95], LABELS)
    with pytest.raises(DataError, match="do not sum to 1"):
        audit(rows, even * 2, LABELS)
    with pytest.raises(DataError, match="of 2 labels; there are 4"):
        audit(rows, even[:, :2] * 2, LABELS)
    with pytest.raises(DataError, match="is not one of the labels"):
        audit(rows, even[:, :2] * 2, LabelSet(("law", "physics")))
    with pytest.raises(DataError, match="Unknown baseline 'majority'; choose one of minilm-lr, tfidf-svm"):
        cross_validated(rows, LABELS, "majority")
    with pytest.raises(DataError, match="'biology' has too few different questions for 30 folds"):
        cross_validated(rows, LABELS, "tfidf-svm", folds=30)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(SubjectwiseError, match=r"needs cleanlab.filter, .*subjectwise\[audit\]"):
        audit(examples(), np.full((96, 4), 0.25), LABELS)


def write_predictions(path: Path, rows: list[Example]) -> Path:
    lines = [
        {"row_id": row.row_id, "scores": {name: 0.85 if name == row.label else 0.05 for name in LABELS}} for row in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_predictions_from_a_file(tmp_path: Path) -> None:
    truth = examples()
    rows, wrong = with_flips()
    path = write_predictions(tmp_path / "predictions.jsonl", [*truth, Example("more", Question("x"), "law")])
    read = read_predictions(path, rows)
    found = audit(rows, read.probabilities, read.labels)
    assert {row.row_id for row in found.rows if row.suspect} == wrong
    assert {row.row_id for row in found.rows[:5]} == wrong


def test_predictions_that_do_not_fit(tmp_path: Path) -> None:
    rows = examples()
    path = write_predictions(tmp_path / "predictions.jsonl", rows[:90])
    with pytest.raises(DataError, match="no prediction for 6 of 96 rows, such as '91'"):
        read_predictions(path, rows)
    for broken, message in (
        ({"row_id": "1"}, "in row 1 scores is missing"),
        ({"row_id": "1", "scores": dict.fromkeys(LABELS, "high")}, "in row 1 scores.biology is not a number"),
    ):
        path.write_text(json.dumps(broken) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_predictions(path, rows[:1])
    narrow = {"row_id": "2", "scores": {"law": 1.0}}
    write_predictions(path, rows[:1])
    path.write_text(path.read_text() + json.dumps(narrow) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="other labels for the row '2'"):
        read_predictions(path, rows[:2])
    with pytest.raises(DataError, match="Unknown file"):
        read_predictions(tmp_path / "none.jsonl", rows)


def test_the_file_has_every_row(flipped: tuple[Audit, set[str]], tmp_path: Path) -> None:
    write_rows(tmp_path / "audit.jsonl", flipped[0])
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["row_id"] for line in lines] == [row.row_id for row in flipped[0].rows]
    assert set(lines[0]) == {"row_id", "question", "label", "suggested", "probability", "quality", "suspect"}


def run(*arguments: str) -> Any:
    import typer

    from subjectwise.cli.audit import audit as command

    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


def test_the_command(rows_file: Path, split_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "audit.jsonl"
    shown = run("--data", str(rows_file), "--method", "tfidf-svm", "--top", "2", "-o", str(output))
    assert shown.exit_code == 0, shown.output
    assert "of 96 labels are suspect" in shown.stdout and "label -> suggested" in shown.stdout
    assert len(output.read_text().splitlines()) == 96
    whole = run("--data", str(split_folder), "--method", "tfidf-svm", "--json", "--top", "3")
    answer = json.loads(whole.stdout)
    assert answer["rows"] == 96 and len(answer["top"]) == 3
    predictions = write_predictions(tmp_path / "predictions.jsonl", examples())
    judged = run("--data", str(rows_file), "--predictions", str(predictions), "--json")
    assert json.loads(judged.stdout)["suspects"] == 0
    again = run("--data", str(rows_file), "-o", str(output))
    assert "already exists" in str(again.exception)
