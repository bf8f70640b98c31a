"""The OpenVINO engine: PyTorch's forward pass compiled for this machine's CPU. Knows token ids; knows no labels.

The model is traced once, with the prefix's keys and values as constants; OpenVINO then fuses operations and lays the
weights out for the processor. The output head stays in PyTorch. `benchmarks/speed.py` measures both.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from subjectwise.engines.label_trie import NO_TREE, TokenTree
from subjectwise.engines.pytorch.attention import register
from subjectwise.engines.pytorch.engine import tokens_per_batch
from subjectwise.engines.pytorch.forward import (
    SHORT_PREFIX,
    HiddenStates,
    Prefix,
    arrange,
    decoder_of,
    prefix_cache,
    run_prefix,
    shares_prefix,
)
from subjectwise.engines.pytorch.output_head import OutputHead
from subjectwise.engines.token_budget import PADDING
from subjectwise.errors import BaseModelError
from subjectwise.types import FloatArray, LanguageModel
from subjectwise.utils.optional_dependencies import require


class OpenVINOEngine:
    """A model compiled by OpenVINO; answers as `PyTorchEngine` does.

    Args:
        model: in float32, on the CPU. It is not needed afterwards.
        prefix_ids: the prompt's prefix, which becomes part of the compiled model.
        precision: what the compiled model computes in.

    Raises:
        SubjectwiseError: OpenVINO is not installed.
        BaseModelError: it cannot run such a model.
    """

    def __init__(self, model: LanguageModel, prefix_ids: Sequence[int], precision: torch.dtype = torch.float32) -> None:
        openvino = require("openvino", "openvino")
        if model.device.type != "cpu":
            raise BaseModelError("The engine openvino is for CPUs; use --device cpu, or --engine pytorch.")
        if not shares_prefix(model):
            raise BaseModelError(
                f"The engine openvino cannot run {type(model).__name__}, which has a sliding window; "
                "use --engine pytorch."
            )
        model.eval().set_attn_implementation(register())
        with torch.inference_mode():
            self._head = OutputHead(model, precision)
            self.prefix = run_prefix(model, prefix_ids, share=len(prefix_ids) >= SHORT_PREFIX)
        self._compiled = _compile(openvino, _Decoder(model, self.prefix), precision)
        self._own = threading.local()

    @property
    def tokens_per_batch(self) -> int:
        """How many tokens are read at once."""
        return tokens_per_batch(torch.device("cpu"))

    def padding_limit(self, longest: int, tree: TokenTree) -> int:
        """Return the tokens of padding that cost as much as another batch."""
        return PADDING

    def token_log_probs(
        self, rows: Sequence[Sequence[int]], tree: TokenTree, wanted: Sequence[Sequence[int]]
    ) -> list[FloatArray]:
        """Return what `PyTorchEngine.token_log_probs` does. Several threads may ask at once."""
        with torch.inference_mode():
            return self._head.log_probs(self.run(rows, tree), wanted)

    def run(self, rows: Sequence[Sequence[int]], tree: TokenTree) -> HiddenStates:
        """Return the hidden states that scoring reads, as `run_rows_with_tree` does, in float32."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        inputs = arrange(self.prefix, rows, tree, torch.float32)
        parts = [part.numpy() for part in (inputs.tokens, inputs.positions, inputs.mask)]
        outputs = self._own.request.infer(parts, share_inputs=True)
        return inputs.pick(torch.from_numpy(outputs[0]))


class _Decoder(torch.nn.Module):
    """What is compiled: from tokens, positions and mask of a batch to hidden states, [rows, tokens, hidden]."""

    def __init__(self, model: LanguageModel, prefix: Prefix) -> None:
        super().__init__()
        self.decoder = decoder_of(model)
        for number, (keys, values) in enumerate(prefix.layers or ()):
            self.register_buffer(f"keys{number}", keys.clone())
            self.register_buffer(f"values{number}", values.clone())
        self._layers = len(prefix.layers or ())
        self._example = arrange(prefix, [[1] * 8, [1] * 5], NO_TREE, torch.float32)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        cache = None
        if self._layers:
            kept = [(getattr(self, f"keys{i}"), getattr(self, f"values{i}")) for i in range(self._layers)]
            cache = prefix_cache(self.decoder.config, kept, tokens.shape[0])
        states = self.decoder(
            input_ids=tokens,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        hidden: Tensor = states.last_hidden_state
        return hidden

    def example(self) -> dict[str, Tensor]:
        """Return inputs to trace with."""
        inputs = self._example
        return {"tokens": inputs.tokens, "positions": inputs.positions, "mask": inputs.mask}


def _compile(openvino: ModuleType, decoder: _Decoder, precision: torch.dtype) -> Any:
    hint = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}[precision]
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    try:
        return openvino.Core().compile_model(_traced(decoder), "CPU", settings)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise BaseModelError(f"OpenVINO cannot run this model ({text}); use --engine pytorch.") from error


def _traced(decoder: _Decoder) -> Any:
    """Return OpenVINO's model of the pass, without `convert_model`, which would send telemetry."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about sizes that become constants; those of a question do not
        front_end = FrontEndManager().load_by_framework("pytorch")
        traced = TorchScriptPythonDecoder(decoder, example_input=decoder.example())  # the front end keeps no reference
        return front_end.convert(front_end.load(traced))
