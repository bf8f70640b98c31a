"""Uploading, with the real client, to a server that speaks the Hub's protocol."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from helpers.commands import run_command
from subjectwise.classifier import Classifier
from subjectwise.errors import ModelFolderError, NotFittedError, OutputError
from subjectwise.labels import LabelSet
from subjectwise.publish.hub import plan_upload


@dataclass
class FakeHub:
    """The requests of the client, and the files that it committed."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    created: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    refuse: bool = False


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub that the client of this process uses."""
    state = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            return

        def answer(self, content: Any, status: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            state.requests.append(f"GET {self.path}")
            self.answer({"id": "me/subjects", "sha": "0" * 40, "siblings": []})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.requests.append(f"POST {self.path}")
            state.tokens.add(self.headers.get("Authorization", ""))
            if state.refuse:
                self.answer({"error": "You may not write here"}, 403)
            elif self.path == "/api/repos/create":
                state.created = json.loads(body)
                self.answer({"url": f"{state.url}/me/subjects", "id": "me/subjects"})
            elif self.path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                files = json.loads(body)["files"]
                kept = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
                self.answer({"files": kept})
            elif "/commit/" in self.path:
                for line in body.splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        state.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                self.answer({"commitUrl": f"{state.url}/me/subjects/commit/1", "commitOid": "1" * 40})
            else:
                self.answer({"error": f"nothing at {self.path}"}, 404)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(constants, "ENDPOINT", state.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_it_is_a_dry_run_by_default(hub: FakeHub, folder: Path) -> None:
    finished = run_command("push", folder, "me/subjects")
    assert finished.returncode == 0, finished.stderr
    assert "adapter_model.safetensors" in finished.stdout and "add --upload" in finished.stdout
    assert hub.requests == []


def test_the_folder_arrives_as_it_is(hub: FakeHub, folder: Path) -> None:
    (folder / "diary.txt").write_text("not part of a model folder")
    finished = run_command("push", folder, "me/subjects", "--upload", "--json")
    assert finished.returncode == 0, finished.stderr
    printed = json.loads(finished.stdout)
    assert printed["uploaded"] is True and printed["url"].endswith("/commit/1")
    assert hub.created["name"] == "subjects" and hub.created["visibility"] == "private"
    assert sorted(hub.files) == printed["files"] and "diary.txt" not in hub.files
    for name, content in hub.files.items():
        assert content == (folder / name).read_bytes(), name


def test_a_refusal_is_one_sentence(hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.refuse = True
    finished = run_command("push", folder, "me/subjects", "--upload")
    assert finished.returncode == 1
    assert finished.stderr.startswith("Error: Cannot upload to me/subjects: the Hub refused: ")
    assert "You may not write here" in finished.stderr
    assert "Traceback" not in finished.stderr and hub.files == {}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with monkeypatch.context() as patch:  # nothing listens there any more
        patch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        finished = run_command("push", folder, "me/subjects", "--upload")
    assert finished.returncode == 1 and "Error: Cannot reach the Hub (" in finished.stderr
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    finished = run_command("push", folder, "me/subjects", "--upload")
    assert finished.returncode == 1 and "HF_HUB_OFFLINE is set" in finished.stderr


def test_what_cannot_be_uploaded(folder: Path, tmp_path: Path) -> None:
    for name in ("subjects", "a/b/c", "me/ sub jects", ""):
        with pytest.raises(OutputError, match="user/model"):
            plan_upload(folder, name)
    (folder / "README.md").unlink()
    with pytest.raises(ModelFolderError, match="subjectwise card"):
        plan_upload(folder, "me/subjects")
    with pytest.raises(ModelFolderError, match="Unknown model folder"):
        plan_upload(tmp_path / "nothing", "me/subjects")


def test_from_python(hub: FakeHub, folder: Path) -> None:
    (folder / "diary.txt").write_text("not part of a model folder")
    classifier = Classifier.from_pretrained(folder, device="cpu", dtype="float32")
    planned = classifier.push_to_hub("me/subjects", dry_run=True)
    assert "adapter_model.safetensors" in planned.files and planned.url == "" and hub.requests == []
    done = classifier.push_to_hub("me/subjects", token="hf_mine", commit_message="Second try")
    assert done.url.endswith("/commit/1") and done.files == planned.files == sorted(hub.files)
    assert hub.created["visibility"] == "private" and hub.tokens == {"Bearer hf_mine"}
    assert hub.files["adapter_model.safetensors"] == (folder / "adapter_model.safetensors").read_bytes()


def test_what_cannot_be_uploaded_from_python(hub: FakeHub, tiny_base: Path) -> None:
    with pytest.raises(NotFittedError):
        Classifier().push_to_hub("me/subjects")
    untrained = Classifier.zero_shot(LabelSet(("law", "physics")), base=str(tiny_base), device="cpu")
    assert repr(untrained).startswith(f"<Classifier zero-shot:{tiny_base}: 2 labels, ")
    with pytest.raises(ModelFolderError, match="Cannot save a zero-shot classifier"):
        untrained.push_to_hub("me/subjects")
    assert hub.requests == []
