"""A mixture: groups are never divided, near-duplicates are on one side across kinds, and each kind keeps its name."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny_models import make_rows
from subjectwise.data.mix import kind_counts, load_mixture, write_mixture
from subjectwise.data.near_duplicates import near_duplicate_groups
from subjectwise.data.protocols import SPLIT_NAMES
from subjectwise.data.split import open_split
from subjectwise.errors import DataError, OutputError
from subjectwise.records import OUT_OF_SCOPE

WORDS = "amber basin cedar delta ember fjord grove haven islet jetty knoll ledge marsh notch oasis plain quarry ridge"


def put(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three kinds: written questions by topic, a textbook by chapter, and requests of no subject."""
    words = WORDS.split()
    written = [
        {
            "id": i, "question": row["question"], "label": row["category"], "topic": f"t{i % 24}",
            "also": ["law"] * (i % 5 == 0),
        }
        for i, row in enumerate(make_rows())
    ]  # fmt: skip
    book = [
        {
            "question": f"Why does the {a} of the {b} matter to photon number {i}, asked on page {i * 7}?",
            "label": ("physics", "biology")[i % 2], "book": ("Optics", "Cells", "Late Optics")[i % 3],
            "chapter": f"c{i % 20}",
        }
        for i, (a, b) in enumerate((a, b) for a in words for b in words[:6])
    ]  # fmt: skip
    nothing = [
        {"question": f"{word} please, {i} of them, thanks a lot", "label": "none"} for i, word in enumerate(words)
    ]
    put(tmp_path / "written.jsonl", written)
    put(tmp_path / "book.jsonl", book)
    put(tmp_path / "nothing.jsonl", nothing)
    (tmp_path / "fair.yaml").write_text("Optics: [biology, physics]\n")
    (tmp_path / "mixture.yaml").write_text(
        """
seed: 3
kinds:
  written: {source: written.jsonl, group: [topic], weight: 2}
  book: {source: book.jsonl, group: [chapter], test_where: [book=Late Optics], test_kind: book-unseen, cap: 20,
         cap_by: book, also_by: fair.yaml, also_column: book, licence: CC BY 4.0, credit_by: book}
  nothing: {source: nothing.jsonl, out_of_scope: true}
"""
    )
    return tmp_path


def test_groups_are_never_divided(folder: Path) -> None:
    data = write_mixture(load_mixture(folder / "mixture.yaml"), folder / "mix")
    rows = {f"written/{row['id']}": row["topic"] for row in map(json.loads, (folder / "written.jsonl").open())}
    splits_of = defaultdict(set)
    for split in SPLIT_NAMES:
        for row in data.examples(split):
            if row.kind == "written":
                splits_of[rows[row.row_id]].add(split)
    assert splits_of and all(len(splits) == 1 for splits in splits_of.values())
    counts = kind_counts(data)
    assert all(counts["written"][split] for split in SPLIT_NAMES)
    assert counts["book-unseen"] == {"train": 0, "validation": 0, "test": counts["book-unseen"]["test"]}
    assert counts["book-unseen"]["test"] > 20 and counts["book"]["test"] > 0


def test_what_a_row_keeps(folder: Path) -> None:
    write_mixture(load_mixture(folder / "mixture.yaml"), folder / "mix")
    data = open_split(folder / "mix")
    rows = [row for split in SPLIT_NAMES for row in data.examples(split)]
    assert list(data.labels) == ["biology", "computer science", "law", "physics"]
    assert {row.label for row in rows if row.kind == "nothing"} == {OUT_OF_SCOPE}
    assert data.kinds["nothing"] == {"weight": 1.0, "out_of_scope": True} and data.kinds["written"]["weight"] == 2
    fair = {row.row_id: row.also for row in rows}
    assert fair["written/1"] == () and fair["written/5"] == ("law",)
    assert all(
        row.also in (("biology",), ("physics",), ()) and row.label not in row.also for row in rows if row.kind == "book"
    )
    per_book: dict[str, int] = defaultdict(int)
    books = [json.loads(line)["book"] for line in (folder / "book.jsonl").open()]
    for row in data.examples("train"):
        if row.kind == "book":
            per_book[books[int(row.row_id.removeprefix("book/"))]] += 1
    assert set(per_book) == {"Optics", "Cells"} and max(per_book.values()) <= 20


def test_the_manifest_credits_the_books_that_are_trained_on(folder: Path) -> None:
    data = write_mixture(load_mixture(folder / "mixture.yaml"), folder / "mix")
    kinds = data.manifest["kinds"]
    assert kinds["book"]["licence"] == "CC BY 4.0"
    assert kinds["book"]["credits"] == ["Cells", "Optics"], "Late Optics is for testing"
    assert "credits" not in kinds["written"] and "credits" not in kinds["book-unseen"]


def test_near_duplicates_are_on_one_side_across_kinds(folder: Path) -> None:
    (folder / "copies.jsonl").write_text((folder / "written.jsonl").read_text())
    text = (folder / "mixture.yaml").read_text() + "  copies: {source: copies.jsonl, only: train}\n"
    (folder / "mixture.yaml").write_text(text)
    data = write_mixture(load_mixture(folder / "mixture.yaml"), folder / "mix")
    rows = [(split, row.question.text) for split in SPLIT_NAMES for row in data.examples(split)]
    groups = near_duplicate_groups([text for _, text in rows])
    sides = defaultdict(set)
    for (split, _), group in zip(rows, groups.tolist(), strict=True):
        sides[group].add(split)
    assert all(len(splits) == 1 for splits in sides.values())
    assert 0 < kind_counts(data)["copies"]["train"] < 96


def test_a_split_folder_keeps_its_splits(folder: Path, split_folder: Path) -> None:
    (folder / "two.yaml").write_text(
        "kinds:\n  old: {source: elsewhere}\n  nothing: {source: nothing.jsonl, out_of_scope: true}\n"
    )
    data = write_mixture(load_mixture(folder / "two.yaml", {"old": str(split_folder)}), folder / "mix")
    for split in SPLIT_NAMES:
        before = [row.question for row in open_split(split_folder).examples(split)]
        after = [row.question for row in data.examples(split) if row.kind == "old"]
        assert set(after) <= set(before) and (split != "test" or after == before)


def test_the_same_seed_gives_the_same_rows(folder: Path) -> None:
    mixture = load_mixture(folder / "mixture.yaml")
    assert write_mixture(mixture, folder / "a").manifest_sha256 == write_mixture(mixture, folder / "b").manifest_sha256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kinds: 3", "must have 'kinds:'"),
        ("kinds: {a: {source: written.jsonl}}\nseeds: 1", "unknown key 'seeds'"),
        ("kinds: {a: {sauce: written.jsonl, source: x}}", "Unknown setting 'a.sauce'; the nearest one is 'a.source'"),
        ("kinds: {a: {group: [topic]}}", "kind 'a' has no source; give one with --source a=PATH"),
        ("kinds: {a: {source: written.jsonl, weight: 0}}", "weight is 0.0; it must be above 0"),
        ("kinds: {a: {source: written.jsonl, only: dev}}", "only is 'dev'"),
        ("kinds: {a: {source: written.jsonl, group: [theme]}}", "a row without the column 'theme'"),
        ("kinds: {a: }", "kind 'a' has no source"),
        ("kinds: {a: 3}", "kind 'a' must have settings"),
        ("kinds: {a: {source: written.jsonl}}\nseed: abc", "seed is 'abc'; it must be a whole number"),
        ("kinds: {a: {source: written.jsonl, test_where: [topic]}}", "has 'topic'; write column=value"),
        (
            "kinds: {a: {source: written.jsonl, test_where: ['topik=x']}}",
            "has no row with topik=x, which",
        ),
        ("kinds: {a: {source: nothing.jsonl, group: [label]}}", "'a' has 1 groups; a mixture needs at least 10"),
    ],
)
def test_what_cannot_be_mixed(folder: Path, text: str, message: str) -> None:
    (folder / "bad.yaml").write_text(text)
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        write_mixture(load_mixture(folder / "bad.yaml"), folder / "mix")
    assert not (folder / "mix").exists()


def test_a_label_called_none_is_refused_beside_requests_of_no_subject(folder: Path) -> None:
    put(
        folder / "own.jsonl",
        [{"question": f"question {i} of {w}", "label": ("none", "law")[i % 2]} for i, w in enumerate(WORDS.split())],
    )
    (folder / "bad.yaml").write_text(
        "kinds:\n  own: {source: own.jsonl}\n  nothing: {source: nothing.jsonl, out_of_scope: true}\n"
    )
    with pytest.raises(DataError, match="A label is called 'none'"):
        write_mixture(load_mixture(folder / "bad.yaml"), folder / "mix")


def test_an_existing_folder_is_kept(folder: Path) -> None:
    (folder / "mix").mkdir()
    (folder / "mix/mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        write_mixture(load_mixture(folder / "mixture.yaml"), folder / "mix")
    assert (folder / "mix/mine.txt").read_text() == "mine"
