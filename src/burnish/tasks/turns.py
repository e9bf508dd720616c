"""Turns of a conversation as files hold them: who speaks, and what is wrong with their order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

# What the field's formats call the four speakers.
ROLES_OF: Mapping[str, str] = {
    name: role
    for role, names in {
        "system": "system developer",
        "user": "user human prompter",
        "assistant": "assistant gpt model chatbot bot",
        "tool": "tool function observation ipython environment tool_response function_response",
        "call": "function_call tool_call",
    }.items()
    for name in names.split()
}
Turn = tuple[str, str, bool]


def read_turns(cell: str) -> list[Turn] | str:
    """Each turn's role, content, and whether it calls tools; or what is wrong with the cell.

    Example:
        >>> read_turns('[{"from": "human", "value": "Hi"}]'), read_turns('[{"role": 1}]')
        ([('human', 'Hi', False)], 'turn 1 names no role')
    """
    said = read_list(cell)
    return said if isinstance(said, str) else turns_in(said)


def read_list(cell: str) -> list[object] | str:
    """The list of turns in a cell, alone or under `messages` or `conversations`; or what is wrong with the cell.

    Example:
        >>> read_list('{"messages": [1]}'), read_list("7")
        ([1], 'no list of turns')
    """
    try:
        said = json.loads(cell, parse_constant=_no_constant)
    except ValueError as error:
        return f"no JSON: {error}"
    except RecursionError:
        return "nested too deeply"
    if isinstance(said, dict):
        said = said.get("messages", said.get("conversations"))
    if not isinstance(said, list) or not said:
        return "no list of turns" if not isinstance(said, list) else "no turns"
    return said


def turns_in(said: Sequence[object]) -> list[Turn] | str:
    """Each turn's role, content, and whether it calls tools; or what is wrong with one of them."""
    turns: list[Turn] = []
    for place, turn in enumerate(said, 1):
        if not isinstance(turn, dict):
            return f"turn {place} is no object"
        role = turn.get("role", turn.get("from"))
        if not isinstance(role, str):
            return f"turn {place} names no role"
        calls = bool(turn.get("tool_calls") or turn.get("function_call"))
        content = _content(turn.get("content", turn.get("value")))
        if content is None:
            return f"turn {place} has a content that is no text"
        turns.append((role, content, calls or "tool_call" in content or "function_call" in content))
    return turns


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")


def _content(said: object) -> str | None:
    """The text of a content: itself, or its parts; nothing is the empty text."""
    if said is None:
        return ""
    if isinstance(said, str):
        return said
    if isinstance(said, list):
        parts = [
            str(part.get("text", part.get("type", ""))) if isinstance(part, dict) else part
            for part in said
        ]
        return "\n".join(parts) if all(isinstance(part, str) for part in parts) else None
    if isinstance(said, dict):
        return json.dumps(said)
    return None


def faults(turns: Sequence[Turn]) -> Iterator[tuple[str, str]]:
    """Every fault of a conversation with its instance.

    Example:
        >>> list(faults([("user", "Hi", False), ("user", "Hello?", False)]))
        [('chat-turn-twice', 'turns 1 and 2, both user'), ('chat-last-turn', 'user')]
    """
    roles = [ROLES_OF.get(role.lower(), "") for role, _, _ in turns]
    called = False
    last = ""
    for place, ((name, content, calls), role) in enumerate(zip(turns, roles, strict=True), 1):
        if not role:
            yield "chat-role-unknown", f'"{name[:40]}"'
        if role == "system" and place > 1:
            yield "chat-system-late", f"turn {place}"
        if not content.strip() and not calls:
            yield "chat-empty-turn", f"turn {place}"
        # tools answer one after another; a call and its text may be two turns
        if role in ("user", "assistant") and role == last:
            yield "chat-turn-twice", f"turns {place - 1} and {place}, both {name}"
        if role == "tool" and not called:
            yield "chat-tool-orphan", f"turn {place}"
        called = calls or role == "call" or (called and role == "tool")
        last = role
    if roles[-1] and roles[-1] not in ("assistant", "call"):
        yield "chat-last-turn", turns[-1][0]
