"""Answer questions from standard input with PEFT and transformers alone, whichever versions are installed."""

import json
import sys
from pathlib import Path

import peft
import torch
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    base, folder = sys.argv[1:3]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, folder).eval()
    mapping = json.loads((Path(folder) / "label_mapping.json").read_text(encoding="utf-8"))
    labels = {tokenizer(f" {label}", add_special_tokens=False)["input_ids"][0]: label for label in mapping["label2id"]}
    assert len(labels) == len(mapping["label2id"]), "the labels differ in their first token"
    print(f"PEFT {peft.__version__}, transformers {transformers.__version__}")
    for question in sys.stdin.read().splitlines():
        inputs = tokenizer(mapping["instruction_template"].replace("{question}", question), return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0, -1]
        print(labels[max(labels, key=lambda token: float(logits[token]))])


if __name__ == "__main__":
    main()
