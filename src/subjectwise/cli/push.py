"""`subjectwise push`: upload a model folder to the Hub."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import AsJson


def push(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    name: Annotated[str, typer.Argument(help="Repository on the Hub: user/model.")],
    upload: Annotated[bool, typer.Option("--upload", help="Upload; without it, only show what would be sent.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Create a public repository; else a private one.")] = False,
    message: Annotated[str, typer.Option(help="Commit message.")] = "",
    as_json: AsJson = False,
) -> None:
    """Upload a model folder to the Hub. Without --upload it is a dry run.

    Example: `subjectwise push my-model me/question-subjects --upload`
    """
    from subjectwise.publish.hub import plan_upload
    from subjectwise.publish.hub import push as run

    plan = run(model, name, private=not public, message=message) if upload else plan_upload(model, name)
    if as_json:
        typer.echo(json.dumps({**asdict(plan), "uploaded": upload}))
        return
    for file in plan.files:
        typer.echo(f"  {file}")
    what = f"{len(plan.files)} files, {plan.size / 2**20:.1f} MB"
    typer.echo(f"{what} uploaded: {plan.url}" if upload else f"{what} would go to {name}; add --upload to send them.")
