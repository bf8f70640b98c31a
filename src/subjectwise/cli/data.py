"""`subjectwise data`: rows into a split folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import AsJson, Delimiter, OptionsColumn, QuestionColumn

app = typer.Typer(help="Prepare data for training and measuring.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Prepare data for training and measuring."""


@app.command("split")
def split(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; it must not exist yet.")],
    source: Annotated[
        str, typer.Option(help="A parquet, JSONL or CSV file, a folder of them, or a data set on the Hub.")
    ] = "TIGER-Lab/MMLU-Pro",
    protocol: Annotated[str, typer.Option(help="reference, grouped or source-held-out.")] = "grouped",
    seed: Annotated[int, typer.Option(help="Decides which rows go where.")] = 42,
    question_column: QuestionColumn = "",
    label_column: Annotated[str, typer.Option(help="Label column; detected if it has a common name.")] = "",
    options_column: OptionsColumn = "",
    no_options: Annotated[bool, typer.Option("--no-options", help="Do not read the answer options.")] = False,
    source_column: Annotated[str, typer.Option(help="Column of the source that a row comes from.")] = "",
    row_id_column: Annotated[str, typer.Option(help="Column of the row's id.")] = "",
    delimiter: Delimiter = "",
    as_json: AsJson = False,
) -> None:
    """Write train, validation and test rows and a manifest that identifies them.

    Example: `subjectwise data split --source questions.csv --protocol grouped --output split`
    """
    from subjectwise.data.column_names import Columns
    from subjectwise.data.csv_rows import read_delimiter
    from subjectwise.data.protocols import SPLIT_NAMES, split_examples
    from subjectwise.data.read_table import read_examples
    from subjectwise.data.split import write_split

    columns = Columns(question_column, label_column, options_column, source_column, row_id_column, no_options)
    examples = read_examples(source, columns, read_delimiter(delimiter))
    written = write_split(
        output, examples, split_examples(examples, protocol, seed), protocol=protocol, seed=seed, source=source
    )
    counts = {name: written.manifest["splits"][name]["rows"] for name in SPLIT_NAMES}
    if as_json:
        typer.echo(json.dumps({"output": str(output), **counts, "manifest_sha256": written.manifest_sha256}))
        return
    shares = ", ".join(f"{rows:,} {name}" for name, rows in counts.items())
    typer.echo(f"{shares} rows with {len(written.labels)} labels in {output}")
