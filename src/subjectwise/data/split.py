"""The split folder: train, validation and test as parquet, and a manifest that identifies their rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from subjectwise.data.near_duplicates import NEAR_DUPLICATE_THRESHOLD
from subjectwise.data.protocols import SPLIT_NAMES, Split
from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.records import Example, Question
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import new_folder, read_json, write_json

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
        """The labels of the training rows."""
        return LabelSet(tuple(self.manifest["labels"]))

    def examples(self, split: str) -> list[Example]:
        """Return the rows of one split, in file order; raise DataError when the file does not match the manifest."""
        import pyarrow
        import pyarrow.parquet

        if split not in SPLIT_NAMES:
            raise DataError(f"Unknown split {split!r}; choose one of {', '.join(SPLIT_NAMES)}.")
        path = self.path / f"{split}.parquet"
        if not path.is_file():
            raise DataError(f"{path} is missing; write the folder again with 'subjectwise data split'.")
        try:
            rows = pyarrow.parquet.read_table(path).to_pylist()
            examples = [
                Example(row["row_id"], Question(row["question"], tuple(row["options"])), row["label"], row["source"])
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
        cells = [row.row_id, row.question.text, list(row.question.options), row.label, row.source]
        digest.update(json.dumps(cells, ensure_ascii=False).encode("utf-8") + b"\n")
    return digest.hexdigest()


def write_split(
    path: Path, examples: Sequence[Example], split: Split, *, protocol: str, seed: int, source: str
) -> SplitFolder:
    """Write the folder whole or not at all; raise OutputError when `path` exists or cannot be written."""
    import pyarrow
    import pyarrow.parquet

    parts = {name: [examples[position] for position in getattr(split, name)] for name in SPLIT_NAMES}
    labels = LabelSet.from_names(row.label for rows in parts.values() for row in rows)
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
        ]
    )
    described = {
        name: {
            "rows": len(rows),
            "labels": dict(sorted(Counter(row.label for row in rows).items())),
            "sources": dict(sorted(Counter(row.source for row in rows if row.source).items())),
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
                    }
                    for row in rows
                ],
                schema=schema,
            )
            pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
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
