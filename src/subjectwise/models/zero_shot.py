"""Any labels on an untrained base, by the prompt alone. Not calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from subjectwise.engines.engine import loading_dtype
from subjectwise.engines.pytorch.output_head import check_head
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.base_model import Base, load_base
from subjectwise.models.devices import Compute, choose_dtype
from subjectwise.models.label_scores import LabelScorer
from subjectwise.recipe import PromptSettings
from subjectwise.records import Example
from subjectwise.text.prompt import Prompt, label_shots


@dataclass(frozen=True)
class ZeroShot:
    """What a classifier without training consists of.

    Attributes:
        labels: to choose from.
        base: as for `load_base`.
        style: of the prompt: plain, chat or bare.
        shots: examples for the prompt, in place of the labels' own; None for those.
    """

    labels: LabelSet
    base: str
    style: str
    shots: Sequence[Example] | None = None

    def load(self, compute: Compute) -> tuple[LabelScorer, Base]:
        """Load the base; return a scorer of the labels and the base itself.

        The prompt has the labels' descriptions and examples, where they have any. The reference's 14 labels alone have
        the reference's prompt and its examples.
        """
        base = load_base(self.base, device=compute.device, dtype=loading_dtype(compute.engine, compute.dtype))
        check_head(base.model)
        shots = label_shots(self.labels)
        if self.shots is not None:
            shots = [(row.question.text, row.label) for row in self.shots]
        described = self.labels != LabelSet(MMLU_PRO_LABELS)
        prompt = Prompt(base.tokenizer, self.labels, PromptSettings(style=self.style), shots, described)
        return LabelScorer(base.model, prompt, compute.engine, choose_dtype(base.model.device, compute.dtype)), base
