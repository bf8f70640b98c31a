"""Any labels on an untrained base, by the prompt alone. Not calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from subjectwise.engines.engine import OPENVINO, Engine
from subjectwise.engines.generation import Generator
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.compiled_base import load_compiled_base
from subjectwise.models.devices import Compute
from subjectwise.models.engine_choice import choose_engine
from subjectwise.models.label_scores import LabelScorer
from subjectwise.recipe import PromptSettings
from subjectwise.records import Example
from subjectwise.text.prompt import Prompt, label_shots
from subjectwise.types import Tokenizer


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

    def load(self, compute: Compute) -> tuple[LabelScorer, Generator]:
        """Load the base; return a scorer of the labels, and the base as it continues texts.

        The prompt has the labels' descriptions and examples, where they have any. The reference's 14 labels alone have
        the reference's prompt and its examples.
        """
        engine: Engine
        if choose_engine(compute, self.base) == OPENVINO:
            from subjectwise.engines.openvino.engine import OpenVINOEngine

            compiled = load_compiled_base(self.base, dtype=compute.dtype)
            prompt = self._prompt(compiled.tokenizer())
            engine = OpenVINOEngine(compiled.decoder, prompt.prefix_ids)
            return LabelScorer(engine, prompt), engine
        from subjectwise.engines.pytorch.engine import PyTorchEngine
        from subjectwise.engines.pytorch.output_head import check_head
        from subjectwise.models.base_model import load_base

        loaded = load_base(self.base, device=compute.device, dtype=compute.dtype)
        check_head(loaded.model)
        prompt = self._prompt(loaded.tokenizer)
        engine = PyTorchEngine(loaded.model, prompt.prefix_ids)
        return LabelScorer(engine, prompt), engine

    def _prompt(self, tokenizer: Tokenizer) -> Prompt:
        shots = label_shots(self.labels)
        if self.shots is not None:
            shots = [(row.question.text, row.label) for row in self.shots]
        described = self.labels != LabelSet(MMLU_PRO_LABELS)
        return Prompt(tokenizer, self.labels, PromptSettings(style=self.style), shots, described)
