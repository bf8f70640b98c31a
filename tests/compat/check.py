"""Check that adapters load in the oldest supported PEFT without a warning, and give the same answers.

    make compat

`check.py PYTHON [MODEL]` runs in the current environment. It asks the shipped adapter (or MODEL) some questions and has
`PYTHON`, whose environment has PEFT 0.17.1 and transformers 4.56, ask the same folder through PEFT alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import subjectwise
from subjectwise.classifier import Classifier
from subjectwise.models.gguf import EMBEDDED_SHA256, converted_gguf, embedded_file

HERE = Path(__file__).parent
QUESTIONS = HERE.parent.parent / "data" / "short_questions_test.jsonl"


def for_transformers_4(base: Path, folder: Path) -> Path:
    """Write a base to `folder` that transformers 4 reads: version 5 stores `rope_theta` elsewhere."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for weights in base.glob("*.safetensors"):
        (folder / weights.name).symlink_to(weights)
    return folder


def main() -> None:
    python = sys.argv[1]
    model = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(subjectwise.__file__).parent / "shipped"
    questions = [json.loads(line)["question"] for line in QUESTIONS.read_text(encoding="utf-8").splitlines()][::3]
    base, _ = converted_gguf(embedded_file(), EMBEDDED_SHA256)
    classifier = Classifier.from_pretrained(model, device="cpu", dtype="float32")
    expected = list(classifier.predict(questions))
    with tempfile.TemporaryDirectory() as folder:
        old = for_transformers_4(base, Path(folder))
        command = [python, "-W", "error::UserWarning", str(HERE / "old_peft.py"), str(old), str(model)]
        finished = subprocess.run(command, input="\n".join(questions), capture_output=True, text=True)
    if finished.returncode or finished.stderr:
        sys.exit(f"PEFT 0.17.1 does not load {model.name} without warnings:\n{finished.stderr}")
    versions, *answers = finished.stdout.splitlines()
    equal = sum(answer == label for answer, label in zip(answers, expected, strict=True))
    print(f"{versions}: {equal} of {len(expected)} answers are equal, no warning")
    if equal < len(expected):
        sys.exit("The answers differ.")


if __name__ == "__main__":
    main()
