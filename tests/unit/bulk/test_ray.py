"""Files and Datasets on a local Ray cluster of three CPUs: the answers of one machine, every row once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from helpers.bulk import read_answers, write_lines
from helpers.commands import refused, run_command
from helpers.folders import copy_folder, edit
from helpers.tiny_models import make_rows
from subjectwise.bulk.ray import classify
from subjectwise.bulk.ray_files import classify_folder, output_name
from subjectwise.bulk.ray_workers import RayWorkers, WorkerModel, ray_cluster
from subjectwise.bulk.remote_files import is_below, list_files, list_tables, local_copy, new_output
from subjectwise.bulk.score_rows import BulkOptions
from subjectwise.classifier import Classifier
from subjectwise.errors import DataError, OutputError
from subjectwise.models.devices import Compute
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.types import Progress

CPU = Compute("cpu", "float32")
ROWS = [{"question": row["question"], "note": f"n{number}"} for number, row in enumerate(make_rows() * 12)]
HALVES = ("--ray-workers", "2", "--ray-cpus", "0.5", "--device", "cpu", "--dtype", "float32")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    # Ray's workers are otherwise of so low a priority that they hardly run beside other tests.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # Ray's own spelling
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Three formats, in a folder and one below it; the largest has three chunks."""
    folder = tmp_path / "questions"
    (folder / "more").mkdir(parents=True)
    write_lines(folder / "a.jsonl", ROWS[:1152])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS[:40]), folder / "b.parquet")
    (folder / "more" / "c.csv").write_text("question,note\nWhat is a tort?,x\n", encoding="utf-8")
    (folder / "notes.md").write_text("not a table", encoding="utf-8")
    return folder


# Without a cluster.


def test_tables_of_a_folder_a_pattern_and_a_uri(questions: Path) -> None:
    names = ["a.jsonl", "b.parquet", "more/c.csv"]
    assert [name for _, name in list_tables(str(questions))] == names
    assert [name for _, name in list_tables(f"{questions}/**/*.csv")] == ["more/c.csv"]
    assert [name for _, name in list_tables(str(questions / "a.jsonl"))] == ["a.jsonl"]
    listed = list_tables(questions.as_uri())
    assert [name for _, name in listed] == names and all(path.startswith("file://") for path, _ in listed)
    with local_copy(listed[0][0]) as copy:
        assert copy.read_bytes() == (questions / "a.jsonl").read_bytes()
    assert is_below(f"{questions}/more/c.csv", f"{questions}/more/") and not is_below(
        f"{questions}/more.csv", str(questions / "more")
    )
    assert is_below("s3://b/q/a.csv", "s3://b/q") and not is_below("s3://b/qa.csv", "s3://b/q")
    with pytest.raises(DataError, match=r"has no file of a known format \(.txt, .parquet, .jsonl, .csv\)"):
        list_tables(f"{questions}/*.md")
    with pytest.raises(DataError, match="Cannot read nowhere://x"):
        list_tables("nowhere://x")


def test_outputs_by_uri(tmp_path: Path) -> None:
    folder = (tmp_path / "new").as_uri()
    assert list_files(folder) == list_files(str(tmp_path / "new")) == []
    with pytest.raises(OutputError, match="Cannot write file://"), new_output(f"{folder}/more/answers.jsonl"):
        pass  # nothing was written
    assert list_files(folder) == []
    with new_output(f"{folder}/more/answers.jsonl") as path:
        path.write_text("{}\n", encoding="utf-8")
    assert list_files(folder) == list_files(str(tmp_path / "new")) == ["more/answers.jsonl"]
    assert output_name("more/q.txt") == "more/q.txt.jsonl" and output_name("q.csv") == "q.csv"


@pytest.mark.parametrize(
    ("address", "part"),
    [("127.0.0.1:1", "No Ray cluster answers at '127.0.0.1:1'"), ("somewhere", "Unknown Ray address 'somewhere'")],
)
def test_an_address_that_does_not_answer(address: str, part: str) -> None:
    with pytest.raises(DataError, match=part), ray_cluster(address):
        pass


def test_workers_that_use_nothing() -> None:
    with pytest.raises(DataError, match="a part of a CPU or of a GPU"):
        RayWorkers(1, 0.0, 0.0)


def test_what_the_command_refuses(questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused("classify", "--ray", "local", "--input", questions, part="--ray needs --input FOLDER and --output FOLDER")
    both = ("classify", "--ray", "local", "--input", questions, "--output", out)
    refused(*both, "--explain", part="do not work with --ray")
    (questions / "z.csv").write_text("number,colour\n1,red\n", encoding="utf-8")
    refused(*both, part="z.csv")
    (questions / "z.csv").unlink()
    write_lines(out / "a.jsonl", [])
    refused(*both, "--multi-label", part="answers of a run that differs in decision")
    refused(*both[:-1], out.as_uri(), "--multi-label", part="answers of a run that differs in decision")
    (out / ".run.json").unlink()
    refused(*both, part="already exists and is not of such a run")


# With one.


@pytest.mark.slow
def test_a_folder_has_the_answers_of_one_machine(
    cluster: None, tiny_model: Path, questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ("classify", "--ray", "local", "--input", questions, "--output", out, "--model", tiny_model, *HALVES)
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    assert "1,193 questions classified" in done.stdout
    for name in ("a.jsonl", "b.parquet", "more/c.csv"):
        alone = tmp_path / f"alone{Path(name).suffix}"
        asked = ("classify", "--input", questions / name, "--output", alone, "--model", tiny_model, *HALVES[4:])
        assert run_command(*asked).returncode == 0
        assert read_answers(out / name) == read_answers(alone), name
    assert [row["note"] for row in read_answers(out / "a.jsonl")] == [row["note"] for row in ROWS[:1152]]
    # A finished file stays, an unfinished one is classified again to the same bytes.
    before = (out / "a.jsonl").read_bytes()
    (out / "b.parquet").write_bytes(b"kept")
    (out / "a.jsonl").unlink()
    again = run_command(*command, "--json")
    assert json.loads(again.stdout)["rows"] == 1152
    assert (out / "a.jsonl").read_bytes() == before and (out / "b.parquet").read_bytes() == b"kept"


@pytest.mark.slow
def test_a_killed_worker_and_a_stopped_run(cluster: None, tiny_model: Path, questions: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"

    class DyingModel(WorkerModel):
        """The first worker that gets to its second chunk is killed."""

        def load(self) -> QuestionClassifier:
            classifier = super().load()
            score, chunks = classifier.score, iter(range(100))

            def score_or_die(*arguments: Any, **options: Any) -> Any:
                if next(chunks) and not killed.exists():
                    killed.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return score(*arguments, **options)

            classifier.score = score_or_die  # type: ignore[method-assign]
            return classifier

    def run(output: str, kind: type[WorkerModel] = WorkerModel, on_progress: Progress | None = None) -> int:
        model = kind(str(tiny_model), compute=CPU)
        workers = RayWorkers(2, 0.5)
        return classify_folder(
            str(questions), output, model, BulkOptions(), workers, address="local", on_progress=on_progress
        ).rows

    def answers(folder: Path) -> dict[str, bytes]:
        return {name: (folder / name).read_bytes() for name in list_files(str(folder))}

    assert run(str(tmp_path / "whole")) == len(ROWS[:1152]) + 41
    whole = answers(tmp_path / "whole")
    assert [row["note"] for row in read_answers(tmp_path / "whole" / "a.jsonl")] == [row["note"] for row in ROWS[:1152]]

    assert run(str(tmp_path / "out"), DyingModel) == len(ROWS[:1152]) + 41
    assert killed.exists() and answers(tmp_path / "out") == whole, "every row once, none lost"

    def stop(rows: int) -> None:
        if (tmp_path / "stopped" / "a.jsonl").exists():
            raise KeyboardInterrupt

    stopped = (tmp_path / "stopped").as_uri()
    with pytest.raises(KeyboardInterrupt):
        run(stopped, on_progress=stop)
    assert sorted(list_files(stopped)) == [".run.json", "a.jsonl"]
    assert run(stopped) == 41
    assert answers(tmp_path / "stopped") == whole


@pytest.mark.slow
def test_a_model_that_reads_options(cluster: None, tiny_model: Path, tmp_path: Path) -> None:
    """Its answers are those of one machine, where nobody has to ask for the options."""
    model = copy_folder(tiny_model, tmp_path / "model")
    prompt = json.loads((model / "subjectwise.json").read_text())["prompt"]
    edit(model / "subjectwise.json", prompt={**prompt, "with_options": True})
    folder = tmp_path / "questions"
    folder.mkdir()
    write_lines(folder / "q.jsonl", [{**row, "options": ["torts", "cells"]} for row in ROWS[:5]])
    own = ("--model", model, *HALVES[4:])
    for command in (
        ("--ray", "local", "--input", folder, "--output", tmp_path / "out", *HALVES[:4]),
        ("--input", folder / "q.jsonl", "--output", tmp_path / "alone.jsonl"),
    ):
        done = run_command("classify", *command, *own)
        assert done.returncode == 0, done.stderr
    assert read_answers(tmp_path / "out" / "q.jsonl") == read_answers(tmp_path / "alone.jsonl")
    assert read_answers(tmp_path / "alone.jsonl")[0]["scores"] != pytest.approx(
        Classifier.from_pretrained(model, device="cpu", dtype="float32").classify(ROWS[0]["question"]).scores
    )


@pytest.mark.slow
def test_a_row_without_an_answer(cluster: None, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "questions"
    folder.mkdir()
    write_lines(folder / "q.jsonl", [*ROWS[:3], {"question": "", "note": "empty"}, "not json", *ROWS[3:5]])
    command = (
        "classify", "--ray", "local", "--input", folder, "--output", tmp_path / "out", "--model", tiny_model, *HALVES,
    )  # fmt: skip
    refused(*command, part="row 4: The question is empty")
    assert not (tmp_path / "out" / "q.jsonl").exists()
    done = run_command(*command, "--keep-going")
    assert done.returncode == 0 and "2 rows without an answer" in done.stderr
    rows = read_answers(tmp_path / "out" / "q.jsonl")
    assert [bool(row.get("error")) for row in rows] == [False, False, False, True, True, False, False]


@pytest.mark.slow
def test_a_dataset_in_a_pipeline(cluster: None, tiny_model: Path, tmp_path: Path) -> None:
    import ray

    dataset = ray.data.from_items([{**row, "score": number} for number, row in enumerate(ROWS[:200])])
    answers = classify(
        dataset.repartition(4), WorkerModel(str(tiny_model), compute=CPU), workers=RayWorkers(2, 0.5), batch_size=64
    )
    answers.write_parquet(str(tmp_path / "answers"))
    rows = pyarrow.parquet.read_table(tmp_path / "answers").to_pylist()
    assert sorted(row["input_score"] for row in rows) == list(range(200)), "every row once, its columns kept"
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    for row in rows[:20]:
        expected = classifier.classify(row["question"])
        assert row["label"] == expected.label and row["scores"] == pytest.approx(expected.scores, abs=1e-5)


@pytest.mark.slow
def test_a_dataset_without_questions(cluster: None, tiny_model: Path) -> None:
    import ray

    answers = classify(ray.data.from_items([{"colour": "red"}]), WorkerModel(str(tiny_model), compute=CPU))
    with pytest.raises(Exception, match="no column"):
        answers.take_all()
    with pytest.raises(DataError, match="not available on Ray"):
        classify(ray.data.from_items([{"question": "a"}]), options=BulkOptions(explain=True))
