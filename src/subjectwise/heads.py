"""A classification head on a decoder or an encoder: from questions to the log-probability of each label.

Knows no prompt: a head reads the question alone, between the tokenizer's own special tokens. Rows are padded on the
right under an attention mask, and the pooled place is found from the mask. transformers finds it from the pad token's
id, which goes wrong where that token stands in the text, and where the id is not the one that the rows are padded with.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from subjectwise.base_models import Base, is_encoder
from subjectwise.engines.attention import prefer_grouped
from subjectwise.engines.pytorch import tokens_per_batch
from subjectwise.engines.reading import unwrapped
from subjectwise.errors import BaseModelError, QuestionError, RecipeError
from subjectwise.labels import LabelSet
from subjectwise.prompt import cut_middle, question_text
from subjectwise.recipe import HeadSettings, PromptSettings
from subjectwise.records import Question
from subjectwise.scoring import Progress, Scores, length_batches

INSTRUCTION_TEMPLATE = "{question}"

# What transformers calls the head of a decoder, a linear layer that reads one token, and the head of an encoder.
_DECODER_HEAD, _ENCODER_HEAD = "score", "classifier"


class HeadText:
    """Turns questions into token ids with the tokenizer's own special tokens around them."""

    def __init__(self, tokenizer: Any, settings: PromptSettings) -> None:
        self.tokenizer, self.settings = tokenizer, settings
        plain, whole = self._ids(["a"])[0], tokenizer("a", verbose=False)["input_ids"]
        place = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), None)
        if not plain or place is None:
            raise BaseModelError("This base's tokenizer changes a text between its special tokens; use another base.")
        self._start, self._end = whole[:place], whole[place + len(plain) :]

    def encode_questions(self, questions: Sequence[Question], with_options: bool | None = None) -> list[list[int]]:
        """Row ids of each question. A row over `max_tokens` loses the question's middle, and no special token."""
        shown = self.settings.with_options if with_options is None else with_options
        rows = self._ids([question_text(question, shown) for question in questions])
        limit = self.settings.max_tokens - len(self._start) - len(self._end)
        rows = [self._start + cut_middle(row, limit) + self._end for row in rows]
        if [] in rows:
            raise QuestionError(
                f"The base's tokenizer knows nothing of the question {questions[rows.index([])].text!r}."
            )
        return rows

    def _ids(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = (
            self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        )
        return ids


class HeadScorer:
    """A base with a classification head, and how its head is read.

    Args:
        base: as `load_base` gives it with `labels`; its model may be wrapped by PEFT since.

    Raises:
        RecipeError: the settings ask for more tokens than the base reads, or for what an encoder has not.
        BaseModelError: the base's head or tokenizer works in a way that is not known here.
    """

    def __init__(self, base: Base, labels: LabelSet, prompt: PromptSettings, settings: HeadSettings) -> None:
        self.model = base.model
        self.labels = labels
        self.text = HeadText(base.tokenizer, prompt)
        self._settings = settings
        self._precision = base.precision
        inner = unwrapped(self.model)
        self._encoder = is_encoder(inner.config)
        if not self._encoder:
            prefer_grouped(inner)
        longest = longest_row(inner)
        if prompt.max_tokens > longest:
            raise RecipeError(
                f"prompt.max_tokens is {prompt.max_tokens}; {base.info.name} reads at most {longest} tokens."
            )
        if self._encoder and not (settings.pooling == "auto" and settings.pad_token):
            raise RecipeError(
                "head.pooling and head.pad_token are for decoders; leave them as they are for an encoder."
            )
        if not hasattr(inner, _ENCODER_HEAD if self._encoder else _DECODER_HEAD):
            raise BaseModelError(f"{type(inner).__name__} has a head that is not known here; use another base.")
        self._pad = inner.config.get_text_config().pad_token_id or 0

    def logits(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Logits of the labels in float32, [rows, labels]. Gradients flow where they are enabled."""
        inner = unwrapped(self.model)
        lengths = torch.tensor([len(row) for row in rows], device=inner.device)
        width = self._width(int(lengths.max()))
        tokens = torch.full((len(rows), width), self._pad)  # [rows, width]
        for place, row in enumerate(rows):
            tokens[place, : len(row)] = torch.tensor(row)
        tokens = tokens.to(inner.device)
        mask = (torch.arange(width, device=inner.device)[None] < lengths[:, None]).long()  # [rows, width]
        if self._encoder:
            # Of the class and not of the model, whose own `forward` is the loss while it is trained.
            found: Tensor = type(inner).forward(inner, input_ids=tokens, attention_mask=mask).logits
            return found.float()
        hidden = inner.base_model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
        places = torch.full_like(lengths, width - 1) if self._to_the_end else lengths - 1
        pooled = hidden[torch.arange(len(rows), device=inner.device), places]  # [rows, hidden]
        with torch.autocast(inner.device.type, enabled=False):
            logits: Tensor = inner.score(pooled.float())
        return logits

    def count_tokens(self, questions: Sequence[Question], with_options: bool | None = None) -> list[int]:
        return [len(row) for row in self.text.encode_questions(questions, with_options)]

    def score(
        self, questions: Sequence[Question], with_options: bool | None = None, on_progress: Progress = None
    ) -> Scores:
        """Scores of the questions. `label_mass` is 1 throughout: a head has no other answers than the labels."""
        rows = self.text.encode_questions(questions, with_options)
        log_probs = np.empty((len(rows), len(self.labels.names)))
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            for batch in length_batches([self._width(len(row)) for row in rows], self._tokens_per_batch):
                logits = self.logits([rows[i] for i in batch])
                log_probs[batch] = logits.double().log_softmax(dim=-1).cpu().numpy()
                if on_progress:
                    on_progress(len(batch))
        return Scores(log_probs, np.ones(len(rows)))

    @property
    def _to_the_end(self) -> bool:
        return self._settings.pooling == "row_end"

    def _width(self, longest: int) -> int:
        """How wide rows are padded. To a constant where their end is pooled, or an answer would vary with its batch."""
        return self.text.settings.max_tokens if self._to_the_end else longest

    @property
    def _tokens_per_batch(self) -> int:
        if not self._settings.pad_token:
            return 1
        return tokens_per_batch(self.model.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        """Autocast over float32 weights; others, and an adapter in training, have what they need around them."""
        if self._precision == torch.float32 or self.model.dtype != torch.float32:
            return nullcontext()
        return torch.autocast(self.model.device.type, dtype=self._precision)


def head_modules(base: Base) -> list[str]:
    """Names of the modules of the head: what transformers calls so, and whatever else the base has no weights of."""
    names = {name for name in (_DECODER_HEAD, _ENCODER_HEAD) if hasattr(base.model, name)}
    for weight in base.new:
        if weight.split(".")[0] not in (_DECODER_HEAD, _ENCODER_HEAD):
            names.add(weight.rpartition(".")[0])
    return sorted(names)


def head_weights(base: Base) -> list[str]:
    return [
        f"{module}.{name}"
        for module in head_modules(base)
        for name, _ in base.model.get_submodule(module).named_parameters()
    ]


def prepare_head(base: Base, settings: HeadSettings) -> None:
    """The head in float32, and no pad token where the settings say so."""
    for name in head_modules(base):
        base.model.get_submodule(name).float()
    if not settings.pad_token:
        base.model.config.get_text_config().pad_token_id = None
        base.tokenizer.pad_token = None


def longest_row(model: Any) -> int:
    """How many tokens the model has positions for; of decoders what its configuration says."""
    positions = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if isinstance(positions, torch.nn.Embedding):
        # RoBERTa and MPNet count from the padding's position on.
        return positions.num_embeddings - (0 if positions.padding_idx is None else positions.padding_idx + 1)
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30)
