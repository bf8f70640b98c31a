from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_IMPORTS = """
import sys
from subjectwise.utils.openvino_import import openvino
assert "openvino.tools.ovc" not in sys.modules and hasattr(openvino, "Core")
assert not hasattr(openvino, "no_such_name")
from openvino import convert_model
assert openvino.convert_model is convert_model and convert_model.__module__.startswith("openvino.tools")
assert "openvino_telemetry" not in sys.modules
"""

_ENGINE = """
import sys
import subjectwise.engines.openvino.runtime
assert not {"openvino.tools.ovc", "openvino_telemetry"} & set(sys.modules)
"""


@pytest.mark.parametrize("script", [_IMPORTS, _ENGINE])
def test_nothing_is_sent_nor_prepared_to_be(tmp_path: Path, script: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**environment, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []  # the makers' library would keep a number of this user here


def test_what_was_imported_before_is_as_it_was() -> None:
    script = (
        "import openvino; before = dict(vars(openvino))\n"
        "from subjectwise.utils.openvino_import import openvino as ours\n"
        "assert ours is openvino and vars(openvino) == before"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "CI": "true"}, check=True)
