"""The parts of gpu.py: each measures one thing on one GPU and returns figures."""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from common import HERE
from gpu_ways import Answer, Setting, generate, layer_weights, ours, plain_head, scorer_of

from subjectwise.engines.engine import PYTORCH
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.forward import decoder_of
from subjectwise.engines.pytorch.packed_decoder import RUNS_BEFORE_CAPTURE
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.devices import Compute
from subjectwise.models.label_scores import LabelScorer
from subjectwise.models.model_folder import load_model, shipped_folder
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.records import Example, Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.training.tasks import label_task
from subjectwise.training.training_rows import RowView
from subjectwise.types import FloatArray

# What is wanted of each figure (docs/performance.md).
LABELS_EQUAL, GAP = 0.995, 0.03
BULK_SHARE, TRAINING_SHARE, AGAINST_HEAD, ONE_QUESTION = 0.40, 0.20, 3.0, 0.006

# (recipe, rows of a batch) whose training is timed.
TRAINED = (("reference", 16), ("reference", 64), ("embedded", 128))


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        part: of the script.
        what: was measured.
        value: in `unit`.
        unit: such as `questions/s`.
        share: of the matrix product's rate, where that is a bound.
        wanted: what the value, or the share where there is one, should be; as text.
        met: whether it is.
    """

    part: str
    what: str
    value: float
    unit: str
    share: float | None = None
    wanted: str = ""
    met: bool | None = None


class Clock:
    """What is left of the time."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()


@dataclass
class Run:
    """What the parts share.

    Attributes:
        setting: what is measured on.
        clock: of the whole run.
        questions: to answer.
        arguments: of the command.
        matrix_product: operations per second, measured by `limits`.
    """

    setting: Setting
    clock: Clock
    questions: list[str]
    arguments: argparse.Namespace
    matrix_product: float = float("nan")


def limits(run: Run) -> list[Figure]:
    """Time a bf16 matrix product of 8,192 cubed and a copy of a gigabyte."""
    device, size = run.setting.device, 256 if run.setting.tiny else 8192
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    big = torch.zeros(2**20 if run.setting.tiny else 2**30, dtype=torch.uint8, device=device)
    copy = torch.empty_like(big)
    run.matrix_product = 2 * size**3 / _seconds(run, lambda: a @ b, 9)
    copied = 2 * big.numel() / _seconds(run, lambda: copy.copy_(big), 9)
    return [
        Figure("limits", "matrix product, bf16", run.matrix_product / 1e12, "TFLOP/s"),
        Figure("limits", "copy, read and written", copied / 1e12, "TB/s"),
    ]


def right(run: Run) -> list[Figure]:
    """Compare the shipped adapter's answers with those in float32 on the CPU, 500 questions."""
    questions = [Question(text) for text in _spread(run.questions, 40 if run.setting.tiny else 500)]
    expected, _ = _probabilities(run, questions, reference=True)
    given, captured = _probabilities(run, questions, reference=False)
    equal = float((given.argmax(axis=1) == expected.argmax(axis=1)).mean())
    gap = float(np.quantile(np.abs(given - expected).max(axis=1), 0.99))
    return [
        Figure("right", "labels equal", 100 * equal, "%", None, f">= {100 * LABELS_EQUAL:g}", equal >= LABELS_EQUAL),
        Figure("right", "gap of probabilities, p99", gap, "", None, f"<= {GAP:g}", gap <= GAP),
        Figure("right", "sizes of packs captured", captured, "", None, "", None if run.setting.tiny else captured > 1),
    ]


def _probabilities(run: Run, questions: Sequence[Question], *, reference: bool) -> tuple[FloatArray, int]:
    """Return probabilities, [questions, labels], and how many sizes of packs are captured.

    A trial has those of the random base.
    """
    if run.setting.tiny:
        scorer, temperature = scorer_of(run.setting, "plain", () if reference else run.setting.packs), 1.0
    else:
        compute = Compute("cpu", "float32", PYTORCH) if reference else Compute(str(run.setting.device), "auto", PYTORCH)
        loaded = load_model(shipped_folder(), compute=compute)
        assert isinstance(loaded.scorer, LabelScorer)
        scorer, temperature = loaded.scorer, loaded.config.temperature
    encoded = scorer.encode(questions)
    log_probs, captured = scorer.score(encoded).log_probs, 0
    if not reference:
        assert isinstance(scorer.engine, PyTorchEngine) and scorer.engine.packed_decoder, "not run in packs"
        for _ in range(RUNS_BEFORE_CAPTURE):
            log_probs = scorer.score(encoded).log_probs
        # The first of them one by one, in the smallest size.
        for index, question in enumerate(encoded[: 4 * RUNS_BEFORE_CAPTURE]):
            log_probs[index] = scorer.score([question]).log_probs[0]
        captured = len(scorer.engine.packed_decoder.captured)
    return apply_temperature(log_probs, temperature), captured


def speed(run: Run) -> Iterator[Figure]:
    """Time each way of answering, in bulk and one question at a time."""
    setting = run.setting
    base = load_base(str(setting.base), device="cpu")
    weights, tokenizer = layer_weights(base.model), base.tokenizer
    # (name, way, one question in so many)
    ways: list[tuple[str, Callable[[], Answer], int]] = [
        ("ours, plain", lambda: ours(setting, "plain"), 1),
        ("plain head", lambda: plain_head(setting), 1),
        ("ours, bare", lambda: ours(setting, "bare"), 1),
        ("ours, plain, padded batches", lambda: ours(setting, "plain", packed=False), 4),
        ("generate, batches", lambda: generate(setting, 64), 16),
        ("card's loop", lambda: generate(setting, 1), 512),
    ]
    rates: dict[str, float] = {}
    for name, make, step in ways:
        if run.clock.left < 30:
            break
        answer = make()
        chosen = run.questions[step // 2 :: step] or run.questions[:1]
        answer(chosen)
        per_pass = _seconds(run, partial(answer, chosen), 3)
        rates[name] = len(chosen) / per_pass
        tokens = sum(map(len, tokenizer(chosen, add_special_tokens=False)["input_ids"]))
        share = 2 * weights * tokens / per_pass / run.matrix_product
        wanted = ("40 % of the matrix product", share >= BULK_SHARE) if name == "ours, plain" else ("", None)
        yield Figure("speed", name, rates[name], "questions/s", share, *wanted)
        singles = _spread(run.questions, 8 if setting.tiny or step > 4 else 200)
        for text in singles[:8]:
            answer([text])
        taken = [_timed(run, partial(answer, [text])) for text in singles]
        for quantile in (50, 99):
            value = float(np.quantile(taken, quantile / 100))
            single = ("<= 6 ms", value <= ONE_QUESTION) if (name, quantile) == ("ours, plain", 50) else ("", None)
            yield Figure("speed", f"{name}, one question, p{quantile}", 1000 * value, "ms", None, *single)
        del answer
        _free(run)
    if {"ours, plain", "plain head"} <= set(rates):
        ratio = rates["ours, plain"] / rates["plain head"]
        met = ratio >= AGAINST_HEAD
        yield Figure("speed", "ours, plain / plain head", ratio, "x", None, f">= {AGAINST_HEAD:g}", met)


def training(run: Run) -> Iterator[Figure]:
    """Time steps of training: forward and backward pass and optimizer."""
    for name, rows in TRAINED[1:] if run.setting.tiny else TRAINED:
        for compiled in (False,) if run.setting.tiny else (False, True):
            if run.clock.left < 40:
                return
            base = "embedded" if name == "embedded" and not run.setting.tiny else str(run.setting.base)
            recipe = load_recipe(name, [f"base={base}", f"training.compile={str(compiled).lower()}"])
            what = f"{name}, {rows} rows, {'compiled' if compiled else 'as it is'}"
            yield from _train(run, recipe, 2 if run.setting.tiny else rows, what)
            _free(run)


def _train(run: Run, recipe: Recipe, rows: int, what: str) -> list[Figure]:
    device, labels = run.setting.device, LabelSet(MMLU_PRO_LABELS)
    names = [labels.names[i % len(labels.names)] for i in range(rows)]
    texts = run.questions[:rows]
    examples = [Example(f"r{i}", Question(text), names[i]) for i, text in enumerate(texts)]
    task = label_task(recipe, labels, examples, str(device), "auto", None)
    model, batch = task.base.model, [task.rows[RowView(i)] for i in range(len(texts))]
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], fused=True)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = task.loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model.train()
    taken = _seconds(run, step, 5)
    tokens = sum(len(item.ids) for item in batch)
    weights = sum(weight.numel() for weight in decoder_of(model).layers.parameters())
    share = 4 * weights * tokens / taken / run.matrix_product  # the base's weights need no gradient
    figures = [
        Figure("training", what, taken, "s/step", share, "20 % of the matrix product", share >= TRAINING_SHARE),
        Figure("training", what, tokens / taken, "tokens/s"),
    ]
    if device.type == "cuda":
        figures.append(Figure("training", what, torch.cuda.max_memory_allocated() / 1e9, "GB"))
    return figures


def accuracy(run: Run) -> Iterator[Figure]:
    """Train further seeds of the shipped adapter's recipe, as many as the time allows; they stay in --output."""
    for seed in range(1, 100):
        if run.arguments.mix is None or run.clock.left < 90:
            break
        started = time.monotonic()
        options = ["--data", run.arguments.mix, "--seeds", seed, "--output", run.arguments.output]
        command = [sys.executable, str(HERE / "gpu_training.py"), *map(str, options)]
        subprocess.run(command, check=True, timeout=run.clock.left, stdout=sys.stderr)
        yield Figure("accuracy", f"seed {seed} trained", time.monotonic() - started, "s")


PARTS: tuple[Callable[[Run], Iterable[Figure]], ...] = (limits, right, speed, training, accuracy)


def _spread(items: Sequence[str], count: int) -> list[str]:
    """Return items evenly spread over their lengths."""
    ordered = sorted(items, key=len)
    return [ordered[int(i)] for i in np.linspace(0, len(ordered) - 1, min(count, len(ordered)))]


def _timed(run: Run, work: Callable[[], object]) -> float:
    run.setting.synchronize()
    started = time.perf_counter()
    work()
    run.setting.synchronize()
    return time.perf_counter() - started


def _seconds(run: Run, work: Callable[[], object], times: int) -> float:
    """Return the median of some calls after three that are not counted."""
    for _ in range(1 if run.setting.tiny else 3):
        work()
    return statistics.median(_timed(run, work) for _ in range(1 if run.setting.tiny else times))


def _free(run: Run) -> None:
    gc.collect()
    if run.setting.device.type == "cuda":
        torch.cuda.empty_cache()
