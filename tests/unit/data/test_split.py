import json
from pathlib import Path

import pytest

from subjectwise.data.protocols import split_examples
from subjectwise.data.read_table import read_examples
from subjectwise.data.split import open_split, write_split
from subjectwise.errors import DataError, OutputError


def test_folder_and_manifest(tmp_path: Path, rows_file: Path) -> None:
    examples = read_examples(str(rows_file))
    split = split_examples(examples, "grouped")
    written = write_split(tmp_path / "a", examples, split, protocol="grouped", seed=42, source=str(rows_file))
    again = write_split(tmp_path / "b", examples, split, protocol="grouped", seed=42, source="elsewhere/rows.jsonl")
    assert written.manifest_sha256 == again.manifest_sha256
    assert written.manifest["source"] == "rows.jsonl", "no path of the machine"
    assert written.examples("test") == [examples[i] for i in split.test]
    assert written.manifest["splits"]["test"]["row_ids"] == [examples[i].row_id for i in split.test]
    with pytest.raises(OutputError, match="already exists"):
        write_split(tmp_path / "a", examples, split, protocol="grouped", seed=42, source="x")
    with pytest.raises(DataError, match="Unknown split 'dev'"):
        written.examples("dev")


def test_a_changed_folder_is_noticed(tmp_path: Path, rows_file: Path) -> None:
    examples = read_examples(str(rows_file))
    split = split_examples(examples, "grouped")
    opened = write_split(tmp_path / "a", examples, split, protocol="grouped", seed=42, source="x")
    (tmp_path / "a/test.parquet").write_bytes((tmp_path / "a/train.parquet").read_bytes())
    with pytest.raises(DataError, match="has other rows than"):
        opened.examples("test")
    (tmp_path / "a/test.parquet").write_bytes(b"broken")
    with pytest.raises(DataError, match="damaged"):
        opened.examples("test")
    (tmp_path / "a/test.parquet").unlink()
    with pytest.raises(DataError, match="missing"):
        opened.examples("test")
    (tmp_path / "a/manifest.json").write_text(json.dumps({"schema_version": 9}), encoding="utf-8")
    with pytest.raises(DataError, match="has a schema that this version does not read"):
        open_split(tmp_path / "a")
    with pytest.raises(DataError, match="not a split folder"):
        open_split(tmp_path)
