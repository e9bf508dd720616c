"""Chat: what the assistant says next. A row is a whole conversation, or an instruction with its answer.

With `inputs = ["messages"]` and `label = "messages"` the last assistant turn that may be learnt is the label, and what
stands before it the input; the turns before it that are the assistant's own are learnt as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from burnish.errors import BurnishError, Problem
from burnish.records.message import Message
from burnish.records.task import Task
from burnish.tasks import written
from burnish.tasks.conversation import read_conversation, write_conversation
from burnish.tasks.turns import read_list
from burnish.tasks.written import check, parse

__all__ = [
    "answers",
    "check",
    "default_metric",
    "is_conversation",
    "metrics",
    "parse",
    "parted",
    "prompt",
    "turns_behind",
]

answers: Literal["text"] = "text"
metrics: tuple[str, ...] = (
    "chrf",
    "rougeL",
    "bleu",
    "f1",
    "exact_match",
    "length_ratio",
    "empty_rate",
    "runaway_rate",
    "repetition",
    "perplexity",
)
default_metric = "chrf"


def is_conversation(task: Task) -> bool:
    """Whether the rows are conversations, rather than an instruction and its answer in columns."""
    return task.kind == "chat" and task.inputs == (task.label,)


def parted(task: Task, cell: str) -> tuple[str, str] | Problem:
    """A conversation's cell as what is given and what is asked for: the turns before the last learnable answer, and its text.

    Example:
        >>> task = Task(name="t", kind="chat", inputs=("messages",), label="messages", primary_metric="chrf")
        >>> parted(task, '[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello!"}]')
        ('[{"role":"user","content":"Hi"}]', 'Hello!')
    """
    try:
        turns = read_conversation(cell)
    except BurnishError as error:
        return error.problems[0]
    last = next(
        (
            place
            for place in range(len(turns) - 1, 0, -1)
            if turns[place].role == "assistant"
            and turns[place].train is not False
            and turns[place].content.strip()
        ),
        None,
    )
    if last is None:
        return Problem(
            code="chat-last-turn",
            where=f'column "{task.label}"',
            what="no assistant turn answers anything",
            expected="a turn of somebody else and an assistant's turn with a text after it",
            fix="add the answer, or leave the row out",
        )
    return write_conversation(turns[:last]), turns[last].content


def turns_behind(cell: str, given: str) -> int:
    """How many turns of a conversation's cell stand behind its answer, where `given` is what `parted` gave.

    Example:
        >>> turns_behind('["Hi", "Hello!", "Thanks", "Bye"]', '["Hi"]')
        2
    """
    return len(read_list(cell)) - len(read_list(given)) - 1


def prompt(task: Task, inputs: Mapping[str, str]) -> tuple[Message, ...]:
    """The turns so far, the task's instruction before them as a system turn where they bring none.

    Raises: chat-broken, chat-role-unknown and the other codes of read_conversation.
    """
    if not is_conversation(task):
        return written.prompt(task, inputs)
    turns = read_conversation(inputs[task.label])
    if task.instruction and turns[0].role != "system":
        return (Message(role="system", content=task.instruction), *turns)
    return turns
