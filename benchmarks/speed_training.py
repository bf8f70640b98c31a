"""Train some steps one way, in its own process, for speed.py: `plain Trainer` or `ours`. Prints one JSON line.

Both train the adapter of the recipe `reference` (with dropout 0) for the label's tokens after the `plain` prompt, in
batches of 16 of the same rows. The plain Trainer reads every row whole, in random order, padded to the longest; ours
reads the prompt once per batch, and rows of similar length together. The loss before training is of the same model on
the same rows, so both must agree on it.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from subjectwise.engines.pytorch.attention import register
from subjectwise.labels import LabelSet
from subjectwise.models.devices import choose_dtype
from subjectwise.recipe import load_recipe
from subjectwise.records import Example, Question
from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.cost import peak_memory
from subjectwise.training.tasks import label_task

BATCH, WARM = 16, 2  # rows per batch; steps that are not counted


class Clock(TrainerCallback):
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends.append(time.perf_counter())


class Padded:
    """Pads rows to the longest; padding has no loss."""

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        def padded(key: str, value: int) -> torch.Tensor:
            tensors = [torch.tensor(row[key]) for row in rows]
            return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

        ids = padded("input_ids", 0)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row["input_ids"])) for row in rows], batch_first=True)
        return {"input_ids": ids, "attention_mask": mask.long(), "labels": padded("labels", -100)}


def main() -> None:
    """Train, and print the speed, the loss before training and the peak memory."""
    way, file = sys.argv[1:3]
    plan = json.loads(Path(file).read_text(encoding="utf-8"))
    ours = way == "ours"
    labels = LabelSet.from_names(plan["labels"])
    steps = len(plan["questions"]) // BATCH
    questions = [plan["questions"][index] for index in np.random.default_rng(0).permutation(BATCH * steps)]
    rows = [Example(str(i), Question(text), labels.names[i % len(labels)]) for i, text in enumerate(questions)]
    recipe = load_recipe(
        "reference", ["training.loss=label", "lora.dropout=0.0", f"prompt.max_tokens={plan['max_tokens']}"]
    )
    recipe = replace(recipe, base=plan["merged"])
    attention = register() if ours else None
    task = label_task(recipe, labels, rows, device="cpu", dtype="auto", attention=attention)
    model, targets = task.base.model, task.rows
    batches = list(LengthBatches(targets.lengths, BATCH, 0.0, seed=0))
    with torch.no_grad(), torch.autocast("cpu", choose_dtype(torch.device("cpu"))):
        first = float(np.mean([float(task.loss(model, [targets[key] for key in batch])) for batch in batches[:2]]))
    clock = Clock()
    settings: dict[str, Any] = {
        "output_dir": str(Path(file).with_name("training")), "max_steps": steps, "per_device_train_batch_size": BATCH,
        "learning_rate": 3e-4, "use_cpu": True, "bf16": choose_dtype(torch.device("cpu")) == torch.bfloat16,
        "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "remove_unused_columns": False,
        "logging_strategy": "no", "dataloader_pin_memory": False,
    }  # fmt: skip
    if ours:
        forward = MethodType(lambda model, batch: {"loss": task.loss(model, batch)}, model)
        setattr(model, "forward", forward)  # noqa: B010
        trainer = _Ours(batches, targets, model=model, args=TrainingArguments(**settings), train_dataset=targets)
    else:
        prefix = plan["prompt_ids"][0][: plan["prefix"]]
        whole = []
        for batch in batches:
            for key in batch:
                item = targets[key]
                ids = [*prefix, *item.ids, item.targets[-1]]
                labels_of = [-100] * (len(ids) - len(item.targets)) + item.targets
                whole.append({"input_ids": ids, "labels": labels_of})
        with torch.no_grad(), torch.autocast("cpu", choose_dtype(torch.device("cpu"))):
            one = whole[: 2 * BATCH]
            first = float(np.mean([float(model(**Padded()(one[i : i + BATCH])).loss) for i in (0, BATCH)]))
        trainer = Trainer(model=model, args=TrainingArguments(**settings), train_dataset=whole, data_collator=Padded())
    trainer.add_callback(clock)
    trainer.train()
    seconds = clock.ends[-1] - clock.ends[WARM - 1]
    print(
        json.dumps(
            {
                "way": way, "rows": BATCH * (steps - WARM), "rows_per_second": BATCH * (steps - WARM) / seconds,
                "first_loss": first, "peak_memory_bytes": peak_memory(torch.device("cpu")),
            }
        )
    )  # fmt: skip


class _Ours(Trainer):
    """The Trainer with batches of rows of similar length, as `LabelTrainer` has them."""

    def __init__(self, batches: list[Any], rows: Any, **options: Any) -> None:
        super().__init__(**options)
        self._batches, self._rows = batches, rows

    def get_train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(
            self._rows, batch_sampler=self._batches, collate_fn=lambda rows: {"batch": rows}
        )

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return model(batch=inputs["batch"])["loss"]

    def floating_point_ops(self, inputs: Any) -> int:
        return 0


if __name__ == "__main__":
    main()
