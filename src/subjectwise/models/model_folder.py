"""The model folder: everything needed to answer again, saved and loaded. Knows no questions.

Weights are read as safetensors only. The adapter is plain LoRA with the keys that PEFT 0.17.1 knows, so that servers
and older versions load it without a warning. A classification head is saved with its adapter, as PEFT does; where more
than an adapter was trained, or less, the folder has the whole model as transformers saves it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from subjectwise.engines.engine import PYTORCH, loading_dtype
from subjectwise.engines.pytorch.output_head import check_head
from subjectwise.errors import ModelFolderError
from subjectwise.models.base_info import BaseInfo, locate_base, remember_base
from subjectwise.models.base_model import Base, load_base
from subjectwise.models.classification_head import HeadScorer, head_weights, prepare_head
from subjectwise.models.devices import AUTO, Compute, choose_dtype
from subjectwise.models.label_scores import LabelScorer
from subjectwise.models.lora import CONFIG_FILE as ADAPTER_CONFIG
from subjectwise.models.lora import WEIGHTS_FILE as ADAPTER_WEIGHTS
from subjectwise.models.lora import merge_adapter
from subjectwise.models.model_config import WHOLE_WEIGHTS_FILE, ModelConfig, read_config, write_config
from subjectwise.text.prompt import Prompt
from subjectwise.types import LanguageModel, Tokenizer
from subjectwise.utils.atomic_files import read_json, write_json

# What LoraConfig of PEFT 0.17.1 writes; later versions know more keys, at defaults that change nothing here.
PEFT_0_17_KEYS = frozenset(
    """
    alpha_pattern auto_mapping base_model_name_or_path bias corda_config eva_config exclude_modules fan_in_fan_out
    inference_mode init_lora_weights layer_replication layers_pattern layers_to_transform loftq_config lora_alpha
    lora_bias lora_dropout megatron_config megatron_core modules_to_save peft_type qalora_group_size r
    rank_pattern revision target_modules target_parameters task_type trainable_token_indices use_dora use_qalora
    use_rslora
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to score, any adapter merged into its base.

    Attributes:
        scorer: from questions to the log-probabilities of the labels.
        config: what the folder says of itself.
        base: what was loaded as the base, under the name or path where it is; of a whole model the folder itself.
        warning: one sentence where the model is not quite what it was trained as; else empty.
    """

    scorer: LabelScorer | HeadScorer
    config: ModelConfig
    base: BaseInfo
    warning: str = ""


def shipped_folder() -> Path:
    """Return the model folder inside the package."""
    return Path(str(resources.files("subjectwise") / "shipped"))


def save_model(folder: Path, model: LanguageModel, tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Write every file of the model folder into an existing, empty `folder`, and remember where its base is."""
    remember_base(config.base)
    if config.head.whole:
        model.save_pretrained(folder, max_shard_size="1TB")  # one file, whose hash identifies the model
    else:
        _save_adapter(folder, model, config)
    save_tokenizer(folder, tokenizer)
    write_config(folder, config)
    names = list(config.labels)
    write_json(
        folder / "label_mapping.json",
        {
            "label2id": {name: number for number, name in enumerate(names)},
            "id2label": {str(number): name for number, name in enumerate(names)},
            "instruction_template": config.template,
        },
    )
    described = {"category_descriptions": dict(config.labels.descriptions)} if config.labels.descriptions else {}
    write_json(
        folder / "category_mapping.json",
        {
            "category_to_idx": {name: number for number, name in enumerate(names)},
            "idx_to_category": {str(number): name for number, name in enumerate(names)},
            **described,
        },
    )


def _save_adapter(folder: Path, model: LanguageModel, config: ModelConfig) -> None:
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    weights = {
        name: tensor.detach().to("cpu", torch.bfloat16 if ".lora_" in name else torch.float32).contiguous()
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    save_file(weights, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    adapter = model.peft_config["default"]
    known = {key: value for key, value in adapter.to_dict().items() if key in PEFT_0_17_KEYS}
    known |= {"inference_mode": True, "base_model_name_or_path": config.base.public_name}
    known["target_modules"] = sorted(adapter.target_modules)
    if adapter.modules_to_save:
        known["modules_to_save"] = sorted(set(adapter.modules_to_save))
    write_json(folder / ADAPTER_CONFIG, {key: _plain(value) for key, value in sorted(known.items())})


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda item: sorted(item) if isinstance(item, set) else str(item)))


def save_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Write the tokenizer so that transformers 4 reads it too: its class by the name that both versions know."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    settings = read_json(file, ModelFolderError)
    if settings.get("tokenizer_class") == "TokenizersBackend":
        for key in ("backend", "is_local", "local_files_only"):
            settings.pop(key, None)
        write_json(file, {**settings, "tokenizer_class": "PreTrainedTokenizerFast"})


def remove_base_path(folder: Path) -> bool:
    """Remove the path of the base that 0.1.0 wrote to `subjectwise.json`; return whether there was one."""
    config = read_config(folder)
    if config.base.name == config.base.shared_name:
        return False
    remember_base(config.base)
    write_config(folder, config)
    return True


def load_model(
    folder: Path, *, base: str | None = None, compute: Compute = AUTO, config: ModelConfig | None = None
) -> LoadedModel:
    """Load the base, merge the adapter into it and check that the two belong together.

    Args:
        folder: the model folder.
        base: where the base is, when it is not where the folder says (an offline copy, say). A folder that has the
            whole model needs none.
        compute: device, precision and engine; a classification head runs on the engine `pytorch`.
        config: what the folder shall say from now on, when not what it says.

    Raises:
        ModelFolderError: the folder is incomplete, or the base has another shape, tokenizer or prompt.
        BaseModelError: the base cannot be loaded.
    """
    config = config or read_config(folder)
    labels = config.labels.names if config.head.used else ()
    device, dtype = compute.device, compute.dtype
    if config.head.used and compute.engine != PYTORCH:
        raise ModelFolderError(f"{folder} has a classification head, which needs --engine {PYTORCH}.")
    if config.head.whole:
        loaded = load_base(str(folder), device=device, dtype=dtype, labels=labels)
        if loaded.new:
            raise ModelFolderError(
                f"{folder} is damaged: {loaded.new[0]} is missing from {WHOLE_WEIGHTS_FILE} or has another shape."
            )
        return LoadedModel(_head_scorer(loaded, config), config, loaded.info, config.warning)
    loaded = load_base(
        base or locate_base(config.base), device=device, dtype=loading_dtype(compute.engine, dtype),
        revision=None if base else config.base.revision or None, labels=labels,
    )  # fmt: skip
    tokenizer = load_tokenizer(folder)
    warning = check_base(folder, config.base, loaded, tokenizer) or config.warning
    model = loaded.model
    if config.head.used:
        scorer = _head_scorer(replace(loaded, tokenizer=tokenizer), config)
        merge_adapter(model, folder, head_weights(loaded))
        return LoadedModel(scorer, config, loaded.info, warning)
    merge_adapter(model, folder)
    model.eval()
    check_head(model)
    prompt = Prompt(tokenizer, config.labels, config.prompt, words=config.words)
    if prompt.prefix != config.prefix:
        raise ModelFolderError(f"The prompt of {folder} renders differently here; its tokenizer was changed.")
    precision = choose_dtype(model.device, dtype)
    return LoadedModel(LabelScorer(model, prompt, compute.engine, precision), config, loaded.info, warning)


def _head_scorer(loaded: Base, config: ModelConfig) -> HeadScorer:
    prepare_head(loaded)
    return HeadScorer(loaded, config.labels, config.prompt)


def check_base(folder: Path, wanted: BaseInfo, loaded: Base, tokenizer: Tokenizer) -> str:
    """Refuse a base of another shape; return a warning for one of the same shape with other weights."""
    for name in ("hidden_size", "vocab_size"):
        have, want = getattr(loaded.info, name), getattr(wanted, name)
        if have != want:
            raise ModelFolderError(
                f"{folder} was trained on {wanted.shared_name} with {name} {want}; {loaded.info.name} has {have}."
            )
    if tokenizer.get_vocab() != loaded.tokenizer.get_vocab():
        raise ModelFolderError(
            f"{folder} has another tokenizer than {loaded.info.name}; give the base it was trained on."
        )
    if wanted.sha256 and loaded.info.sha256 and wanted.sha256 != loaded.info.sha256:
        return (
            f"{loaded.info.name} has the right shape but other weights than the base that {folder.name} was trained on "
            "(a quantised copy, say); expect slightly different probabilities."
        )
    return ""


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer of a model folder; raise ModelFolderError where it is damaged."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelFolderError(f"Cannot read the tokenizer in {folder}; it is damaged.") from error
    return tokenizer
