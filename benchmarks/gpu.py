"""Measure answering and training on one GPU, in order of worth, within a time limit. Writes results/gpu.json.

    python benchmarks/gpu.py --minutes 8 --base QWEN3_0.6B --questions MMLU_PRO.parquet [--mix SPLIT --output RUNS]
    python benchmarks/gpu.py --tiny

QWEN3_0.6B is a folder with the configuration and the tokenizer of Qwen/Qwen3-0.6B; its weights are drawn at random.

`limits`: a large matrix product and a copy on the device, the ceilings of all that follows.
`right`: the shipped adapter's answers against its own in float32 on the CPU.
`speed`: questions per second and the time of one question: this package in packs and in padded batches, a plain
classification head, and `generate`.
`training`: steps of the recipes `reference` and `embedded`, as they are and with compiled layers.
`accuracy`: with --mix, further seeds of the shipped adapter's recipe (`gpu_training.py`), as many as the time allows.

After each part the file is written anew. A part that fails is noted with its reason, and the next one goes on. --tiny
runs all of it on a CPU with models of a few thousand weights, in a minute, to try the script: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from common import HERE, RESULTS, evenly_spaced, table, write_results
from gpu_parts import PARTS, Clock, Figure, Run, limits
from gpu_ways import Setting, read_questions, write_random_base

from subjectwise.types import JsonObject
from subjectwise.utils.versions import library_versions, machine_description

DEFAULT_QUESTIONS = HERE.parent / "data" / "written_questions.jsonl"


def show(figures: Sequence[Figure]) -> str:
    """Return the table."""
    marks = {True: "yes", False: "no", None: ""}
    rows = [
        [
            figure.part, figure.what, f"{figure.value:,.4g} {figure.unit}",
            "" if figure.share is None else f"{figure.share:.1%}", figure.wanted, marks[figure.met],
        ]
        for figure in figures
    ]  # fmt: skip
    return table(["part", "what", "measured", "of the matrix product", "wanted", "met"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--base", type=Path, help="a folder with config.json and a tokenizer")
    parser.add_argument("--questions", type=Path, default=DEFAULT_QUESTIONS, help="a table of questions")
    parser.add_argument("--count", type=int, default=4000, help="of the questions")
    parser.add_argument("--mix", type=Path, help="a split folder of 'subjectwise data mix', to train on")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="a folder for what is trained")
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS], nargs="+")
    parser.add_argument("--results", default="gpu.json", help=f"a name in {RESULTS}")
    parser.add_argument("--tiny", action="store_true", help="try all of it on a CPU")
    arguments = parser.parse_args()
    if not arguments.tiny and not (arguments.base and torch.cuda.is_available()):
        raise SystemExit("This needs a GPU and --base; use --tiny to try it without.")
    every = read_questions(arguments.questions)
    questions = [
        every[i] for i in evenly_spaced(min(60 if arguments.tiny else arguments.count, len(every)), len(every))
    ]
    device = torch.device("cpu" if arguments.tiny else "cuda")
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Setting(device, arguments.tiny, Path(folder)), Clock(arguments.minutes), questions, arguments)
        write_random_base(run.setting.base, arguments.base, questions, device)
        for part in PARTS:
            if arguments.only and part is not limits and part.__name__ not in arguments.only:
                continue
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("default")
                try:
                    for figure in part(run):
                        figures.append(figure)
                        print(f"{figure.part}: {figure.what}: {figure.value:.4g} {figure.unit}", file=sys.stderr)
                except Exception as error:
                    failures[part.__name__] = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
                    print(f"{part.__name__} failed: {failures[part.__name__]}", file=sys.stderr)
            # Ours, such as of a model that cannot be compiled.
            notes += [str(warning.message) for warning in warned if "Cannot" in str(warning.message)]
            _write(arguments, figures, {"failures": failures, "warnings": notes, "questions": len(questions)})
    print(show(figures))
    print("\n".join(notes), file=sys.stderr)
    if failures:
        raise SystemExit(f"Failed: {', '.join(failures)}; the reasons are above and in {arguments.results}.")


def _write(arguments: argparse.Namespace, figures: Sequence[Figure], more: JsonObject) -> None:
    command = " ".join(Path(part).name for part in sys.argv)  # folders have names of their own here
    about = {"command": command, "tiny": arguments.tiny, "machine": machine_description()}
    results = {**about, "versions": library_versions(), "figures": [asdict(figure) for figure in figures], **more}
    write_results(arguments.results, results)


if __name__ == "__main__":
    main()
