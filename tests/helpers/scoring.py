"""A tiny base, its prompt and its trie; and the plain path of scoring, to which engines are held equal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.tiny_models import make_rows
from subjectwise.engines.engine import PYTORCH, Engine
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.plain_path import plain_log_probs
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.label_scores import LabelLogProbs, normalise, score_rows
from subjectwise.recipe import PromptSettings
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt
from subjectwise.types import LanguageModel

QUESTIONS = [*[Question(row["question"]) for row in make_rows()][::5], Question("Why?"), Question("long " * 60)]

LABEL_SETS = {
    "fourteen": LabelSet(MMLU_PRO_LABELS),
    "shared starts": LabelSet(("computer", "computer science", "computer security", "computing", "law", "law school")),
}


@dataclass(frozen=True)
class PromptedBase:
    """A base in float32 on the CPU, with the prompt and the trie of a label set."""

    folder: Path
    model: LanguageModel
    prompt: Prompt
    trie: LabelTrie
    rows: list[list[int]]

    def engine(self, name: str = PYTORCH, dtype: str = "float32") -> Engine:
        """An engine around the base, with the prompt's prefix in its cache."""
        if name == PYTORCH:
            return PyTorchEngine(self.model, self.prompt.prefix_ids)
        from subjectwise.engines.openvino.engine import OpenVINOEngine
        from subjectwise.models.compiled_base import load_compiled_base

        return OpenVINOEngine(load_compiled_base(str(self.folder), dtype=dtype).decoder, self.prompt.prefix_ids)

    def score(self, engine: Engine) -> LabelLogProbs:
        """The scores of the rows by an engine."""
        return score_rows(engine, self.rows, self.trie)

    def plain_scores(self) -> LabelLogProbs:
        """The scores of the rows by the plain path."""
        rows = [plain_log_probs(self.model, [*self.prompt.prefix_ids, *row], self.trie) for row in self.rows]
        return normalise(np.concatenate(rows))


def prompted_base(
    folder: Path, labels: LabelSet, style: str = "plain", *, described: bool = False, questions: int = len(QUESTIONS)
) -> PromptedBase:
    base = load_base(str(folder), device="cpu", dtype="float32")
    prompt = Prompt(base.tokenizer, labels, PromptSettings(style=style), described=described)
    rows = prompt.encode(QUESTIONS[:questions])
    return PromptedBase(folder, base.model, prompt, LabelTrie(prompt.label_ids, prompt.end_ids), rows)
