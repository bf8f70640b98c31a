"""A classification head on a decoder or an encoder: from questions to the log-probability of each label.

Knows no prompt: a head reads the question alone, between the tokenizer's own special tokens. Rows are padded on the
right under an attention mask, and the pooled position follows from the mask. transformers derives it from the pad
token's id, which is wrong where that token occurs in the text, and where rows are padded with another id.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from subjectwise.engines.pytorch.attention import prefer_grouped
from subjectwise.engines.pytorch.engine import tokens_per_batch
from subjectwise.engines.pytorch.forward import unwrapped
from subjectwise.engines.token_budget import token_batches
from subjectwise.errors import BaseModelError, QuestionError, RecipeError
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import Base, is_encoder
from subjectwise.models.label_scores import LabelLogProbs
from subjectwise.recipe import PromptSettings
from subjectwise.records import EncodedQuestion, Question
from subjectwise.text.question_text import cut_row, question_texts
from subjectwise.types import LanguageModel, Progress, Tokenizer

# What transformers calls the head of a decoder, a linear layer on one token's state, and the head of an encoder.
_DECODER_HEAD, _ENCODER_HEAD = "score", "classifier"


class HeadEncoder:
    """Encodes questions as token ids with the tokenizer's own special tokens around them.

    Args:
        tokenizer: of the base.
        settings: of which `max_tokens` is used.

    Raises:
        BaseModelError: the tokenizer changes a text between its special tokens.
    """

    def __init__(self, tokenizer: Tokenizer, settings: PromptSettings) -> None:
        self.tokenizer, self.settings = tokenizer, settings
        plain, whole = self._ids(["a"])[0], tokenizer("a", verbose=False)["input_ids"]
        start = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), None)
        if not plain or start is None:
            raise BaseModelError("This base's tokenizer changes a text between its special tokens; use another base.")
        self._start, self._end = whole[:start], whole[start + len(plain) :]

    def encode(self, questions: Sequence[Question]) -> list[list[int]]:
        """Return the row ids of each question, with the options that it has.

        A row over `max_tokens` loses the question's middle, and no special token.

        Raises:
            QuestionError: the tokenizer has no token for a question.
        """
        return [encoded.ids for encoded in self.encode_questions(questions)]

    def encode_questions(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return what `encode` does, and whether each question was cut."""
        rows = self._ids(question_texts(questions))
        encoded = [cut_row(row, self.settings.max_tokens, self._start, self._end) for row in rows]
        for question, row in zip(questions, encoded, strict=True):
            if not row.ids:
                raise QuestionError(f"The base's tokenizer has no token for the question {question.text!r}.")
        return encoded

    def _ids(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = (
            self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        )
        return ids


class HeadScorer:
    """A base with a classification head.

    Args:
        base: as `load_base` returns it with `labels`; PEFT may have wrapped its model since.
        labels: of the head.
        prompt: of which `max_tokens` is used.

    Raises:
        RecipeError: `prompt.max_tokens` is more than the base reads.
        BaseModelError: the base's head or tokenizer works in an unknown way.
    """

    def __init__(self, base: Base, labels: LabelSet, prompt: PromptSettings) -> None:
        self.model = base.model
        self.encoder = HeadEncoder(base.tokenizer, prompt)
        self._labels = labels
        self._precision = base.precision
        inner = unwrapped(self.model)
        self._is_encoder = is_encoder(inner.config)
        if not self._is_encoder:
            prefer_grouped(inner)
        longest = longest_row(inner)
        if prompt.max_tokens > longest:
            raise RecipeError(
                f"prompt.max_tokens is {prompt.max_tokens}; {base.info.name} reads at most {longest} tokens."
            )
        if not hasattr(inner, _ENCODER_HEAD if self._is_encoder else _DECODER_HEAD):
            raise BaseModelError(f"{type(inner).__name__} has a head of an unknown kind; use another base.")
        self._pad = inner.config.get_text_config().pad_token_id or 0

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        return self._labels

    @property
    def runs_on(self) -> tuple[str, str]:
        """The kind of device that computes and the precision."""
        return self.model.device.type, str(self._precision).removeprefix("torch.")

    def logits(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return float32 logits of the labels, [rows, labels]. Gradients flow where they are enabled."""
        inner = unwrapped(self.model)
        lengths = torch.tensor([len(row) for row in rows], device=inner.device)
        width = self.padded_width(int(lengths.max()))
        tokens = torch.full((len(rows), width), self._pad)  # [rows, width]
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = torch.tensor(row)
        tokens = tokens.to(inner.device)
        mask = (torch.arange(width, device=inner.device)[None] < lengths[:, None]).long()  # [rows, width]
        if self._is_encoder:
            outputs: Tensor = inner(input_ids=tokens, attention_mask=mask).logits
            return outputs.float()
        hidden = inner.base_model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
        pooled = hidden[torch.arange(len(rows), device=inner.device), self.pooled_positions(lengths, width)]
        with torch.autocast(inner.device.type, enabled=False):
            logits: Tensor = inner.score(pooled.float())  # pooled: [rows, hidden]
        return logits

    def padded_width(self, longest: int) -> int:
        """Return how many tokens wide a batch is whose longest row has `longest`."""
        return longest

    def pooled_positions(self, lengths: Tensor, width: int) -> Tensor:
        """Return the position in each row whose state the head of a decoder reads: that of its last token, [rows]."""
        return lengths - 1

    @property
    def tokens_per_batch(self) -> int:
        """How many tokens are read at once."""
        return tokens_per_batch(self.model.device)

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return the row ids of each question."""
        return self.encoder.encode_questions(questions)

    def score(self, encoded: Sequence[EncodedQuestion], on_progress: Progress | None = None) -> LabelLogProbs:
        """Return the log-probabilities of the labels, [questions, labels].

        `label_mass` is 1 throughout: a head has no other answers than the labels.
        """
        log_probs = np.empty((len(encoded), len(self._labels)))
        self.model.eval()
        widths = [self.padded_width(question.tokens) for question in encoded]
        with torch.inference_mode(), self._autocast():
            for batch in token_batches(widths, self.tokens_per_batch):
                logits = self.logits([encoded[i].ids for i in batch])
                log_probs[batch] = logits.double().log_softmax(dim=-1).cpu().numpy()
                if on_progress:
                    on_progress(len(batch))
        return LabelLogProbs(log_probs, np.ones(len(encoded)))

    def _autocast(self) -> AbstractContextManager[Any]:
        """Return autocast for float32 weights; others, and an adapter in training, need none here."""
        if self._precision == torch.float32 or self.model.dtype != torch.float32:
            return nullcontext()
        return torch.autocast(self.model.device.type, dtype=self._precision)


def head_modules(base: Base) -> list[str]:
    """Return the names of the head's modules: what transformers calls so, and what else is new in the base."""
    names = {name for name in (_DECODER_HEAD, _ENCODER_HEAD) if hasattr(base.model, name)}
    for weight in base.new:
        if weight.split(".")[0] not in (_DECODER_HEAD, _ENCODER_HEAD):
            names.add(weight.rpartition(".")[0])
    return sorted(names)


def head_weights(base: Base) -> list[str]:
    """Return the names of the head's weights."""
    return [
        f"{module}.{name}"
        for module in head_modules(base)
        for name, _ in base.model.get_submodule(module).named_parameters()
    ]


def prepare_head(base: Base) -> None:
    """Convert the head to float32."""
    for name in head_modules(base):
        base.model.get_submodule(name).float()


def longest_row(model: LanguageModel) -> int:
    """Return how many tokens the model has positions for; of decoders what the configuration says."""
    positions = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if isinstance(positions, torch.nn.Embedding):
        # RoBERTa and MPNet count from the padding's position on.
        return positions.num_embeddings - (0 if positions.padding_idx is None else positions.padding_idx + 1)
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30)
