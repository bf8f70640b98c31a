"""`subjectwise.json` is read, checked and written; a folder that is incomplete or contradicts itself is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.folders import copy_folder, edit, read
from subjectwise.errors import ModelFolderError
from subjectwise.models.model_config import (
    CONFIG_FILE,
    VOCABULARY_FILE,
    ModelConfig,
    read_config,
    write_config,
)
from subjectwise.recipe import HeadSettings
from subjectwise.statistics.scope import ScopeCalibration


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return copy_folder(tiny_model, tmp_path / "model")


@pytest.mark.parametrize("name", ["subjectwise.json", "adapter_config.json", "label_mapping.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match=f"is not a complete model folder; it lacks {name}"):
        read_config(folder)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="Unknown model folder .*nothing; give an existing folder"):
        read_config(tmp_path / "nothing")


def test_a_pickle_in_place_of_weights_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFolderError, match="adapter_model.bin, which is not loaded; save them as safetensors"):
        read_config(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_damaged_configuration_is_named(folder: Path) -> None:
    good = (folder / CONFIG_FILE).read_text()
    for text, part in [
        ("{", "Cannot read .*subjectwise.json as JSON"),
        ("[]", "is not a JSON object"),
        ('{"schema_version": 9}', "schema version 9; this version reads 1"),
        ('{"schema_version": 1}', "is damaged"),
        (good.replace('"temperature"', '"warmth"'), "is damaged"),
        (good.replace('"style": "bare"', '"style": "poem"'), "is damaged: prompt.style is 'poem'"),
        (good.replace('"max_tokens"', '"max_token"'), "is damaged: Unknown setting 'prompt.max_token'"),
    ]:
        assert text != good
        (folder / CONFIG_FILE).write_text(text)
        with pytest.raises(ModelFolderError, match=part):
            read_config(folder)


def test_mappings_with_other_labels_are_refused(folder: Path) -> None:
    kept = read(folder / "category_mapping.json")
    edit(folder / "category_mapping.json", category_to_idx={"law": 0, "physics": 1})
    with pytest.raises(ModelFolderError, match="category_mapping.json and subjectwise.json have different labels"):
        read_config(folder)
    edit(folder / "category_mapping.json", **kept)
    edit(folder / "label_mapping.json", label2id={"law": 0, "physics": 1})
    with pytest.raises(ModelFolderError, match="label_mapping.json and subjectwise.json have different labels"):
        read_config(folder)


def test_descriptions_of_the_labels_are_read(folder: Path) -> None:
    edit(folder / "category_mapping.json", category_descriptions={"law": "what courts decide"})
    assert read_config(folder).labels.descriptions == {"law": "what courts decide"}


def test_what_is_written_is_read_again(folder: Path) -> None:
    config = replace(read_config(folder), temperature=1.5, prior=(0.1, 0.2, 0.3, 0.4), thresholds={"0.95": 0.7})
    write_config(folder, config)
    assert read_config(folder) == config
    spelled = replace(config, prompt=replace(config.prompt, spelling="en"), words={"photon": 3})
    write_config(folder, spelled)
    assert read_config(folder) == spelled
    write_config(folder, config)
    assert read_config(folder) == config and read_config(folder, "en") == spelled
    assert read_config(folder, "none") == config


def test_the_vocabulary_is_needed_where_spelling_is_corrected(folder: Path, tmp_path: Path) -> None:
    config = read_config(folder)
    write_config(folder, replace(config, prompt=replace(config.prompt, spelling="en"), words={"photon": 3}))
    (folder / VOCABULARY_FILE).rename(tmp_path / VOCABULARY_FILE)
    with pytest.raises(ModelFolderError, match=r"it lacks words\.json"):
        read_config(folder)
    for damaged in ('{"photon": "often"}', "[1]", "{"):
        (folder / VOCABULARY_FILE).write_text(damaged)
        with pytest.raises(ModelFolderError, match=r"words\.json"):
            read_config(folder)
    (folder / VOCABULARY_FILE).unlink()
    write_config(folder, config)
    with pytest.raises(ModelFolderError, match="has no vocabulary, which spelling correction needs; run: subjectwise"):
        read_config(folder, "en")
    with pytest.raises(ModelFolderError, match="Unknown spelling 'english'; choose one of none, ar"):
        read_config(folder, "english")


@pytest.mark.parametrize(
    ("head", "warned"),
    [
        ({}, ""),
        ({"train_head": True, "pooling": "auto", "pad_token": True}, ""),
        ({"pooling": "row_end"}, "head.pooling=row_end"),
        ({"pad_token": False, "train_head": False}, ""),
    ],
)
def test_settings_of_older_versions_are_read_with_a_warning(
    tiny_model: Path, head: dict[str, Any], warned: str
) -> None:
    values = read(tiny_model / CONFIG_FILE) | {"head": {"tune": "lora", **head}}
    config = ModelConfig.from_dict(values, tiny_model / CONFIG_FILE)
    assert config.head == HeadSettings(tune="lora")
    assert (warned in config.warning) and bool(config.warning) == bool(warned)


def test_the_path_of_the_base_is_not_written(folder: Path) -> None:
    config = read_config(folder)
    path = "/home/me/bases/tiny"
    local = replace(
        config,
        base=replace(config.base, name=path),
        recipe=config.recipe | {"base": path},
        results={"average_of": [{"recipe": {"base": path}, "times": 2}]},
    )
    write_config(folder, local)
    assert "/home" not in (folder / CONFIG_FILE).read_text()
    kept = read_config(folder)
    assert kept.base.name == kept.recipe["base"] == "tiny" and kept.base.sha256 == config.base.sha256
    assert kept.results == {"average_of": [{"recipe": {"base": "tiny"}, "times": 2}]}


def test_the_answer_for_requests_of_no_label_is_kept(folder: Path) -> None:
    config = read_config(folder)
    assert config.scope is None and "in_scope" not in config.to_dict()["calibration"]
    assert "out_of_scope" not in config.to_dict()["prompt"], "older versions read a folder without that answer"
    scoped = replace(config, prompt=replace(config.prompt, out_of_scope=True), scope=ScopeCalibration(0.8, -0.5, 0.25))
    write_config(folder, scoped)
    assert read_config(folder) == scoped
    edit(folder / CONFIG_FILE, calibration={"temperature": 1.0, "in_scope": {"slope": "steep"}})
    with pytest.raises(ModelFolderError, match="is damaged: calibration.in_scope.slope is 'steep'"):
        read_config(folder)
