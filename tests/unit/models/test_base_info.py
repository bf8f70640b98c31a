"""A model folder names no path of its base; this machine finds it all the same, and another one asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from subjectwise.errors import BaseModelError
from subjectwise.models.base_info import BaseInfo, locate_base, remember_base

SHA = "a" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBJECTWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def info(name: str, sha256: str = SHA) -> BaseInfo:
    return BaseInfo(name, "", sha256, 1, 1)


@pytest.mark.parametrize(
    ("name", "sha256", "shared", "public"),
    [
        ("/home/me/bases/tiny/", SHA, "tiny", "tiny"),
        ("./tiny", SHA, "tiny", "tiny"),
        ("C:\\bases\\tiny", SHA, "tiny", "tiny"),
        ("models/tiny.Q4.gguf", SHA, "tiny.Q4.gguf", "tiny.Q4.gguf"),
        ("embedded", SHA, "embedded", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("Qwen/Qwen3-0.6B", "", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
    ],
)
def test_a_shared_name_has_no_path(name: str, sha256: str, shared: str, public: str) -> None:
    assert (info(name, sha256).shared_name, info(name, sha256).public_name) == (shared, public)


def test_a_base_that_was_remembered_is_found_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    remember_base(info(str(tmp_path / "tiny")))
    assert locate_base(info("tiny")) == str(tmp_path / "tiny")
    with pytest.raises(BaseModelError, match="The base tiny is unknown on this machine; give its folder or file"):
        locate_base(info("tiny", "b" * 64))
    (tmp_path / "tiny").rename(tmp_path / "moved")
    with pytest.raises(BaseModelError, match="is unknown on this machine"):
        locate_base(info("tiny"))


def test_a_name_is_never_asked_of_the_hub_where_the_base_was_local() -> None:
    with pytest.raises(BaseModelError, match="The base gpt2 is unknown on this machine"):
        locate_base(info("gpt2"))
    assert locate_base(info("openai-community/gpt2", "")) == "openai-community/gpt2"
    assert locate_base(info("embedded")) == "embedded"


def test_a_path_that_an_older_version_wrote_is_taken(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    assert locate_base(info(str(tmp_path / "tiny"))) == str(tmp_path / "tiny")


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    cache.write_text("a file in the way")
    remember_base(info(str(tmp_path / "tiny")))
    with pytest.raises(BaseModelError, match="is unknown on this machine"):
        locate_base(info("tiny"))


def test_what_is_not_there_and_what_is_not_local_is_not_remembered(cache: Path, tmp_path: Path) -> None:
    for name, sha256 in ((str(tmp_path / "nowhere"), SHA), ("embedded", SHA), (str(tmp_path), "")):
        remember_base(info(name, sha256))
    assert not cache.exists()
