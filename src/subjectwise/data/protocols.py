"""The protocols: pure functions from rows and a seed to the row indices of each split. They write nothing."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from subjectwise.data.near_duplicates import near_duplicate_groups
from subjectwise.errors import DataError
from subjectwise.records import Example
from subjectwise.utils.optional_dependencies import require

REFERENCE_ROWS_PER_LABEL = 142
MMLU_PRO_SEED = 42  # of the dealt list in mmlu_pro_sources.json
SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Indices of the rows of each split, in the order they are written."""

    train: list[int]
    validation: list[int]
    test: list[int]


def _check_labels(examples: Sequence[Example], least: int) -> None:
    counts = Counter(example.label for example in examples)
    if len(counts) < 2:
        raise DataError(f"The data has the label {next(iter(counts))!r} alone; a classifier needs at least two labels.")
    label, rows = min(counts.items(), key=lambda item: (item[1], item[0]))
    if rows < least:
        raise DataError(f"The label {label!r} has {rows} row{'s' * (rows != 1)}; this protocol needs at least {least}.")


def reference(examples: Sequence[Example], seed: int) -> Split:
    """Split as the reference does: the first 142 rows of each label in id order, 60/20/20, stratified.

    Follows its script: rows ordered by label, then id; `train_test_split` twice. Near-duplicates are not kept together.
    """
    train_test_split = require("sklearn.model_selection", "train").train_test_split

    _check_labels(examples, 5)

    def by_id(position: int) -> tuple[int, str]:
        row_id = examples[position].row_id
        return (int(row_id), "") if row_id.isdigit() else (2**62, row_id)

    rows_of: dict[str, list[int]] = defaultdict(list)
    for position in sorted(range(len(examples)), key=by_id):
        rows_of[examples[position].label].append(position)
    rows = [position for label in sorted(rows_of) for position in rows_of[label][:REFERENCE_ROWS_PER_LABEL]]
    labels = [examples[position].label for position in rows]
    train, rest, _, rest_labels = train_test_split(rows, labels, test_size=0.4, random_state=seed, stratify=labels)
    validation, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=rest_labels)
    return Split(train, validation, test)


def grouped(examples: Sequence[Example], seed: int) -> Split:
    """Split all rows 60/20/20, stratified by label; near-duplicates stay on one side."""
    StratifiedGroupKFold = require("sklearn.model_selection", "train").StratifiedGroupKFold

    _check_labels(examples, 5)
    labels = [example.label for example in examples]
    groups = near_duplicate_groups([example.question.text for example in examples])
    parts_of: dict[str, set[int]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        parts_of[label].add(int(group))
    for label, parts in parts_of.items():
        if len(parts) < 5:
            raise DataError(
                f"The label {label!r} has {len(parts)} different questions; the grouped protocol needs at least 5."
            )
    folds = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=seed)
    fifths = [list(map(int, fifth)) for _, fifth in folds.split(np.zeros(len(labels)), labels, groups)]
    return Split(sorted(fifths[2] + fifths[3] + fifths[4]), sorted(fifths[1]), sorted(fifths[0]))


def deal_sources(examples: Sequence[Example], seed: int) -> dict[str, str]:
    """Return the split that each source goes to.

    For each label the largest source trains. The others are dealt in an order drawn with the seed, one to test
    and one to validation first (the larger of the two to test), each further one to the split that is furthest
    below its share of 65/10/25 of the label's rows.

    Raises:
        DataError: a row without a source, a source under two labels, or a label with fewer than three sources.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        if not example.source:
            raise DataError(
                "The source-held-out protocol needs a source for every row; name its column with --source-column."
            )
        counts[example.label][example.source] += 1
    label_of: dict[str, str] = {}
    for label, sources in counts.items():
        for source in sources:
            if label_of.setdefault(source, label) != label:
                raise DataError(f"The source {source!r} occurs under two labels, {label_of[source]!r} and {label!r}.")
    shares = {"train": 0.65, "validation": 0.10, "test": 0.25}
    generator = np.random.default_rng(seed)
    dealt: dict[str, str] = {}
    for label in sorted(counts):
        sources = counts[label]
        if len(sources) < 3:
            raise DataError(
                f"The label {label!r} has {len(sources)} sources; the source-held-out protocol needs at least three."
            )
        total = sum(sources.values())
        largest = max(sorted(sources), key=lambda source: sources[source])
        rest = [source for source in sorted(sources) if source != largest]
        rest = [rest[i] for i in generator.permutation(len(rest))]
        first = sorted(rest[:2], key=lambda source: -sources[source])
        split_of = {largest: "train", first[0]: "test", first[1]: "validation"}
        for source in rest[2:]:
            filled = Counter(dict.fromkeys(shares, 0))
            for name, split in split_of.items():
                filled[split] += sources[name]
            split_of[source] = max(shares, key=lambda split: shares[split] - filled[split] / total)
        dealt |= split_of
    return dict(sorted(dealt.items()))


def mmlu_pro_sources() -> dict[str, str]:
    """Return the split of each of MMLU-Pro's 91 sources, fixed so that results stay comparable."""
    text = (resources.files("subjectwise") / "data" / "mmlu_pro_sources.json").read_text(encoding="utf-8")
    dealt: dict[str, str] = json.loads(text)
    return dealt


def source_held_out(examples: Sequence[Example], seed: int) -> Split:
    """Split by whole sources, every label in each split; about 65/10/25 of the rows. See `deal_sources`.

    A validation or test question that is a near-duplicate of a training question is left out.
    """
    _check_labels(examples, 3)
    split_of = mmlu_pro_sources()
    if seed != MMLU_PRO_SEED or {example.source for example in examples} != set(split_of):
        split_of = deal_sources(examples, seed)
    groups = near_duplicate_groups([example.question.text for example in examples])
    rows: dict[str, list[int]] = {name: [] for name in SPLIT_NAMES}
    for position, example in enumerate(examples):
        rows[split_of[example.source]].append(position)
    trained = {int(groups[position]) for position in rows["train"]}
    validation = [position for position in rows["validation"] if int(groups[position]) not in trained]
    chosen = trained | {int(groups[position]) for position in validation}
    test = [position for position in rows["test"] if int(groups[position]) not in chosen]
    return Split(rows["train"], validation, test)


PROTOCOLS: dict[str, Callable[[Sequence[Example], int], Split]] = {
    "reference": reference,
    "grouped": grouped,
    "source-held-out": source_held_out,
}


def split_examples(examples: Sequence[Example], protocol: str, seed: int = 42) -> Split:
    """Split `examples` by the named protocol; raise DataError when it is unknown or the rows do not allow it."""
    if protocol not in PROTOCOLS:
        raise DataError(f"Unknown protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[protocol](examples, seed)
