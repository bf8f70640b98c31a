"""Merging is what PEFT's own merge does; what is not a plain adapter is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from subjectwise.errors import ModelFolderError
from subjectwise.models.lora import merge_adapter


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def load(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def test_the_weights_are_those_that_peft_merges(tiny_base: Path, tiny_model: Path) -> None:
    from peft import PeftModel

    expected = PeftModel.from_pretrained(load(tiny_base), str(tiny_model)).merge_and_unload().state_dict()
    merged, plain = load(tiny_base), load(tiny_base).state_dict()
    merge_adapter(merged, tiny_model)
    changed = 0
    for name, weight in merged.state_dict().items():
        torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=1e-5)
        changed += not torch.equal(weight, plain[name])
    assert changed == 2 * 7, "the seven projections of both layers"


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "changes", [{"use_dora": True}, {"use_rslora": True}, {"rank_pattern": {"q_proj": 4}}, {"peft_type": "LOHA"}]
)
def test_other_kinds_of_adapters_are_refused(tiny_base: Path, folder: Path, changes: dict[str, Any]) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelFolderError, match="not plain LoRA"):
        merge_adapter(load(tiny_base), folder)


def test_damage_is_named(tiny_base: Path, folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    first = sorted(tensors)[0]
    for changed, message in [
        (
            {name: tensor for name, tensor in tensors.items() if name != first},
            "its weights are not pairs of lora_A and lora_B",
        ),
        ({name.replace("q_proj", "z_proj"): tensor for name, tensor in tensors.items()}, "does not fit its base"),
        ({**tensors, first: tensors[first][:, :3].contiguous()}, "does not fit its base"),
        ({}, "its weights are not pairs of lora_A and lora_B"),
    ]:
        save_file(changed, file)
        with pytest.raises(ModelFolderError, match=message):
            merge_adapter(load(tiny_base), folder)
    file.write_bytes(b"no tensors")
    with pytest.raises(ModelFolderError, match="is damaged"):
        merge_adapter(load(tiny_base), folder)
    edit(folder, r=0)
    with pytest.raises(ModelFolderError, match="is damaged"):
        merge_adapter(load(tiny_base), folder)
