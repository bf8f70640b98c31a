"""Upload a model folder to the Hub: the files of a model folder and no others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from subjectwise.errors import ModelFolderError, OutputError
from subjectwise.models.fast_model import FAST_FILES
from subjectwise.models.model_config import (
    ADAPTER_FILES,
    COMMON_FILES,
    FAST_FOLDER,
    SENTENCE_FOLDER,
    VOCABULARY_FILE,
    WHOLE_FILES,
    read_config,
)
from subjectwise.publish.model_card import RESULTS_FOLDER

# The files of a model folder; others in the folder are not uploaded.
_PATTERNS = (
    *COMMON_FILES, *ADAPTER_FILES, *WHOLE_FILES, VOCABULARY_FILE, "README.md",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
    "merges.txt", "chat_template.jinja", f"{RESULTS_FOLDER}/*.yaml",
    *(f"{SENTENCE_FOLDER}/{name}" for name in ADAPTER_FILES),
    *(f"{FAST_FOLDER}/{name}" for name in FAST_FILES),
)  # fmt: skip


@dataclass(frozen=True)
class Upload:
    """What is uploaded where.

    Attributes:
        name: of the repository.
        files: by their names in it.
        size: of all files, in bytes.
        url: of the commit; empty where nothing was uploaded.
    """

    name: str
    files: list[str]
    size: int
    url: str = ""


def plan_upload(folder: Path, name: str) -> Upload:
    """Return the upload that `push` would make.

    Raises:
        ModelFolderError: the folder is not a complete model folder, or has no card.
        OutputError: `name` is not a valid name on the Hub.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not re-exported

    read_config(folder)
    if not (folder / "README.md").is_file():
        raise ModelFolderError(f"Cannot upload {folder}: it has no card. Write one with 'subjectwise card {folder}'.")
    try:
        validate_repo_id(name)
        valid = name.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise OutputError(f"{name!r} is not a name on the Hub; write it as user/model.")
    config = read_config(folder)
    if config.base.name != config.base.shared_name:
        raise ModelFolderError(
            f"Cannot upload {folder}: it has the path of its base on this machine. Remove it with "
            f"'subjectwise calibrate {folder} --data SPLIT'."
        )
    files = sorted({path for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file()})
    return Upload(
        name, [path.relative_to(folder).as_posix() for path in files], sum(path.stat().st_size for path in files)
    )


def push(folder: Path, name: str, *, private: bool = True, message: str = "", token: str | None = None) -> Upload:
    """Upload the folder in one commit to the repository `name` on the Hub, which is created where it is missing.

    Args:
        folder: of the model.
        name: of the repository.
        private: whether a new repository is private.
        message: of the commit; "" for a default.
        token: to write with; None for that of `hf auth login` or HF_TOKEN.

    Raises:
        ModelFolderError: as for `plan_upload`.
        OutputError: as for `plan_upload`; or the Hub cannot be reached, or refuses the upload.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.errors import HTTPError as HttpClientError  # type: ignore[attr-defined]

    plan = plan_upload(folder, name)
    api = HfApi(token=token)
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=list(plan.files),
            commit_message=message or "Upload a subjectwise model",
        )
    except LocalTokenNotFoundError as error:
        raise OutputError("Cannot upload: not logged in to the Hub. Run 'hf auth login', or set HF_TOKEN.") from error
    except OfflineModeIsEnabled as error:
        raise OutputError("Cannot upload: HF_HUB_OFFLINE is set. Unset it.") from error
    except HfHubHTTPError as error:
        reason = " ".join(str(error.server_message or error).split())[:200]
        raise OutputError(f"Cannot upload to {name}: the Hub refused: {reason}") from error
    except (HttpClientError, OSError) as error:
        raise OutputError(f"Cannot reach the Hub ({type(error).__name__}); try again later.") from error
    return replace(plan, url=str(done.commit_url))
