"""Whether adapters load in the oldest PEFT that they are made for, without a warning, and answer the same.

    make compat

`check.py PYTHON [MODEL]` runs in today's environment. It asks the shipped adapter (or MODEL) some questions and has
`PYTHON`, whose environment holds PEFT 0.17.1 and transformers 4.56, ask the same folder through PEFT alone.
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


def as_on_the_hub(base: Path, folder: Path) -> Path:
    """The base with the configuration that transformers 4 reads: version 5 writes `rope_theta` elsewhere."""
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
    with tempfile.TemporaryDirectory() as place:
        old = as_on_the_hub(base, Path(place))
        command = [python, "-W", "error::UserWarning", str(HERE / "old_peft.py"), str(old), str(model)]
        found = subprocess.run(command, input="\n".join(questions), capture_output=True, text=True)
    if found.returncode or found.stderr:
        sys.exit(f"PEFT 0.17.1 does not load {model.name} quietly:\n{found.stderr}")
    versions, *answers = found.stdout.splitlines()
    same = sum(answer == label for answer, label in zip(answers, expected, strict=True))
    print(f"{versions}: {same} of {len(expected)} answers are the same, no warning")
    if same < len(expected):
        sys.exit("The answers differ.")


if __name__ == "__main__":
    main()
