"""`subjectwise export`: a model as one plain artifact for other engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import AsJson, BaseName, LabelFile


def export(
    model: Annotated[str, typer.Argument(help="A model folder, a Hub name, shipped, or zero-shot:BASE.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    to: Annotated[str, typer.Option(help="transformers (vLLM too), onnx or openvino.")] = "transformers",
    base: BaseName = "",
    labels: LabelFile = None,
    dtype: Annotated[
        str, typer.Option(help="Of the stored weights: float32, bfloat16 or float16, as far as the target has it.")
    ] = "float32",
    as_json: AsJson = False,
) -> None:
    """Write a plain sequence-classification model that answers with the same probabilities in other engines.

    The adapter is merged, and the tokenizer puts the prompt around a question by itself. The folder's README.md says
    how to use it, and what it does not carry, which is printed too.

    Example: `subjectwise export shipped --to onnx subjects-onnx`
    """
    from subjectwise.labels import LabelSet
    from subjectwise.predictors import load_classifier_to_export
    from subjectwise.utils.optional_dependencies import require

    require("torch", "export")
    from subjectwise.publish.export import check_export

    check_export(folder, to, dtype)
    known = LabelSet.from_yaml(labels) if labels is not None else None
    classifier = load_classifier_to_export(model, known, base=base)
    done = classifier.export(folder, to, dtype=dtype)
    if as_json:
        result = {"folder": str(folder), "target": to, "largest_gap": done.gap, "not_carried": list(done.not_carried)}
        typer.echo(json.dumps(result))
        return
    typer.echo(f"{folder} written; its probabilities differ by at most {done.gap:.1g}. What it does not carry:")
    for sentence in done.not_carried:
        typer.echo(f"- {sentence}")
