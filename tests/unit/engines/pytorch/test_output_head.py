"""Log-probabilities from the weights' precision are those of float32 where it counts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from subjectwise.engines.pytorch.forward import HiddenStates
from subjectwise.engines.pytorch.output_head import OutputHead, check_head
from subjectwise.errors import BaseModelError
from subjectwise.models.base_model import load_base


def model_with(layer: torch.nn.Linear, cap: float | None = None) -> Any:
    return SimpleNamespace(
        get_output_embeddings=lambda: layer,
        config=SimpleNamespace(final_logit_softcapping=cap),
        dtype=layer.weight.dtype,
    )


@pytest.mark.parametrize("cap", [None, 8.0], ids=["plain", "soft cap"])
@pytest.mark.parametrize("bias", [False, True])
def test_log_probs_of_half_precision_weights_are_those_of_float32(bias: bool, cap: float | None) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(32, 4000, bias=bias, dtype=torch.bfloat16)
    torch.nn.init.normal_(layer.weight)
    head = OutputHead(model_with(layer, cap))
    hidden = torch.randn(5, 3, 32, dtype=torch.bfloat16)
    wanted = [[7, 3999, 0], [11], [2, 5]]
    with torch.inference_mode():
        logits = torch.nn.functional.linear(
            hidden.float(), layer.weight.float(), None if layer.bias is None else layer.bias.float()
        )
        expected = (logits if cap is None else torch.tanh(logits / cap) * cap).log_softmax(-1)
        log_probs = head.log_probs(HiddenStates(hidden[:, 0], hidden[:, 1:]), wanted)
    for column, tokens in enumerate(wanted):
        right, ours = expected[:, column, tokens], torch.from_numpy(log_probs[column])
        torch.testing.assert_close(ours, right, atol=0.06, rtol=0)  # bfloat16 rounds a logit of 20 by so much
        torch.testing.assert_close(ours.diff(), right.diff(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cap", [None, 8.0], ids=["plain", "soft cap"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_logits_that_are_wanted_are_exact_among_those_of_the_vocabulary(bias: bool, cap: float | None) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(32, 400, bias=bias, dtype=torch.bfloat16)
    torch.nn.init.normal_(layer.weight)
    head, hidden, wanted = OutputHead(model_with(layer, cap)), torch.randn(3, 32), [[7, 399], [11], [2, 5, 7]]
    logits, rounded = head.vocabulary_logits(hidden, wanted), head.vocabulary_logits(hidden)
    assert logits.dtype == torch.float32 and logits.shape == (3, 400)
    for row, tokens in enumerate(wanted):
        torch.testing.assert_close(logits[row, tokens], head.logits(hidden[row], tokens))
        assert not torch.equal(logits[row, tokens], rounded[row, tokens])
        others = [token for token in range(400) if token not in tokens]
        assert torch.equal(logits[row, others], rounded[row, others])


def test_a_model_that_changes_its_logits_is_refused(tiny_base: Path) -> None:
    model: Any = load_base(str(tiny_base), device="cpu", dtype="float32").model
    check_head(model)
    forward = model.forward

    def scaled(**inputs: Any) -> Any:
        outputs = forward(**inputs)
        outputs.logits = outputs.logits * 3
        return outputs

    model.forward = scaled
    with pytest.raises(BaseModelError, match="it changes its logits after the output head"):
        check_head(model)
