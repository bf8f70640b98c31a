"""The files of a model folder and their contracts; loading merges the adapter and refuses another base."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.folders import copy_folder, edit, read
from helpers.tiny_models import corpus, save_base, tiny_config, train_tokenizer
from helpers.training import CPU
from subjectwise.classifier import Classifier
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.pytorch.plain_path import plain_log_probs
from subjectwise.errors import BaseModelError, ModelFolderError
from subjectwise.models.devices import Compute
from subjectwise.models.model_folder import PEFT_0_17_KEYS, load_model, load_tokenizer
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return copy_folder(tiny_model, tmp_path / "model")


def test_the_files_and_their_contracts(tiny_model: Path) -> None:
    labels = ["biology", "computer science", "law", "physics"]
    mapping = read(tiny_model / "label_mapping.json")
    assert mapping["label2id"] == {name: i for i, name in enumerate(labels)}
    assert mapping["id2label"] == {str(i): name for i, name in enumerate(labels)}
    assert mapping["instruction_template"].count("{question}") == 1
    categories = read(tiny_model / "category_mapping.json")
    assert categories["idx_to_category"]["3"] == "physics" and categories["category_to_idx"]["physics"] == 3
    config = read(tiny_model / "subjectwise.json")
    assert set(config) == {
        "schema_version", "base", "prompt", "labels", "calibration", "thresholds", "recipe", "manifest_sha256",
        "versions", "results",
    }  # fmt: skip
    assert set(config["prompt"]) == {"style", "with_options", "max_tokens", "prefix"}
    assert set(config["base"]) == {"name", "revision", "sha256", "hidden_size", "vocab_size"}


def test_others_may_read_it(tiny_model: Path) -> None:
    os.umask(mask := os.umask(0))
    assert {file.stat().st_mode & 0o777 for file in tiny_model.iterdir()} == {0o666 & ~mask}


def test_the_adapter_is_plain_lora_that_older_versions_know(tiny_model: Path) -> None:
    adapter = read(tiny_model / "adapter_config.json")
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
    assert read(tiny_model / "adapter_config.json")["base_model_name_or_path"] == "tiny"


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
    assert "other weights" in load_model(folder, base=str(copy), compute=CPU).warning
    assert load_model(folder, compute=CPU).warning == ""


def test_a_changed_prompt_is_refused(folder: Path) -> None:
    edit(folder / "subjectwise.json", prompt=read(folder / "subjectwise.json")["prompt"] | {"prefix": "Frage:"})
    with pytest.raises(ModelFolderError, match="renders differently"):
        load_model(folder)


def test_a_damaged_tokenizer_is_one_sentence(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="Cannot read the tokenizer in"):
        load_model(folder)


def test_a_head_is_for_pytorch(folder: Path) -> None:
    edit(folder / "subjectwise.json", head={"tune": "lora"})
    with pytest.raises(ModelFolderError, match="has a classification head, which needs --engine pytorch"):
        load_model(folder, compute=Compute("cpu", "float32", "openvino"))


def test_missing_bases_are_one_sentence(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for base, part in [
        ("./nowhere", "Unknown folder ./nowhere"),
        ("nowhere.gguf", "Unknown file nowhere.gguf"),
        ("nobody/nothing-of-the-kind", "not in the local cache, and could not be downloaded from the Hub"),
    ]:
        with pytest.raises(BaseModelError, match=part):
            load_model(folder, base=base)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("SUBJECTWISE_CACHE", str(tmp_path))
    with pytest.raises(BaseModelError, match="run: subjectwise setup"):
        load_model(folder, base="embedded")
    for name in ("nowhere", "nobody/nothing-of-the-kind", "/nowhere/at/all"):
        with pytest.raises(ModelFolderError, match=f"Unknown model {name}|Cannot load the model {name}"):
            Classifier.from_pretrained(name)


def test_merging_the_adapter_changes_nothing_but_speed(tiny_model: Path, tiny_base: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    loaded, question = load_model(tiny_model, compute=CPU), Question("What is torque?")
    apart = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32), str(tiny_model)
    ).eval()
    prompt = Prompt(load_tokenizer(tiny_model), loaded.config.labels, loaded.config.prompt)
    ids = [*prompt.prefix_ids, *prompt.encode([question])[0]]
    summed = plain_log_probs(apart, ids, LabelTrie(prompt.label_ids, prompt.end_ids))
    expected = summed - np.logaddexp.reduce(summed, axis=1)
    merged = loaded.scorer.score(loaded.scorer.encode([question]))
    np.testing.assert_allclose(merged.log_probs, expected, atol=1e-3)
