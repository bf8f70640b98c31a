"""Compares the OpenVINO engine with the plain path: one question at a time, in float32, without cache or batches.

    python benchmarks/parity.py QUESTIONS.parquet [--count 2000] [--dtype auto float32]

Prints one JSON object: the share of equal labels, and the gaps of probabilities, the largest of each question. Writes
it to benchmarks/results/parity.json.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from common import write_results
from tqdm import tqdm

from subjectwise.data.read_table import read_examples
from subjectwise.engines.engine import OPENVINO, PYTORCH
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.plain_path import plain_log_probs
from subjectwise.models.devices import Compute
from subjectwise.models.label_scores import LabelScorer, normalise
from subjectwise.models.model_folder import load_model, shipped_folder
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.types import FloatArray, JsonObject
from subjectwise.utils.versions import library_versions, machine_description


def plain_probabilities(questions: list[Question]) -> FloatArray:
    """Return the shipped model's probabilities by the plain path, [questions, labels]."""
    loaded = load_model(shipped_folder(), compute=Compute("cpu", "float32", PYTORCH))
    scorer = loaded.scorer
    assert isinstance(scorer, LabelScorer) and isinstance(scorer.engine, PyTorchEngine)
    model, prefix = scorer.engine.model, scorer.prompt.prefix_ids
    model.set_attn_implementation("eager")
    rows = [question.ids for question in scorer.encode(questions)]
    summed = [plain_log_probs(model, [*prefix, *row], scorer.trie) for row in tqdm(rows, desc="plain path")]
    log_probs = normalise(np.concatenate(summed), len(scorer.labels)).log_probs
    return apply_temperature(log_probs, loaded.config.temperature)


def openvino_probabilities(questions: list[Question], dtype: str) -> FloatArray:
    """Return the shipped model's probabilities by the OpenVINO engine, [questions, labels]."""
    loaded = load_model(shipped_folder(), compute=Compute("cpu", dtype, OPENVINO))
    scores = loaded.scorer.score(loaded.scorer.encode(questions))
    return apply_temperature(scores.log_probs, loaded.config.temperature)


def compare(expected: FloatArray, given: FloatArray) -> JsonObject:
    gaps = np.abs(given - expected).max(axis=1)
    return {
        "labels_equal": float((given.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        "gap_p50": float(np.quantile(gaps, 0.5)),
        "gap_p99": float(np.quantile(gaps, 0.99)),
        "gap_max": float(gaps.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", help="a table of questions")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--dtype", nargs="*", default=["auto", "float32"])
    arguments = parser.parse_args()
    rows = read_examples(arguments.questions)
    chosen = np.random.default_rng(0).permutation(len(rows))[: arguments.count]
    questions = [Question(rows[index].question.text) for index in chosen]
    expected = plain_probabilities(questions)
    results = {dtype: compare(expected, openvino_probabilities(questions, dtype)) for dtype in arguments.dtype}
    about = {"questions": len(questions), "machine": machine_description(), "versions": library_versions()}
    write_results("parity.json", {**about, "openvino": results})
    json.dump({**about, "openvino": results}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
