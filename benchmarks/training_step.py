"""Times one training step of the embedded base, as tokens per second, with and without compiled layers.

    python benchmarks/training_step.py [--rows 16] [--tokens 64] [--steps 6]

Forward and backward pass and optimizer step, random token ids, LoRA as the recipe `embedded` has it. Beside it stands
a large bf16 matrix product of the same machine and run, and the share of it that the step reaches. A step is counted as
4 x tokens x weights of the layers: a product forward and one backward, since the base's weights need no gradient.
Two minutes on two cores.
"""

from __future__ import annotations

import argparse
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from subjectwise.models.base_model import load_base
from subjectwise.recipe import load_recipe
from subjectwise.training.tasks import with_adapter


def seconds(work: Callable[[], Any], times: int) -> float:
    """The median of `times` runs, after two that are not counted."""
    taken = []
    for _ in range(times + 2):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return sorted(taken[2:])[times // 2]


def ceiling() -> float:
    """Operations per second of a bf16 matrix product of 2,048 cubed."""
    a, b = (torch.randn(2048, 2048, dtype=torch.bfloat16) for _ in range(2))
    return 2 * 2048**3 / seconds(lambda: a @ b, 9)


def step(attention: str, compiled: bool, rows: int, tokens: int) -> Callable[[], None]:
    recipe = load_recipe("embedded")
    recipe = replace(recipe, training=replace(recipe.training, compile=compiled))
    model = with_adapter(load_base("embedded", attention=attention), recipe)
    decoder = model.get_base_model().get_decoder()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4)
    ids = torch.randint(0, 40_000, (rows, tokens))

    def run() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
            loss = hidden[:, -1].float().pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    base = load_base("embedded")
    weights = sum(weight.numel() for weight in base.model.get_decoder().layers.parameters())
    limit = ceiling()
    print(f"matrix product: {limit / 1e12:.2f} TFLOP/s; {arguments.rows} rows x {arguments.tokens} tokens")
    print("| attention | layers | tokens/s | of the matrix product |\n|---|---|---|---|")
    for attention, compiled in (("sdpa", False), ("eager", False), ("eager", True)):
        if compiled and not shutil.which("c++"):
            print(f"| {attention} | compiled | - (no C++ compiler) | - |")
            continue
        taken = seconds(step(attention, compiled, arguments.rows, arguments.tokens), arguments.steps)
        rate = arguments.rows * arguments.tokens / taken
        name = "compiled" if compiled else "as they are"
        print(f"| {attention} | {name} | {rate:,.0f} | {4 * weights * rate / limit:.0%} |", flush=True)


if __name__ == "__main__":
    main()
