"""Model folders and bases by their names on the Hub: with the real client on a cache of ours, and without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest

from helpers.folders import edit, read
from subjectwise.classifier import Classifier
from subjectwise.errors import BaseModelError, ModelFolderError
from subjectwise.models.model_folder import shipped_folder
from subjectwise.models.pretrained_folder import find_pretrained
from subjectwise.utils.hub_download import ANY_HUB, HubOptions, folder_name

COMMIT, OLD_COMMIT = "1" * 40, "2" * 40
QUESTION = "What is a photon and how does it differ from a quantum?"


def keep(cache: Path, name: str, folder: Path, commit: str = COMMIT, branch: str = "main") -> Path:
    """Put a folder into a cache as the client of the Hub does after a download."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / branch).write_text(commit)
    return Path(shutil.copytree(folder, repository / "snapshots" / commit))


@pytest.fixture
def cache(tmp_path: Path, tiny_model: Path) -> Path:
    """A cache with two revisions of a model, of which the older one is warmer."""
    keep(tmp_path, "me/subjects", tiny_model)
    old = keep(tmp_path, "me/subjects", tiny_model, OLD_COMMIT, "v1")
    file = old / "subjectwise.json"
    edit(file, calibration={**read(file)["calibration"], "temperature": 3 * read(file)["calibration"]["temperature"]})
    return tmp_path


def load(name: str | Path, cache: Path, revision: str | None = None) -> Classifier:
    return Classifier.from_pretrained(
        name, revision=revision, cache_dir=cache, local_files_only=True, device="cpu", dtype="float32"
    )


def test_a_model_that_was_downloaded_before(cache: Path, tiny_model: Path) -> None:
    expected = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    newest, old = load("me/subjects", cache), load("me/subjects", cache, "v1")
    assert newest.classify(QUESTION).scores == pytest.approx(expected.classify(QUESTION).scores)
    assert old.temperature == pytest.approx(3 * newest.temperature)
    assert load("me/subjects", cache, OLD_COMMIT).temperature == old.temperature
    assert repr(newest) == "<Classifier me/subjects: 4 labels, float32 on cpu>"
    assert repr(expected) == f"<Classifier {tiny_model.name}: 4 labels, float32 on cpu>"
    assert repr(Classifier(recipe="head")) == "Classifier(recipe='head')"


def test_what_was_not_downloaded_is_one_sentence(cache: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"the model me/other: it was not downloaded before .* local_files_only"):
        load("me/other", cache)
    with pytest.raises(ModelFolderError, match="me/subjects at the revision 'v9': it was not downloaded before"):
        load("me/subjects", cache, "v9")
    with pytest.raises(ModelFolderError, match="could not be downloaded"):  # HF_HUB_OFFLINE is set
        Classifier.from_pretrained("me/other", cache_dir=cache)


def test_a_revision_of_a_folder_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelFolderError, match="has no revisions; leave out the revision"):
        Classifier.from_pretrained(tiny_model, revision="v1")
    with pytest.raises(ModelFolderError, match="shipped model has no revisions"):
        Classifier.from_pretrained(revision="v1")


def test_the_base_is_looked_up_in_the_same_cache(
    cache: Path, tiny_model: Path, tiny_base: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "mine"))
    file = folder / "subjectwise.json"
    edit(file, base=read(file)["base"] | {"name": "me/base", "revision": COMMIT, "sha256": ""})
    with pytest.raises(BaseModelError, match="me/base is not in the local cache"):
        load(folder, cache)
    snapshot = keep(cache, "me/base", tiny_base)
    loaded = load(folder, cache)
    assert loaded.warning == ""
    assert loaded.classify(QUESTION).scores == pytest.approx(load(tiny_model, cache).classify(QUESTION).scores)
    assert find_pretrained(folder, None, None, HubOptions(cache_dir=cache)) == (folder, str(snapshot))
    assert find_pretrained(folder, str(tiny_base), None, HubOptions(cache_dir=cache)) == (folder, str(tiny_base))
    loaded.save_pretrained(tmp_path / "saved")
    assert read(tmp_path / "saved" / "subjectwise.json")["base"]["name"] == "me/base"


def test_every_option_reaches_the_client(monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def snapshot_download(name: str, **options: object) -> str:
        asked.append((name, options))
        return str(tiny_model)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    found = find_pretrained("me/subjects", None, "v1", HubOptions("secret", tmp_path, True))
    assert found == (tiny_model, None), "its base is a folder on this machine, of which nothing is downloaded"
    [(name, options)] = asked
    patterns = options.pop("allow_patterns")
    assert name == "me/subjects"
    assert options == {"revision": "v1", "token": "secret", "cache_dir": tmp_path, "local_files_only": True}
    assert (
        isinstance(patterns, list) and "*.safetensors" in patterns and not {"*.bin", "*.pkl", "*.py", "*"} & {*patterns}
    )


def test_without_options_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    assert find_pretrained(None, None, None, ANY_HUB) == (shipped_folder(), None)
    assert find_pretrained(tiny_model, "elsewhere", None, ANY_HUB) == (tiny_model, "elsewhere")


def test_names_of_folders() -> None:
    assert folder_name(Path("a/models--me--my-model/snapshots/123")) == "me/my-model"
    assert folder_name(Path("a/my-model")) == "my-model"
