"""A model's chat template: found in its folder, compiled once, and rendered; data from outside only ever fills it in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Template

from burnish.encode.marks import ChatTokeniser, shield, unshield
from burnish.encode.template_sandbox import compile_template, run_template
from burnish.errors import fail, nearest
from burnish.records.message import Message
from burnish.tasks.conversation import turn_fields

TEMPLATE_FILE = "chat_template.jinja"

_PLAIN = """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ message.content + '\\n\\n' }}
{%- elif message.role == 'assistant' -%}{{ 'Assistant: ' + message.content }}
{%- for call in message.tool_calls or [] -%}{{ '\\nCall: ' + call | tojson }}{%- endfor -%}{{ eos_token + '\\n' }}
{%- elif message.role == 'tool' -%}{{ 'Tool: ' + message.content + '\\n' }}
{%- else -%}{{ 'User: ' + message.content + '\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}
"""
_CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content }}
{%- for call in message.tool_calls or [] -%}{{ '\\nCall: ' + call | tojson }}{%- endfor -%}{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
# Name -> (text, the control tokens that it writes).
_BUILT_IN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "plain": (_PLAIN, ()),
    "chatml": (_CHATML, ("<|im_start|>", "<|im_end|>")),
}
BUILT_IN = tuple(_BUILT_IN)


@dataclass(frozen=True, slots=True, eq=False)
class ChatTemplate:
    """A compiled template. `name` is "own" for the model's, or the built-in one's; `text` is what is stored."""

    name: str
    text: str
    program: Template


def chat_template(text: str, *, name: str = "own") -> ChatTemplate:
    """The template of a text. Whoever takes one in from outside calls `try_template` first.

    Raises: template-large, template-broken, template-unsupported.
    """
    return ChatTemplate(name, text, compile_template(text))


def find_template(folder: Path) -> str | None:
    """The text of the chat template in a model folder, or None where it has none.

    Looked for where transformers looks: chat_template.jinja, then chat_template.json, then tokenizer_config.json;
    of several named ones the one called "default".

    Raises: template-broken.
    """
    try:
        return (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        pass
    except UnicodeDecodeError:
        raise _unreadable(TEMPLATE_FILE, "is not UTF-8") from None
    for name in ("chat_template.json", "tokenizer_config.json"):
        try:
            found = json.loads((folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise _unreadable(name, f"is no JSON: {str(error)[:100]}") from None
        said = found.get("chat_template") if isinstance(found, dict) else None
        if said is not None:
            return _default_of(said, name)
    return None


def load_template(folder: Path) -> ChatTemplate | None:
    """The compiled template of a model folder that has passed its checks, None where it has none.

    Raises: template-large, template-broken, template-unsupported.
    """
    text = find_template(folder)
    return None if text is None else chat_template(text)


def built_in_template(name: str, *, tokeniser: ChatTokeniser) -> ChatTemplate:
    """A plain template for a base without its own; its text belongs into the model folder as chat_template.jinja.

    `plain` ("User: ...", "Assistant: ...") needs no token but eos; `chatml` needs <|im_start|> and <|im_end|> in the
    vocabulary. Where the tokenizer begins every text with bos, so does the template.

    Raises: template-unknown, template-tokens.
    """
    if name not in _BUILT_IN:
        raise fail(
            "template-unknown",
            f'no chat template is called "{name}"',
            expected=f"one of: {', '.join(_BUILT_IN)}",
            fix="name one of these",
            nearest=nearest(name, _BUILT_IN),
        )
    text, needed = _BUILT_IN[name]
    missing = [token for token in needed if token not in tokeniser.controls]
    if name == "plain" and tokeniser.names.get("eos_token", "") not in tokeniser.controls:
        missing.append("eos_token")
    if missing:
        raise fail(
            "template-tokens",
            f'the chat template "{name}" writes {" and ".join(missing)}, which the vocabulary has not',
            expected="control tokens that the model knows",
            fix='choose "plain"' if name != "plain" else "name eos_token in tokenizer_config.json",
        )
    begins = tokeniser.tokenizer.encode("").ids[:1]
    bos = tokeniser.names.get("bos_token")
    if bos is not None and begins == [tokeniser.tokenizer.token_to_id(bos)]:
        text = "{{- bos_token -}}\n" + text
    return chat_template(text, name=name)


def render_shielded(
    template: ChatTemplate, tokeniser: ChatTokeniser, messages: Sequence[Message], *, asking: bool
) -> str:
    """The text of a conversation, its texts still shielded (encode/marks.py); `asking` opens the assistant's turn.

    Raises: template-refused, template-limits, template-broken.
    """
    told = [shield(tokeniser, _as_templates_read(one)) for one in messages]
    return run_template(
        template.program,
        {**tokeniser.names, "messages": told, "add_generation_prompt": asking, "tools": None},
    )


def render_chat(
    template: ChatTemplate, tokeniser: ChatTokeniser, messages: Sequence[Message], *, asking: bool
) -> str:
    """The text of a conversation as people read it: what transformers' apply_chat_template gives."""
    return unshield(render_shielded(template, tokeniser, messages, asking=asking))


def _as_templates_read(message: Message) -> dict[str, Any]:
    fields = turn_fields(message)
    for call in fields.get("tool_calls", ()):
        function = call.get("function")
        # OpenAI writes arguments as a text of JSON; templates write them out as JSON themselves
        if isinstance(function, Mapping) and isinstance(function.get("arguments"), str):
            try:
                given = json.loads(function["arguments"])
            except (ValueError, RecursionError):
                continue
            if isinstance(given, dict):
                call["function"] = {**function, "arguments": given}
    return fields


def _default_of(said: object, name: str) -> str:
    if isinstance(said, list):
        named = {one.get("name"): one.get("template") for one in said if isinstance(one, dict)}
        said = named.get("default")
    if not isinstance(said, str):
        raise _unreadable(name, "has several chat templates and none called default")
    return said


def _unreadable(name: str, what: str) -> Exception:
    return fail(
        "template-broken",
        what,
        where=name,
        expected="one chat template as text, or a list of named ones with a default",
        fix="save the tokenizer again, or choose a built-in template by name",
    )
