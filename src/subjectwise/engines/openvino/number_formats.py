"""In which numbers weights are stored: 16 bits where that loses nothing that counts, else 32. Knows no model.

float16 has 3 more bits for the digits than bfloat16 and less range. Weights of language models are between 1e-6 and
100, merged adapters are not bfloat16 numbers any more, and a weight below 6e-5 loses at most 3e-8: float16 is the
closer of the two, unless a weight is above 65,504.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import openvino as ov

from subjectwise.types import FloatArray

FLOAT32, BFLOAT16, FLOAT16 = "f32", "bf16", "f16"


@dataclass(frozen=True)
class Stored:
    """A weight as it is stored.

    Attributes:
        kind: `f32`, `bf16` or `f16`.
        values: in that format; bfloat16 numbers as the upper halves of float32 numbers.
    """

    kind: str
    values: npt.NDArray[np.generic]

    def tensor(self) -> ov.Tensor:
        """Return it as OpenVINO has it; the memory is shared."""
        kind = {"f32": ov.Type.f32, "bf16": ov.Type.bf16, "f16": ov.Type.f16}[self.kind]
        return ov.Tensor(self.values, list(self.values.shape), kind)
