"""The model folder: everything needed to answer again, saved and loaded. Knows no questions.

Weights are read as safetensors only. The adapter is plain LoRA with the keys that PEFT 0.17.1 knows, so that servers
and older versions load it without a warning. A classification head is saved with its adapter, as PEFT does; where more
than an adapter was trained, or less, the folder has the whole model as transformers saves it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from subjectwise.engines.engine import AUTO_ENGINE, OPENVINO, PYTORCH, Engine
from subjectwise.errors import ModelFolderError
from subjectwise.models.base_files import BaseFiles
from subjectwise.models.base_info import BaseInfo, locate_base, remember_base
from subjectwise.models.compiled_base import base_tokenizer, load_compiled_base, read_base_info
from subjectwise.models.devices import AUTO, Compute
from subjectwise.models.engine_choice import choose_engine
from subjectwise.models.label_scores import LabelScorer, Scorer
from subjectwise.models.lora import CONFIG_FILE as ADAPTER_CONFIG
from subjectwise.models.lora import WEIGHTS_FILE as ADAPTER_WEIGHTS
from subjectwise.models.lora import merge_adapter
from subjectwise.models.model_config import WHOLE_WEIGHTS_FILE, ModelConfig, read_config, write_config
from subjectwise.models.tokenizer import read_tokenizer
from subjectwise.text.prompt import Prompt
from subjectwise.types import LanguageModel, Tokenizer
from subjectwise.utils.atomic_files import read_json, write_json
from subjectwise.utils.hub_download import ANY_HUB, HubOptions, local_folder

# What a model folder may have; never a pickle.
_MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "README.md")

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

    scorer: Scorer
    config: ModelConfig
    base: BaseInfo
    warning: str = ""


def shipped_folder() -> Path:
    """Return the model folder inside the package."""
    return Path(str(resources.files("subjectwise") / "shipped"))


def find_model_folder(name: str | Path | None, revision: str | None = None, hub: HubOptions = ANY_HUB) -> Path:
    """Return a model folder by its path, or by its name on the Hub, from where it is downloaded; None for the shipped.

    Args:
        name: a folder, or a name on the Hub.
        revision: of the folder on the Hub.
        hub: how to download it.

    Raises:
        ModelFolderError: there is neither, or it cannot be downloaded.
    """
    if name is not None:
        return local_folder(name, "model", _MODEL_FILES, ModelFolderError, revision=revision, hub=hub)
    if revision:
        raise ModelFolderError("The shipped model has no revisions; leave out the revision, or give a name.")
    return shipped_folder()


def save_model(folder: Path, model: LanguageModel, tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Write every file of the model folder into an existing, empty `folder`, and remember where its base is."""
    remember_base(config.base)
    if config.head.whole:
        model.save_pretrained(folder, max_shard_size="1TB")  # one file, whose hash identifies the model
    else:
        save_adapter(folder, model, config)
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


def save_adapter(folder: Path, model: LanguageModel, config: ModelConfig) -> None:
    """Write an adapter to the base of `config` into an existing `folder`, as PEFT 0.17.1 reads it."""
    import torch
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
    if config.head.used:
        if compute.engine not in (AUTO_ENGINE, PYTORCH):
            raise ModelFolderError(f"{folder} has a classification head, which needs --engine {PYTORCH}.")
        choose_engine(compute, "", head=True)
        return _load_head(folder, config, base, compute)
    name, revision = base or locate_base(config.base), None if base else config.base.revision or None
    load = _load_openvino if choose_engine(compute, name, revision) == OPENVINO else _load_pytorch
    return load(folder, config, name, revision, compute)


def _load_openvino(folder: Path, config: ModelConfig, name: str, revision: str | None, compute: Compute) -> LoadedModel:
    from subjectwise.engines.openvino.engine import OpenVINOEngine

    tokenizer, warning = load_tokenizer(folder), ""

    def check(files: BaseFiles) -> None:
        nonlocal warning
        if files.sha256 != config.base.sha256 or not _has_tokenizer_of(folder, files.path):
            info = read_base_info(name, files)
            warning = check_base(folder, config.base, info, tokenizer, lambda: base_tokenizer(files.path))

    loaded = load_compiled_base(name, dtype=compute.dtype, revision=revision, adapter=folder, check=check)
    prompt = _prompt(folder, config, tokenizer)
    engine = OpenVINOEngine(loaded.decoder, prompt.prefix_ids)
    return LoadedModel(LabelScorer(engine, prompt), config, loaded.info, warning or config.warning)


def _has_tokenizer_of(folder: Path, base: Path) -> bool:
    """Return whether a folder's tokenizer is known to be that of a base without reading either: as files are equal.

    That of a GGUF file is in the file, whose hash is known.
    """
    own, other = folder / "tokenizer.json", base / "tokenizer.json"
    return base.is_file() or (own.is_file() and other.is_file() and own.read_bytes() == other.read_bytes())


def _load_pytorch(folder: Path, config: ModelConfig, name: str, revision: str | None, compute: Compute) -> LoadedModel:
    from subjectwise.engines.pytorch.engine import PyTorchEngine
    from subjectwise.engines.pytorch.output_head import check_head
    from subjectwise.models.base_model import load_base

    loaded = load_base(name, device=compute.device, dtype=compute.dtype, revision=revision)
    tokenizer = load_tokenizer(folder)
    warning = check_base(folder, config.base, loaded.info, tokenizer, lambda: loaded.tokenizer)
    merge_adapter(loaded.model, folder)
    loaded.model.eval()
    check_head(loaded.model)
    prompt = _prompt(folder, config, tokenizer)
    engine: Engine = PyTorchEngine(loaded.model, prompt.prefix_ids)
    return LoadedModel(LabelScorer(engine, prompt), config, loaded.info, warning or config.warning)


def _load_head(folder: Path, config: ModelConfig, base: str | None, compute: Compute) -> LoadedModel:
    from subjectwise.models.base_model import load_base
    from subjectwise.models.classification_head import HeadScorer, head_weights, prepare_head

    labels = config.labels.names
    if config.head.whole:
        loaded = load_base(str(folder), device=compute.device, dtype=compute.dtype, labels=labels)
        if loaded.new:
            raise ModelFolderError(
                f"{folder} is damaged: {loaded.new[0]} is missing from {WHOLE_WEIGHTS_FILE} or has another shape."
            )
        prepare_head(loaded)
        return LoadedModel(HeadScorer(loaded, config.labels, config.prompt), config, loaded.info, config.warning)
    name, revision = base or locate_base(config.base), None if base else config.base.revision or None
    loaded = load_base(name, device=compute.device, dtype=compute.dtype, revision=revision, labels=labels)
    own = loaded.tokenizer
    loaded = replace(loaded, tokenizer=load_tokenizer(folder))
    warning = check_base(folder, config.base, loaded.info, loaded.tokenizer, lambda: own)
    prepare_head(loaded)
    scorer = HeadScorer(loaded, config.labels, config.prompt)
    merge_adapter(loaded.model, folder, head_weights(loaded))
    return LoadedModel(scorer, config, loaded.info, warning or config.warning)


def _prompt(folder: Path, config: ModelConfig, tokenizer: Tokenizer) -> Prompt:
    """Return the prompt of a model folder; raise ModelFolderError where it is not the one that was trained on."""
    prompt = Prompt(tokenizer, config.labels, config.prompt, words=config.words)
    if prompt.prefix != config.prefix:
        raise ModelFolderError(f"The prompt of {folder} renders differently here; its tokenizer was changed.")
    return prompt


def check_base(
    folder: Path, wanted: BaseInfo, loaded: BaseInfo, tokenizer: Tokenizer, base_tokenizer: Callable[[], Tokenizer]
) -> str:
    """Refuse a base of another shape or tokenizer; return a warning for one with other weights.

    Args:
        folder: the model folder.
        wanted: what the folder says of its base.
        loaded: what was loaded.
        tokenizer: of the folder.
        base_tokenizer: returns that of the base.

    Raises:
        ModelFolderError: another shape or tokenizer.
    """
    for name in ("hidden_size", "vocab_size"):
        have, want = getattr(loaded, name), getattr(wanted, name)
        if have != want:
            raise ModelFolderError(
                f"{folder} was trained on {wanted.shared_name} with {name} {want}; {loaded.name} has {have}."
            )
    # A saved tokenizer may have tokens that its class adds to those of the file.
    if not base_tokenizer().get_vocab().items() <= tokenizer.get_vocab().items():
        raise ModelFolderError(f"{folder} has another tokenizer than {loaded.name}; give the base it was trained on.")
    if wanted.sha256 and loaded.sha256 and wanted.sha256 != loaded.sha256:
        return (
            f"{loaded.name} has the right shape but other weights than the base that {folder.name} was trained on "
            "(a quantised copy, say); expect slightly different probabilities."
        )
    return ""


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer of a model folder; raise ModelFolderError where it is damaged."""
    return read_tokenizer(folder, ModelFolderError)
