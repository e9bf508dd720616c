"""The cell "messages" as turns and back: nothing lost, every fault told with its turn, one meaning with the data check."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.records.message import ROLES, Message
from burnish.tasks.conversation import (
    FATAL,
    read_conversation,
    turn_problems,
    write_conversation,
)
from burnish.tasks.turns import faults, read_turns
from chat_scenes import conversations

CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}


def said(*turns: dict[str, object]) -> str:
    return json.dumps(turns)


def codes(cell: object) -> list[tuple[str, str]]:
    with pytest.raises(BurnishError) as refused:
        read_conversation(cell, where="chat.jsonl:4")  # type: ignore[arg-type]
    return [(one.code, one.where) for one in refused.value.problems]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(messages=conversations(), called=st.booleans())
def test_what_is_written_is_read_back(messages: tuple[Message, ...], called: bool) -> None:
    if called:
        told = Message(role="assistant", content="", tool_calls=(CALL,), train=False, name="ann")
        messages = (*messages, told, Message(role="tool", content="7", tool_call_id="c1"))
    cell = write_conversation(messages)
    assert read_conversation(cell) == messages
    assert read_conversation(json.loads(cell)) == messages
    assert write_conversation(read_conversation(cell)) == cell


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    turns=st.lists(
        st.tuples(st.sampled_from(ROLES), st.sampled_from(["", " ", "a"])), min_size=1, max_size=6
    )
)
def test_the_check_of_data_finds_the_same_faults(turns: list[tuple[str, str]]) -> None:
    cell = said(*({"role": role, "content": content} for role, content in turns))
    found = read_turns(cell)
    assert not isinstance(found, str)
    problems = turn_problems(read_conversation(cell), where="x.jsonl:1")
    assert [one.code for one in problems] == [code for code, _ in faults(found)]
    assert not {one.code for one in problems} & FATAL
    assert all(one.where == "x.jsonl:1" and one.fix for one in problems)


def test_weights_and_marks_decide_what_is_learnt() -> None:
    cell = said(
        {"role": "user", "content": "a", "weight": 0},
        {"role": "assistant", "content": "b", "weight": 0},
        {"role": "assistant", "content": "c", "weight": 1},
        {"role": "assistant", "content": "d", "train": False},
        {"role": "assistant", "content": "e"},
    )
    assert [one.train for one in read_conversation(cell)] == [None, False, True, False, None]


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "user", "content": "a", "weight": 1},
        {"role": "assistant", "content": "a", "weight": 0.5},
        {"role": "assistant", "content": "a", "train": "maybe"},
        {"role": "assistant", "content": "a", "train": 1},
        {"role": "assistant", "content": "a", "train": True, "weight": 0},
    ],
)
def test_a_mark_that_means_nothing_is_refused(turn: dict[str, object]) -> None:
    assert codes(said(turn)) == [("chat-weight", "chat.jsonl:4, turn 1")]


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("", "chat-broken"), ("{", "chat-broken"), ("[]", "chat-broken"), ("7", "chat-broken"), ('["a"]', "chat-broken"),
        ("[" * 100_000, "chat-broken"), ('[{"role": "user", "content": NaN}]', "chat-broken"), ("[{}]", "chat-broken"),
        ('[{"role": "assistant", "content": "a", "tool_calls": 7}]', "chat-broken"),
        ('[{"role": "user", "content": 7}]', "chat-broken"), ([], "chat-broken"), (["a"], "chat-broken"),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused(cell: object, code: str) -> None:
    assert {one for one, _ in codes(cell)} == {code}


def test_every_fault_of_a_conversation_is_told_at_once_with_its_turn() -> None:
    cell = said(
        {"role": "usr", "content": "a"},
        {"role": "assistant", "content": [{"type": "image_url", "image_url": "x"}]},
        {"role": "moderator", "content": "b"},
    )
    assert codes(cell) == [
        ("chat-role-unknown", "chat.jsonl:4, turn 1"),
        ("chat-part", "chat.jsonl:4, turn 2"),
        ("chat-role-unknown", "chat.jsonl:4, turn 3"),
    ]
    with pytest.raises(BurnishError) as refused:
        read_conversation(cell)
    assert refused.value.problems[0].nearest == "user"


def test_other_spellings_of_speakers_parts_calls_and_halves_of_pairs() -> None:
    cell = said(
        {"from": "system", "value": "s"},
        {"from": "human", "value": "a\ud83d"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"from": "function_response", "value": "r"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
        },
        {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
        {"role": "developer", "content": "d"},
    )
    found = read_conversation(cell)
    assert [one.role for one in found] == [
        "system", "user", "assistant", "tool", "assistant", "assistant", "system",
    ]  # fmt: skip
    assert found[1].content == "a\ufffd"
    assert found[2].content == "" and found[2].tool_calls == (CALL,)
    assert found[4].content == "one\ntwo"
    assert found[5].tool_calls[0]["function"] == {"name": "f", "arguments": {}}
