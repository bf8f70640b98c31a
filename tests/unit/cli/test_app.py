"""The program: each command is built alone, and the list of all without importing them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from helpers.commands import run_command
from subjectwise.cli.app import COMMANDS, build_app, main
from subjectwise.data import table_formats


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_has_the_first_line_of_each_command(name: str) -> None:
    command = COMMANDS[name]
    module = import_module(f"subjectwise.cli.{command.module}")
    if hasattr(module, "app"):
        assert module.app.info.help == command.summary
    else:
        text = inspect.getdoc(getattr(module, command.module))
        assert text is not None and text.partition("\n")[0] == command.summary


def test_the_list_names_every_command() -> None:
    for arguments in ((), ("--help",), ("-h",)):
        listed = run_command(*arguments).stdout
        assert all(f"│ {name} " in listed for name in COMMANDS)
    assert run_command("--version").stdout.startswith("subjectwise ")


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    finished = run_command("clasify", "a")
    assert finished.returncode == 2 and "Did you mean 'classify'?" in finished.stderr


def test_all_commands_in_one_program() -> None:
    app = build_app()
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert names == set(COMMANDS)


def test_a_command_imports_no_other() -> None:
    script = """
import sys
from subjectwise.cli.app import main
try:
    main(["classify", "--help"])
except SystemExit:
    pass
loaded = {name for name in sys.modules if name.startswith("subjectwise.cli.")}
assert "subjectwise.cli.classify" in loaded and not loaded & {"subjectwise.cli.train", "subjectwise.cli.serve"}, loaded
assert not {"numpy", "yaml", "torch", "openvino"} & {*sys.modules}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_interrupted_command_says_how_to_go_on(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(table_formats, "_stdin_lines", interrupt)
    with pytest.raises(SystemExit) as ended:
        main(["classify", "--model", str(tiny_model), "--input", "-"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted. Run the same command again to continue.\n"
