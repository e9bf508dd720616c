"""One turn of a conversation."""

from __future__ import annotations

from typing import Any, Literal

from burnish.records.record import Record

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


class Message(Record):
    """Who says what. `train` says whether an assistant's turn carries loss; None leaves it to the default, which is yes.

    `tool_calls` are kept as they stand in the data (OpenAI's form), `tool_call_id` names the call a tool answers.
    """

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str | None = None
    train: bool | None = None
