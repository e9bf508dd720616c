"""The cell "messages" becomes turns and back; what is wrong with a turn is told by the check of roles, here as there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.data.checks.chat_roles import ROLES_OF, Turn, faults, read_list, turns_in
from burnish.encode.render import whole_characters
from burnish.errors import BurnishError, Problem, nearest
from burnish.records.message import ROLES, Message, Role

_FIXES: Mapping[str, tuple[str, str]] = {
    "chat-broken": (
        "a list of turns, each with a role and a content",
        'write [{"role": "user", "content": "..."}, ...]',
    ),
    "chat-empty-turn": ("a text in every turn", "fill the turn in or take it out"),
    "chat-last-turn": ("an assistant's turn at the end", "add the answer or take the turn out"),
    "chat-role-unknown": (f"one of: {', '.join(ROLES)}", "rename the role"),
    "chat-system-late": ("a system turn only at the start", "put the system turn first"),
    "chat-tool-orphan": (
        "the assistant's call before a tool's result",
        "add the call, or take the result out",
    ),
    "chat-turn-twice": (
        "turns that alternate",
        "join the two turns, or add the one that is missing between them",
    ),
}
# Without these a conversation has no meaning; the other faults are for the template to bear or refuse.
FATAL = frozenset({"chat-broken", "chat-role-unknown"})


def read_conversation(
    cell: str | Sequence[Mapping[str, Any]], *, where: str = ""
) -> tuple[Message, ...]:
    """The turns of a cell of JSON, or of a list as a request carries it.

    A weight of 0 or 1 (OpenAI) and `train` become Message.train. A content of text parts is joined by line breaks,
    null is the empty text. Halves of UTF-16 pairs become U+FFFD. Other keys of a turn are left out.

    Raises: chat-broken, chat-role-unknown, chat-part, chat-weight, all that apply, each with its turn.

    Example:
        >>> read_conversation('[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"weight":0}]')[1].train
        False
    """
    said = read_list(cell) if isinstance(cell, str) else list(cell) or "no turns"
    turns = said if isinstance(said, str) else turns_in(said)
    if isinstance(said, str) or isinstance(turns, str):
        raise BurnishError((_problem("chat-broken", str(turns), where=where),))
    problems: list[Problem] = []
    messages: list[Message] = []
    for place, (raw, (name, _, _)) in enumerate(zip(said, turns, strict=True), 1):
        at = f"{where}, turn {place}" if where else f"turn {place}"
        role = _role(name)
        if role is None:
            problems.append(_unknown(name, where=at))
            continue
        if isinstance(raw, Mapping):
            found = _message(raw, name, role, where=at)
            if isinstance(found, Message):
                messages.append(found)
            else:
                problems.append(found)
    if problems:
        raise BurnishError(tuple(problems))
    return tuple(messages)


def write_conversation(messages: Sequence[Message]) -> str:
    """The turns as one line of JSON: role and content first, nothing that says nothing. Read back it is the same.

    Example:
        >>> write_conversation([Message(role="user", content="Hi")])
        '[{"role":"user","content":"Hi"}]'
    """
    return json.dumps(
        [
            turn_fields(one) | ({} if one.train is None else {"train": one.train})
            for one in messages
        ],
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )


def turn_fields(message: Message) -> dict[str, Any]:
    """A turn as JSON has it, and as templates read it; keys that are empty are left out."""
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_calls:
        fields["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def turn_problems(messages: Sequence[Message], *, where: str = "") -> tuple[Problem, ...]:
    """Every fault of a conversation as the data check finds it, with its turn: order, empty turns, a missing answer.

    Nothing here is fatal: most templates render such turns, the others refuse them with their own words.

    Example:
        >>> [one.code for one in turn_problems([Message(role="user", content=" ")])]
        ['chat-empty-turn', 'chat-last-turn']
    """
    if not messages:
        return (_problem("chat-broken", "no turns", where=where),)
    turns: list[Turn] = [(one.role, one.content, bool(one.tool_calls)) for one in messages]
    return tuple(_problem(code, what, where=where) for code, what in faults(turns))


def _problem(code: str, what: str, *, where: str) -> Problem:
    expected, fix = _FIXES[code]
    said = {
        "chat-broken": f"the conversation cannot be read: {what}",
        "chat-empty-turn": f"{what} says nothing",
        "chat-last-turn": f"the last turn is the {what}'s",
        "chat-system-late": f"{what} is a system turn that is not the first",
        "chat-tool-orphan": f"{what} is a tool's result that nobody called for",
        "chat-turn-twice": f"{what}, follow each other",
    }
    return Problem(code, said.get(code, what), where=where, expected=expected, fix=fix)


def _unknown(name: str, *, where: str) -> Problem:
    expected, fix = _FIXES["chat-role-unknown"]
    return Problem(
        "chat-role-unknown",
        f'the role "{name[:40]}"',
        where=where,
        expected=expected,
        fix=fix,
        nearest=nearest(name, ROLES),
    )


def _role(name: str) -> Role | None:
    known = ROLES_OF.get(name.lower(), "")
    if known == "call":
        return "assistant"
    return next((role for role in ROLES if role == known), None)


def _message(raw: Mapping[str, Any], name: str, role: Role, *, where: str) -> Message | Problem:
    content = raw.get("content", raw.get("value"))
    calls = raw.get("tool_calls") or ()
    if isinstance(raw.get("function_call"), Mapping):
        # OpenAI's older spelling of a single call
        calls = [{"type": "function", "function": raw["function_call"]}]
    if ROLES_OF.get(name.lower()) == "call" and isinstance(content, str):
        call = _call_in(content)
        if call is not None:
            content, calls = "", [call]
    text = _text(content)
    if text is None:
        return Problem(
            "chat-part",
            "the content holds something that is no text",
            where=where,
            expected='a text, or parts of {"type": "text", "text": "..."}',
            fix="take images, sounds and files out; the models here read text",
        )
    if not isinstance(calls, list | tuple) or not all(isinstance(one, Mapping) for one in calls):
        return _problem("chat-broken", "tool_calls is no list of calls", where=where)
    train = _train(raw)
    if isinstance(train, str) or (train and role != "assistant"):
        said = train if isinstance(train, str) else f"a {role}'s turn is marked to be trained on"
        return Problem(
            "chat-weight",
            said,
            where=where,
            expected="weight 0 or 1, or train true or false, on assistant turns",
            fix="correct the mark or take it out",
        )
    return Message(
        role=role,
        content=whole_characters(text),
        name=_optional(raw.get("name")),
        tool_calls=tuple(_whole(dict(one)) for one in calls),
        tool_call_id=_optional(raw.get("tool_call_id")),
        # what is nobody's answer cannot be trained on; "do not" says nothing there
        train=train if role == "assistant" else None,
    )


def _call_in(content: str) -> dict[str, Any] | None:
    """ShareGPT's function_call turn: the call stands in the content as JSON."""
    try:
        call = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return (
        {"type": "function", "function": call}
        if isinstance(call, dict) and "name" in call
        else None
    )


def _text(content: object) -> str | None:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return json.dumps(content, ensure_ascii=False)
    if not isinstance(content, list | tuple):
        return None
    parts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            return None
        parts.append(text)
    return "\n".join(parts)


def _train(raw: Mapping[str, Any]) -> bool | str | None:
    found: set[bool] = set()
    for key in ("weight", "train"):
        value = raw.get(key)
        if value is None:
            continue
        if value not in (0, 1, "0", "1", "true", "false") or (key == "train" and value in (0, 1) and not isinstance(value, bool)):  # fmt: skip
            return f"{key} is {str(value)[:40]}"
        found.add(value in (1, "1", "true"))
    if len(found) > 1:
        return "weight and train contradict each other"
    return found.pop() if found else None


def _optional(value: object) -> str | None:
    return None if value is None else whole_characters(str(value))


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, Mapping):
        return {whole_characters(str(key)): _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list | tuple) else value
