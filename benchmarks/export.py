"""Compare exported models with the classifier they came from: gaps of probabilities, labels, questions per second.

    python benchmarks/export.py --source QUESTIONS [--count 2000] [--engine onnx ...] [--vllm PYTHON]

The model is exported once for each engine, below benchmarks/work. The classifier answers in float32 without spelling
correction, which exports do not carry; questions that it would cut or change to lower case are left out. All engines
get the same batches, sorted by length, on `OMP_NUM_THREADS` threads. vLLM computes in bfloat16 and serves `/classify`
from an environment of its own, of which PYTHON is the interpreter. Writes results/export.json, and ends with exit code
1 where an engine's answers differ by more than `EXPECTED` says.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import WORK, evenly_spaced, subjectwise, table, write_results
from vllm_server import Server

from subjectwise.data.read_table import read_examples
from subjectwise.engines.engine import OPENVINO, PYTORCH
from subjectwise.engines.openvino.runtime import thread_count
from subjectwise.models.devices import Compute
from subjectwise.models.label_scores import Scorer
from subjectwise.models.model_config import read_config
from subjectwise.models.model_folder import load_model, shipped_folder
from subjectwise.predictors import predictor_files_sha256
from subjectwise.publish.graph_export import Graph, load_onnx, load_openvino
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.types import FloatArray, JsonObject
from subjectwise.utils.versions import library_versions, machine_description

# Probabilities of texts, [texts, labels].
Answer = Callable[[Sequence[str]], FloatArray]

VLLM = "vllm"
# The smallest share of equal labels, and the largest gap of a probability where one is expected.
EXPECTED: dict[str, tuple[float, float]] = {
    "transformers": (1.0, 1e-4), "onnx": (0.995, 1e-4), "openvino": (0.995, 1e-4), VLLM: (0.995, 1.0),
}  # fmt: skip


def load_scorer(model: str, engine: str) -> tuple[Scorer, float]:
    """Return a scorer in float32 that leaves spelling as it is, and the temperature."""
    folder = shipped_folder() if model == "shipped" else Path(model)
    config = read_config(folder)
    plain = replace(config, prompt=replace(config.prompt, spelling="none"))
    return load_model(folder, compute=Compute("cpu", "float32", engine), config=plain).scorer, config.temperature


def own_answers(scorer: Scorer, temperature: float) -> Answer:
    def answer(texts: Sequence[str]) -> FloatArray:
        scores = scorer.score(scorer.encode([Question(text) for text in texts]))
        return apply_temperature(scores.log_probs, temperature)

    return answer


def pipeline_answers(folder: Path) -> Answer:
    """Answer by transformers' own pipeline."""
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    labels = json.loads((folder / "export.json").read_text(encoding="utf-8"))["labels"]

    def answer(texts: Sequence[str]) -> FloatArray:
        rows = classify(list(texts), batch_size=len(texts))
        scores = [{item["label"]: item["score"] for item in row} for row in rows]
        return np.array([[row[label] for label in labels] for row in scores])

    return answer


def graph_answers(folder: Path, graph: Graph) -> Answer:
    """Answer by a graph, with the library `tokenizers` alone beside it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=json.loads((folder / "config.json").read_text(encoding="utf-8"))["pad_token_id"])

    def answer(texts: Sequence[str]) -> FloatArray:
        rows = tokenizer.encode_batch(list(texts))
        ids, mask = (np.array([getattr(row, key) for row in rows], np.int64) for key in ("ids", "attention_mask"))
        logits = graph(ids, mask)
        return np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))

    return answer


@contextmanager
def exported_answers(engine: str, model: str, vllm: str) -> Iterator[Answer]:
    """Yield the answers of an engine to what the model was exported to for it."""
    target = "transformers" if engine == VLLM else engine
    folder = WORK / "export" / f"{target}-{predictor_files_sha256(model)[:12]}"
    if not folder.exists():
        subjectwise("export", model, "--to", target, folder)
    with Server(folder, Path(vllm)) if engine == VLLM else nullcontext() as server:
        if server:
            yield server.probabilities
        elif engine == "transformers":
            yield pipeline_answers(folder)
        else:
            load = load_onnx if engine == "onnx" else load_openvino
            yield graph_answers(folder, load(folder, thread_count()))


def measure(name: str, answer: Answer, batches: Sequence[Sequence[str]]) -> tuple[JsonObject, FloatArray]:
    """Return the speed of an engine, and its answers, [questions, labels]."""
    answer(batches[0])  # whatever is done once
    start = time.perf_counter()
    probabilities = np.concatenate([answer(batch) for batch in batches])
    rate = len(probabilities) / (time.perf_counter() - start)
    return {"engine": name, "questions_per_second": round(rate, 2)}, probabilities


def compare(probabilities: FloatArray, own: FloatArray) -> JsonObject:
    """Return how far an engine's answers are from the classifier's `own`."""
    gaps = np.abs(probabilities - own).max(axis=1)
    return {
        "largest_gap": float(gaps.max()),
        "percentile_99_gap": float(np.quantile(gaps, 0.99)),
        "equal_labels": float((probabilities.argmax(axis=1) == own.argmax(axis=1)).mean()),
    }


def _line(result: JsonObject) -> list[str]:
    line = [result["engine"], f"{result['questions_per_second']:.1f}"]
    if "largest_gap" not in result:
        return [*line, "", "", ""]
    gaps = [f"{result[key]:.1g}" for key in ("largest_gap", "percentile_99_gap")]
    return [*line, *gaps, f"{100 * result['equal_labels']:.2f} %"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shipped", help="a model folder with scored labels")
    parser.add_argument("--source", required=True, help="rows with questions and labels")
    parser.add_argument("--count", type=int, default=2000, help="of questions")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--engine", action="append", choices=EXPECTED, help="by default all; vllm needs --vllm")
    parser.add_argument("--vllm", default="", metavar="PYTHON", help="of an environment that has vLLM")
    options = parser.parse_args()
    engines = options.engine or [engine for engine in EXPECTED if engine != VLLM or options.vllm]
    if VLLM in engines and not options.vllm:
        parser.error("--engine vllm needs --vllm PYTHON")
    scorer, temperature = load_scorer(options.model, PYTORCH)
    rows = read_examples(options.source)
    asked = [rows[index].question.text for index in evenly_spaced(min(options.count, len(rows)), len(rows))]
    encoded = scorer.encode([Question(text) for text in asked])
    # What the classifier cuts or writes in lower case is read differently by design.
    kept = [
        (row.tokens, text)
        for row, text in zip(encoded, asked, strict=True)
        if not row.truncated and not (text.isupper() and len(text.split()) > 3)
    ]
    texts = [text for _, text in sorted(kept)]
    batches = [texts[start : start + options.batch] for start in range(0, len(texts), options.batch)]
    first, own = measure("subjectwise, pytorch", own_answers(scorer, temperature), batches)
    default = own_answers(*load_scorer(options.model, OPENVINO))
    result, probabilities = measure("subjectwise, openvino", default, batches)
    results, wrong = [first, result | compare(probabilities, own)], []
    for engine in engines:
        with exported_answers(engine, options.model, options.vllm) as answer:
            result, probabilities = measure(f"exported, {engine}", answer, batches)
        results.append(result | compare(probabilities, own))
        least, largest = EXPECTED[engine]
        if results[-1]["equal_labels"] < least or not results[-1]["largest_gap"] <= largest:
            wrong.append(engine)
    header = ["engine", "questions/s", "largest gap", "99 % of gaps below", "equal labels"]
    print(f"{len(texts)} questions, batches of {options.batch}, {thread_count()} threads\n")
    print(table(header, [_line(result) for result in results]))
    described = {"versions": library_versions("onnxruntime", "openvino"), "machine": machine_description()}
    settings = {"questions": len(texts), "batch": options.batch, "threads": thread_count()}
    write_results("export.json", {**settings, "source": Path(options.source).name, "engines": results, **described})
    if wrong:
        sys.exit(f"The answers differ by more than expected: {', '.join(wrong)}.")


if __name__ == "__main__":
    main()
