"""Chat templates are rendered as transformers renders them, in a sandbox."""

from __future__ import annotations

import pytest

from subjectwise.errors import BaseModelError
from subjectwise.models.chat_template import render_chat

CHAT = [{"role": "user", "content": "<a> & 'b'"}, {"role": "assistant", "content": "\u00e9"}]


@pytest.mark.parametrize(
    "template",
    [
        "{{ bos_token }}{% for m in messages %}\n  {% if loop.first %}1 {% endif %}\n{{ m['content'] }}\n{% endfor %}",
        "{{ messages | tojson }}{{ messages | tojson(indent=2) }}",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = loop.index %}{% endfor %}{{ ns.n }}",
        "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        "{{ dict(a=1) | tojson }}{{ namespace({'b': 2}).b }}",
        "{% if not enable_thinking %}off{% endif %}{% if add_generation_prompt %}go{% endif %}{{ tools }}{{ missing }}",
    ],
)
def test_rendered_as_by_transformers(template: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    variables = {"bos_token": "<s>", "enable_thinking": False}
    rendered, _ = render_jinja_template([CHAT], chat_template=template, add_generation_prompt=True, **variables)
    assert render_chat(template, CHAT, variables | {"add_generation_prompt": True}) == rendered[0]


def test_the_day() -> None:
    assert len(render_chat("{{ strftime_now('%Y-%m-%d') }}", CHAT, {})) == 10


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "__class__"),
        ("{{ messages.append(1) }}", "append"),
        ("{% set ns = namespace() %}{% set ns.__class__ = 1 %}", "__class__"),
        ("{% if %}", "Expected an expression"),
    ],
)
def test_refused_in_one_sentence(template: str, part: str) -> None:
    with pytest.raises(BaseModelError, match="Cannot render this base's chat template") as caught:
        render_chat(template, CHAT, {})
    assert part in str(caught.value)
