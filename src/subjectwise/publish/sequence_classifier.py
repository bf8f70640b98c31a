"""A plain sequence-classification model from a loaded model, adapter merged. Knows no files.

With labels whose first tokens differ, a label's log-probability is that of its first token, so that the rows of the
output head for these tokens, divided by the temperature, are a classification head with the same probabilities.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from subjectwise.engines.pytorch.forward import decoder_of
from subjectwise.errors import ModelFolderError
from subjectwise.labels import LabelSet
from subjectwise.models.classification_head import HeadScorer
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt
from subjectwise.types import LanguageModel

_PROBE = Question("What is it?")

# What a Qwen2 and a Llama are both configured by.
_SHARED_SETTINGS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps",
    "rope_parameters", "pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings",
)  # fmt: skip


def check_first_tokens(prompt: Prompt) -> None:
    """Refuse labels of which two begin with the same token.

    Raises:
        ModelFolderError: it names the two, and a name for one of them that would do.
    """
    names = [*prompt.labels, *["none"] * (len(prompt.answer_ids) - len(prompt.label_ids))]
    by_token: Mapping[int, list[str]] = defaultdict(list)
    for name, ids in zip(names, prompt.answer_ids, strict=True):
        by_token[ids[0]].append(name)
    for token, same in by_token.items():
        if len(same) > 1:
            renamed = next(
                ((name, new) for name in reversed(same) if (new := _other_name(prompt, name, by_token))), None
            )
            advice = f"Rename {renamed[0]!r} to {renamed[1]!r}, say," if renamed else "Rename one of them"
            listed = " and ".join(map(repr, same[:2]))
            text = prompt.tokenizer.decode([token]).strip()
            raise ModelFolderError(
                f"Cannot export: the labels {listed} begin with the same token ({text!r}), and a classification head "
                f"has one row per label. {advice} and train again."
            )


def _other_name(prompt: Prompt, name: str, taken: Mapping[int, Sequence[str]]) -> str:
    """Return another name for a label whose first token no label has: its words in another order, or a new word."""
    words = name.split()
    turned = [" ".join([*words[index:], *words[:index]]) for index in range(1, len(words))]
    for candidate in (*turned, name.capitalize(), name.upper(), f"subject {name}", f"topic {name}", f"class {name}"):
        token = _first_token(prompt, candidate)
        if token is not None and token not in taken and candidate not in prompt.labels.names:
            return candidate
    return ""


def _first_token(prompt: Prompt, name: str) -> int | None:
    """Return the first token of an answer after the prompt; None where the tokenizer merges the two."""
    text = prompt.render(_PROBE)
    alone, whole = (
        list(prompt.tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"])
        for part in (text, text + prompt.labels.answer(name))
    )
    return whole[len(alone)] if whole[: len(alone)] == alone and len(whole) > len(alone) else None


def from_scored_labels(model: LanguageModel, prompt: Prompt, temperature: float) -> LanguageModel:
    """Return a sequence-classification model that shares the decoder of `model`.

    Args:
        model: a causal language model, any adapter merged, in float32.
        prompt: of the model, whose labels begin with different tokens.
        temperature: what the log-probabilities are divided by.

    Raises:
        ModelFolderError: two labels begin with the same token, or transformers has no such model for this base.
    """
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    check_first_tokens(prompt)
    output = model.get_output_embeddings()
    kind = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(model.config), None)
    capped = getattr(model.config, "final_logit_softcapping", None) is not None
    if kind is None or output.bias is not None or capped:
        reason = "its logits are more than a product" if kind is not None else "transformers has no such model for it"
        raise ModelFolderError(f"Cannot export {type(model).__name__} as a sequence-classification model: {reason}.")
    config = copy.deepcopy(model.config)
    _name_labels(config, prompt.labels)
    config.tie_word_embeddings = False  # the only head left is that of the labels
    with torch.device("meta"):
        classifier: LanguageModel = kind(config)
    setattr(classifier, str(classifier.base_model_prefix), decoder_of(model))
    if not hasattr(classifier, "score"):
        raise ModelFolderError(f"Cannot export {type(model).__name__}: its classification head has an unknown form.")
    first = [ids[0] for ids in prompt.label_ids]
    rows = output.weight[first].detach().float() / temperature  # [labels, hidden]
    head = torch.nn.Linear(rows.shape[1], rows.shape[0], bias=False)
    with torch.no_grad():
        head.weight.copy_(rows)
    setattr(classifier, "score", head)  # noqa: B010  # a module, of which LanguageModel knows nothing
    return _ready(classifier)


def from_head(scorer: HeadScorer, temperature: float) -> LanguageModel:
    """Return the model of a classification head, whose last layer is divided by the temperature.

    Raises:
        ModelFolderError: the head has no last linear layer with one row per label.
    """
    model = scorer.model
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    last = next((layer for layer in reversed(layers) if layer.out_features == len(scorer.labels)), None)
    if last is None:
        raise ModelFolderError(f"Cannot export {type(model).__name__}: its classification head has an unknown form.")
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.div_(temperature)
    _name_labels(model.config, scorer.labels)
    return _ready(model)


def _as_llama(model: LanguageModel) -> LanguageModel:
    """Return a Qwen2 classifier as the Llama that it is, with biases; any other model as it is.

    For the model type `qwen2` transformers 5 takes its own tokenizer class, whatever tokenizer_config.json says, and
    that class builds another normalizer than the one in tokenizer.json, without the prompt.

    Raises:
        ModelFolderError: it has layers with a sliding window.
    """
    from transformers import LlamaConfig, LlamaForSequenceClassification

    old = model.config
    if old.model_type != "qwen2":
        return model
    if set(getattr(old, "layer_types", None) or ()) - {"full_attention"}:
        raise ModelFolderError("Cannot export a Qwen2 model with a sliding window; use another base.")
    config = LlamaConfig(**{name: getattr(old, name) for name in _SHARED_SETTINGS}, attention_bias=True)
    _name_labels(config, LabelSet(tuple(old.id2label.values())))
    weights = dict(model.state_dict())
    for name, weight in list(weights.items()):
        if name.endswith("self_attn.o_proj.weight"):
            weights[name.replace("weight", "bias")] = torch.zeros(weight.shape[0], dtype=weight.dtype)
    with torch.device("meta"):
        llama: LanguageModel = LlamaForSequenceClassification(config)
    llama.load_state_dict(weights, assign=True)
    return llama


def _ready(model: LanguageModel) -> LanguageModel:
    model = _as_llama(model)
    model.config.architectures = [type(model).__name__]
    return model.eval()  # type: ignore[no-any-return]


def _name_labels(config: object, labels: LabelSet) -> None:
    config.id2label = dict(enumerate(labels))  # type: ignore[attr-defined]
    config.label2id = {name: number for number, name in enumerate(labels)}  # type: ignore[attr-defined]
    config.problem_type = "single_label_classification"  # type: ignore[attr-defined]
