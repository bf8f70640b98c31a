"""A base without any adapter, to continue texts with: what writes the sentence of an explanation."""

from __future__ import annotations

from subjectwise.engines.engine import OPENVINO
from subjectwise.engines.generation import Generator
from subjectwise.models.compiled_base import load_compiled_base
from subjectwise.models.devices import AUTO, Compute
from subjectwise.models.engine_choice import choose_engine
from subjectwise.types import Tokenizer


def load_generator(name: str, compute: Compute = AUTO) -> tuple[Generator, Tokenizer]:
    """Load a base that continues texts, and its tokenizer.

    Args:
        name: as for `load_base`.
        compute: device, precision and engine.

    Raises:
        BaseModelError: the base cannot be loaded.
    """
    if choose_engine(compute, name) == OPENVINO:
        from subjectwise.engines.openvino.engine import OpenVINOEngine

        compiled = load_compiled_base(name, dtype=compute.dtype)
        return OpenVINOEngine(compiled.decoder, []), compiled.tokenizer()
    from subjectwise.engines.pytorch.engine import PyTorchEngine
    from subjectwise.models.base_model import load_base

    base = load_base(name, device=compute.device, dtype=compute.dtype)
    return PyTorchEngine(base.model, []), base.tokenizer
