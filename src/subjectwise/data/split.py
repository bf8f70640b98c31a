"""The split folder: train, validation and test as parquet, and a manifest that identifies their rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from subjectwise.data.near_duplicates import NEAR_DUPLICATE_THRESHOLD
from subjectwise.data.protocols import SPLIT_NAMES, Split
from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.records import OUT_OF_SCOPE, Example, Question
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import new_folder, read_json, write_json
from subjectwise.utils.optional_dependencies import require

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class SplitFolder:
    """An opened split folder.

    Attributes:
        path: of the folder.
        manifest: the content of manifest.json.
        manifest_sha256: identifies the exact rows that something was measured on.
    """

    path: Path
    manifest: JsonObject
    manifest_sha256: str

    @property
    def labels(self) -> LabelSet:
        """The labels of the rows, without the answer for requests that belong to none."""
        return LabelSet(tuple(self.manifest["labels"]))

    @property
    def kinds(self) -> dict[str, JsonObject]:
        """What the manifest says of each kind of a mixture, by name; empty for a single kind."""
        return dict(self.manifest.get("kinds", {}))

    def examples(self, split: str) -> list[Example]:
        """Return the rows of one split, in file order; raise DataError when the file does not match the manifest."""
        pyarrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")

        if split not in SPLIT_NAMES:
            raise DataError(f"Unknown split {split!r}; choose one of {', '.join(SPLIT_NAMES)}.")
        path = self.path / f"{split}.parquet"
        if not path.is_file():
            raise DataError(f"{path} is missing; write the folder again with 'subjectwise data split'.")
        try:
            rows = parquet.read_table(path).to_pylist()
            examples = [
                Example(
                    row["row_id"],
                    Question(row["question"], tuple(row["options"])),
                    row["label"],
                    row["source"],
                    row.get("kind", ""),
                    tuple(row.get("also", ())),
                )
                for row in rows
            ]
        except (pyarrow.ArrowInvalid, OSError, KeyError) as error:
            raise DataError(f"{path} is damaged; write the folder again with 'subjectwise data split'.") from error
        if rows_sha256(examples) != self.manifest["splits"][split]["sha256"]:
            raise DataError(f"{path} has other rows than {MANIFEST}; write the folder again.")
        return examples


def rows_sha256(examples: Sequence[Example]) -> str:
    """Return a hash of the content of rows, whatever file format or library version wrote them."""
    digest = hashlib.sha256()
    for row in examples:
        cells: list[object] = [row.row_id, row.question.text, list(row.question.options), row.label, row.source]
        if row.kind or row.also:  # rows of a single kind keep the hash that they have always had
            cells += [row.kind, list(row.also)]
        digest.update(json.dumps(cells, ensure_ascii=False).encode("utf-8") + b"\n")
    return digest.hexdigest()


def write_split(
    path: Path,
    examples: Sequence[Example],
    split: Split,
    *,
    protocol: str,
    seed: int,
    source: str,
    kinds: Mapping[str, JsonObject] | None = None,
) -> SplitFolder:
    """Write the folder whole or not at all.

    Args:
        path: a new path.
        examples: all rows.
        split: the indices of the rows of each split.
        protocol: how they were split.
        seed: of the split.
        source: where the rows come from.
        kinds: what the manifest says of each kind of a mixture.

    Raises:
        DataError: a label has no training rows.
        OutputError: `path` exists or cannot be written.
    """
    pyarrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")

    parts = {name: [examples[position] for position in getattr(split, name)] for name in SPLIT_NAMES}
    out_of_scope = {name for name, kind in (kinds or {}).items() if kind["out_of_scope"]}
    labels = LabelSet.from_names(row.label for rows in parts.values() for row in rows if row.kind not in out_of_scope)
    if out_of_scope and OUT_OF_SCOPE in labels:
        raise DataError(f"A label is called {OUT_OF_SCOPE!r}, as requests that belong to no label are; rename it.")
    missing = [label for label in labels if label not in {row.label for row in parts["train"]}]
    if missing:
        raise DataError(f"The label {missing[0]!r} has no training rows under this protocol.")
    schema = pyarrow.schema(
        [
            ("row_id", "string"),
            ("question", "string"),
            ("options", pyarrow.list_(pyarrow.string())),
            ("label", "string"),
            ("source", "string"),
            *([("kind", "string"), ("also", pyarrow.list_(pyarrow.string()))] if kinds else []),
        ]
    )
    described = {
        name: {
            "rows": len(rows),
            "labels": dict(sorted(Counter(row.label for row in rows).items())),
            "sources": dict(sorted(Counter(row.source for row in rows if row.source).items())),
            **({"kinds": dict(sorted(Counter(row.kind for row in rows).items()))} if kinds else {}),
            "sha256": rows_sha256(rows),
            "row_ids": [row.row_id for row in rows],
        }
        for name, rows in parts.items()
    }
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "protocol": protocol,
        "seed": seed,
        # The key's name is part of the hash by which reports and model folders know the rows.
        "near_twin_threshold": None if protocol == "reference" else NEAR_DUPLICATE_THRESHOLD,
        "source": Path(source).name if Path(source).exists() else source,
        "labels": list(labels),
        **({"kinds": dict(kinds)} if kinds else {}),
        "splits": described,
    }
    with new_folder(path) as folder:
        for name, rows in parts.items():
            table = pyarrow.Table.from_pylist(
                [
                    {
                        "row_id": row.row_id,
                        "question": row.question.text,
                        "options": list(row.question.options),
                        "label": row.label,
                        "source": row.source,
                        **({"kind": row.kind, "also": list(row.also)} if kinds else {}),
                    }
                    for row in rows
                ],
                schema=schema,
            )
            parquet.write_table(table, folder / f"{name}.parquet")
        write_json(folder / MANIFEST, manifest)
    return open_split(path)


def open_split(path: Path | str) -> SplitFolder:
    """Open a split folder; raise DataError when it is not one or has another schema version."""
    folder = Path(path)
    file = folder / MANIFEST
    if not file.is_file():
        raise DataError(
            f"{folder} is not a split folder: it has no {MANIFEST}. Make one with 'subjectwise data split'."
        )
    manifest = read_json(file, DataError)
    if manifest.get("schema_version") != SCHEMA_VERSION or set(manifest.get("splits", {})) != set(SPLIT_NAMES):
        raise DataError(f"{file} has a schema that this version does not read; write the folder again.")
    # Without the origin's name, which says where the rows came from and not which they are.
    named = {key: value for key, value in manifest.items() if key != "source"}
    sha256 = hashlib.sha256(json.dumps(named, sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()
    return SplitFolder(folder, manifest, sha256)
