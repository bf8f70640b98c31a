"""A base that continues texts, with or without an adapter for it: what writes the sentence of an explanation."""

from __future__ import annotations

from pathlib import Path

from subjectwise.engines.engine import OPENVINO
from subjectwise.engines.generation import Generator
from subjectwise.models.compiled_base import load_compiled_base
from subjectwise.models.devices import AUTO, Compute
from subjectwise.models.engine_choice import choose_engine
from subjectwise.models.lora import merge_adapter
from subjectwise.types import Tokenizer


def load_generator(name: str, compute: Compute = AUTO, adapter: Path | None = None) -> tuple[Generator, Tokenizer]:
    """Load a base that continues texts, and its tokenizer.

    Args:
        name: as for `load_base`.
        compute: device, precision and engine.
        adapter: a folder with an adapter to merge into it; None for the base alone.

    Raises:
        BaseModelError: the base cannot be loaded.
        ModelFolderError: the adapter is damaged.
    """
    if choose_engine(compute, name) == OPENVINO:
        from subjectwise.engines.openvino.engine import OpenVINOEngine

        compiled = load_compiled_base(name, dtype=compute.dtype, adapter=adapter)
        return OpenVINOEngine(compiled.decoder, []), compiled.tokenizer()
    from subjectwise.engines.pytorch.engine import PyTorchEngine
    from subjectwise.models.base_model import load_base

    base = load_base(name, device=compute.device, dtype=compute.dtype)
    if adapter:
        merge_adapter(base.model, adapter)
    base.model.eval()
    return PyTorchEngine(base.model, []), base.tokenizer
