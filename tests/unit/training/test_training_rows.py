"""Rows in their views, with noise, and what each loss reads of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.training import adapted
from subjectwise.data.split import open_split
from subjectwise.engines.label_trie import LabelTrie
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


def test_a_label_as_fair_has_its_share_as_far_as_it_goes_the_same_way(tiny_base: Path) -> None:
    labels = LabelSet(("late delivery", "late refund", "math"))
    _, prompt, _ = adapted(tiny_base, load_recipe("small"), labels)
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    first = trie.paths[0]
    assert first[0] == trie.paths[1][0] != trie.paths[2][0] and len(first) > 1
    row = Example("1", Question("Where is it?"), "late delivery", also=("late refund", "math", "of another model"))
    settings = load_recipe("small", ["training.also_share=0.3"]).training
    shares = LabelRows([row], prompt, trie, settings)[RowView(0)].shares
    assert shares[0] == pytest.approx({first[0]: 0.7 + 0.15, trie.paths[2][0]: 0.15})
    assert all(sum(step.values()) == pytest.approx(1) for step in shares)
    last = {first[-1]: 0.7, trie.paths[1][len(first) - 1]: 0.3}
    assert shares[-1] == pytest.approx(last), "from where they part, math no longer counts"
    plain = LabelRows([row], prompt, trie, load_recipe("small").training)[RowView(0)].shares
    assert plain == [{token: 1.0} for token in first]


def test_a_request_of_no_label_has_the_answer_for_it(tiny_base: Path) -> None:
    recipe = load_recipe("small", ["prompt.out_of_scope=true"])
    _, prompt, trie = adapted(tiny_base, recipe, LABELS)
    rows = LabelRows([*EXAMPLES, Example("2", Question("Hello!"), "none")], prompt, trie, recipe.training)
    assert rows[RowView(2)].targets == trie.paths[2] and len(trie.paths) == 3
    assert prompt.tokenizer.decode(prompt.answer_ids[2]).strip() == "none"
