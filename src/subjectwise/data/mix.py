"""A mixture: files of several kinds in one split folder, each kind split by its own groups.

Rows of one group (a topic, a chapter) are never divided, near-duplicates are on one side across all kinds, validation
and test rows keep their kind, so that each is measured apart. Knows no model.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml

from subjectwise.data.near_duplicates import near_duplicate_groups
from subjectwise.data.protocols import SPLIT_NAMES, Split
from subjectwise.data.read_table import read_examples, source_rows
from subjectwise.data.split import MANIFEST, SplitFolder, open_split, write_split
from subjectwise.errors import DataError, RecipeError
from subjectwise.recipe import build_settings
from subjectwise.records import OUT_OF_SCOPE, Example
from subjectwise.types import JsonObject, Row
from subjectwise.utils.optional_dependencies import require

FOLDS = 10  # of the rows of a kind one fold tests and one validates


@dataclass(frozen=True)
class KindSettings:
    """One kind of rows in a mixture."""

    source: str  # a labelled file, a folder of them, a data set on the Hub, or a split folder, whose splits are kept
    group: tuple[str, ...] = ()  # columns whose values are never divided between splits
    test_where: tuple[str, ...] = ()  # COLUMN=VALUE: rows held out for testing, whatever their group
    test_kind: str = ""  # the kind of those rows; empty for the same, whose other rows are then not tested
    cap: int = 0  # most training rows per value of cap_by, drawn with the seed; 0 for all
    cap_by: str = "label"  # a column
    weight: float = 1.0  # how often an epoch shows a training row of this kind
    out_of_scope: bool = False  # whether the rows are requests that belong to no label
    only: str = ""  # train, validation or test: all rows go there
    also_by: str = ""  # a YAML file with a mapping from a column's values to lists of labels that would be as fair
    also_column: str = ""  # that column
    licence: str = ""  # of the rows, for the model card
    credit_by: str = ""  # a column whose values the model card lists, such as the book of each row

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise RecipeError(f"weight is {self.weight}; it must be above 0.")
        if self.only and self.only not in SPLIT_NAMES:
            raise RecipeError(f"only is {self.only!r}; it must be one of {', '.join(SPLIT_NAMES)}.")


@dataclass(frozen=True)
class Mixture:
    """The kinds of a mixture by name, and the seed that splits them.

    Attributes:
        kinds: by name.
        seed: of the splits.
        name: of the mixture, for the manifest.
        folder: to which relative sources are relative.
    """

    kinds: Mapping[str, KindSettings]
    seed: int = 42
    name: str = "mixture"
    folder: Path = field(default_factory=Path)


def load_mixture(path: Path, sources: Mapping[str, str] | None = None) -> Mixture:
    """Read a mixture file.

    Args:
        path: a YAML file with `kinds:`, one mapping of settings per name, and optionally `seed:`.
        sources: sources that replace those of the file, by the kind's name.

    Raises:
        DataError: the file cannot be read, or has an unknown key or a bad value.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"Cannot read the mixture {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("kinds"), dict) or not content["kinds"]:
        raise DataError(f"{path} must have 'kinds:' with one mapping of settings per name.")
    if unknown := sorted(set(content) - {"kinds", "seed"}):
        raise DataError(f"{path} has the unknown key {unknown[0]!r}; the known keys are 'kinds' and 'seed'.")
    given = dict(sources or {})
    if unknown := sorted(set(given) - set(content["kinds"])):
        raise DataError(f"{path} has no kind {unknown[0]!r}; its kinds are {', '.join(map(str, content['kinds']))}.")
    seed = content.get("seed", 42)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise DataError(f"{path}: seed is {seed!r}; it must be a whole number of 0 or more.")
    kinds = {}
    for name, values in content["kinds"].items():
        if not isinstance(values, dict | None):
            raise DataError(f"{path}: kind {name!r} must have settings, as 'key: value' lines.")
        values = dict(values or {}) | ({"source": given[name]} if name in given else {})
        if "source" not in values:
            raise DataError(f"{path}: kind {name!r} has no source; give one with --source {name}=PATH.")
        try:
            kinds[str(name)] = build_settings(KindSettings, values, f"{name}.")
        except RecipeError as error:
            raise DataError(f"{path}: {error}") from error
    return Mixture(kinds, seed, path.name, path.parent)


@dataclass(frozen=True)
class _KindRows:
    """The rows of one kind: examples, their split ("" where it is still to be drawn), and the group of each."""

    examples: list[Example]
    splits: list[str]
    groups: list[str]
    caps: list[str]
    credits: list[str] = field(default_factory=list)


def write_mixture(mixture: Mixture, output: Path) -> SplitFolder:
    """Read all kinds, split them and write a split folder.

    Training rows that are near-duplicates of validation or test rows of any kind are left out, and so are validation
    rows that are near-duplicates of test rows.

    Raises:
        DataError: a source cannot be read, or a kind does not allow a split.
        OutputError: `output` exists or cannot be written.
    """
    parts = {name: _read_kind(name, settings, mixture) for name, settings in mixture.kinds.items()}
    for name, part in parts.items():
        _draw_splits(name, part, mixture.seed)
    examples = [example for part in parts.values() for example in part.examples]
    splits = [split for part in parts.values() for split in part.splits]
    groups = near_duplicate_groups([example.question.text for example in examples])
    kept = _without_near_duplicates(splits, groups.tolist())
    capped = _capped(mixture, parts, kept)
    rows = {name: [i for i in capped if splits[i] == name] for name in SPLIT_NAMES}
    return write_split(
        output, examples, Split(rows["train"], rows["validation"], rows["test"]), protocol="mixture",
        seed=mixture.seed, source=mixture.name,
        kinds=_kind_descriptions(mixture, parts, rows["train"]),
    )  # fmt: skip


def _kind_descriptions(mixture: Mixture, parts: Mapping[str, _KindRows], train: Sequence[int]) -> dict[str, JsonObject]:
    described: dict[str, JsonObject] = {}
    for name, settings in mixture.kinds.items():
        for kind in (name, settings.test_kind):
            if kind:
                described[kind] = {"weight": settings.weight, "out_of_scope": settings.out_of_scope}
        if settings.licence:
            described[name]["licence"] = settings.licence
    sources = [(name, value) for name, part in parts.items() for value in part.credits or [""] * len(part.examples)]
    for name in {name for name, settings in mixture.kinds.items() if settings.credit_by}:
        described[name]["credits"] = sorted({sources[i][1] for i in train if sources[i][0] == name})
    return described


def _read_kind(name: str, settings: KindSettings, mixture: Mixture) -> _KindRows:
    path = mixture.folder / settings.source
    source = str(path) if path.exists() else settings.source
    if (Path(source) / MANIFEST).is_file():
        return _read_split_folder(name, open_split(source))
    fair = _fair_labels(mixture.folder / settings.also_by) if settings.also_by else {}
    read = _KindRows([], [], [], [])
    conditions = [_condition(name, text) for text in settings.test_where]
    met, columns = set[tuple[str, str]](), set[str]()
    for example, (location, table_row) in zip(read_examples(source), source_rows(source), strict=True):
        row = table_row.cells
        also = tuple(str(label) for label in row.get("also") or fair.get(str(row.get(settings.also_column)), ()) or ())
        label = OUT_OF_SCOPE if settings.out_of_scope else example.label
        also = tuple(other for other in also if other != label)
        columns.update(row)
        meets = [pair for pair in conditions if str(row.get(pair[0])) == pair[1]]
        met.update(meets)
        split = settings.only or ("test" if meets else "")
        kind = settings.test_kind if split == "test" and settings.test_kind else name
        read.examples.append(replace(example, row_id=f"{name}/{example.row_id}", label=label, kind=kind, also=also))
        read.splits.append(split)
        read.groups.append(_values(row, settings.group, location) or f"row {len(read.groups)}")
        read.caps.append(label if settings.cap_by == "label" else _values(row, (settings.cap_by,), location))
        read.credits.append(_values(row, (settings.credit_by,), location) if settings.credit_by else "")
    if unmet := [f"{column}={value}" for column, value in conditions if (column, value) not in met]:
        raise DataError(f"{source} has no row with {unmet[0]}, which test_where of kind {name!r} names.")
    if settings.also_by and settings.also_column not in columns:
        raise DataError(f"{source} has no column {settings.also_column!r}, which also_column of kind {name!r} names.")
    return read


def _condition(kind: str, text: str) -> tuple[str, str]:
    """Return column and value of a condition of `test_where`."""
    column, equals, value = text.partition("=")
    if not equals:
        raise DataError(f"test_where of kind {kind!r} has {text!r}; write column=value.")
    return column, value


def _read_split_folder(name: str, data: SplitFolder) -> _KindRows:
    examples, splits = [], []
    for split in SPLIT_NAMES:
        for example in data.examples(split):
            examples.append(replace(example, row_id=f"{name}/{example.row_id}", kind=name))
            splits.append(split)
    return _KindRows(examples, splits, ["" for _ in examples], [example.label for example in examples])


def _values(row: Row, columns: Sequence[str], location: str) -> str:
    missing = [column for column in columns if column not in row]
    if missing:
        raise DataError(f"{location} has a row without the column {missing[0]!r}.")
    return " / ".join(str(row[column]) for column in columns)


def _fair_labels(path: Path) -> dict[str, list[str]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"Cannot read the fair labels in {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(labels, list) for labels in content.values()):
        raise DataError(f"{path} must map each value to a list of labels.")
    return {str(value): list(labels) for value, labels in content.items()}


def _draw_splits(name: str, part: _KindRows, seed: int) -> None:
    """Draw the splits that are not given: one fold of ten validates, and one tests unless test rows are given."""
    StratifiedGroupKFold = require("sklearn.model_selection", "train").StratifiedGroupKFold

    rows = [i for i, split in enumerate(part.splits) if not split]
    if not rows:
        return
    labels = [part.examples[i].label for i in rows]
    groups = [part.groups[i] for i in rows]
    if len(set(groups)) < FOLDS:
        raise DataError(f"The kind {name!r} has {len(set(groups))} groups; a mixture needs at least {FOLDS}.")
    if max(Counter(labels).values()) < FOLDS:  # too few of each to deal them evenly
        labels = [""] * len(labels)
    folds = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a rare label has fewer rows than there are folds
        drawn = [fold.tolist() for _, fold in folds.split(np.zeros(len(rows)), labels, groups)]
    has_test = any(s == "test" and row.kind == name for s, row in zip(part.splits, part.examples, strict=True))
    for number, fold in enumerate(drawn):
        split = "validation" if number == 1 else "test" if number == 0 and not has_test else "train"
        for i in fold:
            part.splits[rows[i]] = split


def _without_near_duplicates(splits: Sequence[str], groups: Sequence[int]) -> list[int]:
    """Return the indices of the rows that stay: near-duplicates of test rows, then of validation rows, leave."""
    in_test = {group for split, group in zip(splits, groups, strict=True) if split == "test"}
    in_validation = {group for split, group in zip(splits, groups, strict=True) if split == "validation"}
    barred: dict[str, set[int]] = {"test": set(), "validation": in_test, "train": in_test | in_validation}
    return [i for i, (split, group) in enumerate(zip(splits, groups, strict=True)) if group not in barred[split]]


def _capped(mixture: Mixture, parts: Mapping[str, _KindRows], kept: Sequence[int]) -> list[int]:
    """Return the indices that remain once each kind has at most `cap` training rows per value of `cap_by`."""
    splits = [split for part in parts.values() for split in part.splits]
    owners = [(name, value) for name, part in parts.items() for value in part.caps]
    generator = np.random.default_rng(mixture.seed)
    by_value: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i in kept:
        if splits[i] == "train" and mixture.kinds[owners[i][0]].cap:
            by_value[owners[i]].append(i)
    dropped: set[int] = set()
    for (name, _), rows in sorted(by_value.items()):
        surplus = len(rows) - mixture.kinds[name].cap
        if surplus > 0:
            dropped |= {rows[j] for j in generator.permutation(len(rows))[:surplus]}
    return [i for i in kept if i not in dropped]


def kind_counts(data: SplitFolder) -> dict[str, dict[str, int]]:
    """Return how many rows each kind has in each split, by kind."""
    counts = {split: Counter(row.kind for row in data.examples(split)) for split in SPLIT_NAMES}
    names = list(data.manifest.get("kinds", {}))
    return {name: {split: counts[split][name] for split in SPLIT_NAMES} for name in names}
