import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from subjectwise.errors import DataError, OutputError
from subjectwise.utils.atomic_files import new_file, new_folder, read_json, remove_leftovers, write_json, writing


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "out") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
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

    def fail() -> None:
        with new_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_json(path, DataError) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_what_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    def write() -> None:
        with new_folder(tmp_path / "out") as folder:
            (folder / "file").write_text("mine")
            (tmp_path / "out").mkdir(exist_ok=True)
            (tmp_path / "out/theirs").write_text("x")

    with pytest.raises(OutputError, match="already exists"):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


def test_a_file_that_cannot_be_begun_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="Cannot write .*out: Permission denied"), new_file(tmp_path / "out"):
        raise AssertionError("nothing can be written")


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


def test_a_full_disk_in_the_work_itself_is_one_sentence(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match="Cannot write .*: the disk is full"), new_folder(tmp_path / "a"):
        raise full
    with pytest.raises(OutputError, match="Cannot write .*: the disk is full"), new_file(tmp_path / "b"):
        raise full
    assert list(tmp_path.iterdir()) == []


def test_a_failed_read_is_not_reported_as_a_failed_write(tmp_path: Path) -> None:
    """A missing validation.parquet used to read "my-model cannot be written: No such file or directory"."""
    missing = tmp_path / "validation.parquet"
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "model"):
        missing.read_bytes()
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "model.json"):
        missing.read_bytes()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="this system has no umask")
@pytest.mark.parametrize(("mask", "folder_mode", "file_mode"), [(0o077, 0o700, 0o600), (0o002, 0o775, 0o664)])
def test_what_is_written_is_as_readable_as_the_umask_allows(
    tmp_path: Path, umask: None, mask: int, folder_mode: int, file_mode: int
) -> None:
    os.umask(mask)
    with new_folder(tmp_path / "out") as folder:
        (folder / "deep").mkdir()
        (folder / "deep/private").write_text("x")
        (folder / "deep/private").chmod(0o600)  # as safetensors writes them
        (folder / "public").write_text("x")
    with new_file(tmp_path / "file") as temporary:
        temporary.write_text("x")
    modes = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        "out": folder_mode, "out/deep": folder_mode, "out/deep/private": file_mode, "out/public": file_mode,
        "file": file_mode,
    }  # fmt: skip


def test_content_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that reaches the disk before the content leaves an empty file after a power failure."""
    events: list[str] = []
    fsync, replace, rename = os.fsync, Path.replace, Path.rename

    def noted_fsync(descriptor: int) -> None:
        events.append("flush folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "flush file")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    def noted_rename(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    monkeypatch.setattr(Path, "rename", noted_rename)
    write_json(tmp_path / "a.json", {})
    assert events == ["flush file", "rename", *(["flush folder"] if os.name == "posix" else [])]
    events.clear()
    with new_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
    assert events[0] == "flush file" and events.index("rename") == len(events) - (2 if os.name == "posix" else 1)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    names = [".a[1].json.17-0a1b2c.part", ".a[1].json.part.json", "a[1].json", ".b.json.17-0a1b2c.part"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a[1].json")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names[1:])
    with new_file(tmp_path / "a[1].json") as temporary:
        temporary.touch()
        remove_leftovers(tmp_path / "a[1].json")
        assert not temporary.exists(), "the name is one that is written"
        temporary.touch()


def test_damaged_json(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("{")
    (tmp_path / "b").write_text("[]")
    for name in "abc":
        with pytest.raises(DataError):
            read_json(tmp_path / name, DataError)
