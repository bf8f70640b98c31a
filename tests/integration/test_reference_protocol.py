"""The model card's system at its real size: the numbers that it states, from the real configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CONFIG = Path(__file__).parents[1] / "data" / "qwen3-0.6b"


@pytest.fixture(scope="module")
def model() -> Any:
    """Qwen3-0.6B without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(CONFIG))


def test_the_counts_of_the_card(model: Any) -> None:
    from subjectwise.models.base_info import BaseInfo
    from subjectwise.models.base_model import Base
    from subjectwise.recipe import load_recipe
    from subjectwise.training.tasks import with_adapter

    assert sum(weight.numel() for weight in model.parameters()) == 596_049_920
    info = BaseInfo("Qwen/Qwen3-0.6B", "", "", model.config.hidden_size, model.config.vocab_size)
    adapted = with_adapter(Base(model, None, info), load_recipe("reference"))
    trainable = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    total = sum(weight.numel() for weight in adapted.parameters())
    assert trainable == 10_092_544
    assert round(100 * trainable / total, 3) == 1.665
