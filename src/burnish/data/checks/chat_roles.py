"""Conversations: do the turns follow each other as a model must learn them?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.tally import Tally
from burnish.records.dataset import Severity

COLUMNS = ("messages", "conversations", "conversation", "dialogue_turns", "turns")
_NAMES = frozenset(COLUMNS)
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
_FAULTS: Mapping[str, tuple[Severity, str, str]] = {
    "chat-broken": (
        "error",
        "hold no list of turns with a role and a content",
        'write [{"role": "user", "content": "..."}, ...]; burnish data check --fix chat-broken drops the rows',
    ),
    "chat-role-unknown": (
        "error",
        "have a role that is none of system, user, assistant and tool",
        "rename the role",
    ),
    "chat-turn-twice": (
        "warning",
        "have two turns of one speaker in a row",
        "join the two turns, or add the answer that is missing between them",
    ),
    "chat-system-late": (
        "warning",
        "have a system turn that is not the first",
        "put the system turn first; most templates refuse it elsewhere",
    ),
    "chat-empty-turn": (
        "warning",
        "have a turn without content",
        "fill it in or take the turn out; burnish data check --fix chat-empty-turn drops the rows",
    ),
    "chat-last-turn": (
        "warning",
        "do not end with the assistant, so that their last turn teaches nothing",
        "take the last turn out or add the answer",
    ),
    "chat-tool-orphan": (
        "warning",
        "have a tool's result that nobody called for",
        "add the assistant's call before it, or take the result out",
    ),
}  # fmt: skip
_MENDED_BY_DROP = frozenset({"chat-broken", "chat-empty-turn"})


class ChatRoles:
    """One finding per fault, counted in rows. Silent for rows without a column of turns."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tallies = {code: Tally() for code in _FAULTS}
        self._rows = 0
        self._unknown: Counter[str] = Counter()

    def see(self, row: Seen) -> None:
        if _NAMES.isdisjoint(row.columns) and _NAMES.isdisjoint(row.inputs):
            return
        for name in COLUMNS:
            cell = row.columns.get(name)
            if cell is None:
                cell = row.inputs.get(name)
            if cell is not None and (cell.startswith(("[", "{")) or name in COLUMNS[:2]):
                break
        else:
            return
        self._rows += 1
        turns = read_turns(cell)
        if isinstance(turns, str):
            self._tallies["chat-broken"].add(row.number, turns)
            return
        for fault, instance in faults(turns):
            self._tallies[fault].add(row.number, instance)
            if fault == "chat-role-unknown":
                self._unknown[instance] += 1

    def findings(self) -> Iterator[Finding]:
        for code, (severity, said, fix) in _FAULTS.items():
            tally = self._tallies[code]
            if not len(tally):
                continue
            about = f", for instance {tally.first}" if tally.first else ""
            if code == "chat-role-unknown":
                roles = ", ".join(
                    f"{name} ({count})" for name, count in self._unknown.most_common(5)
                )
                about = f": {roles}"
            yield tally.finding(
                self._scene,
                code,
                severity,
                f"{len(tally)} of {self._rows} conversations {said}{about}",
                fix=fix,
                mend="drop" if code in _MENDED_BY_DROP else None,
            )


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
