"""Measure the sentences of explanations, by the adapter that was trained to write them and by the base.

    python benchmarks/sentences.py --data mix [--model shipped] [--count 100]

On reasons whose questions are test rows of the mixture, evenly spaced. `content`: the share of sentences that name a
content word of the question; `no repetition`: no content word but those of the label stands in it more than once;
`no other label`: it names none of the other labels; `own words`: it is more than a list of evidence, which stands in
for a sentence that names another label or says nothing; `NLL`: of a token of the reason in the data, in nats.
Prints 30 of them, unselected. Writes benchmarks/results/sentences.json. Ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from common import HERE, evenly_spaced, metric_text, table, write_results

from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.explain.sentence import SentenceWriter, names_any
from subjectwise.explain.sentence_prompt import base_prompt, sentence_start, telling_words, trained_prompt
from subjectwise.explain.stop_words import ENGLISH_STOP_WORDS
from subjectwise.models.base_model import load_base
from subjectwise.models.generating_base import load_generator
from subjectwise.models.lora import merge_adapter
from subjectwise.models.model_config import SENTENCE_FOLDER
from subjectwise.models.model_folder import shipped_folder
from subjectwise.records import Explanation
from subjectwise.statistics.intervals import proportion_interval
from subjectwise.training.sentence_rows import Reason, read_reasons, reasons_of_split
from subjectwise.types import JsonObject
from subjectwise.utils.versions import library_versions

SHOWN = 30

Prompt = Callable[[Explanation, Sequence[str]], str]


def content_words(text: str) -> list[str]:
    """Return the words of a text that are no stop words, in lower case."""
    return [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in ENGLISH_STOP_WORDS and len(word) > 2]


def measures(sentences: Sequence[str], explanations: Sequence[Explanation], labels: Sequence[str]) -> JsonObject:
    """Return the shares of the module's docstring, with intervals."""
    content = plain = other = own = 0
    for sentence, reason in zip(sentences, explanations, strict=True):
        start = sentence_start(reason.label)
        words = content_words(sentence.removeprefix(start))
        own += not sentence.startswith(f"{start} of ")
        content += bool(set(words) & set(content_words(reason.question)))
        repeated = [word for word, times in Counter(words).items() if times > 1]
        plain += not set(repeated) - set(content_words(reason.label))
        other += names_any(sentence, [label for label in labels if label != reason.label], reason.label)
    count = len(sentences)
    shares = {"content": content, "no repetition": plain, "no other label": count - other, "own words": own}
    return {name: asdict(proportion_interval(share, count)) for name, share in shares.items()}


def token_nll(model: Any, tokenizer: Any, prompt: Prompt, reasons: Sequence[Reason], explained: Sequence[Any]) -> float:
    """Return the mean NLL of a token of the reasons behind the prompt."""
    total, tokens = 0.0, 0
    for reason, explanation in zip(reasons, explained, strict=True):
        start = tokenizer(prompt(explanation, telling_words(explanation)) + sentence_start(reason.label))["input_ids"]
        rest = tokenizer(f" {reason.text}", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*start, *rest]])).logits[0, len(start) - 1 : -1].float()
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(rest), reduction="sum"))
        tokens += len(rest)
    return total / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a split folder of 'subjectwise data mix'")
    parser.add_argument("--model", default="shipped", help="a folder with an adapter for sentences")
    parser.add_argument("--reasons", type=Path, default=HERE.parent / "data" / "reasons.jsonl")
    parser.add_argument("--count", type=int, default=100)
    arguments = parser.parse_args()
    folder = shipped_folder() if arguments.model == "shipped" else Path(arguments.model)
    classifier = Classifier.from_pretrained(folder)
    labels = list(classifier.labels)
    held_out = reasons_of_split(read_reasons(arguments.reasons), open_split(arguments.data), "test")
    drawn = [held_out[i] for i in evenly_spaced(min(arguments.count, len(held_out)), len(held_out))]
    explained = [classifier.explain(reason.question) for reason in drawn]
    right = [i for i, item in enumerate(explained) if item.label == drawn[i].label]
    reasons, explanations = [drawn[i] for i in right], [explained[i] for i in right]

    results: JsonObject = {"reasons": len(held_out), "asked": len(drawn), "right": len(right), "writers": {}}
    written: dict[str, list[str]] = {}
    base = load_base("embedded", device="cpu", dtype="float32")
    ways: dict[str, tuple[Callable[[Explanation], str], Prompt]] = {}
    untrained = SentenceWriter(*load_generator("embedded"))
    ways["base"] = lambda item: untrained.write(item, labels), base_prompt
    ways["trained"] = classifier.write_sentence, trained_prompt
    for name, (write, prompt) in ways.items():
        if name == "trained":
            merge_adapter(base.model, folder / SENTENCE_FOLDER)
        written[name] = [write(item) for item in explanations]
        nll = token_nll(base.model, base.tokenizer, prompt, reasons, explanations)
        results["writers"][name] = {"nll": nll, **measures(written[name], explanations, labels)}
    results["shown"] = [
        {"question": item.question, "label": item.label, **{name: texts[i] for name, texts in written.items()}}
        for i, item in list(enumerate(explanations))[:: max(1, len(explanations) // SHOWN)][:SHOWN]
    ]
    write_results("sentences.json", results | {"versions": library_versions()})
    show(results)


def show(results: JsonObject) -> None:
    """Print the table and the sentences."""
    names = ("content", "no repetition", "no other label", "own words")
    rows = [
        [writer, f"{found['nll']:.2f}", *(metric_text("accuracy", found[name]) for name in names)]
        for writer, found in results["writers"].items()
    ]
    print(table(["sentences by", "NLL of a token", *names], rows))
    for number, row in enumerate(results["shown"], 1):
        print(f"{number}. {row['question']}\n   - base: {row['base']}\n   - trained: {row['trained']}")


if __name__ == "__main__":
    main()
