"""A sequence-classification model as an ONNX or OpenVINO graph, with any number of rows and tokens."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from subjectwise.models.base_model import is_encoder
from subjectwise.types import FloatArray, IntArray, LanguageModel
from subjectwise.utils.optional_dependencies import require

ONNX_FILE = "model.onnx"
OPENVINO_FILE = "openvino_model.xml"
_INPUTS = ("input_ids", "attention_mask")
_OUTPUT = "logits"

# Logits [rows, labels] of token ids and their mask, both [rows, tokens].
Graph = Callable[[IntArray, IntArray], FloatArray]


class GraphModule(torch.nn.Module):
    """The forward pass as a graph has it: token ids and a mask in, float32 logits out.

    The mask, and not a pad token, says where a row of a decoder ends.

    Args:
        model: a decoder or an encoder with a classification head.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model
        self._is_encoder = is_encoder(model.config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits, [rows, labels].

        Args:
            input_ids: [rows, tokens].
            attention_mask: 1 for each token and 0 for padding on the right, [rows, tokens].
        """
        if self._is_encoder:
            logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
            return logits.float()
        tokens = input_ids.shape[1]
        positions = torch.arange(tokens)
        # Padding is on the right, where no token of the row sees it: one mask serves all rows.
        unseen = positions[None, :] > positions[:, None]
        mask = torch.zeros(tokens, tokens).masked_fill(unseen, torch.finfo(torch.float32).min)
        hidden = self.model.base_model(
            input_ids=input_ids,
            attention_mask=mask[None, None],  # [1, 1, tokens, tokens]
            position_ids=positions[None, :],
            use_cache=False,
        ).last_hidden_state
        last = attention_mask.sum(dim=1) - 1  # [rows]
        pooled = hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[-1]))[:, 0]  # [rows, hidden]
        scored: Tensor = self.model.score(pooled)
        return scored.float()


def write_onnx(model: LanguageModel, folder: Path) -> Graph:
    """Write `model.onnx` and return it, loaded by ONNX Runtime.

    Args:
        model: in float32.
        folder: existing.

    Raises:
        SubjectwiseError: onnx, onnxscript or onnxruntime is not installed.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "export")
    rows, tokens = torch.export.Dim("rows", min=1), torch.export.Dim("tokens", min=2)
    ids = torch.ones(2, 7, dtype=torch.long)
    with _quiet():
        torch.onnx.export(
            GraphModule(model).eval(),
            (ids, torch.ones_like(ids)),
            folder / ONNX_FILE,
            input_names=list(_INPUTS),
            output_names=[_OUTPUT],
            dynamic_shapes={name: {0: rows, 1: tokens} for name in _INPUTS},
            dynamo=True,
            verbose=False,
        )
    return load_onnx(folder)


def load_onnx(folder: Path, threads: int = 0) -> Graph:
    """Load `model.onnx` on the CPU, with `threads` threads (0 for all cores)."""
    onnxruntime = require("onnxruntime", "export")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(folder / ONNX_FILE), options, providers=["CPUExecutionProvider"])

    def run(input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        outputs = session.run([_OUTPUT], dict(zip(_INPUTS, (input_ids, attention_mask), strict=True)))
        return np.asarray(outputs[0], dtype=np.float64)

    return run


def write_openvino(model: LanguageModel, folder: Path, half: bool = False) -> Graph:
    """Write `openvino_model.xml` with its weights and return it, compiled for the CPU in float32.

    Args:
        model: in float32.
        folder: existing.
        half: whether the weights are stored in 16 bits.
    """
    from subjectwise.utils.openvino_import import openvino

    ids = torch.ones(2, 7, dtype=torch.long)
    with _quiet(), torch.inference_mode():
        graph = openvino.convert_model(GraphModule(model).eval(), example_input=(ids, torch.ones_like(ids)))
    for port, name in zip(graph.inputs, _INPUTS, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
        port.get_node().set_element_type(openvino.Type.i64)
    graph.outputs[0].get_tensor().set_names({_OUTPUT})
    graph.validate_nodes_and_infer_types()
    openvino.save_model(graph, folder / OPENVINO_FILE, compress_to_fp16=half)
    return load_openvino(folder)


def load_openvino(folder: Path, threads: int = 0) -> Graph:
    """Load `openvino_model.xml` and compile it for the CPU in float32, with `threads` threads (0 for all cores)."""
    from subjectwise.utils.openvino_import import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    compiled = openvino.Core().compile_model(folder / OPENVINO_FILE, "CPU", settings)

    def run(input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        outputs = compiled(dict(zip(_INPUTS, (input_ids, attention_mask), strict=True)))
        return np.asarray(outputs[_OUTPUT], dtype=np.float64)

    return run


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[IntArray, IntArray]:
    """Return token ids padded on the right with `pad`, and their mask, both [rows, longest]."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)], mask[index, : len(row)] = row, 1
    return ids, mask


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' reports of progress and their advice to developers off the screen."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        yield
