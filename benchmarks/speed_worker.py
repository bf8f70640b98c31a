"""One way of answering, in its own process, driven by speed.py over standard input. Not to be run by hand.

A worker loads what it needs, reports that it is ready, and then answers commands, one JSON line each: `throughput`
reads all of its questions, `latency` reads them one by one. Workers that need libraries of another environment (vLLM,
llama.cpp) import nothing of this package.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Plan = dict[str, Any]  # plan.json; the type has no name in environments without this package
Answer = Callable[[Sequence[int]], list[str]]  # from indices of questions to their labels

forget: list[Callable[[], object]] = []  # called before each measurement, to empty caches of questions


def generate(plan: Plan, batch: int) -> Answer:
    """The model card's loop: the whole prompt, ten new tokens, greedy, the first word read as the label."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(plan["merged"], dtype=torch.bfloat16).eval()
    tokenizer = AutoTokenizer.from_pretrained(plan["merged"], padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

    def answer(indices: Sequence[int]) -> list[str]:
        labels: dict[int, str] = {}
        ordered = sorted(indices, key=lambda index: -len(plan["prompts"][index]))
        for start in range(0, len(ordered), batch):
            chosen = ordered[start : start + batch]
            inputs = tokenizer([plan["prompts"][index] for index in chosen], return_tensors="pt", padding=True)
            with torch.no_grad():
                outputs = model.generate(
                    **inputs, max_new_tokens=10, do_sample=False, pad_token_id=tokenizer.pad_token_id
                )
            texts = tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            labels |= {index: (text.split() or [""])[0] for index, text in zip(chosen, texts, strict=True)}
        return [labels[index] for index in indices]

    return answer


def scored(plan: Plan, scorer: Any) -> Answer:
    """Answer with a scorer of this package: the most probable label."""
    from subjectwise.records import Question

    def answer(indices: Sequence[int]) -> list[str]:
        encoded = scorer.encode([Question(plan["questions"][index]) for index in indices])
        return [scorer.labels.names[best] for best in scorer.score(encoded).log_probs.argmax(axis=1)]

    return answer


def head(plan: Plan) -> Answer:
    """`AutoModelForSequenceClassification` on the same base, batches of similar lengths, the question alone."""
    from subjectwise.labels import LabelSet
    from subjectwise.models.base_model import load_base
    from subjectwise.models.classification_head import HeadScorer, prepare_head
    from subjectwise.recipe import PromptSettings

    labels = LabelSet.from_names(plan["labels"])
    base = load_base(plan["merged"], labels=labels.names)
    prepare_head(base)
    return scored(plan, HeadScorer(base, labels, PromptSettings(max_tokens=plan["max_tokens"])))


def ours(plan: Plan, style: str, engine: str, dtype: str = "auto") -> Answer:
    """This package: each label scored as the continuation of the prompt."""
    from subjectwise.labels import LabelSet
    from subjectwise.models.base_model import load_base
    from subjectwise.models.compiled_base import load_compiled_base
    from subjectwise.models.label_scores import LabelScorer
    from subjectwise.recipe import PromptSettings
    from subjectwise.text.prompt import Prompt

    labels = LabelSet.from_names(plan["labels"])
    settings = PromptSettings(style=style, max_tokens=plan["max_tokens"])
    if engine == "openvino":
        from subjectwise.engines.openvino.engine import OpenVINOEngine

        compiled = load_compiled_base(plan["merged"], dtype=dtype)
        prompt = Prompt(compiled.tokenizer(), labels, settings)
        return scored(plan, LabelScorer(OpenVINOEngine(compiled.decoder, prompt.prefix_ids), prompt))
    from subjectwise.engines.pytorch.engine import PyTorchEngine

    base = load_base(plan["merged"], dtype=dtype)
    prompt = Prompt(base.tokenizer, labels, settings)
    return scored(plan, LabelScorer(PyTorchEngine(base.model, prompt.prefix_ids), prompt))


def bare_pass(plan: Plan) -> Answer:
    """A head on the OpenVINO engine, with random weights: one pass over the question alone and a small product."""
    import numpy as np

    from subjectwise.engines.openvino.engine import OpenVINOEngine
    from subjectwise.engines.token_budget import token_batches
    from subjectwise.models.compiled_base import load_compiled_base

    base = load_compiled_base(plan["merged"])
    engine, tokenizer = OpenVINOEngine(base.decoder, []), base.tokenizer()
    weight = np.random.default_rng(0).standard_normal((len(plan["labels"]), base.info.hidden_size), dtype=np.float32)

    def answer(indices: Sequence[int]) -> list[str]:
        rows = tokenizer([plan["questions"][index] for index in indices], add_special_tokens=False)["input_ids"]
        rows = [row[: plan["max_tokens"]] for row in rows]
        labels = [""] * len(rows)
        for batch in token_batches([len(row) for row in rows], engine.tokens_per_batch):
            states = engine.states([rows[i] for i in batch])[:, 0]
            best = (states @ weight.T).argmax(axis=-1).tolist()
            for row, label in zip(batch, best, strict=True):
                labels[row] = plan["labels"][label]
        return labels

    return answer


def vllm(plan: Plan) -> Answer:
    """vLLM on the same weights: prefix caching, the labels as a structured choice."""
    os.environ["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"  # by default it leaves one processor to its other processes
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    longest = max(map(len, plan["prompt_ids"])) + 16
    model = LLM(
        plan["merged"], dtype="bfloat16", enable_prefix_caching=True, max_model_len=longest, max_num_seqs=64,
        gpu_memory_utilization=0.25,
    )  # fmt: skip
    ask = {"prompt_token_ids": plan["prompt_ids"][0][: plan["prefix"]]}
    one = SamplingParams(temperature=0.0, max_tokens=1)
    forget.extend([model.reset_prefix_cache, lambda: model.generate([ask], one, use_tqdm=False)])
    choice = StructuredOutputsParams(choice=[f" {label}" for label in plan["labels"]])
    settings = SamplingParams(temperature=0.0, max_tokens=10, structured_outputs=choice)

    def answer(indices: Sequence[int]) -> list[str]:
        outputs = model.generate(
            [{"prompt_token_ids": plan["prompt_ids"][index]} for index in indices], settings, use_tqdm=False
        )
        return [output.outputs[0].text.strip() for output in outputs]

    return answer


def llama_cpp(plan: Plan) -> Answer:
    """llama.cpp on the base's GGUF file, without the adapter, which does not change its speed; labels as a grammar."""
    from llama_cpp import Llama, LlamaGrammar

    longest = max(map(len, plan["prompt_ids"])) + 16
    model = Llama(
        plan["gguf"], n_ctx=longest, n_threads=plan["threads"], n_threads_batch=plan["threads"], verbose=False
    )
    grammar = LlamaGrammar.from_string(
        "root ::= " + " | ".join(f'" {label}"' for label in plan["labels"]), verbose=False
    )

    def answer(indices: Sequence[int]) -> list[str]:
        labels = []
        for index in indices:  # the common start of two prompts stays in its cache
            made = model.create_completion(plan["prompts"][index], max_tokens=10, temperature=0.0, grammar=grammar)
            labels.append(made["choices"][0]["text"].strip())
        return labels

    return answer


KINDS: dict[str, Callable[[Plan], Answer]] = {
    "card's loop": lambda plan: generate(plan, 1),
    "generate, batches": lambda plan: generate(plan, 16),
    "head": head,
    "ours, plain": lambda plan: ours(plan, "plain", "pytorch"),
    "ours, bare": lambda plan: ours(plan, "bare", "pytorch"),
    "head, openvino": bare_pass,
    "ours, plain, openvino": lambda plan: ours(plan, "plain", "openvino"),
    "ours, bare, openvino": lambda plan: ours(plan, "bare", "openvino"),
    "ours, plain, float32": lambda plan: ours(plan, "plain", "pytorch", "float32"),
    "vllm": vllm,
    "llama.cpp": llama_cpp,
}


def main() -> None:
    """Load the way of answering that is named, then answer commands until the input ends."""
    kind, file = sys.argv[1:3]
    # Libraries, and processes that they start, write to standard output, which is reserved for results.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value: object) -> None:
        out.write(json.dumps(value) + "\n")
        out.flush()

    plan = json.loads(Path(file).read_text(encoding="utf-8"))
    started = time.perf_counter()
    answer = KINDS[kind](plan)
    first = time.perf_counter()
    answer([0])
    say({"load_seconds": first - started, "first_answer_seconds": time.perf_counter() - first})
    answer(range(min(8, len(plan["questions"]))))
    for line in sys.stdin:
        command, indices = json.loads(line)
        for step in forget:
            step()
        if command == "latency":
            taken = []
            for index in indices:
                started = time.perf_counter()
                answer([index])
                taken.append(time.perf_counter() - started)
            say(taken)
        else:
            started = time.perf_counter()
            labels = answer(indices)
            say({"seconds": time.perf_counter() - started, "labels": labels})


if __name__ == "__main__":
    main()
