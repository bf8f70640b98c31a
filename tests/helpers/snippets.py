"""The code blocks of Markdown pages, run as a reader would run them, and their output compared with the page.

A page is run from its top in an empty folder with the files of `examples/support_requests`. A ```text block right after
a ```sh or ```python block is what that prints; so are the last comment lines of a ```python block. Digits and the
lengths of bars are not compared, and `…` stands for anything. What is not run has a reason in a comment above it:

    <!-- not run: needs a cluster -->
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.commands import run_command
from helpers.serve_process import COMMAND, Process

RUN = ("sh", "python")
# Commands that install something; the tests run where that is done.
_INSTALLS = re.compile(r"(pip|make|git|docker|python3? -m venv|(\.venv/bin/)?subjectwise setup)\b")
_OWN = re.compile(r"(\.venv/bin/)?subjectwise ")
_ADDRESS = re.compile(r"http://(?:localhost|127\.0\.0\.1):8000|\blocalhost:8000")


@dataclass(frozen=True)
class Block:
    """One code block of a page.

    Attributes:
        language: after the opening fence.
        code: its content.
        line: of the opening fence, from 1.
        output: what the page says that it prints; None where it says nothing.
        not_run: why it is not run; empty where it is.
    """

    language: str
    code: str
    line: int
    output: str | None = None
    not_run: str = ""


def read_blocks(path: Path) -> list[Block]:
    """Return the code blocks of a page; those that are the output of another are only in that one."""
    text = path.read_text(encoding="utf-8")
    blocks: list[Block] = []
    end = 0
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        between = text[end : match.start()]
        language, code = match.groups()
        if language == "text" and not between.strip() and blocks and blocks[-1].language in RUN:
            last = blocks.pop()
            blocks.append(Block(last.language, last.code, last.line, code, last.not_run))
        else:
            reason = re.search(r"<!-- not run: ([^\n]+) -->\n\Z", between)
            printed = re.search(r"(?:^# .*\n)+\Z", code, flags=re.MULTILINE) if language == "python" else None
            output = re.sub("^# ", "", printed.group(), flags=re.MULTILINE) if printed else None
            line = text.count("\n", 0, match.start()) + 1
            blocks.append(Block(language, code, line, output, reason.group(1) if reason else ""))
        end = match.end()
    return blocks


def shell_commands(code: str) -> list[str]:
    """Return the commands of a shell block, each with its continued lines and the lines of its here-document."""
    commands: list[str] = []
    lines = iter(re.sub(r"^\$ ", "", code, flags=re.MULTILINE).replace("\\\n", " ").splitlines())
    for line in lines:
        command = line
        if end := re.search(r"<<'(\w+)'", line):
            for inner in lines:
                command += f"\n{inner}"
                if inner == end.group(1):
                    break
        while not end and _open_quote(command):  # a body of JSON over several lines
            command += f"\n{next(lines)}"
        if command.strip() and not command.lstrip().startswith("#"):
            commands.append(command.strip())
    return commands


def _open_quote(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def own_arguments(command: str) -> list[str] | None:
    """Return the arguments of a `subjectwise` command; None where it is another, or joined to one."""
    if not _OWN.match(command):
        return None
    words = shlex.split(command, comments=True)
    return words[1:] if not {"|", ">", "<", "&&", ";"} & set(words) else None


def masked(text: str) -> str:
    """Return what is compared of an output."""
    text = re.sub(r"█+|[\d.,]*\d", "#", text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def prints(expected: str, printed: str) -> bool:
    """Return whether an output is what the page says."""
    parts = (re.escape(masked(part)).strip() for part in expected.split("…"))
    return re.fullmatch(r"\s*" + r"(?:.|\n)*".join(parts) + r"\s*", masked(printed)) is not None


class Reader:
    """Runs the blocks of one page in the current folder.

    Args:
        short_training: options added to `subjectwise train`, which make minutes of training seconds.
    """

    def __init__(self, short_training: Sequence[str] = ()) -> None:
        self._short_training = list(short_training)
        self._names: dict[str, Any] = {"__name__": "page"}
        self._server: Process | None = None

    def run(self, block: Block) -> None:
        """Run a block; fail where a command does, or where the output is not the page's."""
        printed = self._python(block) if block.language == "python" else self._shell(block)
        if block.output is not None:
            assert prints(block.output, printed), f"line {block.line} prints:\n{printed}"

    def close(self) -> None:
        """Stop the server, where the page started one."""
        if self._server is not None:
            self._server.stop()

    def _python(self, block: Block) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(self._asking(block.code), f"line {block.line}", "exec"), self._names)  # noqa: S102  # the page's own
        return out.getvalue()

    def _shell(self, block: Block) -> str:
        return "".join(self._command(command) for command in shell_commands(block.code))

    def _command(self, command: str) -> str:
        if _INSTALLS.match(command):
            return ""
        arguments = own_arguments(command)
        if arguments is None:
            return self._bash(self._asking(command))
        if arguments[0] == "serve":
            assert "--port" not in arguments, "the test's server has a port of its own"
            self._server = Process(*arguments[1:])
            return ""
        if arguments[0] == "train":
            arguments += self._short_training
        finished = run_command(*arguments)
        assert finished.returncode == 0, f"{command}\n{finished.stdout}{finished.stderr}"
        return finished.stdout

    def _bash(self, command: str) -> str:
        # With the interpreter that has the package, and the command as a person's shell finds it.
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        script = f'subjectwise() {{ {shlex.join(COMMAND)} "$@"; }}\n{command}'
        bash = ["/bin/bash", "-euo", "pipefail", "-c", script]
        finished = subprocess.run(bash, capture_output=True, text=True, env=environment)
        assert finished.returncode == 0, f"{command}\n{finished.stdout}{finished.stderr}"
        return finished.stdout

    def _asking(self, code: str) -> str:
        return _ADDRESS.sub(self._server.url, code) if self._server is not None else code


@contextlib.contextmanager
def reader(short_training: Sequence[str] = ()) -> Iterator[Reader]:
    """Return a `Reader` whose server is stopped at the end."""
    opened = Reader(short_training)
    try:
        yield opened
    finally:
        opened.close()
