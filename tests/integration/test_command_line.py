"""The command line as a person meets it: run as a process, exit codes and one sentence on an error."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from helpers.commands import refused
from helpers.commands import run_command as run
from helpers.faults import FAULTS
from helpers.tiny_models import TINY_SETTINGS, make_rows


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in four formats; `note` is a column that must come through unchanged."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = [{"text": row["question"], "note": f"n{i}", "label": "mine"} for i, row in enumerate(make_rows())]
    (folder / "q.txt").write_text("\n".join(row["text"] for row in rows))
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "q.parquet")
    with (folder / "q.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_help_imports_nothing_heavy_and_shows_examples() -> None:
    script = """
import sys
from subjectwise.cli.app import main
try:
    main(["--help"])
finally:
    print([name for name in ("torch", "transformers", "sklearn", "pyarrow", "numpy") if name in sys.modules])
"""
    lines = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.splitlines()
    assert any("classify" in line for line in lines)
    assert lines[-1] == "[]", "it imports nothing that takes seconds"
    for command in (["classify"], ["train"], ["evaluate"], ["data", "split"]):
        assert "Example:" in run(*command, "--help").stdout
    assert run("--version").stdout.startswith("subjectwise 0.")


def test_from_rows_to_answers(tmp_path: Path, rows_file: Path, tiny_base: Path) -> None:
    found = run("data", "split", "--source", rows_file, "--output", tmp_path / "split", "--json")
    counts = json.loads(found.stdout)
    assert counts["train"] + counts["validation"] + counts["test"] == 96
    settings = [part for setting in TINY_SETTINGS for part in ("--set", setting)]
    found = run(
        "train", "small", "--data", tmp_path / "split", "--base", tiny_base, "--output", tmp_path / "model", *settings,
        "--device", "cpu", "--dtype", "float32", "--json",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["epochs"] == 12
    found = run("evaluate", tmp_path / "model", "--data", tmp_path / "split", "--output", tmp_path / "report", "--json")
    report = json.loads(found.stdout)
    assert report == json.loads((tmp_path / "report/report.json").read_text())
    assert report["command"].startswith("subjectwise evaluate")
    shown = run("evaluate", tmp_path / "model", "--data", tmp_path / "split").stdout
    assert "macro-F1" in shown and "computer science" in shown
    found = run(
        "classify", "What is torque?", "What is a tort?", "--model", tmp_path / "model", "--json", "--top-k", "2"
    )
    first, second = (json.loads(line) for line in found.stdout.splitlines())
    assert (first["question"], second["question"]) == ("What is torque?", "What is a tort?")
    assert [item["label"] for item in first["top"]] == sorted(first["scores"], key=lambda k: -first["scores"][k])[:2]
    assert "What is torque?" in run("classify", "What is torque?", "--model", tmp_path / "model").stdout


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "parquet"])
def test_every_input_and_output_format(tiny_model: Path, inputs: Path, tmp_path: Path, ending: str) -> None:
    wanted = {"txt": "jsonl"}.get(ending, ending)
    output = tmp_path / f"a.{wanted}"
    found = run("classify", "--model", tiny_model, "--input", inputs / f"q.{ending}", "--output", output, "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == {"output": str(output), "rows": 96}
    if wanted == "jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    elif wanted == "csv":
        rows = list(csv.DictReader(output.open(newline="")))
        rows = [{**row, "scores": json.loads(row["scores"])} for row in rows]
    else:
        rows = pyarrow.parquet.read_table(output).to_pylist()
    assert [row["question"] for row in rows] == [row["question"] for row in make_rows()]
    assert all(abs(sum(row["scores"].values()) - 1) < 1e-6 for row in rows)
    if ending != "txt":
        assert [row["note"] for row in rows] == [f"n{i}" for i in range(96)]
        assert {row["input_label"] for row in rows} == {"mine"}, "a column that an answer needs keeps its content"
    assert [file.name for file in tmp_path.iterdir()] == [output.name], "nothing is left behind"


@pytest.mark.parametrize(
    "text",
    [
        "What is torque?\nWhat is a tort?\n",
        '\ufeff{"text": "What is torque?"}\n{"text": "What is a tort?"}\n',
        "\ufeffid,question\r\n1,What is torque?\r\n2,What is a tort?\r\n",
    ],
)
def test_standard_input_is_read_as_what_it_is(tiny_model: Path, text: str) -> None:
    finished = run("classify", "--model", tiny_model, "--input", "-", stdin=text)
    questions = [json.loads(line)["question"] for line in finished.stdout.splitlines()]
    assert questions == ["What is torque?", "What is a tort?"]


def test_a_stream_into_a_file(tiny_model: Path, tmp_path: Path) -> None:
    command = ("classify", "--model", tiny_model, "--input", "-", "--output", tmp_path / "out.jsonl")
    text = "What is torque?\nWhat is a tort?\n"
    assert run(*command, "--prior-correction", "batch", stdin=text).returncode == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    finished = run(*command[:-1], tmp_path / "other.jsonl", stdin="id,frage\n1,Was ist ein Delikt?\n")
    assert finished.returncode == 1 and "standard input looks like CSV with the columns id, frage" in finished.stderr


def test_what_cannot_be_done_is_said_before_the_model_is_loaded(tmp_path: Path) -> None:
    """It took 17 seconds to be told that the format is unknown."""
    model = ("--model", tmp_path / "none")
    (tmp_path / "q.xlsx").touch()
    refused("classify", "--input", tmp_path / "q.xlsx", *model, part="unknown format")
    gold = FAULTS / "gold.csv"
    refused("classify", "--input", gold, "--output", tmp_path / "o.xlsx", *model, part="unknown format")
    refused("classify", "--input", FAULTS / "semicolon.csv", *model, part="give --delimiter ';'")
    refused("classify", "--input", gold, "--delimiter", "ab", *model, part="Unknown delimiter 'ab'")
    refused("classify", "--input", gold, "--output", tmp_path / "o.csv", "--csv-encoding", "x", *model, part="encoding")
    refused("classify", "--input", gold, *model, part="Unknown model")


def test_delimiters_and_byte_order_marks(tiny_model: Path, tmp_path: Path) -> None:
    own, semicolons = ("--model", tiny_model), ("--input", FAULTS / "semicolon.csv", "--delimiter", ";")
    assert run("classify", *own, *semicolons, "-o", tmp_path / "a.csv").returncode == 0
    assert run("classify", *own, *semicolons, "-o", tmp_path / "b.csv", "--csv-encoding", "utf-8-sig").returncode == 0
    plain, excel = ((tmp_path / name).read_bytes() for name in ("a.csv", "b.csv"))
    assert excel == b"\xef\xbb\xbf" + plain and b"input_label" in plain
    tabs = tmp_path / "tabs.csv"
    tabs.write_text("question\tlabel\n" + "".join(f"What is {n}?\t{'ab'[n % 2]}\n" for n in range(20)))
    split = ("data", "split", "--source", tabs, "--output", tmp_path / "split")
    refused(*split, part=r"looks separated by tabs; give --delimiter '\t'")
    assert run(*split, "--delimiter", r"\t").returncode == 0


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nan.jsonl", "nan.jsonl, row 1 has no label"),
        ("nestedq.parquet", "row 1: A question must be text, not an object"),
        ("dupcols.csv", "2 columns with the name 'label'"),
        ("semicolon.csv", "looks separated by semicolons"),
        ("badquote.csv", "badquote.csv, line 3 has an opening quote"),
        ("labelstudio.csv", "annotation_id would do"),
    ],
)
def test_split_evaluate_and_audit_refuse_the_same_rows(tiny_model: Path, tmp_path: Path, name: str, part: str) -> None:
    label = ["--label-column", "sentiment"] if name == "labelstudio.csv" else []
    if name == "badquote.csv":
        label = ["--label-column", "id"]
    refused("data", "split", "--source", FAULTS / name, "--output", tmp_path / "split", *label, part=part)
    refused("evaluate", tiny_model, "--data", FAULTS / name, *label, part=part)
    refused("audit", "--data", FAULTS / name, "--method", "tfidf-svm", *label, part=part)


def test_control_characters_are_spaces_at_every_entry_point(tiny_model: Path, tmp_path: Path) -> None:
    """`\\frac` in JSON is a form feed: `classify` stopped where `data split` repaired."""
    own = ("--model", tiny_model, "--device", "cpu", "--dtype", "float32")
    assert run("classify", "--input", FAULTS / "latex.jsonl", "--output", tmp_path / "out.jsonl", *own).returncode == 0
    from_file = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    typed = json.loads(run("classify", from_file["question"], *own, "--json").stdout)
    spaces = json.loads(run("classify", "Evaluate  rac{1}{2} +  eta for \theta = 0", *own, "--json").stdout)
    assert typed["question"] == spaces["question"] and typed["scores"] == spaces["scores"]
    assert from_file["scores"] == pytest.approx(spaces["scores"], abs=1e-4)


def test_options_that_are_no_lists_may_be_ignored(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text(
        "question,label,options\n" + "".join(f"What is {n}?,{'ab'[n % 2]},A) x; B) y\n" for n in range(20))
    )
    split = ("data", "split", "--source", source, "--output", tmp_path / "split")
    refused(*split, part="the options are not a list: 'A) x; B) y'. Write them as a JSON list, or rename their column")
    assert run(*split, "--no-options").returncode == 0


def test_a_question_that_was_cut_says_so(tiny_model: Path, tmp_path: Path) -> None:
    long = "torque and lens " * 400
    answer = json.loads(
        run("classify", long, "What is torque?", "--model", tiny_model, "--json").stdout.splitlines()[0]
    )
    assert answer["truncated"] is True
    assert "its middle was cut out" in run("classify", long, "--model", tiny_model).stdout
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"question": long}) + "\n" + json.dumps({"question": "What is torque?"}))
    finished = run("classify", "--input", source, "--model", tiny_model)
    assert [json.loads(line).get("truncated") for line in finished.stdout.splitlines()] == [True, None]
    assert "1 row longer than the model reads; its middle was cut out" in finished.stderr
    finished = run("classify", "--input", source, "--output", tmp_path / "out.csv", "--model", tiny_model, "--json")
    assert json.loads(finished.stdout)["rows"] == 2 and "1 row longer" in finished.stderr
    assert "truncated" in run("classify", "--help").stdout


@pytest.mark.slow
def test_a_killed_run_continues(tiny_model: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "many.jsonl", tmp_path / "out.jsonl"
    rows = make_rows()
    with source.open("w") as stream:
        for i in range(6000):
            stream.write(json.dumps({"question": rows[i % 96]["question"], "n": i}) + "\n")
    command = ["classify", "--model", str(tiny_model), "--input", str(source), "--output", str(output)]
    part = tmp_path / ".out.jsonl.part.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "subjectwise.cli.app", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while (
        not (part.exists() and part.read_bytes().count(b"\n") >= 512)
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert part.exists() and not output.exists(), "killed in the middle"
    with part.open("a") as stream:
        stream.write('{"question": "half a li')
    whole = sum(line.endswith("}\n") for line in part.open())
    assert 512 <= whole < 6000
    refused(*command, "--explain", part="was left by a run that differs in explain. Remove it to begin again")
    found = run(*command)
    assert found.returncode == 0, found.stderr
    assert [json.loads(line)["n"] for line in output.open()] == list(range(6000)), "no row lost, none repeated"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["many.jsonl", "out.jsonl"]
    refused(*command, part="already exists")


def test_a_row_that_cannot_be_read(tiny_model: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"question": "What is torque?"}\n{"question": ""}\n{"other": 1}\n{"question": "law?"}\n')
    refused(
        "classify", "--model", tiny_model, "--input", source, "--output", output, part="row 2: The question is empty"
    )
    assert not output.exists()
    finished = run("classify", "--model", tiny_model, "--input", source, "--output", output, "--keep-going")
    assert finished.returncode == 0 and "2 rows without an answer; `error` in the output says why" in finished.stderr
    rows = [json.loads(line) for line in output.open()]
    assert [row["label"] is None for row in rows] == [False, True, True, False]
    assert "empty" in rows[1]["error"] and rows[2]["other"] == 1


def test_bad_input_is_one_sentence(tiny_model: Path, tmp_path: Path, inputs: Path, split_folder: Path) -> None:
    model = ("--model", tiny_model)
    refused("classify", "", *model, part="The question is empty")
    refused("classify", "x" * 100_000, *model, part="use 'subjectwise classify --input'")
    refused("classify", "a", " ", *model, part="Question 2: The question is empty")
    refused("classify", *model, part="Give either questions or --input")
    refused("classify", "a", "--output", tmp_path / "o.jsonl", *model, part="--output needs --input")
    refused("classify", "a", "--model", tmp_path / "none", part="Unknown model")
    refused("classify", "a", *model, "--base", tmp_path, part="has no weights")
    refused("classify", "a", *model, "--device", "cuda:7", part="is not available")
    refused("classify", "a", *model, "--dtype", "int3", part="Unknown precision 'int3'")
    refused("classify", "--input", tmp_path / "none.csv", *model, part="Unknown file")
    refused("classify", "--input", inputs / "q.csv", *model, "--question-column", "frage", part="no column 'frage'")
    refused("classify", "--input", inputs / "q.csv", *model, "--with-options", part="no column for the options")
    refused("classify", "--input", inputs / "q.csv", "--output", tmp_path / "o.xlsx", *model, part="Cannot write")
    (tmp_path / "file").write_text("x")
    refused("classify", "--input", inputs / "q.csv", "--output", tmp_path / "file/o.csv", *model, part="Cannot write")
    refused("train", "smal", "--data", split_folder, "--output", tmp_path / "m", part="Unknown recipe 'smal'")
    refused("train", "small", "--data", tmp_path, "--output", tmp_path / "m", part="not a split folder")
    refused("train", "small", "--data", split_folder, "--output", tmp_path / "m", "--set", "x=1", part="setting 'x'")
    refused("evaluate", tiny_model, "--data", split_folder, "--split", "dev", part="Unknown split 'dev'")
    unknown = ("--spelling", "english")
    refused("evaluate", tiny_model, "--data", split_folder, *unknown, part="Unknown spelling 'english'; choose one of")
    rows = inputs / "q.csv"
    refused("evaluate", tiny_model, "--data", split_folder, "--label-column", "x", part="--label-column is for a lab")
    refused(
        "evaluate", tiny_model, "--data", rows, "--kind", "written", part="--kind is for a split folder, and --data"
    )
    refused("evaluate", tiny_model, "--data", tmp_path / "splt", part="Unknown file or folder")
    refused("classify", "--input", rows, *model, "--top-k", "5", part="--top-k is for questions on the command line")
    refused("data", "split", "--source", tmp_path / "none.csv", "--output", tmp_path / "s", part="Unknown file")
    refused(
        "data",
        "split",
        "--source",
        "nobody/nothing",
        "--output",
        tmp_path / "s",
        part="could not be downloaded from the Hub",
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file"], "nothing is half-written"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tiny_model: Path, tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from subjectwise.bulk.classify_files import classify_file
from subjectwise.classifier import Classifier
model, source, output = map(Path, sys.argv[1:])
classifier = Classifier.from_pretrained(model, device="cpu", dtype="float32")
classify_file(classifier, source, output, run={})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = []
    for rows in (1_000, 13_000):
        source = tmp_path / f"{rows}.jsonl"
        with source.open("w") as stream:
            for i in range(rows):
                stream.write(json.dumps({"question": f"What is torque {i % 50}?", "note": "x" * 2000}) + "\n")
        arguments = [sys.executable, "-c", script, str(tiny_model), str(source), str(tmp_path / f"{rows}.out.jsonl")]
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
        peaks.append(int(subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment).stdout))
    assert peaks[1] - peaks[0] < 12_000, f"peaks in KiB: {peaks}; the notes alone are 24,000"


def test_a_console_that_lacks_characters(tiny_model: Path, tmp_path: Path) -> None:
    """The bar of a probability ended a redirected command on Windows in a traceback."""
    command = ("classify", "What is osmosis 什?", "--model", tiny_model)
    plain = run(*command, encoding="cp1252")
    assert plain.returncode == 0 and "What is osmosis ?" in plain.stdout and "  ###" in plain.stdout
    assert "  ███" in run(*command).stdout
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"question": "什么是光合作用？"}))
    for arguments in (("classify", "--input", source), ("explain", "什么是光合作用？", "--no-sentence", "--json")):
        finished = run(*arguments, "--model", tiny_model, encoding="cp1252")
        assert json.loads(finished.stdout)["question"] == "什么是光合作用？", "JSON loses nothing"
    assert run("explain", "什么是光合作用？", "--model", tiny_model, "--no-sentence", encoding="cp1252").returncode == 0


def test_a_question_that_begins_with_a_dash(tiny_model: Path) -> None:
    for command in ("classify", "explain"):
        finished = run(command, "-5 + 3 = ?")
        assert finished.returncode == 2 and "write --:" in finished.stderr and '-- "-5 + 3 = ?"' in finished.stderr
        assert "write --:" in run(command, "- What is a tort?").stderr
        assert "write --:" not in run(command, "--modle", "x").stderr, "a mistyped option is not a question"
    assert run("classify", "--model", tiny_model, "--", "-5 + 3 = ?").stdout.startswith("-5 + 3 = ?")


def test_an_error_of_the_system_is_one_sentence(tmp_path: Path, tiny_model: Path) -> None:
    refused("classify", "--input", tmp_path / f"{'x' * 300}.jsonl", "--model", tiny_model, part="File name too long")


def test_abstaining_and_several_labels(tiny_model: Path, inputs: Path, tmp_path: Path) -> None:
    own = ("--model", tiny_model, "--device", "cpu", "--dtype", "float32")
    question = "What is a photon and how does it differ from a lens?"
    plain = json.loads(run("classify", question, *own, "--json").stdout)
    assert "best_label" not in plain and "labels" not in plain
    asked = json.loads(run("classify", question, *own, "--json", "--min-confidence", "1", "--multi-label").stdout)
    assert asked["label"] == "abstain" and asked["best_label"] == plain["label"] and asked["labels"] == []
    assert 0 <= asked["entropy"] <= 1
    assert "abstain" in run("classify", question, *own, "--min-confidence", "1").stdout
    output = tmp_path / "out.jsonl"
    run("classify", "--input", inputs / "q.jsonl", "--output", output, *own, "--multi-label", "--min-confidence", "0.5")
    for line in output.read_text().splitlines():
        row = json.loads(line)
        assert row["labels"] == [] if row["label"] == "abstain" else row["labels"][0] == row["label"]
        assert (row["score"] < 0.5) == (row["label"] == "abstain") and row["best_label"]
    # So few validation rows promise no accuracy; the thresholds on both sides of the score do.
    refused("classify", "x", *own, "--min-accuracy", "0.95", part="no threshold for the accuracy '0.95'")
    promising = Path(shutil.copytree(tiny_model, tmp_path / "promising"))
    content = json.loads((promising / "subjectwise.json").read_text())
    content["thresholds"] = {"0.9": plain["score"] - 0.01, "0.95": plain["score"] + 0.01}
    (promising / "subjectwise.json").write_text(json.dumps(content))
    for target, label in (("0.9", plain["label"]), ("0.95", "abstain")):
        command = ("classify", question, "--model", promising, *own[2:], "--json", "--min-accuracy", target)
        assert json.loads(run(*command).stdout)["label"] == label
    refused("classify", "x", *own, "--min-accuracy", "0.5", part="no threshold for the accuracy '0.5'")
    refused("classify", "x", *own, "--min-accuracy", "0.95", "--min-confidence", "0.5", part="not both")


def test_prior_correction_looks_at_the_whole_file(tiny_model: Path, inputs: Path, tmp_path: Path) -> None:
    own = ("--model", tiny_model, "--device", "cpu", "--dtype", "float32")
    scores = {}
    for how in ("none", "match", "batch"):
        output = tmp_path / f"{how}.jsonl"
        assert run(
            "classify", "--input", inputs / "q.txt", "--output", output, *own, "--prior-correction", how
        ).returncode == 0  # fmt: skip
        scores[how] = [json.loads(line)["scores"] for line in output.read_text().splitlines()]
    assert scores["none"] != scores["match"] != scores["batch"]
    refused("classify", "x", *own, "--prior-correction", "match", part="needs --input")
    refused("classify", "--input", inputs / "q.txt", *own, "--prior-correction", "match", part="needs --output")
    refused("classify", "--input", inputs / "q.txt", *own, "--prior-correction", "best", part="Unknown prior")


def test_calibrate_writes_the_folder_anew(tiny_model: Path, split_folder: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(tiny_model, tmp_path / "mine"))
    file = mine / "subjectwise.json"
    content = json.loads(file.read_text())
    before = content["calibration"]
    content["calibration"], content["thresholds"] = {"temperature": 3.0}, {}
    file.write_text(json.dumps(content))
    refused(
        "classify", "--input", split_folder / "test.parquet", "--output", tmp_path / "out.csv", "--model", mine,
        "--prior-correction", "match", part="subjectwise calibrate",
    )  # fmt: skip
    command = ("calibrate", mine, "--data", split_folder, "--device", "cpu", "--dtype", "float32")
    found = json.loads(run(*command, "--json").stdout)
    after = json.loads(file.read_text())
    assert after["calibration"]["temperature"] == pytest.approx(before["temperature"], rel=1e-3)
    assert after["calibration"]["prior"] == pytest.approx(before["prior"]) and sum(before["prior"]) == pytest.approx(1)
    assert found["thresholds"] == after["thresholds"]
    assert (mine / "README.md").read_text().count(f"{after['calibration']['temperature']:.3f}") == 1


def test_baselines_take_the_same_commands(split_folder: Path, inputs: Path, tmp_path: Path) -> None:
    model, report = tmp_path / "svm", tmp_path / "report"
    assert run("train", "baseline:tfidf-svm", "--data", split_folder, "--output", model).returncode == 0
    trained = run("evaluate", model, "--data", split_folder, "--output", report)
    assert "macro-F1" in trained.stdout and (report / "predictions.jsonl").is_file()
    fitted = json.loads(run("evaluate", "baseline:tfidf-svm", "--data", split_folder, "--json").stdout)
    assert fitted["metrics"] == json.loads((report / "report.json").read_text())["metrics"]
    assert fitted["metrics"]["accuracy"]["value"] > 0.5
    guessed = json.loads(run("evaluate", "baseline:majority", "--data", split_folder, "--json").stdout)
    assert guessed["metrics"]["accuracy"]["value"] < fitted["metrics"]["accuracy"]["value"]
    answer = json.loads(run("classify", "a photon and a lens", "--model", model, "--json").stdout)
    assert answer["label"] == "physics" and answer["label_mass"] is None
    output = tmp_path / "out.csv"
    assert run("classify", "--input", inputs / "q.csv", "--output", output, "--model", model).returncode == 0
    assert len(output.read_text().splitlines()) == len(make_rows()) + 1
    refused("classify", "x", "--model", "baseline:tfidf-svm", part="learns from training rows")
    refused("train", "baseline:forest", "--data", split_folder, "--output", tmp_path / "no", part="forest")
    refused(
        "train", "baseline:tfidf-svm", "--data", split_folder, "--output", tmp_path / "no", "--set", "lora.r=4",
        part="no settings but prompt.with_options",
    )  # fmt: skip


def test_evaluating_a_file(tiny_model: Path, rows_file: Path, split_folder: Path, tmp_path: Path) -> None:
    own = ("--device", "cpu", "--dtype", "float32")
    report = json.loads(run("evaluate", tiny_model, "--data", rows_file, *own, "--json").stdout)
    assert report["data"]["protocol"] == "file" and report["data"]["rows"] == len(make_rows())
    report = json.loads(run("evaluate", tiny_model, "--data", split_folder, *own, "--json").stdout)
    assert report["command"].startswith("subjectwise ")
    one = tmp_path / "one.csv"
    one.write_text("question,label\nWhat is a photon?,physics\n")
    refused("evaluate", tiny_model, "--data", one, *own, part="No row has the label 'biology'")
    assert run("evaluate", tiny_model, "--data", one, *own, "--allow-missing-labels").returncode == 0
    one.write_text("question,label\nWhat is a photon?,Physics\n")
    refused("evaluate", tiny_model, "--data", one, *own, part="does not know; did you mean 'physics'?")


def test_learning_curve_goes_on_where_it_was(split_folder: Path, tmp_path: Path) -> None:
    command = ("learning-curve", "baseline:tfidf-svm", "--data", split_folder, "--output", tmp_path / "curve")
    first = run(*command, "--sizes", "8", "--seeds", "2")
    assert first.stdout.count("8 rows") == 2
    second = run(*command, "--sizes", "8,0", "--seeds", "2")
    assert second.stdout.count(" 8 rows") == 0 and second.stdout.count("seed") == 2
    curve = json.loads((tmp_path / "curve/learning_curve.json").read_text())
    rows = [(point["rows"], point["seed"]) for point in curve["points"]]
    assert len(rows) == 4 and len(set(rows)) == 4
    by_size = {size: point["accuracy"]["value"] for point in curve["points"] for size in [point["rows"]]}
    assert by_size[max(by_size)] > by_size[8]
    refused(*command[:2], "--data", split_folder, "--output", tmp_path / "other", "--sizes", "3", part="from 4 to")
    refused(*command, "--sizes", "8", "--base", "x", part="another learner")
    refused(*command, "--sizes", "8,many", part="whole numbers")


def test_explaining_answers(tiny_model: Path, tmp_path: Path) -> None:
    question = "How does the enzyme change the membrane of a cell?"
    found = json.loads(run("explain", question, "--model", tiny_model, "--no-sentence", "--json").stdout)
    assert found["question"] == question and found["evidence"] and "sentence" not in found
    shown = run("explain", question, "--model", tiny_model).stdout
    assert f"{found['label']} rather than {found['runner_up']}" in shown
    assert f"This is {found['label']} because" in shown
    answer = json.loads(run("classify", question, "--model", tiny_model, "--explain", "--json").stdout)
    assert answer["label"] == found["label"] and answer["explanation"]["evidence"] == found["evidence"]
    (tmp_path / "q.txt").write_text(f"{question}\nWhat is torque?\n")
    command = ("classify", "--model", tiny_model, "--input", tmp_path / "q.txt", "--output", tmp_path / "a.jsonl")
    assert run(*command, "--explain").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == [question, "What is torque?"]
    assert rows[0]["explanation"]["label"] == found["label"]


def test_labels_of_ones_own(tiny_base: Path, tiny_model: Path, tmp_path: Path) -> None:
    own = tmp_path / "labels.yaml"
    own.write_text("labels:\n  refund: money back\n  delivery: {examples: [where is it]}\n")
    found = run("classify", "my parcel is late", "--model", f"zero-shot:{tiny_base}", "--labels", own, "--json")
    assert set(json.loads(found.stdout)["scores"]) == {"refund", "delivery"}
    refused("classify", "a", "--model", tiny_model, "--labels", own, part="trained on other labels")
    refused("classify", "a", "--model", tiny_model, "--engine", "fast", part="Unknown engine 'fast'")
    own.write_text("labels:\n  Law:\n  physics:\n  biology:\n  computer science:\n")
    assert run("classify", "a", "--model", tiny_model, "--labels", own).returncode == 0, "its own labels"
    own.write_text("labels:\n  Refund:\n  refund:\n")
    refused("classify", "a", "--labels", own, part="differ only in case")
    own.write_text("names:\n  - refund\n")
    refused("classify", "a", "--labels", own, part="unknown key 'names'")


def test_noise_on_the_command_line(tiny_model: Path, split_folder: Path) -> None:
    command = ("evaluate", tiny_model, "--data", split_folder, "--perturb", "typos", "--perturb", "case")
    shown = run(*command).stdout
    assert "labels kept" in shown and "10%" in shown and "upper" in shown
    refused("evaluate", tiny_model, "--data", split_folder, "--perturb", "static", part="Unknown noise")
