"""From hidden states to the log-probabilities of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from subjectwise.engines.reading import Rows, decoder_of, unwrapped
from subjectwise.errors import BaseModelError


class OutputHead:
    """A model's output head, from hidden states to the vocabulary.

    The logits of the tokens that are asked for are in float32. Those of the rest of the vocabulary, of which only the
    sum of exponentials is wanted, are a product in the precision of the weights: in float32 it took a tenth to a
    quarter of the time of a question answered alone, and a second copy of the weights.

    Args:
        precision: of that product, where it is not that of the weights.
    """

    def __init__(self, model: Any, precision: torch.dtype | None = None) -> None:
        inner = unwrapped(model)
        head = inner.get_output_embeddings()
        self._weight = head.weight if precision is None else head.weight.to(precision)
        self._bias = head.bias
        self._cap = getattr(inner.config, "final_logit_softcapping", None)  # Gemma 2

    def logits(self, hidden: Tensor, tokens: Sequence[int] | None = None) -> Tensor:
        """Logits in float32 of `tokens`, or of the whole vocabulary, [..., tokens]; `hidden` is [..., hidden]."""
        chosen = slice(None) if tokens is None else list(tokens)
        weight, bias = self._weight[chosen].float(), None if self._bias is None else self._bias[chosen].float()
        return self._capped(_product(hidden, weight, bias))

    def log_probs(self, read: Rows, wanted: Sequence[Sequence[int]]) -> list[Tensor]:
        """Log-probabilities of the `wanted` tokens after the rows, then after each tail token; each [rows, wanted]."""
        found = []
        for hidden, tokens in zip([read.last, *read.tail.unbind(1)], wanted, strict=True):
            chosen = self.logits(hidden, tokens)
            found.append((chosen - self._log_sum(hidden, tokens, chosen)[:, None]).cpu())
        return found

    def _log_sum(self, hidden: Tensor, tokens: Sequence[int], chosen: Tensor) -> Tensor:
        """The logarithm of the sum of exponentials over the vocabulary, [rows]; `chosen` are the logits of `tokens`."""
        logits = _product(hidden, self._weight, self._bias)  # [rows, vocabulary]
        places = torch.tensor(tokens, device=logits.device)
        at_once = 1 if logits.device.type == "cpu" else 64  # which stay in the CPU's caches
        found = []
        for start in range(0, len(logits), at_once):
            some = self._capped(logits[start : start + at_once].float())
            found.append(some.index_copy_(1, places, chosen[start : start + at_once]).logsumexp(-1))
        return torch.cat(found)

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap


def _product(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """In the precision of `weight`, whatever autocast stands around."""
    with torch.autocast(hidden.device.type, enabled=False):
        bias = None if bias is None else bias.to(weight.dtype)
        return torch.nn.functional.linear(hidden.to(weight.dtype), weight, bias)


def check_head(model: Any) -> None:
    """Raises BaseModelError where a model's logits are not its head applied to its last hidden state."""
    tokens = torch.tensor([[1, 2, 3]], device=model.device)
    with torch.inference_mode():
        expected = model(input_ids=tokens).logits[0, -1].float()
        found = OutputHead(model).logits(decoder_of(model)(input_ids=tokens).last_hidden_state[0, -1])
    if not torch.allclose(found, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()) + 1e-6):
        raise BaseModelError(
            f"{type(model).__name__} changes its logits after the output head in a way that is not known here; "
            "use another base."
        )
