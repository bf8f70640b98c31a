"""The output head: from hidden states to the log-probabilities of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from subjectwise.engines.pytorch.forward import HiddenStates, decoder_of, unwrapped
from subjectwise.errors import BaseModelError
from subjectwise.types import FloatArray, LanguageModel

# The logits of so many rows are in memory at once, [rows, vocabulary].
_ROWS_AT_ONCE = 512


class OutputHead:
    """A model's output head, from hidden states to the vocabulary.

    The requested logits are float32. The log-sum-exp over the vocabulary uses logits in the weights' dtype: in float32
    it took a tenth to a quarter of the time of a single question, and a second copy of the weights.

    Args:
        model: a causal language model.
        precision: of the product over the vocabulary, where it is not that of the weights.
    """

    def __init__(self, model: LanguageModel, precision: torch.dtype | None = None) -> None:
        inner = unwrapped(model)
        head = inner.get_output_embeddings()
        self._weight = head.weight if precision is None else head.weight.to(precision)
        self._bias = head.bias
        self._cap = getattr(inner.config, "final_logit_softcapping", None)  # Gemma 2
        self._indices: dict[tuple[int, ...], Tensor] = {}

    def logits(self, hidden: Tensor, tokens: Sequence[int]) -> Tensor:
        """Return float32 logits of `tokens`.

        Args:
            hidden: [..., hidden].
            tokens: ids of the vocabulary.

        Returns:
            [..., tokens].
        """
        chosen = self._index(tokens)
        weight, bias = self._weight[chosen].float(), None if self._bias is None else self._bias[chosen].float()
        return self._capped(_product(hidden, weight, bias))

    def vocabulary_logits(self, hidden: Tensor, exact: Sequence[Sequence[int]] = ()) -> Tensor:
        """Return float32 logits of the whole vocabulary, from a product in the weights' dtype: they are not copied.

        Args:
            hidden: [positions, hidden].
            exact: for each position the tokens whose logits are computed in float32; empty for none.

        Returns:
            [positions, vocabulary].
        """
        logits = self._capped(_product(hidden, self._weight, self._bias).float())
        if self._weight.dtype == torch.float32 or not exact:
            return logits
        rows = torch.tensor([row for row, tokens in enumerate(exact) for _ in tokens], device=hidden.device)
        columns = torch.tensor([token for tokens in exact for token in tokens], device=hidden.device)
        chosen = (hidden[rows].float() * self._weight[columns].float()).sum(dim=-1)  # [exact tokens]
        if self._bias is not None:
            chosen = chosen + self._bias[columns].float()
        return logits.index_put((rows, columns), self._capped(chosen))

    def log_probs(self, states: HiddenStates, wanted: Sequence[Sequence[int]]) -> list[FloatArray]:
        """Return log-probabilities of the `wanted` tokens after the rows, then after each token of the tree.

        Returns:
            Arrays [rows, wanted].
        """
        pairs = zip([states.last, *states.tree.unbind(1)], wanted, strict=True)
        # All is launched before the first is waited for.
        log_probs = [
            torch.cat([self._token_log_probs(part, tokens) for part in torch.split(hidden, _ROWS_AT_ONCE)])
            for hidden, tokens in pairs
        ]
        return [part.cpu().numpy() for part in log_probs]

    def _token_log_probs(self, hidden: Tensor, tokens: Sequence[int]) -> Tensor:
        """Return log-probabilities of `tokens`, [rows, tokens], on the device; `hidden` is [rows, hidden]."""
        chosen = self.logits(hidden, tokens)
        return chosen - self._log_sum(hidden, tokens, chosen)[:, None]

    def _index(self, tokens: Sequence[int]) -> Tensor:
        """Return `tokens` on the device; copied there once, since a copy waits for all that the device has to do."""
        key = tuple(tokens)
        if key not in self._indices:
            self._indices[key] = torch.tensor(key, dtype=torch.long, device=self._weight.device)
        return self._indices[key]

    def _log_sum(self, hidden: Tensor, tokens: Sequence[int], chosen: Tensor) -> Tensor:
        """Return the log-sum-exp over the vocabulary, [rows]; `chosen` are the exact logits of `tokens`."""
        logits = _product(hidden, self._weight, self._bias)  # [rows, vocabulary]
        columns = self._index(tokens)
        at_once = 1 if logits.device.type == "cpu" else 64  # rows that stay in the CPU's caches
        sums = []
        for start in range(0, len(logits), at_once):
            some = self._capped(logits[start : start + at_once].float())
            sums.append(some.index_copy_(1, columns, chosen[start : start + at_once]).logsumexp(-1))
        return torch.cat(sums)

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap


def _product(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply the head in the precision of `weight`, under autocast too."""
    with torch.autocast(hidden.device.type, enabled=False):
        bias = None if bias is None else bias.to(weight.dtype)
        return torch.nn.functional.linear(hidden.to(weight.dtype), weight, bias)


def check_head(model: LanguageModel) -> None:
    """Raise BaseModelError where a model's logits are not its output head applied to its last hidden state."""
    tokens = torch.tensor([[1, 2, 3]], device=model.device)
    with torch.inference_mode():
        expected = model(input_ids=tokens).logits[0, -1].float()
        hidden = decoder_of(model)(input_ids=tokens).last_hidden_state[0, -1:]
        logits = OutputHead(model).vocabulary_logits(hidden)[0]
    if not torch.allclose(logits, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()) + 1e-6):
        raise BaseModelError(
            f"Cannot score with {type(model).__name__}: it changes its logits after the output head. Use another base."
        )
