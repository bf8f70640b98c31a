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


@app.command("mix")
def mix(
    mixture: Annotated[Path, typer.Argument(help="A YAML file with the kinds of rows; see docs/data.md.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; it must not exist yet.")],
    source: Annotated[
        list[str] | None, typer.Option(help="KIND=PATH: where the rows of a kind are, if not where the file says.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Mix files of several kinds into one split folder, each kind split by its own groups and measured apart.

    Example: `subjectwise data mix data/mixture.yaml --source mmlu-pro=split --output mix`
    """
    from subjectwise.data.mix import kind_counts, load_mixture, write_mixture
    from subjectwise.data.protocols import SPLIT_NAMES
    from subjectwise.errors import DataError

    sources = {}
    for assignment in source or []:
        kind, equals, path = assignment.partition("=")
        if not equals:
            raise DataError(f"--source is {assignment!r}; write KIND=PATH.")
        sources[kind] = path
    written = write_mixture(load_mixture(mixture, sources), output)
    counts = kind_counts(written)
    if as_json:
        result = {"output": str(output), "kinds": counts, "manifest_sha256": written.manifest_sha256}
        typer.echo(json.dumps(result))
        return
    width = max(map(len, counts))
    typer.echo(f"{'':<{width}}" + "".join(f"{name:>12}" for name in SPLIT_NAMES))
    for kind, rows in counts.items():
        typer.echo(f"{kind:<{width}}" + "".join(f"{rows.get(name, 0):>12,}" for name in SPLIT_NAMES))
    typer.echo(f"{len(written.labels)} labels in {output}")
