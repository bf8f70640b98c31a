"""From a recipe to what is trained: an adapter for scored labels, or a classification head. Knows no Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from subjectwise.adapter import WEIGHTS_FILE
from subjectwise.base_models import Base, load_base
from subjectwise.engines.output_head import check_head
from subjectwise.engines.reading import SHORT_PREFIX, shares_prefix, unwrapped
from subjectwise.errors import ModelFolderError, RecipeError
from subjectwise.heads import HeadScorer, head_modules, head_weights, prepare_head
from subjectwise.labels import LabelSet
from subjectwise.model_folder import check_base, load_tokenizer, read_config
from subjectwise.prompt import Prompt
from subjectwise.recipe import SEVEN_PROJECTIONS, Recipe, TrainingSettings
from subjectwise.records import Example
from subjectwise.scoring import LabelScorer, LabelTrie, Scorer
from subjectwise.spelling import count_words
from subjectwise.training.batches import HeadRows, HeadTarget, Rows, Target, TrainingRows, batch_loss, head_loss


@dataclass(frozen=True)
class Task:
    """What is trained and how it is read: all that scored labels and a classification head do not share.

    Attributes:
        base: the base, its model ready to train.
        rows: what is trained on.
        loss: of a batch of those rows; the first argument is the model that a wrapper for many GPUs holds.
        scorer: the path that answers, around the model as it is now.
        prefix: the rendered prompt before the seam; empty where there is none.
        words: how many rows have each word, where mistyped words are mended.
    """

    base: Base
    rows: Rows[Any]
    loss: Callable[[Any, Sequence[Any]], Tensor]
    scorer: Callable[[], Scorer]
    prefix: str = ""
    words: Mapping[str, int] = field(default_factory=dict)


def label_task(recipe: Recipe, labels: LabelSet, examples: Sequence[Example], **options: Any) -> Task:
    """An adapter that makes the labels the likely continuations. `options` are those of `load_base`."""
    settings = recipe.training
    base = load_base(recipe.base, four_bit=recipe.lora.quantize == "nf4", **options)
    check_head(base.model)
    words = count_words(example.question.text for example in examples) if recipe.prompt.mends else {}
    prompt = Prompt(base.tokenizer, labels, recipe.prompt, words=words)
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    model = with_adapter(base, recipe)
    prefix_ids = [] if settings.loss == "sequence" else prompt.prefix_ids
    share = {"on": True, "off": False, "auto": len(prefix_ids) >= SHORT_PREFIX}[settings.share_prefix]
    share = share and shares_prefix(model)

    def loss(model: Any, batch: Sequence[Target]) -> Tensor:
        return batch_loss(model, prefix_ids, share, batch, settings.loss == "label", settings.label_smoothing)

    return Task(
        base=replace(base, model=model),
        rows=TrainingRows(examples, prompt, trie, settings.loss, **_shown_as(settings)),
        loss=loss,
        scorer=lambda: LabelScorer(model, prompt),
        prefix=prompt.prefix,
        words=words,
    )


def head_task(recipe: Recipe, labels: LabelSet, examples: Sequence[Example], **options: Any) -> Task:
    """A classification head on a decoder or an encoder. `options` are those of `load_base`."""
    settings, tune = recipe.training, recipe.head.tune
    torch.manual_seed(settings.seed)  # the head's first weights are drawn here
    # Steps of full fine-tuning are too small for the digits of bfloat16; an adapter has float32 weights of its own.
    whole, four_bit = tune == "full", recipe.lora.quantize == "nf4"
    base = load_base(recipe.base, labels=labels.names, float32_weights=whole, four_bit=four_bit, **options)
    prepare_head(base, recipe.head)
    weights = head_weights(base)
    scorer = HeadScorer(base, labels, recipe.prompt, recipe.head)
    if tune == "lora":
        scorer.model = _with_head_adapter(base, recipe)
    else:
        scorer.model.requires_grad_(tune == "full")
    _train_head(scorer.model, weights, recipe.head.train_head)
    if settings.compile:
        _compile(unwrapped(scorer.model).base_model)

    def loss(model: Any, batch: Sequence[HeadTarget]) -> Tensor:
        return head_loss(scorer, batch, settings.label_smoothing)

    return Task(
        base=replace(base, model=scorer.model),
        rows=HeadRows(examples, scorer.text, labels, **_shown_as(settings)),
        loss=loss,
        scorer=lambda: scorer,
    )


def _shown_as(settings: TrainingSettings) -> dict[str, Any]:
    """How rows are shown."""
    return {"halves": settings.option_halves, "seed": settings.seed, "augment": settings.augment}


def start_from(base: Base, folder: Path) -> None:
    """Puts the weights of the adapter in `folder` in place of the fresh ones of `base.model`.

    Raises:
        ModelFolderError: the adapter is damaged, or belongs to another base.
    """
    from peft.utils import set_peft_model_state_dict
    from safetensors.torch import load_file

    check_base(folder, read_config(folder).base, base, load_tokenizer(folder))
    found = set_peft_model_state_dict(base.model, load_file(folder / WEIGHTS_FILE))
    missing = [name for name in found.missing_keys if ".lora_" in name]
    if missing or found.unexpected_keys:
        raise ModelFolderError(
            f"The adapter in {folder} does not fit its base at {[*missing, *found.unexpected_keys][0]}."
        )


def with_adapter(base: Base, recipe: Recipe) -> Any:
    """The base with LoRA for scored labels."""
    from peft import TaskType

    model = _lora(base, recipe, task_type=TaskType.CAUSAL_LM, target_modules=list(recipe.lora.target_modules))
    if recipe.training.compile:
        _compile(model.get_base_model().get_decoder())
    return model


def _with_head_adapter(base: Base, recipe: Recipe) -> Any:
    """The base with LoRA and its head beside it, which PEFT then saves and restores with the adapter."""
    from peft import TaskType

    head = head_modules(base)
    targets = list(recipe.lora.target_modules)
    body = [
        f"{base.model.base_model_prefix}.{name}"
        for name, module in base.model.base_model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    if tuple(targets) == SEVEN_PROJECTIONS and not any(name.endswith(SEVEN_PROJECTIONS) for name in body):
        targets = [name for name in body if name not in head]
    return _lora(base, recipe, task_type=TaskType.SEQ_CLS, target_modules=targets, modules_to_save=head)


def _lora(base: Base, recipe: Recipe, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.training.seed)  # the adapter's first weights are drawn here
    alpha = recipe.lora.alpha
    settings = LoraConfig(
        r=recipe.lora.r,
        lora_alpha=int(alpha) if alpha == int(alpha) else alpha,
        lora_dropout=recipe.lora.dropout,
        **options,
    )
    try:
        return get_peft_model(base.model, settings)
    except ValueError as error:
        raise RecipeError(
            f"lora.target_modules do not fit {base.info.name}: {' '.join(str(error).split())[:200]}"
        ) from error


def _train_head(model: Any, weights: Sequence[str], trained: bool) -> None:
    """Switches the head's gradients on or off; PEFT trains a copy beside the head and keeps the first as it was."""
    for name, weight in model.named_parameters():
        plain = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
        if plain in weights and ".original_module." not in name:
            weight.requires_grad_(trained)


def _compile(body: Any) -> None:
    if not hasattr(body, "layers"):
        raise RecipeError("training.compile is for decoders; use --set training.compile=false.")
    for layer in body.layers:
        layer.compile(dynamic=True)
