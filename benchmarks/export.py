"""Compare exported models with the classifier they came from: gaps of probabilities, labels, questions per second.

    subjectwise export shipped --to transformers work/transformers   (and onnx, openvino)
    python benchmarks/export.py --model shipped --source QUESTIONS --questions 2000 \
        --transformers work/transformers --onnx work/onnx --openvino work/openvino

The classifier answers without spelling correction, which exports do not carry, and questions that it would cut are left
out. Each engine gets the same questions in the same batches, sorted by length, on `--threads` threads. Writes
results/export.json. vLLM is measured by `make compat-vllm`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from common import evenly_spaced, table, write_results

from subjectwise.data.read_table import read_examples
from subjectwise.models.devices import Compute
from subjectwise.models.label_scores import Scorer
from subjectwise.models.model_config import read_config
from subjectwise.models.model_folder import load_model, shipped_folder
from subjectwise.publish.graph_export import Graph, load_onnx, load_openvino
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.types import FloatArray, JsonObject
from subjectwise.utils.versions import library_versions, machine_description

Answer = Callable[[Sequence[str]], FloatArray]


def load_without_spelling(model: str) -> tuple[Scorer, float]:
    """Return a scorer in float32 that leaves spelling as it is, and the temperature."""
    folder = shipped_folder() if model == "shipped" else Path(model)
    config = read_config(folder)
    plain = replace(config, prompt=replace(config.prompt, spelling="none"))
    return load_model(folder, compute=Compute("cpu", "float32", "pytorch"), config=plain).scorer, config.temperature


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


def measure(name: str, answer: Answer, batches: Sequence[Sequence[str]], own: FloatArray | None) -> JsonObject:
    """Return speed, and how far an engine's answers are from the classifier's `own`."""
    answer(batches[0])  # whatever is done once
    start = time.perf_counter()
    probabilities = np.concatenate([answer(batch) for batch in batches])  # [questions, labels]
    seconds = time.perf_counter() - start
    result: JsonObject = {"engine": name, "questions_per_second": round(len(probabilities) / seconds, 2)}
    if own is not None:
        gaps = np.abs(probabilities - own).max(axis=1)
        result["largest_gap"] = float(gaps.max())
        result["percentile_99_gap"] = float(np.quantile(gaps, 0.99))
        result["equal_labels"] = float((probabilities.argmax(axis=1) == own.argmax(axis=1)).mean())
    return result | {"probabilities": probabilities}


def _line(result: JsonObject) -> list[str]:
    line = [result["engine"], f"{result['questions_per_second']:.1f}"]
    if "largest_gap" not in result:
        return [*line, "", "", ""]
    gaps = [f"{result[key]:.1g}" for key in ("largest_gap", "percentile_99_gap")]
    return [*line, *gaps, f"{100 * result['equal_labels']:.2f} %"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shipped", help="a model folder with scored labels or a head")
    parser.add_argument("--source", required=True, help="rows with questions and labels")
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    for engine in ("transformers", "onnx", "openvino"):
        parser.add_argument(f"--{engine}", type=Path, help="a folder that `subjectwise export` wrote")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scorer, temperature = load_without_spelling(options.model)
    rows = read_examples(options.source)
    asked = [rows[index].question.text for index in evenly_spaced(min(options.questions, len(rows)), len(rows))]
    encoded = scorer.encode([Question(text) for text in asked])
    # What the classifier cuts or writes in lower case is read differently by design.
    kept = [
        (row.tokens, text)
        for row, text in zip(encoded, asked, strict=True)
        if not row.truncated and not (text.isupper() and len(text.split()) > 3)
    ]
    texts = [text for _, text in sorted(kept)]
    batches = [texts[start : start + options.batch] for start in range(0, len(texts), options.batch)]
    results = [measure("subjectwise, pytorch", own_answers(scorer, temperature), batches, None)]
    own = results[0]["probabilities"]
    if options.transformers:
        results.append(measure("transformers pipeline", pipeline_answers(options.transformers), batches, own))
    if options.onnx:
        graph = load_onnx(options.onnx, options.threads)
        results.append(measure("ONNX Runtime", graph_answers(options.onnx, graph), batches, own))
    if options.openvino:
        graph = load_openvino(options.openvino, options.threads)
        results.append(measure("OpenVINO", graph_answers(options.openvino, graph), batches, own))
    for result in results:
        del result["probabilities"]
    header = ["engine", "questions/s", "largest gap", "99 % of gaps below", "equal labels"]
    print(f"{len(texts)} questions, batches of {options.batch}, {options.threads} threads, float32\n")
    print(table(header, [_line(result) for result in results]))
    described = {"versions": library_versions("onnxruntime", "openvino"), "machine": machine_description()}
    settings = {"questions": len(texts), "batch": options.batch, "threads": options.threads}
    write_results("export.json", {**settings, "source": Path(options.source).name, "engines": results, **described})


if __name__ == "__main__":
    main()
