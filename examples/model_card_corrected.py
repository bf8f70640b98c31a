"""The model card's batch loop, corrected: any adapter trained with the loss `answer`, with PEFT and `generate` alone.

    python examples/model_card_corrected.py BASE ADAPTER < questions.txt

Reads one question per line and prints one category per line. Differences from the card: the prompt is the one that the
adapter was trained with (the card's own batch loop drops it), rows are padded on the left and read in batches, special
tokens of a chat template are not added twice, and `generate` can write only a label and the end token, so that nothing
has to be parsed: "computer science" is one answer, and every answer is a label.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

BATCH = 16


def main() -> None:
    """Classify the questions of standard input."""
    base, adapter = sys.argv[1:3]
    tokenizer = AutoTokenizer.from_pretrained(adapter, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, device_map="auto")
    model = PeftModel.from_pretrained(model, adapter).eval()
    mapping = json.loads((Path(adapter) / "label_mapping.json").read_text(encoding="utf-8"))
    style = json.loads((Path(adapter) / "subjectwise.json").read_text(encoding="utf-8"))["prompt"]["style"]
    end = tokenizer.eos_token_id
    labels = [[*tokenizer(f" {label}", add_special_tokens=False)["input_ids"], end] for label in mapping["label2id"]]

    def prompt(question: str) -> str:
        text = str(mapping["instruction_template"]).replace("{question}", question)
        if style != "chat":
            return text
        turn = [{"role": "user", "content": text}]
        return str(
            tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True, enable_thinking=False)
        )

    questions = [line.strip() for line in sys.stdin if line.strip()]
    for start in range(0, len(questions), BATCH):
        prompts = [prompt(question) for question in questions[start : start + BATCH]]
        inputs: Any = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=style != "chat")
        width = inputs["input_ids"].shape[1]

        def allowed(row: int, ids: torch.Tensor, width: int = width) -> list[int]:
            written = ids[width:].tolist()
            following = [label[len(written) :][:1] for label in labels if label[: len(written)] == written]
            return [token for tokens in following for token in tokens] or [end]

        with torch.no_grad():
            outputs = model.generate(
                **inputs.to(model.device),
                max_new_tokens=max(map(len, labels)),
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                prefix_allowed_tokens_fn=allowed,
            )
        for text in tokenizer.batch_decode(outputs[:, width:], skip_special_tokens=True):
            print(text.strip())


if __name__ == "__main__":
    main()
