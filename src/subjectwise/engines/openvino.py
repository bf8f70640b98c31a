"""The OpenVINO engine: the same pass as PyTorch's, compiled for this machine's CPU. Knows token ids; knows no labels.

The model is traced once, the prefix's keys and values with it as constants; OpenVINO then joins operations and lays
the weights out for the processor. The output head stays in PyTorch. `benchmarks/speed.py` measures both.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from subjectwise.engines.attention import register
from subjectwise.engines.output_head import OutputHead
from subjectwise.engines.pytorch import PADDING, tokens_per_batch
from subjectwise.engines.reading import (
    NO_TAIL,
    SHORT_PREFIX,
    Prefix,
    Rows,
    Tail,
    arrange,
    decoder_of,
    prefix_cache,
    read_prefix,
    shares_prefix,
)
from subjectwise.errors import BaseModelError

INSTALL = "pip install 'subjectwise[openvino]'"


class OpenVINOEngine:
    """A model compiled by OpenVINO; answers as `PyTorchEngine` does.

    Args:
        model: in float32, on the CPU. It is not needed afterwards.
        precision: what the compiled model computes in.

    Raises:
        BaseModelError: OpenVINO is not installed, or cannot read such a model.
    """

    def __init__(self, model: Any, prefix_ids: Sequence[int], precision: torch.dtype = torch.float32) -> None:
        try:
            import openvino
        except ImportError as error:
            raise BaseModelError(f"The engine openvino is not installed; run: {INSTALL}") from error
        if model.device.type != "cpu":
            raise BaseModelError("The engine openvino is for the CPU; use --device cpu, or --engine pytorch.")
        if not shares_prefix(model):
            raise BaseModelError(
                f"The engine openvino reads no {type(model).__name__} with windows; use --engine pytorch."
            )
        model.eval().set_attn_implementation(register())
        with torch.inference_mode():
            self._head = OutputHead(model, precision)
            self.prefix = read_prefix(model, prefix_ids, share=len(prefix_ids) >= SHORT_PREFIX)
        self._compiled = _compile(openvino, _Reader(model, self.prefix), precision)
        self._own = threading.local()

    @property
    def tokens_per_batch(self) -> int:
        return tokens_per_batch(torch.device("cpu"))

    def most_padding(self, longest: int, tail: Tail) -> int:
        return PADDING

    def token_log_probs(
        self, rows: Sequence[Sequence[int]], tail: Tail, wanted: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """As `PyTorchEngine.token_log_probs`. Threads may ask at once: each has a request of its own."""
        with torch.inference_mode():
            return self._head.log_probs(self.read(rows, tail), wanted)

    def read(self, rows: Sequence[Sequence[int]], tail: Tail) -> Rows:
        """The hidden states that scoring reads, as `read_rows_with_tail` gives them, in float32."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        inputs = arrange(self.prefix, rows, tail, torch.float32)
        parts = [part.numpy() for part in (inputs.tokens, inputs.positions, inputs.mask)]
        found = self._own.request.infer(parts, share_inputs=True)
        return inputs.pick(torch.from_numpy(found[0]))


class _Reader(torch.nn.Module):
    """The pass that is compiled: tokens, positions and mask of a batch to hidden states, [rows, tokens, hidden]."""

    def __init__(self, model: Any, prefix: Prefix) -> None:
        super().__init__()
        self.decoder = decoder_of(model)
        for number, (keys, values) in enumerate(prefix.layers or ()):
            self.register_buffer(f"keys{number}", keys.clone())
            self.register_buffer(f"values{number}", values.clone())
        self._layers = len(prefix.layers or ())
        self._example = arrange(prefix, [[1] * 8, [1] * 5], NO_TAIL, torch.float32)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        cache = None
        if self._layers:
            kept = [(getattr(self, f"keys{i}"), getattr(self, f"values{i}")) for i in range(self._layers)]
            cache = prefix_cache(self.decoder.config, kept, tokens.shape[0])
        read = self.decoder(
            input_ids=tokens,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        hidden: Tensor = read.last_hidden_state
        return hidden

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with."""
        inputs = self._example
        return {"tokens": inputs.tokens, "positions": inputs.positions, "mask": inputs.mask}


def _compile(openvino: Any, reader: _Reader, precision: torch.dtype) -> Any:
    hint = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}[precision]
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    try:
        return openvino.Core().compile_model(_traced(reader), "CPU", settings)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise BaseModelError(f"OpenVINO cannot read this model ({text}); use --engine pytorch.") from error


def _traced(reader: _Reader) -> Any:
    """OpenVINO's model of the pass. Its `convert_model` would tell its makers, over the network, that it was used."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that sizes become constants, which those of a question do not
        front_end = FrontEndManager().load_by_framework("pytorch")
        traced = TorchScriptPythonDecoder(reader, example_input=reader.example())  # named: the front end keeps no hold
        return front_end.convert(front_end.load(traced))
