"""From a recipe to what is trained: an adapter for scored labels, or a classification head. Knows no Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.forward import SHORT_PREFIX, shares_prefix, unwrapped
from subjectwise.engines.pytorch.output_head import check_head
from subjectwise.errors import ModelFolderError, RecipeError
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import Base, load_base
from subjectwise.models.classification_head import HeadScorer, head_modules, head_weights, prepare_head
from subjectwise.models.label_scores import LabelScorer, Scorer
from subjectwise.models.lora import WEIGHTS_FILE
from subjectwise.models.model_config import read_config
from subjectwise.models.model_folder import check_base, load_tokenizer
from subjectwise.recipe import SEVEN_PROJECTIONS, Recipe
from subjectwise.records import Example
from subjectwise.text.prompt import Prompt
from subjectwise.text.spelling import count_words
from subjectwise.training.losses import head_loss, token_loss
from subjectwise.training.training_rows import HeadRows, HeadTarget, LabelRows, TokenTargets, TrainingRows
from subjectwise.types import LanguageModel
from subjectwise.utils.optional_dependencies import require


@dataclass(frozen=True)
class Task:
    """What is trained and how it is scored: everything that differs between label scoring and a classification head.

    Attributes:
        base: the base, its model ready to train.
        rows: what is trained on.
        loss: of a batch of those rows; the first argument is the model, as DDP may have wrapped it.
        scorer: the path that answers, around the model as it is now.
        prefix: the rendered prompt before the boundary; empty for a head.
        words: the training vocabulary, where spelling is corrected.
    """

    base: Base
    rows: TrainingRows[Any]
    loss: Callable[[LanguageModel, Sequence[Any]], Tensor]
    scorer: Callable[[], Scorer]
    prefix: str = ""
    words: Mapping[str, int] = field(default_factory=dict)


def label_task(
    recipe: Recipe, labels: LabelSet, examples: Sequence[Example], device: str, dtype: str, attention: str | None
) -> Task:
    """Return an adapter that makes the labels likely continuations.

    Args:
        recipe: how to train.
        labels: of the model.
        examples: to train on.
        device: as for `load_base`.
        dtype: as for `load_base`.
        attention: as for `load_base`.
    """
    _check_libraries()
    settings = recipe.training
    four_bit = recipe.lora.quantize == "nf4"
    base = load_base(recipe.base, device=device, dtype=dtype, attention=attention, four_bit=four_bit)
    check_head(base.model)
    words = count_words(row.question.text for row in examples) if recipe.prompt.corrects_spelling else {}
    prompt = Prompt(base.tokenizer, labels, recipe.prompt, words=words)
    trie = LabelTrie(prompt.answer_ids, prompt.end_ids)
    model = with_adapter(base, recipe)
    share = {"on": True, "off": False, "auto": len(prompt.prefix_ids) >= SHORT_PREFIX}[settings.share_prefix]
    share = share and shares_prefix(model)

    def loss(model: LanguageModel, batch: Sequence[TokenTargets]) -> Tensor:
        per_row = settings.loss == "label"
        return token_loss(model, prompt.prefix_ids, share, batch, per_row, settings.label_smoothing)

    return Task(
        base=replace(base, model=model),
        rows=LabelRows(examples, prompt, trie, settings),
        loss=loss,
        scorer=lambda: LabelScorer(PyTorchEngine(model, prompt.prefix_ids), prompt),
        prefix=prompt.prefix,
        words=words,
    )


def head_task(
    recipe: Recipe, labels: LabelSet, examples: Sequence[Example], device: str, dtype: str, attention: str | None
) -> Task:
    """Return a classification head on a decoder or an encoder; arguments as for `label_task`."""
    _check_libraries()
    settings, tune = recipe.training, recipe.head.tune
    torch.manual_seed(settings.seed)  # the head's first weights are drawn here
    base = load_base(
        recipe.base, device=device, dtype=dtype, attention=attention, labels=labels.names,
        # Steps of full fine-tuning are too small for bfloat16; an adapter has float32 weights of its own.
        float32_weights=tune == "full", four_bit=recipe.lora.quantize == "nf4",
    )  # fmt: skip
    prepare_head(base)
    weights = head_weights(base)
    scorer = HeadScorer(base, labels, recipe.prompt)
    if tune == "lora":
        scorer.model = _with_head_adapter(base, recipe)
    else:
        scorer.model.requires_grad_(tune == "full")
    _train_head(scorer.model, weights)
    if settings.compile:
        _compile(unwrapped(scorer.model).base_model)

    def loss(model: LanguageModel, batch: Sequence[HeadTarget]) -> Tensor:
        return head_loss(scorer, batch, settings.label_smoothing)

    return Task(
        base=replace(base, model=scorer.model),
        rows=HeadRows(examples, scorer.encoder, labels, settings),
        loss=loss,
        scorer=lambda: scorer,
    )


def _check_libraries() -> None:
    """Raise SubjectwiseError where a library is missing that training needs, before the base is loaded."""
    for library in ("accelerate", "peft"):
        require(library, "train")


def start_from(base: Base, folder: Path) -> None:
    """Replace the fresh weights of `base.model`'s adapter by those of the adapter in `folder`.

    Raises:
        ModelFolderError: the adapter is damaged, or belongs to another base.
    """
    from peft.utils import set_peft_model_state_dict
    from safetensors.torch import load_file

    check_base(folder, read_config(folder).base, base.info, load_tokenizer(folder), lambda: base.tokenizer)
    loading = set_peft_model_state_dict(base.model, load_file(folder / WEIGHTS_FILE))
    wrong = [name for name in loading.missing_keys if ".lora_" in name] + list(loading.unexpected_keys)
    if wrong:
        raise ModelFolderError(f"The adapter in {folder} does not fit its base at {wrong[0]}.")


def with_adapter(base: Base, recipe: Recipe) -> LanguageModel:
    """Return the base with LoRA for scored labels."""
    from peft import TaskType

    model = _lora(base, recipe, task_type=TaskType.CAUSAL_LM, target_modules=list(recipe.lora.target_modules))
    if recipe.training.compile:
        _compile(model.get_base_model().get_decoder())
    return model


def _with_head_adapter(base: Base, recipe: Recipe) -> LanguageModel:
    """Return the base with LoRA and its head, which PEFT then saves and restores with the adapter."""
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


def _lora(base: Base, recipe: Recipe, **options: Any) -> LanguageModel:
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
        model: LanguageModel = get_peft_model(base.model, settings)
        return model
    except ValueError as error:
        raise RecipeError(
            f"lora.target_modules do not fit {base.info.name}: {' '.join(str(error).split())[:200]}"
        ) from error


def _train_head(model: LanguageModel, weights: Sequence[str]) -> None:
    """Enable the head's gradients; PEFT trains a copy of the head and keeps the original as it was."""
    for name, weight in model.named_parameters():
        plain = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
        if plain in weights and ".original_module." not in name:
            weight.requires_grad_(True)


def _compile(body: LanguageModel) -> None:
    if not hasattr(body, "layers"):
        raise RecipeError("training.compile is for decoders; use --set training.compile=false.")
    for layer in body.layers:
        layer.compile(dynamic=True)
