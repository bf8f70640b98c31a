import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from subjectwise.data.protocols import SPLIT_NAMES, deal_sources, mmlu_pro_sources, split_examples
from subjectwise.data.read_table import read_examples
from subjectwise.data.split import rows_sha256
from subjectwise.errors import DataError
from subjectwise.records import Example, Question

SHARED = Path(os.environ.get("SUBJECTWISE_SHARED", Path(__file__).parents[4] / "shared"))
MMLU_PRO_FILE = SHARED / "data/mmlu_pro_test.parquet"


def examples_of(counts: dict[str, int], sources: int = 1) -> list[Example]:
    """Return rows whose id is their index among the rows of their label, plus a thousand per label before it."""
    return [
        Example(
            str(1000 * number + i),
            Question(f"{label} question number {i} about matter {i * 7}"),
            label,
            f"{label}-{i % sources}",
        )
        for number, (label, count) in enumerate(counts.items())
        for i in range(count)
    ]


def test_reference_is_the_published_arithmetic() -> None:
    examples = examples_of({f"label{i:02}": 150 for i in range(14)})
    split = split_examples(examples, "reference")
    assert [len(split.train), len(split.validation), len(split.test)] == [1192, 398, 398]
    used = {examples[i].row_id for part in (split.train, split.validation, split.test) for i in part}
    assert len(used) == 1988
    assert all(int(row_id) % 1000 < 142 for row_id in used), "the first 142 rows of each label, and no others"
    assert split == split_examples(examples, "reference")


def test_grouped_keeps_duplicates_together_and_is_stratified() -> None:
    examples = examples_of({"a": 60, "b": 90})
    duplicates = [replace(example, row_id=example.row_id + "x") for example in examples[::3]]
    everything = examples + duplicates
    split = split_examples(everything, "grouped")
    side = {i: name for name in SPLIT_NAMES for i in getattr(split, name)}
    assert sorted(side) == list(range(len(everything)))
    by_text = defaultdict(set)
    for i, name in side.items():
        by_text[everything[i].question.text].add(name)
    assert all(len(sides) == 1 for sides in by_text.values())
    for part in (split.validation, split.test):
        share = sum(everything[i].label == "a" for i in part) / len(part)
        assert abs(share - 0.4) < 0.1


def test_sources_are_dealt_whole_and_every_label_is_everywhere() -> None:
    examples = examples_of({"a": 120, "b": 90}, sources=6)
    split = split_examples(examples, "source-held-out")
    sides = [{examples[i].source for i in getattr(split, name)} for name in SPLIT_NAMES]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    for name in SPLIT_NAMES:
        assert {examples[i].label for i in getattr(split, name)} == {"a", "b"}
    dealt = deal_sources(examples, 42)
    assert set(dealt) == {f"{label}-{i}" for label in "ab" for i in range(6)}


def test_the_list_of_mmlu_pro_is_what_the_protocol_deals() -> None:
    """The list is what `deal_sources` gives for rows counted as MMLU-Pro's are, each source once."""
    dealt = mmlu_pro_sources()
    assert len(dealt) == 91 and set(dealt.values()) == set(SPLIT_NAMES)
    if not MMLU_PRO_FILE.is_file():
        pytest.skip("MMLU-Pro is not on this machine; set SUBJECTWISE_SHARED")
    examples = read_examples(str(MMLU_PRO_FILE))
    # Reports and model folders know their rows by hashes of these: reading them otherwise would orphan them all.
    assert rows_sha256(examples) == "1c20d13a69ae6d9aceddbd4089ca1505803b2ad95be47bf0b2c89e4087a7323f"
    assert deal_sources(examples, 42) == dealt
    split = split_examples(examples, "reference")
    assert [len(split.train), len(split.validation), len(split.test)] == [1192, 398, 398]


def test_a_label_of_one_row_and_other_bad_data() -> None:
    for counts, protocol, part in [
        ({"a": 20, "b": 1}, "grouped", "'b' has 1 row; this protocol needs at least 5"),
        ({"a": 20, "b": 1}, "reference", "'b' has 1 row;"),
        ({"a": 20}, "grouped", "has the label 'a' alone"),
        ({"a": 20, "b": 20}, "source-held-out", "needs at least three"),
        ({"a": 20, "b": 20}, "random", "Unknown protocol 'random'"),
    ]:
        with pytest.raises(DataError, match=part):
            split_examples(examples_of(counts), protocol)
    same = [Example(str(i), Question("the same"), "a") for i in range(9)]
    with pytest.raises(DataError, match="'a' has 1 different questions"):
        split_examples(same + examples_of({"b": 9}), "grouped")
    shared = [Example("1", Question("one"), "a", "book"), Example("2", Question("two"), "b", "book")] * 3
    with pytest.raises(DataError, match="occurs under two labels"):
        split_examples(shared, "source-held-out")
