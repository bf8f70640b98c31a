"""Rows in their views, with noise, and what each loss reads of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.training import adapted
from subjectwise.data.split import open_split
from subjectwise.labels import LabelSet
from subjectwise.models.classification_head import HeadEncoder
from subjectwise.recipe import load_recipe
from subjectwise.records import Example, Question
from subjectwise.training.training_rows import HeadRows, LabelRows, RowView

LABELS = LabelSet.from_names(["law", "math"])
OPTIONS = tuple(f"answer{i}" for i in range(6))
EXAMPLES = [Example(str(i), Question("What holds?", OPTIONS), label) for i, label in enumerate(LABELS.names)]


def test_halves_of_the_options_are_views_of_a_row(tiny_base: Path) -> None:
    settings = load_recipe("small", ["training.option_halves=2", "training.seed=3"]).training
    _, prompt, trie = adapted(tiny_base, load_recipe("small"), LABELS)
    rows = LabelRows(EXAMPLES, prompt, trie, settings)
    assert len(rows) == 2 and rows.lengths.shape == (4, 2)
    text, whole, *halves = (prompt.tokenizer.decode(rows[RowView(0, view)].ids) for view in range(4))
    assert "answer" not in text and all(option in whole for option in OPTIONS)
    for half in halves:
        assert sum(option in half for option in OPTIONS) == 3
    assert halves[0] != halves[1]
    again = LabelRows(EXAMPLES, prompt, trie, settings)
    assert [again[RowView(0, view)] for view in range(4)] == [rows[RowView(0, view)] for view in range(4)]


@pytest.mark.parametrize("loss", ["label", "answer"])
def test_the_targets_are_the_path_or_the_whole_answer(tiny_base: Path, loss: str) -> None:
    _, prompt, trie = adapted(tiny_base, load_recipe("small"), LABELS)
    rows = LabelRows(EXAMPLES, prompt, trie, load_recipe("small", [f"training.loss={loss}"]).training)
    for label, example in enumerate(EXAMPLES):
        (row,), item = prompt.encode([example.question.without_options()]), rows[RowView(label)]
        expected = trie.paths[label] if loss == "label" else [*prompt.label_ids[label], *prompt.end_ids]
        assert item.targets == expected and item.ids == [*row, *expected[:-1]]
        assert len(item.choices) == len(item.targets)
        assert all(target in tokens for target, tokens in zip(item.targets, item.choices, strict=True))


def test_noise_changes_the_text_and_not_the_targets(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    _, prompt, trie = adapted(tiny_base, load_recipe("small"), data.labels)
    settings = load_recipe("small", ["training.augment=noise"]).training
    rows = LabelRows(data.examples("train"), prompt, trie, settings)
    clean, noisy = rows[RowView(0)], [rows[RowView(0, 0, (1, 0, number))] for number in range(20)]
    assert sum(item.ids != clean.ids for item in noisy) > 10 and all(item.targets == clean.targets for item in noisy)
    assert noisy[3] == rows[RowView(0, 0, (1, 0, 3))]


def test_a_heads_row_is_its_ids_and_its_label(tiny_base: Path) -> None:
    _, prompt, _ = adapted(tiny_base, load_recipe("small"), LABELS)
    encoder = HeadEncoder(prompt.tokenizer, load_recipe("head").prompt)
    rows = HeadRows(EXAMPLES, encoder, LABELS, load_recipe("head").training)
    (whole,) = encoder.encode([EXAMPLES[1].question])
    assert (rows[RowView(1, 1)].ids, rows[RowView(1, 1)].label) == (whole, 1)
    assert np.array_equal(rows.lengths[1], [len(whole)] * 2) and (rows.lengths[0] < rows.lengths[1]).all()
