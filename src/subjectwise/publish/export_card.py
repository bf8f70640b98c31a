"""The card of an exported model: README.md, with how to use it in each engine and what it does not carry.

The text is in export_card.md.jinja; this file gathers what it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from subjectwise.labels import LabelSet
from subjectwise.models.base_info import BaseInfo
from subjectwise.models.gguf import EMBEDDED_NAME
from subjectwise.models.model_config import ModelConfig
from subjectwise.publish.model_card import render_template
from subjectwise.utils.atomic_files import new_file

TEMPLATE = "export_card.md.jinja"


@dataclass(frozen=True)
class ExportFacts:
    """What a card says of an export.

    Attributes:
        target: transformers, onnx or openvino.
        dtype: of the stored weights.
        labels: in the order of the logits.
        base: of the model.
        config: of its folder; None for labels on an untrained base.
        temperature: by which the head was divided.
        gap: the largest difference of a probability from the classifier's own.
        questions: of how many questions.
        not_carried: one sentence for each thing that the classifier does and the export does not.
    """

    target: str
    dtype: str
    labels: LabelSet
    base: BaseInfo
    config: ModelConfig | None
    temperature: float
    gap: float
    questions: int
    not_carried: tuple[str, ...]


def write_export_card(folder: Path, facts: ExportFacts) -> None:
    """Write README.md into `folder`."""
    text = render_export_card(facts)
    with new_file(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_export_card(facts: ExportFacts) -> str:
    """Return the text of README.md."""
    results = facts.config.results if facts.config else {}
    return render_template(
        TEMPLATE,
        {
            "facts": facts,
            "base": facts.base.public_name,
            "licence": "apache-2.0" if facts.base.public_name == EMBEDDED_NAME else "",
            "gap": f"{facts.gap:.1g}",
            "validation": results.get("validation"),
            "reports": results.get("reports", []),
            "spelling": facts.config is not None and facts.config.prompt.corrects_spelling,
        },
    )
