"""One way to answer, in a process of its own, driven by speed.py over its standard input. Not to be run by hand.

A worker loads what it needs, says that it is ready, and then answers commands, a JSON line each: `throughput` reads all
of its questions, `latency` reads them one by one. Workers that need libraries of an environment of their own (vLLM,
llama.cpp) import nothing of this package.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Answer = Callable[[Sequence[int]], list[str]]  # places of questions -> their labels

forget: list[Callable[[], Any]] = []  # called before each measurement, for who would remember the questions of the last


def generate(plan: dict[str, Any], batch: int) -> Answer:
    """The model card's loop: the whole prompt, ten new tokens, greedy, the first word read as the label."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(plan["merged"], dtype=torch.bfloat16).eval()
    tokenizer = AutoTokenizer.from_pretrained(plan["merged"], padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

    def answer(places: Sequence[int]) -> list[str]:
        found: dict[int, str] = {}
        ordered = sorted(places, key=lambda place: -len(plan["prompts"][place]))
        for start in range(0, len(ordered), batch):
            chosen = ordered[start : start + batch]
            inputs = tokenizer([plan["prompts"][place] for place in chosen], return_tensors="pt", padding=True)
            with torch.no_grad():
                outputs = model.generate(
                    **inputs, max_new_tokens=10, do_sample=False, pad_token_id=tokenizer.pad_token_id
                )
            texts = tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            found |= {place: (text.split() or [""])[0] for place, text in zip(chosen, texts, strict=True)}
        return [found[place] for place in places]

    return answer


def head(plan: dict[str, Any]) -> Answer:
    """`AutoModelForSequenceClassification` on the same base, batches of like lengths, the question alone."""
    from subjectwise.labels import LabelSet
    from subjectwise.models.base_model import load_base
    from subjectwise.models.classification_head import HeadScorer, prepare_head
    from subjectwise.recipe import HeadSettings, PromptSettings
    from subjectwise.records import Question

    labels, settings = LabelSet.from_names(plan["labels"]), HeadSettings(tune="lora")
    base = load_base(plan["merged"], labels=labels.names)
    prepare_head(base, settings)
    scorer = HeadScorer(base, labels, PromptSettings(max_tokens=plan["max_tokens"]), settings)

    def answer(places: Sequence[int]) -> list[str]:
        scores = scorer.score([Question(plan["questions"][place]) for place in places])
        return [labels.names[place] for place in scores.log_probs.argmax(axis=1)]

    return answer


def ours(plan: dict[str, Any], style: str, engine: str, dtype: str = "auto") -> Answer:
    """This package: each label scored as the continuation of the prompt."""
    from subjectwise.labels import LabelSet
    from subjectwise.models.base_model import choose_dtype, load_base
    from subjectwise.models.label_scores import LabelScorer, loading_dtype
    from subjectwise.recipe import PromptSettings
    from subjectwise.records import Question
    from subjectwise.text.prompt import Prompt

    # The weights of the merged model are in float32, which is what OpenVINO rounds for itself.
    base = load_base(plan["merged"], dtype=loading_dtype(engine, dtype))
    labels = LabelSet.from_names(plan["labels"])
    prompt = Prompt(base.tokenizer, labels, PromptSettings(style=style, max_tokens=plan["max_tokens"]))
    scorer = LabelScorer(base.model, prompt, engine, choose_dtype(base.model.device, dtype))

    def answer(places: Sequence[int]) -> list[str]:
        scores = scorer.score([Question(plan["questions"][place]) for place in places])
        return [labels.names[place] for place in scores.log_probs.argmax(axis=1)]

    return answer


@contextmanager
def eight_bits() -> Iterator[None]:
    """OpenVINO with weights in 8 bits, by NNCF; what it multiplies them with is rounded to 8 bits as it goes."""
    from unittest.mock import patch

    import nncf

    from subjectwise.engines import openvino

    traced = openvino._traced

    def compressed(reader: Any) -> Any:
        return nncf.compress_weights(traced(reader), mode=nncf.CompressWeightsMode.INT8_SYM)

    with patch.object(openvino, "_traced", compressed):
        yield


def ours_in_eight_bits(plan: dict[str, Any]) -> Answer:
    with eight_bits():
        return ours(plan, "plain", "openvino")


def bare_pass(plan: dict[str, Any]) -> Answer:
    """A head on the OpenVINO engine: one pass over the bare question and a small product, for what else it would do."""
    import torch

    from subjectwise.engines.openvino.engine import OpenVINOEngine
    from subjectwise.engines.pytorch.forward import NO_TAIL
    from subjectwise.models.base_model import choose_dtype, load_base
    from subjectwise.models.label_scores import length_batches

    base = load_base(plan["merged"], dtype="float32")
    engine = OpenVINOEngine(base.model, [], choose_dtype(torch.device("cpu")))
    weight = torch.randn(len(plan["labels"]), base.info.hidden_size)

    def answer(places: Sequence[int]) -> list[str]:
        rows = base.tokenizer([plan["questions"][place] for place in places], add_special_tokens=False)["input_ids"]
        rows = [row[: plan["max_tokens"]] for row in rows]
        found = [""] * len(rows)
        for batch in length_batches([len(row) for row in rows], engine.tokens_per_batch):
            read = engine.read([rows[i] for i in batch], NO_TAIL)
            best = (read.last @ weight.T).argmax(dim=-1).tolist()
            for place, label in zip(batch, best, strict=True):
                found[place] = plan["labels"][label]
        return found

    return answer


def vllm(plan: dict[str, Any]) -> Answer:
    """vLLM on the same weights: prefix caching, the labels as a structured choice."""
    os.environ["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"  # by itself it leaves one processor to its other processes
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

    def answer(places: Sequence[int]) -> list[str]:
        outputs = model.generate(
            [{"prompt_token_ids": plan["prompt_ids"][place]} for place in places], settings, use_tqdm=False
        )
        return [output.outputs[0].text.strip() for output in outputs]

    return answer


def llama_cpp(plan: dict[str, Any]) -> Answer:
    """llama.cpp on the base's GGUF file, without the adapter, which changes no speed; the labels as a grammar."""
    from llama_cpp import Llama, LlamaGrammar

    longest = max(map(len, plan["prompt_ids"])) + 16
    model = Llama(
        plan["gguf"], n_ctx=longest, n_threads=plan["threads"], n_threads_batch=plan["threads"], verbose=False
    )
    grammar = LlamaGrammar.from_string(
        "root ::= " + " | ".join(f'" {label}"' for label in plan["labels"]), verbose=False
    )

    def answer(places: Sequence[int]) -> list[str]:
        found = []
        for place in places:  # the common start of two prompts stays in its cache
            made = model.create_completion(plan["prompts"][place], max_tokens=10, temperature=0.0, grammar=grammar)
            found.append(made["choices"][0]["text"].strip())
        return found

    return answer


KINDS: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "card's loop": lambda plan: generate(plan, 1),
    "generate, batches": lambda plan: generate(plan, 16),
    "head": head,
    "ours, plain": lambda plan: ours(plan, "plain", "pytorch"),
    "ours, bare": lambda plan: ours(plan, "bare", "pytorch"),
    "head, openvino": bare_pass,
    "ours, plain, openvino": lambda plan: ours(plan, "plain", "openvino"),
    "ours, bare, openvino": lambda plan: ours(plan, "bare", "openvino"),
    "ours, plain, openvino, 8 bits": ours_in_eight_bits,
    "ours, plain, float32": lambda plan: ours(plan, "plain", "pytorch", "float32"),
    "vllm": vllm,
    "llama.cpp": llama_cpp,
}


def main() -> None:
    kind, file = sys.argv[1:3]
    # Libraries, and processes that they start, write to standard output, which is for results.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value: Any) -> None:
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
        command, places = json.loads(line)
        for step in forget:
            step()
        if command == "latency":
            taken = []
            for place in places:
                started = time.perf_counter()
                answer([place])
                taken.append(time.perf_counter() - started)
            say(taken)
        else:
            started = time.perf_counter()
            labels = answer(places)
            say({"seconds": time.perf_counter() - started, "labels": labels})


if __name__ == "__main__":
    main()
