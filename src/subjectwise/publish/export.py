"""A model folder as one plain artifact for other engines: transformers, vLLM, ONNX Runtime, OpenVINO."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from subjectwise.errors import ModelFolderError, OutputError
from subjectwise.models.classification_head import HeadScorer, longest_row
from subjectwise.models.devices import DTYPES
from subjectwise.models.label_scores import LabelScorer
from subjectwise.models.zero_shot import ZeroShot
from subjectwise.publish.export_card import ExportFacts, write_export_card
from subjectwise.publish.export_source import ExportSource, decoder, load_source
from subjectwise.publish.graph_export import Graph, padded, write_onnx, write_openvino
from subjectwise.publish.prompt_tokenizer import head_surroundings, prompt_surroundings, same_ids, surround
from subjectwise.publish.sequence_classifier import check_first_tokens, from_head, from_scored_labels
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.text.prompt import Prompt
from subjectwise.types import FloatArray, LanguageModel, Tokenizer
from subjectwise.utils.atomic_files import check_new, file_sha256, new_folder, read_json, write_json
from subjectwise.utils.versions import library_versions

TRANSFORMERS, ONNX, OPENVINO = TARGETS = ("transformers", "onnx", "openvino")
EXPORT_FILE = "export.json"
SCHEMA_VERSION = 1

# What each target stores.
_PRECISIONS = {TRANSFORMERS: DTYPES, ONNX: ("float32",), OPENVINO: ("float32", "float16")}

# Asked of the classifier and of the export: short, long, formulas, lines, accents, control characters.
_PROBES = tuple(
    map(
        Question,
        (
            "How do neurons transmit signals?", "What is 2 + 2", " Explain the law of torts. ", "why",
            "Solve $x^2 - 4 = 0$ for x:\n(a) 2\n(b) -2", "\u00bfQu\u00e9 es la fotos\u00edntesis?",
            "A firm\tsells its shares.\x07 Which market is that", "What is the momentum of a photon? " * 8,
        ),
    )
)  # fmt: skip

# The largest difference of a probability that rounding explains, by the precision of the weights.
_LARGEST_GAP = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.02}


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        folder: where it is.
        target: one of `TARGETS`.
        gap: the largest difference of a probability from the classifier's own, over a few questions.
        not_carried: one sentence for each thing that the classifier does and the export does not.
    """

    folder: Path
    target: str
    gap: float
    not_carried: tuple[str, ...]


def check_export(folder: Path, target: str, dtype: str = "float32") -> None:
    """Refuse what cannot be exported whatever the model, before it is loaded.

    Raises:
        OutputError: an unknown target or precision, or the folder exists.
    """
    if target not in TARGETS:
        raise OutputError(f"Unknown target {target!r}; choose one of {', '.join(TARGETS)}.")
    if dtype not in _PRECISIONS[target]:
        raise OutputError(f"Cannot export to {target} in {dtype!r}; choose one of {', '.join(_PRECISIONS[target])}.")
    check_new(folder, empty_folder=True)


def export_model(
    model: Path | ZeroShot, folder: Path, target: str, *, base: str | None = None, dtype: str = "float32"
) -> Export:
    """Write a model as a plain sequence-classification model, which answers with its calibrated probabilities.

    The adapter is merged, the head is made of the output head's rows of the labels' first tokens divided by the
    temperature, and the tokenizer puts the prompt around each question. A few questions are asked of both at the end.

    Args:
        model: a model folder, or labels on an untrained base.
        folder: new, written whole or not at all.
        target: one of `TARGETS`.
        base: where the base of a model folder is, when it is not where the folder says.
        dtype: of the stored weights: float32, or for `transformers` bfloat16 or float16, for `openvino` float16.

    Raises:
        OutputError: as for `check_export`.
        ModelFolderError: two labels begin with the same token, the base has no such model, or the answers differ.
        BaseModelError: the base cannot be loaded.
        SubjectwiseError: a library is not installed; the message has the command that installs it.
    """
    check_export(folder, target, dtype)
    source = load_source(model, base)
    scorer = source.scorer
    if isinstance(scorer, LabelScorer):
        check_first_tokens(scorer.prompt)
    expected, rows = _own_answers(source)
    around = head_surroundings(scorer.encoder) if isinstance(scorer, HeadScorer) else prompt_surroundings(scorer.prompt)
    whole, own_tokenizer = _classifier(source)
    tokenizer = surround(own_tokenizer, around, min(longest_row(whole), 1 << 20))
    whole.config.pad_token_id = tokenizer.pad_token_id
    with new_folder(folder) as temporary:
        if target == TRANSFORMERS:
            _write_transformers(temporary, whole, tokenizer, dtype)
            graph = _run_by_transformers(temporary)
        else:
            with tempfile.TemporaryDirectory(prefix="subjectwise-") as written:
                # Read back, for a graph with transformers' own attention in place of the engine's.
                _write_transformers(Path(written), whole, tokenizer, "float32")
                plain = _reload(Path(written))
                if target == ONNX:
                    graph = write_onnx(plain, temporary)
                else:
                    graph = write_openvino(plain, temporary, half=dtype == "float16")
            _write_tokenizer(temporary, tokenizer)
            _write_config(temporary, whole)
        gap = _check(temporary, graph, expected, rows, _LARGEST_GAP[dtype])
        facts = _facts(source, target, dtype, gap, longest_row(whole))
        _write_description(temporary, source, facts)
        write_export_card(temporary, facts)
    return Export(folder, target, gap, facts.not_carried)


def _own_answers(source: ExportSource) -> tuple[FloatArray, list[list[int]]]:
    """Return the classifier's probabilities of the probes without spelling correction, and their token ids."""
    scorer = source.scorer
    if isinstance(scorer, HeadScorer):
        encoded = scorer.encode(_PROBES)
        rows = [question.ids for question in encoded]
    else:
        plain = scorer.prompt
        if source.settings.corrects_spelling:
            plain = Prompt(plain.tokenizer, plain.labels, replace(source.settings, spelling="none"))
        encoded = plain.encode_questions(_PROBES)
        rows = [[*plain.prefix_ids, *question.ids] for question in encoded]
    kept = [row if not question.truncated else [] for row, question in zip(rows, encoded, strict=True)]
    return apply_temperature(scorer.score(encoded).log_probs, source.temperature), kept


def _classifier(source: ExportSource) -> tuple[LanguageModel, Tokenizer]:
    scorer = source.scorer
    if isinstance(scorer, HeadScorer):
        return from_head(scorer, source.temperature), scorer.encoder.tokenizer
    return from_scored_labels(decoder(scorer), scorer.prompt, source.temperature), scorer.prompt.tokenizer


def _write_transformers(folder: Path, model: LanguageModel, tokenizer: Tokenizer, dtype: str) -> None:
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size="5GB")
    _write_config(folder, model)
    _write_tokenizer(folder, tokenizer)


def _write_config(folder: Path, model: LanguageModel) -> None:
    """Write `config.json` so that transformers 4, which has the base of the rotary angles elsewhere, reads it too."""
    model.config.save_pretrained(folder)
    config = read_json(folder / "config.json", OutputError)
    config.pop("_name_or_path", None)
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        config["rope_theta"] = rope["rope_theta"]
    write_json(folder / "config.json", config)


def _write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Write the tokenizer as it is in tokenizer.json: the classes of some bases would build another normalizer."""
    tokenizer.save_pretrained(folder)
    settings = read_json(folder / "tokenizer_config.json", OutputError)
    for key in ("backend", "is_local", "local_files_only"):
        settings.pop(key, None)
    write_json(folder / "tokenizer_config.json", {**settings, "tokenizer_class": "PreTrainedTokenizerFast"})


def _reload(folder: Path) -> LanguageModel:
    from transformers import AutoModelForSequenceClassification

    model: LanguageModel = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False
    )
    model.eval()
    return model


def _run_by_transformers(folder: Path) -> Graph:
    model = _reload(folder)

    def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> FloatArray:
        with torch.inference_mode():
            inputs = {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(attention_mask)}
            return np.asarray(model(**inputs).logits.double().numpy(), dtype=np.float64)

    return run


def _check(folder: Path, graph: Graph, expected: FloatArray, rows: list[list[int]], largest: float) -> float:
    """Return the largest gap between what was written and the classifier; rows that it cuts are left out.

    Raises:
        ModelFolderError: the tokenizer reads other tokens, or the probabilities differ by more than `largest`.
    """
    from transformers import AutoTokenizer

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    whole = [index for index, row in enumerate(rows) if row]
    texts, wanted = [_PROBES[index].text for index in whole], [rows[index] for index in whole]
    if not same_ids(tokenizer, texts, wanted):
        raise ModelFolderError(
            "Cannot export: the base's tokenizer reads the prompt differently once it puts it around the question by "
            "itself. Use another base, or prompt.style=bare."
        )
    logits = graph(*padded(wanted, int(tokenizer.pad_token_id or 0)))
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))  # [probes, labels]
    gap = float(np.abs(probabilities - expected[whole]).max())
    if not gap <= largest:
        raise ModelFolderError(
            f"Cannot export: the exported model's probabilities differ by {gap:.2g}. Use another base."
        )
    return gap


def _facts(source: ExportSource, target: str, dtype: str, gap: float, longest: int) -> ExportFacts:
    settings = source.settings
    lost = []
    if settings.corrects_spelling:
        lost.append("Spelling is not corrected.")
    lost.append("Questions of more than three words in capitals throughout are not changed to lower case.")
    lost.append(
        f"A question longer than {settings.max_tokens} tokens does not lose its middle: it is read whole, up to "
        f"{longest:,} tokens with its prompt; cut longer ones yourself."
    )
    if settings.out_of_scope:
        lost.append("There is no in_scope, the probability of belonging to any label: every text gets a label.")
    if settings.with_options:
        lost.append("Answer options are part of the text: write one per line after '- ', below the question.")
    lost.append("A question is split at the text of a special token of the tokenizer, and each part gets the prompt.")
    return ExportFacts(
        target, dtype, source.scorer.labels, source.base, source.config, source.temperature, gap, len(_PROBES),
        tuple(lost),
    )  # fmt: skip


def _write_description(folder: Path, source: ExportSource, facts: ExportFacts) -> None:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    write_json(
        folder / EXPORT_FILE,
        {
            "schema_version": SCHEMA_VERSION,
            "target": facts.target,
            "dtype": facts.dtype,
            "source": {
                "weights_sha256": source.weights_sha256,
                "description_sha256": source.description_sha256,
                "base": {
                    "name": source.base.public_name, "revision": source.base.revision, "sha256": source.base.sha256,
                },
            },
            "labels": list(facts.labels),
            "temperature": source.temperature,
            "prompt": source.settings.to_dict(),
            "check": {"questions": facts.questions, "largest_gap": facts.gap},
            "not_carried": list(facts.not_carried),
            "files": {path.name: file_sha256(path) for path in files},
            "versions": library_versions("onnx", "onnxruntime", "openvino"),
        },
    )  # fmt: skip
