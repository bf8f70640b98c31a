"""Measures the memory that the recipe `reference` takes in training at the full size of a base, with random weights.

    python benchmarks/reference_memory.py --config FOLDER --source MMLU_PRO [--rows 5] [--set key=value ...]
        [--whole-text]

FOLDER holds the `config.json` and the tokenizer of a base such as Qwen3-0.6B; memory and speed do not depend on what
the weights are. Trains one epoch on the longest questions of each category, by `subjectwise train reference`, and
prints what the model folder says that it took: on a GPU the most that tensors held at once, on a CPU the whole process.
The card states 2.3 GB, on a GPU. With --whole-text the loss is that of the whole text, as head_faults.py has it.
Writes benchmarks/results/reference_memory.json. Five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from common import HERE, WORK, read_results, subjectwise, write_results

from subjectwise.data.read_table import read_examples
from subjectwise.models.model_config import read_config
from subjectwise.utils.atomic_files import new_folder


def random_base(config: Path) -> Path:
    """A base of that configuration with random weights in bfloat16."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = WORK / "bases" / f"{config.resolve().name}-random"
    if not folder.exists():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(config), dtype=torch.bfloat16)
        with new_folder(folder) as temporary:
            model.save_pretrained(temporary)
            AutoTokenizer.from_pretrained(config).save_pretrained(temporary)
    return folder


def longest_rows(source: str, rows: int) -> Path:
    """A split of the `rows` longest questions of each category, a fifth of them for validation and for test each."""
    file, folder = WORK / f"longest-{rows}.jsonl", WORK / f"longest-{rows}"
    if not folder.exists():
        by_label: dict[str, list[str]] = {}
        for example in read_examples(source):
            by_label.setdefault(example.label, []).append(example.question.text)
        with file.open("w", encoding="utf-8") as stream:
            for label, questions in by_label.items():
                for question in sorted(questions, key=len)[-rows:]:
                    stream.write(json.dumps({"question": question, "label": label}) + "\n")
        subjectwise("data", "split", "--protocol", "reference", "--source", file, "--output", folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--rows", type=int, default=5, help="of each category")
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, as `train` takes it")
    parser.add_argument("--whole-text", action="store_true", help="the loss of every token, prompt included")
    arguments = parser.parse_args()
    settings = ["training.epochs=1", *arguments.set]
    model = WORK / "models" / "reference-memory"
    shutil.rmtree(model, ignore_errors=True)
    command: list[str | Path] = [
        "train", "reference", "--base", random_base(arguments.config), "--output", model,
        "--data", longest_rows(arguments.source, arguments.rows),
        *(part for setting in settings for part in ("--set", setting)),
    ]  # fmt: skip
    if arguments.whole_text:
        settings.append("whole text")
        subprocess.run([sys.executable, str(HERE / "head_faults.py"), "whole_text", *map(str, command)], check=True)
    else:
        subjectwise(*command)
    cost = read_config(model).results["cost"]
    name = f"{arguments.config.resolve().name}, {cost['device']}, {' '.join(settings)}"
    write_results("reference_memory.json", {**read_results("reference_memory.json"), name: cost})
    print(
        f"{name}: {cost['peak_memory_bytes'] / 1e9:.2f} GB at the most, {cost['trainable_parameters']:,} of "
        f"{cost['parameters']:,} parameters trained"
    )


if __name__ == "__main__":
    main()
