"""Tokenizers for answering, by the `tokenizers` library alone. Knows token ids and special tokens; knows no prompt.

Token ids and rendered chats equal those of transformers, whose import takes longer than answering; tests hold them
equal. Training uses transformers' own tokenizers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from subjectwise.errors import BaseModelError, SubjectwiseError
from subjectwise.models.chat_template import render_chat
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import read_json, write_json
from subjectwise.utils.gguf_file import MetadataValue, metadata_value, read_gguf

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Backend

TOKENIZER_FILE = "tokenizer.json"
_CONFIG_FILE = "tokenizer_config.json"
_SPECIAL_FILE = "special_tokens_map.json"  # before transformers 5
_TEMPLATE_FILE = "chat_template.jinja"

_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_TOKEN_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")

# Splits before byte-level BPE by `tokenizer.ggml.pre` of a GGUF file, as transformers has them; else GPT-2's own.
_LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_2_SPLIT = _LLAMA_3_SPLIT.replace("{1,3}", "")
_SPLITS = {
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "smaug-bpe"), _LLAMA_3_SPLIT),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), _QWEN_2_SPLIT),
}
_CONTROL, _USER_DEFINED = 3, 4  # `tokenizer.ggml.token_type`


class PlainTokenizer:
    """A tokenizer with special tokens and a chat template; meets `types.Tokenizer`.

    Args:
        backend: of the `tokenizers` library.
        special_tokens: by name: `bos_token`, `eos_token`, …
        chat_template: Jinja; None where the base has none.
    """

    def __init__(self, backend: Backend, special_tokens: Mapping[str, str], chat_template: str | None = None) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._special_tokens = dict(special_tokens)
        self.chat_template = chat_template

    @overload  # a str is a sequence of str too, and is one text here
    def __call__(  # type: ignore[overload-overlap]
        self, text: str, *, add_special_tokens: bool = True, verbose: bool = True
    ) -> dict[str, list[int]]: ...

    @overload
    def __call__(
        self, text: Sequence[str], *, add_special_tokens: bool = True, verbose: bool = True
    ) -> dict[str, list[list[int]]]: ...

    def __call__(
        self, text: str | Sequence[str], *, add_special_tokens: bool = True, verbose: bool = True
    ) -> dict[str, list[int]] | dict[str, list[list[int]]]:
        """Tokenize one text, or several.

        Args:
            text: one or several.
            add_special_tokens: add the tokens that the tokenizer has around every text.
            verbose: ignored; transformers warns of long texts unless it is False.

        Returns:
            `input_ids`: a list of ids, or a list of lists for several texts.
        """
        if isinstance(text, str):
            return {"input_ids": list(self._backend.encode(text, add_special_tokens=add_special_tokens).ids)}
        encoded = self._backend.encode_batch_fast(list(text), add_special_tokens=add_special_tokens)
        return {"input_ids": [list(row.ids) for row in encoded]}

    def __len__(self) -> int:
        return int(self._backend.get_vocab_size())

    def apply_chat_template(
        self, conversation: Sequence[Mapping[str, str]], *, tokenize: bool = False, **options: object
    ) -> str:
        """Render a conversation as one text; `options` are variables of the template.

        Raises:
            BaseModelError: there is no chat template, or it cannot be rendered.
        """
        if tokenize or not self.chat_template:
            raise BaseModelError("This base has no chat template; use another prompt.style.")
        return render_chat(
            self.chat_template, conversation, {"add_generation_prompt": False, **self._special_tokens, **options}
        )

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Return the text of the ids, without the special tokens where those are to be skipped."""
        return str(self._backend.decode(list(token_ids), skip_special_tokens=skip_special_tokens))

    def get_vocab(self) -> dict[str, int]:
        """Return the id of each token."""
        return dict(self._backend.get_vocab())

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the tokenizer's files into an existing folder, as transformers 4 and 5 read them."""
        folder = Path(save_directory)
        self._backend.save(str(folder / TOKENIZER_FILE))
        write_json(folder / _CONFIG_FILE, {**self._special_tokens, "tokenizer_class": "PreTrainedTokenizerFast"})
        if self.chat_template:
            (folder / _TEMPLATE_FILE).write_text(self.chat_template, encoding="utf-8")

    @property
    def bos_token(self) -> str | None:
        """The token at the beginning of a text."""
        return self._special_tokens.get("bos_token")

    @property
    def bos_token_id(self) -> int | None:
        """Its id."""
        return self._id(self.bos_token)

    @property
    def eos_token(self) -> str | None:
        """The token at the end of an answer."""
        return self._special_tokens.get("eos_token")

    @property
    def eos_token_id(self) -> int | None:
        """Its id."""
        return self._id(self.eos_token)

    @property
    def unk_token(self) -> str | None:
        """The token for what the vocabulary lacks."""
        return self._special_tokens.get("unk_token")

    @property
    def pad_token(self) -> str | None:
        """The token that fills up rows."""
        return self._special_tokens.get("pad_token")

    @pad_token.setter
    def pad_token(self, token: str | None) -> None:
        if token is None:
            self._special_tokens.pop("pad_token", None)
        else:
            self._special_tokens["pad_token"] = token

    @property
    def pad_token_id(self) -> int | None:
        """Its id."""
        return self._id(self.pad_token)

    def _id(self, token: str | None) -> int | None:
        return None if token is None else self._backend.token_to_id(token)


def read_tokenizer(folder: Path, error_class: type[SubjectwiseError] = BaseModelError) -> PlainTokenizer:
    """Read the tokenizer of a base or of a model folder: tokenizer.json, and what stands beside it.

    Raises:
        error_class: a file is missing or damaged.
    """
    from tokenizers import Tokenizer as Backend

    config = _read_optional(folder / _CONFIG_FILE, error_class)
    special = _read_optional(folder / _SPECIAL_FILE, error_class) if "added_tokens_decoder" not in config else {}
    config = config | special
    try:
        backend = Backend.from_file(str(folder / TOKENIZER_FILE))
        _add_tokens(backend, config)
        named = {name: _content(config[name]) for name in _SPECIAL_TOKENS if config.get(name)}
        if backend.post_processor is None:
            _set_ends(backend, named, {})
        backend.encode_special_tokens = bool(config.get("split_special_tokens", False))
        return PlainTokenizer(backend, named, _read_template(folder, config))
    # The library raises Exception itself.
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise error_class(f"Cannot read the tokenizer in {folder} ({text}); it is missing or damaged.") from error


def read_gguf_tokenizer(path: Path) -> PlainTokenizer:
    """Build the tokenizer that a GGUF file's metadata describes: byte-level BPE, as Llama 3, SmolLM2 and Qwen have it.

    Raises:
        BaseModelError: the file is damaged or has a tokenizer of another kind.
    """
    from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    metadata = read_gguf(path).metadata
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        raise BaseModelError(f"{path} has a tokenizer of the kind {kind!r}; give a folder with tokenizer.json instead.")
    tokens = [str(token) for token in metadata_value(metadata, "tokenizer.ggml.tokens", list, path)]
    merges = [str(merge) for merge in metadata_value(metadata, "tokenizer.ggml.merges", list, path)]
    # 1) Byte-level BPE, with the split that its merges were learned with.
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token if set(token) <= alphabet else _byte_level(token): index for index, token in enumerate(tokens)}
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    backend = Backend(models.BPE(vocab=vocabulary, merges=pairs, continuing_subword_prefix="", end_of_word_suffix=""))
    split = _SPLITS.get(str(metadata.get("tokenizer.ggml.pre")))
    whole: Any = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split is not None:
        parts = [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
        whole = pre_tokenizers.Sequence(parts)
    backend.pre_tokenizer = whole
    backend.decoder = decoders.ByteLevel()
    # 2) Tokens that stay whole. Control tokens with other characters than the byte alphabet are marked so by mistake.
    kinds = metadata.get("tokenizer.ggml.token_type")
    typed = list(zip(tokens, kinds if isinstance(kinds, list) else [], strict=False))
    control = [token for token, kind in typed if kind == _CONTROL and set(token) <= alphabet]
    own = [token for token, kind in typed if kind == _USER_DEFINED and token in vocabulary]
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    backend.add_tokens([AddedToken(token, normalized=False, special=False) for token in own])
    # 3) Special tokens and the chat template.
    named = _named_tokens(metadata, tokens)
    flags = {name: metadata.get(f"tokenizer.ggml.{name}", False) for name in ("add_bos_token", "add_eos_token")}
    _set_ends(backend, named, flags)
    template = metadata.get("tokenizer.chat_template")
    return PlainTokenizer(backend, named, template if isinstance(template, str) else None)


def _named_tokens(metadata: Mapping[str, MetadataValue], tokens: Sequence[str]) -> dict[str, str]:
    keys = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    ids = {name: metadata.get(f"tokenizer.ggml.{key}_token_id") for name, key in keys.items()}
    return {name: tokens[index] for name, index in ids.items() if isinstance(index, int) and index < len(tokens)}


def _byte_level(token: str) -> str:
    """Return a token written in characters as byte-level BPE writes it (GPT-2's alphabet of 256 characters)."""
    from tokenizers import pre_tokenizers

    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(token)
    return "".join(piece for piece, _ in pieces)


def _add_tokens(backend: Backend, config: JsonObject) -> None:
    """Add the special tokens of a configuration that the tokenizer's file lacks, in transformers' order."""
    known = {repr(token) for token in backend.get_added_tokens_decoder().values()}
    listed = sorted((int(index), token) for index, token in config.get("added_tokens_decoder", {}).items())
    added = [token for token in (_added_token(token) for _, token in listed) if repr(token) not in known]
    contents = {token.content for token in (*backend.get_added_tokens_decoder().values(), *added)}
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    extra = extra.values() if isinstance(extra, dict) else extra
    for value in (*(config.get(name) for name in _SPECIAL_TOKENS), *extra):
        if value and _content(value) not in contents:
            added.append(_added_token(value, special=True))
            contents.add(_content(value))
    if added:
        backend.add_tokens(added)


def _added_token(value: Any, special: bool = False) -> AddedToken:
    from tokenizers import AddedToken

    if isinstance(value, str):
        return AddedToken(value, special=special)
    flags = {name: bool(value[name]) for name in _TOKEN_FLAGS if name in value}
    return AddedToken(str(value["content"]), **(flags | ({"special": True} if special else {})))


def _content(value: Any) -> str:
    return value if isinstance(value, str) else str(value["content"])


def _set_ends(backend: Backend, named: Mapping[str, str], config: Mapping[str, object]) -> None:
    """Put the beginning and end tokens around every text, where the configuration asks for them."""
    from tokenizers import processors

    bos, eos = (named.get(f"{end}_token") if config.get(f"add_{end}_token", False) else None for end in ("bos", "eos"))
    single = [*([f"{bos}:0"] if bos else []), "$A:0", *([f"{eos}:0"] if eos else [])]
    pair = [*single, *([f"{bos}:1"] if bos else []), "$B:1", *([f"{eos}:1"] if eos else [])]
    used = [(token, backend.token_to_id(token)) for token in (bos, eos) if token]
    backend.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=used)


def _read_template(folder: Path, config: JsonObject) -> str | None:
    file = folder / _TEMPLATE_FILE
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):  # several by name
        template = next((each["template"] for each in template if each["name"] == "default"), None)
    return template if isinstance(template, str) else None


def _read_optional(path: Path, error_class: type[SubjectwiseError]) -> JsonObject:
    return read_json(path, error_class) if path.is_file() else {}
