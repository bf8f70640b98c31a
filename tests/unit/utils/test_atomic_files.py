import errno
from pathlib import Path

import pytest

from subjectwise.errors import DataError, OutputError
from subjectwise.utils.atomic_files import new_file, new_folder, read_json, write_json, writing


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "deep/out") as folder:
        (folder / "file").write_text("x")
    assert (tmp_path / "deep/out/file").read_text() == "x"
    with new_folder(tmp_path / "deep/out", replace=True) as folder:
        (folder / "other").write_text("y")
    assert [file.name for file in (tmp_path / "deep").rglob("*")] == ["out", "other"]


def test_a_file_keeps_its_old_content_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), new_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path, DataError) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write .*: the disk is full"), writing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match="Cannot write .*: Permission denied"), writing(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_an_unwritable_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Cannot write"), new_folder(tmp_path / "file/out"):
        pass
    with pytest.raises(OutputError, match="Cannot write"), new_file(tmp_path / "file/out"):
        pass


def test_damaged_json(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("{")
    (tmp_path / "b").write_text("[]")
    for name in "abc":
        with pytest.raises(DataError):
            read_json(tmp_path / name, DataError)
