"""Chat templates, which are Jinja of unknown origin: rendered in a sandbox, with the helpers that transformers offers.

The environment is that of transformers (`utils/chat_template_utils.py`), so that a template renders the same in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from subjectwise.errors import BaseModelError

if TYPE_CHECKING:
    from jinja2 import Template


def render_chat(template: str, conversation: Sequence[Mapping[str, str]], variables: Mapping[str, object]) -> str:
    """Render a conversation as one text.

    Args:
        template: Jinja.
        conversation: messages, each with `role` and `content`.
        variables: the special tokens by name (`bos_token`), and options such as `add_generation_prompt`.

    Raises:
        BaseModelError: the template is damaged, refuses the conversation, or does what the sandbox does not allow.
    """
    from jinja2 import TemplateError

    try:
        messages = [dict(message) for message in conversation]
        return _compiled(template).render(messages=messages, tools=None, documents=None, **variables)
    except (TemplateError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise BaseModelError(f"Cannot render this base's chat template: {text}. Use another prompt.style.") from error


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.nodes import Node, Scope
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """`{% generation %}`, which marks what an assistant says, for training; rendered as it stands."""

        tags = {"generation"}

        def parse(self, parser: Parser) -> Node:
            line = next(parser.stream).lineno
            scope = Scope(lineno=line)
            scope.body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return scope

    class Names(Namespace):
        """A namespace without names that lead into Python's internals."""

        def __init__(*arguments: Any, **names: object) -> None:  # a name may be `self`, as in Jinja's own
            for name in dict(*arguments[1:], **names):
                _check_name(name)
            Namespace.__init__(*arguments, **names)

        def __setitem__(self, name: str, value: object) -> None:
            _check_name(name)
            super().__setitem__(name, value)

    class Dictionary:
        """`dict(…)` and `dict.fromkeys(…)`, without the other attributes of Python's class."""

        def __call__(self, *items: Any, **named: object) -> dict[str, object]:
            return dict(*items, **named)

        def fromkeys(self, keys: Iterable[str], value: object = None) -> dict[str, object]:
            return dict.fromkeys(keys, value)

    def _check_name(name: str) -> None:
        if name.startswith("_"):
            raise SecurityError(f"a chat template cannot set {name!r}")

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        # Jinja's own escapes the characters of HTML.
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)  # noqa: DTZ005  # the day where the reader is, as transformers has it

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
        "namespace": Names,
        "dict": Dictionary(),
    }
    return environment.from_string(template)
