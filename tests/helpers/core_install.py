"""The core install in a process of its own: every module that only extras bring is hidden."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = sorted(set(PROJECT["optional-dependencies"]) - {"dev"})

# Put before a script: hides the modules that the first argument lists, and takes that argument away.
HIDE = '''
import json, sys
from importlib.machinery import PathFinder

hidden = set(json.loads(sys.argv.pop(1)))


class Rest(PathFinder):
    """Finds what is installed, but for what is hidden."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else PathFinder.find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Rest
'''


def declared(extras: Iterable[str] = ()) -> list[Requirement]:
    """Return what pyproject.toml declares for the core and for `extras`, extras within extras resolved."""
    requirements = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            inner = requirement.name == PROJECT["name"]
            requirements += declared(requirement.extras) if inner else [requirement]
    return requirements


def closure(requirements: Iterable[Requirement]) -> set[str]:
    """Return the names of the distributions that are needed, as they are installed here."""
    needed: set[str] = set()
    waiting = [(requirement.name, ("", *requirement.extras)) for requirement in requirements]
    while waiting:
        name, wanted = waiting.pop()
        if canonicalize_name(name) in needed and wanted == ("",):
            continue
        needed.add(canonicalize_name(name))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        waiting.extend(
            (requirement.name, ("", *requirement.extras))
            for requirement in map(Requirement, lines)
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in wanted)
        )
    return needed


def modules_of_extras(*kept: str) -> list[str]:
    """Return the top-level modules that extras install and the core, with the extras `kept`, does not."""
    core = closure(declared(kept))
    more = closure(declared(EXTRAS)) - core
    owners = {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}
    return sorted(module for module, names in owners.items() if names <= more)


def run_hidden(
    script: str, *arguments: str, kept: Iterable[str] = (), timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a script where only the core and the extras `kept` can be imported."""
    command = [sys.executable, "-c", HIDE + script, json.dumps(modules_of_extras(*kept)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout)
