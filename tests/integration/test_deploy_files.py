"""The files of a deployment: linted, and at one with what the command takes."""

from __future__ import annotations

import configparser
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from helpers.commands import run_command as run
from helpers.requirements import requires_hadolint
from subjectwise.serving.limits import Limits

DEPLOY = Path(__file__).parents[2] / "deploy"


@requires_hadolint
def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    text = (DEPLOY / "Dockerfile").read_text()
    assert "--constraint constraints.txt" in text and "\nUSER " in text and "\nHEALTHCHECK " in text
    for line in text.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
            assert all((DEPLOY.parent / name).exists() and f"!{name}" in kept for name in line.split()[1:-1])


def test_the_compose_file() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["subjectwise"]
    build = service["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert int(service["stop_grace_period"].removesuffix("s")) > 2 * Limits().deadline


def test_the_unit() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "subjectwise.service")
    service = unit["Service"]
    command = shlex.split(service["ExecStart"])
    assert command[0].endswith("/bin/subjectwise") and command[1] == "serve"
    known = run("serve", "--help").stdout
    assert all(option in known for option in command if option.startswith("--"))
    assert int(service["TimeoutStopSec"]) > 2 * Limits().deadline
