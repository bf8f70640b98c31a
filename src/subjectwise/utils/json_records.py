"""Dataclasses from and to JSON. The fields are the schema; knows no file and no record in particular."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from subjectwise.types import JsonObject

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T")

_NAMES = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


class FieldError(ValueError):
    """A value that does not fit the field it is for; the message names the field, as in `data.rows is missing`."""


def json_text(value: object, *, ensure_ascii: bool = False) -> str:
    """Return a value as JSON: null for NaN and infinity, and text for what else it lacks, such as dates."""
    try:
        return json.dumps(value, ensure_ascii=ensure_ascii, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=ensure_ascii, default=str)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def from_json(cls: type[_T], value: object, path: str = "") -> _T:
    """Build the dataclass `cls` from what `json.loads` returned.

    A field may be a text, a number, a truth value, another dataclass, a list or tuple of them, a dict of them by text,
    or `object` for anything. One with a default may be missing or null. Keys without a field are ignored, so that a
    file of a later version can be read.

    Args:
        cls: a dataclass.
        value: from JSON.
        path: the dotted path to `value`, for errors.

    Raises:
        FieldError: a field is missing or of another type.
    """
    if not isinstance(value, Mapping):
        raise FieldError(f"{path or 'the content'} is not an object")
    hints = _hints(cls)  # type: ignore[arg-type]  # a class is hashable
    built: dict[str, Any] = {}
    for item in fields(cls):  # type: ignore[arg-type]  # `cls` is a dataclass
        name = f"{path}.{item.name}".lstrip(".")
        optional = item.default is not MISSING or item.default_factory is not MISSING
        if optional and value.get(item.name) is None:
            continue
        if item.name not in value:
            raise FieldError(f"{name} is missing")
        built[item.name] = _converted(hints[item.name], value[item.name], name)
    return cls(**built)


def to_json(record: DataclassInstance) -> JsonObject:
    """Return a dataclass as `json.dumps` takes it: an object with a key per field, in their order."""
    return {item.name: _plain(getattr(record, item.name)) for item in fields(record)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _converted(kind: Any, value: Any, path: str) -> Any:
    """Return `value` as the type `kind`; raise FieldError where it is of another one."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is object or kind is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        [kind] = (each for each in arguments if each is not type(None))
        return _converted(kind, value, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise FieldError(f"{path} is not an object")
        return {key: _converted(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        if not isinstance(value, (list, tuple)):
            raise FieldError(f"{path} is not a list")
        items = (_converted(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(value))
        return tuple(items) if origin is tuple else list(items)
    if isinstance(kind, type) and is_dataclass(kind):
        return from_json(kind, value, path)
    # To Python, true is a whole number too.
    if not isinstance(value, (int, float) if kind is float else kind) or (isinstance(value, bool) and kind is not bool):
        raise FieldError(f"{path} is not {_NAMES[kind]}")
    return kind(value)
