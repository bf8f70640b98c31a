"""Measure speed on this machine: several ways of answering, and the machine's own limits. Writes results/speed.json.

    python benchmarks/speed.py --source MMLU_PRO [--base SHOWN=PATH] [--vllm PYTHON] [--llama PYTHON] [--only PART ...]

`throughput`: questions per second and one question's latency of the model card's loop, `generate` in batches, a
classification head, this package on both engines, and vLLM and llama.cpp where the
Python of an environment that has them is given. Each way runs in its own process; all are loaded first and take turns,
round after round. A matrix product and a memory copy are timed between the rounds. The medians are reported.
`growth`: how the cost grows with the length of a question, the number of labels, and the size of a batch.
`training`: rows per second and memory of this package and of the plain Trainer.
`agreement`: labels and probabilities compared with the plain path in float32, on 2,000 test questions.

Without --base this measures the shipped adapter on the embedded base; SHOWN=PATH is another base without adapter, which
costs the same. Half an hour on two cores; a base four times as large takes four times as long (--questions, --rounds).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import torch
from common import HERE, WORK, evenly_spaced, read_results, split, table, write_results
from speed_worker import KINDS
from tqdm import tqdm

from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.engines.engine import ENGINES, OPENVINO, PYTORCH
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.plain_path import plain_log_probs
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.base_model import Base, load_base
from subjectwise.models.devices import Compute, choose_dtype
from subjectwise.models.gguf import EMBEDDED_NAME, embedded_file
from subjectwise.models.label_scores import LabelScorer, normalise, score_rows
from subjectwise.models.model_folder import load_model, shipped_folder
from subjectwise.recipe import PromptSettings
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.text.prompt import Prompt
from subjectwise.types import JsonObject, Tokenizer
from subjectwise.utils.atomic_files import new_folder
from subjectwise.utils.versions import library_versions, machine_description

SHIPPED = f"{EMBEDDED_NAME}, shipped adapter"
MAX_TOKENS = 256

# Slow ways get one question in so many; speeds are per token of a question.
SHARES = {"card's loop": 16, "generate, batches": 4, "llama.cpp": 8}
OTHERS = ("vllm", "llama.cpp")  # in environments of their own
AGREEMENT_ROWS = 2000


def merged(name: str, path: str) -> Path:
    """Return a folder, which every library reads, of the model with its adapter merged, in float32."""
    folder = WORK / "speed" / (name.replace("/", "-") if path else "shipped")
    if not folder.exists():
        if path:
            base = load_base(path, dtype="float32")
            model, tokenizer = base.model, base.tokenizer
        else:
            loaded = load_model(shipped_folder(), compute=Compute(dtype="float32", engine=PYTORCH)).scorer
            assert isinstance(loaded, LabelScorer) and isinstance(loaded.engine, PyTorchEngine)
            model, tokenizer = loaded.engine.model, loaded.prompt.tokenizer
            model.set_attn_implementation("sdpa")
        with new_folder(folder) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
    return folder


def write_plan(source: str, folder: Path, path: str, count: int) -> JsonObject:
    """Write what the workers read: questions of `grouped` test, evenly spread over their lengths."""
    rows = sorted((row.question.text for row in open_split(split("grouped", source)).examples("test")), key=len)
    questions = [rows[index] for index in evenly_spaced(count, len(rows))]
    base = load_base(str(folder), dtype="float32")
    labels = LabelSet(MMLU_PRO_LABELS)
    prompt = Prompt(base.tokenizer, labels, PromptSettings(style="plain", max_tokens=MAX_TOKENS))
    asked = [Question(text) for text in questions]
    encoded = prompt.encode(asked)
    plan = {
        "merged": str(folder),
        "gguf": str(embedded_file()) if not path else path if path.endswith(".gguf") else "",
        "labels": list(labels),
        "max_tokens": MAX_TOKENS,
        "threads": torch.get_num_threads(),
        "questions": questions,
        "prompts": [prompt.render(question) for question in asked],
        "prompt_ids": [[*prompt.prefix_ids, *row] for row in encoded],
        "lengths": [len(row) for row in encoded],
        "prefix": len(prompt.prefix_ids),
        "parameters": _parameters(base),
    }
    (WORK / "speed" / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return plan


def _parameters(base: Base) -> int:
    """Count the weights of the layers, by which every token is multiplied."""
    embeddings = {id(base.model.get_input_embeddings().weight), id(base.model.get_output_embeddings().weight)}
    return sum(weight.numel() for weight in base.model.parameters() if id(weight) not in embeddings)


class Worker:
    """A process of speed_worker.py."""

    def __init__(self, kind: str, python: str) -> None:
        self.kind = kind
        command = [python, str(HERE / "speed_worker.py"), kind, str(WORK / "speed" / "plan.json")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.loaded = self._read()

    def ask(self, command: str, indices: Sequence[int]) -> Any:
        """Have it answer the questions of those indices; return what it measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, list(indices)]) + "\n")
        self._process.stdin.flush()
        return self._read()

    def memory(self) -> int:
        """Return the memory of the process and of those that it started, in bytes."""
        own = psutil.Process(self._process.pid)
        return sum(process.memory_info().rss for process in (own, *own.children(recursive=True)))

    def close(self) -> None:
        """End the process and those that it started."""
        started = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        self._process.wait()
        for process in started:
            process.terminate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The worker {self.kind!r} has ended; its error is above.")
        return json.loads(line)


def machine_limits() -> dict[str, float]:
    """Time the machine: operations per second of a bf16 matrix product, bytes per second of a memory copy."""
    a, b = (torch.randn(2048, 2048).to(choose_dtype(torch.device("cpu"))) for _ in range(2))
    big = torch.zeros(64 * 1024 * 1024, dtype=torch.uint8)
    copy = torch.empty_like(big)
    return {
        "matrix_product": 2 * 2048**3 / _best(lambda: a @ b),
        "copy": 2 * big.numel() / _best(lambda: copy.copy_(big)),
    }


def _best(work: Callable[[], object], times: int = 6) -> float:
    """Return the shortest time of several calls after the first, in seconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken[1:])


def throughput(plan: JsonObject, arguments: argparse.Namespace) -> JsonObject:
    """Measure every way of answering, round after round."""
    pythons = {"vllm": arguments.vllm, "llama.cpp": arguments.llama}
    kinds = [kind for kind in KINDS if kind not in OTHERS or pythons[kind]]
    if arguments.way:
        kinds = [kind for kind in kinds if kind in arguments.way]
    workers = []
    for kind in kinds:
        print(f"loading {kind}", file=sys.stderr, flush=True)
        workers.append(Worker(kind, pythons.get(kind) or sys.executable))
    lengths = np.array(plan["lengths"])
    rounds: list[JsonObject] = []
    for number in range(arguments.rounds):
        measured: JsonObject = {"limits": [machine_limits()]}
        for worker in workers:
            step = SHARES.get(worker.kind, 1)
            indices = range(step // 2, len(lengths), step)
            answered = worker.ask("throughput", indices)
            tokens = int(lengths[list(indices)].sum())
            measured[worker.kind] = {
                "tokens_per_second": tokens / answered["seconds"],
                "latencies": worker.ask("latency", range(step // 2, len(lengths), max(step, 6))),
            }
            print(f"round {number + 1}: {worker.kind}: {tokens / answered['seconds']:.0f} tokens/s", file=sys.stderr)
        measured["limits"].append(machine_limits())
        rounds.append(measured)
    limits = [part for measured in rounds for part in measured["limits"]]
    result: JsonObject = {
        "questions": len(lengths),
        "tokens": int(lengths.sum()),
        "prefix": plan["prefix"],
        "parameters": plan["parameters"],
        "rounds": arguments.rounds,
        "matrix_product": statistics.median(part["matrix_product"] for part in limits),
        "copy": statistics.median(part["copy"] for part in limits),
        "ways": {},
    }
    for worker in workers:
        speeds = [measured[worker.kind]["tokens_per_second"] for measured in rounds]
        singles = sorted(second for measured in rounds for second in measured[worker.kind]["latencies"])
        result["ways"][worker.kind] = {
            "tokens_per_second": statistics.median(speeds),
            "range": [min(speeds), max(speeds)],
            "questions_per_second": statistics.median(speeds) * len(lengths) / int(lengths.sum()),
            "of_matrix_product": statistics.median(
                2 * plan["parameters"] * measured[worker.kind]["tokens_per_second"]
                / statistics.mean(part["matrix_product"] for part in measured["limits"])
                for measured in rounds
            ),
            "p50_seconds": float(np.quantile(singles, 0.5)),
            "p99_seconds": float(np.quantile(singles, 0.99)),
            "load_seconds": worker.loaded["load_seconds"],
            "first_answer_seconds": worker.loaded["first_answer_seconds"],
            "memory_bytes": worker.memory(),
        }  # fmt: skip
        worker.close()
    result["ratios"] = _ratios(rounds, result["ways"])
    return result


# (way, compared with, the wanted ratio of throughput)
COMPARED = (
    ("ours, plain", "card's loop", 25.0),
    ("ours, plain, openvino", "card's loop", 25.0),
    ("ours, bare", "card's loop", None),
    ("ours, bare, openvino", "card's loop", None),
    ("ours, plain", "head", 0.95),
    ("ours, plain, openvino", "head, openvino", 0.95),
    ("ours, plain", "vllm", 2.0),
    ("ours, plain, openvino", "vllm", 2.0),
    ("ours, plain, openvino", "ours, plain", None),
    ("ours, plain", "generate, batches", None),
    ("ours, plain", "llama.cpp", None),
)


def _ratios(rounds: Sequence[JsonObject], ways: Mapping[str, JsonObject]) -> list[JsonObject]:
    """Return ratios of throughput, one per round, and of one question's latency."""
    compared = []
    for mine, other, wanted in COMPARED:
        if mine in ways and other in ways:
            ratios = [part[mine]["tokens_per_second"] / part[other]["tokens_per_second"] for part in rounds]
            latency = ways[other]["p50_seconds"] / ways[mine]["p50_seconds"]
            compared.append(
                {
                    "way": mine, "against": other, "throughput": statistics.median(ratios),
                    "range": [min(ratios), max(ratios)], "latency": latency, "wanted": wanted,
                }
            )  # fmt: skip
    return compared


def _scorer(base: Base, prompt: Prompt) -> LabelScorer:
    return LabelScorer(PyTorchEngine(base.model, prompt.prefix_ids), prompt)


def growth(plan: JsonObject, arguments: argparse.Namespace) -> JsonObject:
    """Measure how the cost grows with length, number of labels, and size of a batch."""
    base = load_base(plan["merged"])
    known = LabelSet(MMLU_PRO_LABELS)
    bare = PromptSettings(style="bare", max_tokens=MAX_TOKENS)
    prompt = Prompt(base.tokenizer, known, bare)
    scorer = _scorer(base, prompt)
    real = prompt.encode([Question(text) for text in plan["questions"]])
    stream = [token for row in real for token in row]

    def rows(length: int, tokens: int = 4096) -> list[list[int]]:
        return [(stream * 2)[i * length : (i + 1) * length] for i in range(max(tokens // length, 1))]

    def cost(scorer: LabelScorer, rows: list[list[int]]) -> float:
        """Return milliseconds per token, the best of the rounds."""
        seconds = _best(lambda: score_rows(scorer.engine, rows, scorer.trie), arguments.rounds + 1)
        return 1000 * seconds / sum(map(len, rows))

    costs: JsonObject = {"length": {}, "labels": {}, "labels_sharing_first_tokens": {}, "batch": {}}
    for length in (16, 32, 64, 128, 256, 512):
        costs["length"][length] = cost(scorer, rows(length))
    words = _single_tokens(base.tokenizer)
    for count in (2, 14, 100, 1000):
        own = _scorer(base, Prompt(base.tokenizer, LabelSet.from_names(words[:count]), bare))
        costs["labels"][count] = cost(own, rows(64))
    for count in (14, 100, 1000):
        firsts = round(count**0.5)
        names = [f"{words[i % firsts]} {words[i // firsts]}" for i in range(count)]
        own = _scorer(base, Prompt(base.tokenizer, LabelSet.from_names(names), bare))
        costs["labels_sharing_first_tokens"][count] = {
            "read_after_each_question": len(own.trie.tree.ids), "cost": cost(own, rows(64)),
        }  # fmt: skip
    for budget in (128, 256, 512, 1024, 2048, 4096):
        with patch.object(PyTorchEngine, "tokens_per_batch", budget):
            costs["batch"][budget] = cost(scorer, real)
    return costs


def _single_tokens(tokenizer: Tokenizer) -> list[str]:
    """Return words that are one token after a space, so that no two share their first token."""
    ids = sorted(tokenizer.get_vocab().values())
    texts = (tokenizer.decode([token]) for token in ids)
    words = dict.fromkeys(text[1:] for text in texts if text[:1] == " " and text[1:].isalpha() and text[1:].islower())
    return [word for word in words if len(word) > 3][:1000]


def training(plan: JsonObject, arguments: argparse.Namespace) -> JsonObject:
    """Measure some steps of training, in turn with the plain Trainer."""
    runs: dict[str, list[JsonObject]] = {"plain Trainer": [], "ours": []}
    for _ in range(max(arguments.rounds - 1, 1)):
        for way, measured in runs.items():
            command = [sys.executable, str(HERE / "speed_training.py"), way, str(WORK / "speed" / "plan.json")]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            measured.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"training, {way}: {measured[-1]}", file=sys.stderr, flush=True)
    ratios = [b["rows_per_second"] / a["rows_per_second"] for a, b in zip(*runs.values(), strict=True)]
    return {"runs": runs, "ratio": statistics.median(ratios), "range": [min(ratios), max(ratios)], "wanted": 2.5}


def agreement(plan: JsonObject, arguments: argparse.Namespace) -> JsonObject:
    """Compare the shipped adapter as it answers with one question at a time in float32 without cache or batches."""
    rows = open_split(split("grouped", arguments.source)).examples("test")
    asked = [rows[index].question.without_options() for index in evenly_spaced(AGREEMENT_ROWS, len(rows))]
    loaded = load_model(shipped_folder(), compute=Compute(dtype="float32", engine=PYTORCH))
    scorer = loaded.scorer
    assert isinstance(scorer, LabelScorer)
    assert isinstance(scorer.engine, PyTorchEngine)
    model, prefix = scorer.engine.model, scorer.prompt.prefix_ids
    model.set_attn_implementation("eager")
    plain = [
        plain_log_probs(model, [*prefix, *row], scorer.trie)
        for row in tqdm(scorer.prompt.encode(asked), desc="plain path")
    ]
    normalised = normalise(np.concatenate(plain), len(scorer.labels))
    expected = apply_temperature(normalised.log_probs, loaded.config.temperature)
    results = {}
    for way, engine, dtype in [(name, name, "auto") for name in ENGINES] + [("openvino, float32", OPENVINO, "float32")]:
        classifier = Classifier.from_pretrained(engine=engine, dtype=dtype)
        probabilities = classifier.predict_proba(asked)
        gaps = np.abs(probabilities - expected).max(axis=1)
        results[way] = {
            "labels_equal": float((probabilities.argmax(axis=1) == expected.argmax(axis=1)).mean()),
            "gap_p99": float(np.quantile(gaps, 0.99)),
            "gap_max": float(gaps.max()),
        }
    return {"questions": len(asked), "precision": str(choose_dtype(torch.device("cpu"))), "ways": results}


PARTS = {"throughput": throughput, "growth": growth, "training": training, "agreement": agreement}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--base", default="", metavar="SHOWN=PATH", help="another base, without adapter")
    parser.add_argument("--vllm", default="", metavar="PYTHON", help="of an environment that has vLLM")
    parser.add_argument("--llama", default="", metavar="PYTHON", help="of one that has llama-cpp-python")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    parser.add_argument("--way", action="append", help="of `throughput`, only this way; may be repeated")
    parser.add_argument("--questions", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    name, _, path = arguments.base.partition("=") if arguments.base else (SHIPPED, "", "")
    plan = write_plan(arguments.source, merged(name, path), path, arguments.questions)
    results = read_results("speed.json")
    for part, measure in PARTS.items():
        if (part in arguments.only) if arguments.only else not (path and part == "agreement"):
            measured = measure(plan, arguments) | {"versions": library_versions(), "machine": machine_description()}
            results.setdefault(name, {})[part] = measured
            write_results("speed.json", results)
    for shown, parts in results.items():
        print(f"\n## {shown}")
        for part, measured in parts.items():
            print("\n" + SHOWN[part](measured))


def _show_throughput(part: JsonObject) -> str:
    rows = [
        [
            way,
            f"{row['questions_per_second']:.1f}",
            f"{row['tokens_per_second']:,.0f} ({row['range'][0]:,.0f} to {row['range'][1]:,.0f})",
            f"{row['of_matrix_product']:.0%}",
            f"{1000 * row['p50_seconds']:.0f} / {1000 * row['p99_seconds']:.0f}",
            f"{row['load_seconds'] + row['first_answer_seconds']:.1f}",
            f"{row['memory_bytes'] / 2**20:,.0f}",
        ]
        for way, row in part["ways"].items()
    ]
    header = ["way", "questions/s", "tokens/s (range)", "of the product", "p50 / p99, ms", "first answer, s", "MiB"]
    compared = [
        [
            f"{row['way']} / {row['against']}",
            f"{row['throughput']:.2f} ({row['range'][0]:.2f} to {row['range'][1]:.2f})",
            f"{row['latency']:.2f}",
            f"{row['wanted']:g}" if row["wanted"] else "",
        ]
        for row in part["ratios"]
    ]
    return (
        f"{part['questions']} questions, {part['tokens'] / part['questions']:.0f} tokens each, prompt of "
        f"{part['prefix']} tokens, {part['rounds']} rounds; bf16 matrix product {part['matrix_product'] / 1e12:.2f} "
        f"TFLOP/s, memory copy {part['copy'] / 1e9:.1f} GB/s\n\n{table(header, rows)}\n\n"
        + table(["ratio", "throughput (range)", "one question", "wanted"], compared)
    )


def _show_growth(part: JsonObject) -> str:
    shared = {count: row["cost"] for count, row in part["labels_sharing_first_tokens"].items()}
    lines = []
    for name, costs, reference in (
        ("length of a question, tokens", part["length"], 64),
        ("labels, distinct first tokens, questions of 64 tokens", part["labels"], 14),
        ("labels that share first tokens", shared, 14),
        ("tokens in a batch", part["batch"], 1024),
    ):
        one = costs.get(reference, costs.get(str(reference)))  # JSON has made text of the numbers
        cells = (f"{key}: {value:.2f} ({value / one:.2f})" for key, value in costs.items())
        lines += [[name, ", ".join(cells)]]
    return table(["what grows", "milliseconds per token (relative)"], lines)


def _show_training(part: JsonObject) -> str:
    rows = [
        [
            way,
            ", ".join(f"{run['rows_per_second']:.2f}" for run in runs),
            f"{runs[0]['first_loss']:.4f}",
            f"{max(run['peak_memory_bytes'] for run in runs) / 2**20:,.0f}",
        ]
        for way, runs in part["runs"].items()
    ]
    return (
        table(["training, plain prompt, batches of 16", "rows/s", "loss before training", "MiB"], rows)
        + f"\n\nratio {part['ratio']:.2f} ({part['range'][0]:.2f} to {part['range'][1]:.2f}), "
        f"wanted {part['wanted']}"
    )


def _show_agreement(part: JsonObject) -> str:
    rows = [
        [
            way,
            f"{row['labels_equal']:.2%}",
            f"{row['gap_p99']:.4f}",
            f"{row['gap_max']:.4f}",
        ]
        for way, row in part["ways"].items()
    ]
    header = [
        f"engine, {part['precision']}, {part['questions']:,} questions",
        "labels equal",
        "gap, p99",
        "largest gap",
    ]
    return table(header, rows)


SHOWN: Mapping[str, Callable[[JsonObject], str]] = {
    "throughput": _show_throughput,
    "growth": _show_growth,
    "training": _show_training,
    "agreement": _show_agreement,
}


if __name__ == "__main__":
    main()
