"""A model loaded to be exported, with a tokenizer of transformers, and what it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from subjectwise.engines.engine import PYTORCH
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.errors import ModelFolderError
from subjectwise.models.base_files import base_files
from subjectwise.models.base_info import BaseInfo
from subjectwise.models.classification_head import HeadEncoder, HeadScorer
from subjectwise.models.devices import Compute
from subjectwise.models.label_scores import LabelScorer, Scorer
from subjectwise.models.model_config import ModelConfig, description_sha256, read_config
from subjectwise.models.model_folder import load_model
from subjectwise.models.zero_shot import ZeroShot
from subjectwise.recipe import PromptSettings
from subjectwise.text.prompt import Prompt
from subjectwise.types import LanguageModel, Tokenizer
from subjectwise.utils.atomic_files import file_sha256


@dataclass(frozen=True)
class ExportSource:
    """A model loaded to be exported, and what it came from.

    Attributes:
        scorer: from questions to the log-probabilities of the labels.
        settings: of the prompt.
        temperature: what the log-probabilities are divided by.
        base: of the model.
        config: what its folder says of itself; None for labels on an untrained base.
        weights_sha256: the hash of its file of weights; empty without a folder.
        description_sha256: the hash of what the folder says of it; empty without a folder.
    """

    scorer: LabelScorer | HeadScorer
    settings: PromptSettings
    temperature: float
    base: BaseInfo
    config: ModelConfig | None = None
    weights_sha256: str = ""
    description_sha256: str = ""


def load_source(model: Path | ZeroShot, base: str | None = None) -> ExportSource:
    """Load a model on the CPU, in float32, by PyTorch.

    Args:
        model: a model folder, or labels on an untrained base.
        base: where the base of a model folder is, when it is not where the folder says.

    Raises:
        ModelFolderError: transformers reads the prompt differently.
        BaseModelError: the base cannot be loaded.
    """
    compute = Compute("cpu", "float32", PYTORCH)
    if isinstance(model, ZeroShot):
        scorer, _ = model.load(compute)
        return ExportSource(scorer, scorer.prompt.settings, 1.0, _base_info(model.base, decoder(scorer)))
    config = read_config(model)
    loaded = load_model(model, base=base, compute=compute)
    return ExportSource(
        _with_own_tokenizer(loaded.scorer, model, config), config.prompt, config.temperature, config.base, config,
        file_sha256(model / config.weights_file), description_sha256(model),
    )  # fmt: skip


def _base_info(name: str, model: LanguageModel) -> BaseInfo:
    files, config = base_files(name), model.config.get_text_config()
    sha256 = "" if files.revision else files.sha256
    return BaseInfo(name, files.revision, sha256, int(config.hidden_size), int(config.vocab_size))


def _with_own_tokenizer(scorer: Scorer, folder: Path, config: ModelConfig) -> LabelScorer | HeadScorer:
    """Return a scorer with the folder's tokenizer as transformers has it, from which that of the export is made."""
    from transformers import AutoTokenizer

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if isinstance(scorer, HeadScorer):
        scorer.encoder = HeadEncoder(tokenizer, config.prompt)
        return scorer
    if not isinstance(scorer, LabelScorer):
        raise ModelFolderError("Cannot export: the model is of an unknown kind.")
    prompt = Prompt(tokenizer, config.labels, config.prompt, words=config.words)
    if prompt.prefix_ids != scorer.prompt.prefix_ids:
        raise ModelFolderError("Cannot export: transformers reads the prompt differently; use another base.")
    return LabelScorer(scorer.engine, prompt)


def decoder(scorer: LabelScorer) -> LanguageModel:
    """Return the model of a scorer that was loaded so."""
    if not isinstance(scorer.engine, PyTorchEngine):
        raise ModelFolderError("Cannot export: the model was not loaded by PyTorch.")
    return scorer.engine.model
