"""Options that several commands have, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelName = Annotated[
    str, typer.Option(help="A model folder, a Hub name, shipped, or zero-shot:BASE. [default: shipped]")
]
BaseName = Annotated[str, typer.Option(help="Where the base is, when not where the model folder says.")]
LabelFile = Annotated[Path | None, typer.Option(help="YAML file of your own labels, for zero-shot:BASE (embedded).")]
QuestionColumn = Annotated[str, typer.Option(help="Column of the question; found by itself where usual.")]
OptionsColumn = Annotated[str, typer.Option(help="Column of the answer options, a list.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0 or mps.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Engine = Annotated[str, typer.Option(help="pytorch, or openvino: faster on a CPU, slower to start.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
