"""Conversations: OpenAI `messages` and ShareGPT `conversations` become one column of messages.

Source: the chat format of OpenAI's fine-tuning API (messages with role, content, name, weight,
tool_calls; tools beside them) and ShareGPT's (conversations with from, value).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from burnish.data.json_cells import JsonObject, compact, is_text, row_of
from burnish.data.rows import Row
from burnish.records.dataset import Rejection

title = "chat messages"

COLUMN = "messages"
_LISTS = ("messages", "conversations", "conversation")
# ShareGPT's speakers; a word that is none of them is kept, so that the check of roles can name it
_ROLES: Mapping[str, str] = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "observation": "tool",
    "function_response": "tool",
}


def fits(found: JsonObject) -> bool:
    """Whether the object holds a conversation that is not empty."""
    return _key(found) is not None


def rows(found: JsonObject, *, where: str) -> Iterator[Row | Rejection]:
    """The object as one row: its messages as compact JSON, role and content first; other keys as columns."""
    key = _key(found)
    fields: JsonObject = {}
    for name, value in found.items():
        if name == key:
            fields[COLUMN] = _told(value)
        else:
            fields[f"data.{name}" if name == COLUMN else name] = value
    yield row_of(fields, where=where)


def _key(found: JsonObject) -> str | None:
    return next((key for key in _LISTS if _is_conversation(found.get(key))), None)


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_message, value))


def _is_message(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return ("role" in value and is_text(value["role"])) or (
        "from" in value and is_text(value["from"]) and "value" in value
    )


def _told(messages: object) -> str:
    if not isinstance(messages, list):
        return ""
    return compact([_canonical(message) for message in messages])


def _canonical(message: Mapping[str, object]) -> JsonObject:
    if "role" in message:
        head: JsonObject = {"role": message["role"]}
        if "content" in message:
            head["content"] = message["content"]
        return head | {k: v for k, v in message.items() if k not in head}
    speaker = str(message["from"])
    head = {"role": _ROLES.get(speaker.casefold(), speaker), "content": message["value"]}
    return head | {
        k: v for k, v in message.items() if k not in ("from", "value", "role", "content")
    }
