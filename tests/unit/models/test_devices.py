"""Devices and precisions by name."""

from __future__ import annotations

import pytest
import torch

from subjectwise.errors import BaseModelError
from subjectwise.models.devices import choose_device, choose_dtype


def test_a_device_that_is_not_available_is_refused() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(BaseModelError, match="Device 'nowhere' is not available; use --device cpu or auto"):
        choose_device("nowhere")


def test_each_process_of_a_launch_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *size, device: device)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == torch.device("cuda:3")


@pytest.mark.parametrize(
    ("bf16", "expected"), [(True, torch.bfloat16), (False, torch.float32)], ids=["has bfloat16", "has not"]
)
def test_a_processor_computes_in_bfloat16_where_it_can(
    bf16: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_dtype(torch.device("cpu")) == expected


def test_a_named_precision_is_taken() -> None:
    assert choose_dtype(torch.device("cpu"), "float16") == torch.float16
    with pytest.raises(BaseModelError, match="Unknown precision 'int8'; choose one of auto, float32"):
        choose_dtype(torch.device("cpu"), "int8")
