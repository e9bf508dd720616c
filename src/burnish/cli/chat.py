"""burnish chat: talk to a version in the terminal, two side by side with --with."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from burnish.cli import say
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, ProjectOption
from burnish.errors import BurnishError, fail
from burnish.records.decoding import MOST_NEW_TOKENS, Decoding
from burnish.records.message import Message

_NEW = "/new"


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(chat)


def chat(
    version: Annotated[str | None, typer.Option(help="Another version than the live one.")] = None,
    beside: Annotated[
        str | None, typer.Option("--with", help='A second voice: "base", or another version.')
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of an answer at most; else the task's.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="0 takes the likeliest token; else the task's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of what is drawn.")] = None,
    project: ProjectOption = HERE,
) -> None:
    """Talk to the live version. A line is a message, /new begins anew, Ctrl-D ends. Nothing is journalled.

    Kinds other than chat answer every line by itself.
    """
    from burnish.project import open_project
    from burnish.talking import BASE, first_turns, open_base, open_voice
    from burnish.talking import asked as asked_alone

    opened, edge = open_project(project), terminal_edge()
    voices = [open_voice(opened, edge, version=version)]
    if beside == BASE:
        voices.append(open_base(opened, edge, version=version))
    elif beside is not None:
        voices.append(open_voice(opened, edge, version=beside))
    task = voices[0].task
    decoding = _decoding(
        task.decoding, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
    )
    say.progress("a line is a message; /new begins anew, Ctrl-D ends")
    threads = [first_turns(task) for _ in voices]
    while (line := _read()) is not None:
        if not line.strip():
            continue
        if line.strip() == _NEW:
            threads = [first_turns(task) for _ in voices]
            continue
        for place, voice in enumerate(voices):
            if len(voices) > 1:
                say.result(f"{voice.name}:")
            try:
                turns = (
                    (*threads[place], Message(role="user", content=line))
                    if task.kind == "chat"
                    else asked_alone(task, line)
                )
                told = ""
                for piece in voice.say(turns, decoding):
                    told += piece
                    sys.stdout.write(piece)
                    sys.stdout.flush()
                sys.stdout.write("\n")
            except BurnishError as error:
                # one message that is too long does not end the conversation
                say.problem(error)
                continue
            if task.kind == "chat":
                threads[place] = (*turns, Message(role="assistant", content=told))


def _decoding(
    task: Decoding, *, max_new_tokens: int | None, temperature: float | None, seed: int | None
) -> Decoding:
    asked = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    changes = {name: value for name, value in asked.items() if value is not None}
    if temperature:
        changes["beams"] = 1
    if max_new_tokens is not None and max_new_tokens > MOST_NEW_TOKENS:
        raise fail(
            "tokens-refused",
            f"{max_new_tokens:,} new tokens",
            where="--max-new-tokens",
            expected=f"at most {MOST_NEW_TOKENS:,}",
            fix="ask for fewer",
        )
    return task.model_copy(update=changes)


def _read() -> str | None:
    """The next line; None at the end. Without a terminal no prompt is shown, so that lines can be piped."""
    if sys.stdin.isatty():
        sys.stdout.write("> ")
        sys.stdout.flush()
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None
