"""What vLLM said when it was asked (tests/recorded/vllm.json), as we read it; and the stand-in says the same things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.deploy.vllm_protocol import read_pieces, read_surprise
from burnish.errors import BurnishError
from burnish.models.pieces import Alternative
from vllm_scenes import (
    DIGITS,
    PROMPT,
    RECORDED,
    asked_and_told,
    command_of,
    refusals,
    streams,
    wide_base,
)

TOLD: dict[str, Any] = json.loads(RECORDED.read_text())
# what we read of an event; vLLM tells more
READ = {"token_ids", "logprobs", "finish_reason", "stop_reason", "text", "index"}
READ_CHANCES = {"tokens", "token_logprobs", "top_logprobs", "text_offset"}


def pieces_of(name: str, *, alternatives: int = 0) -> list[Any]:
    told = TOLD["streams"][name]["told"]
    return [one for event in told for one in read_pieces(event, row=3, alternatives=alternatives)]


def ids_of(name: str) -> list[int]:
    return [one.token for one in pieces_of(name) if one.token is not None]


def text_of(name: str) -> str:
    return "".join(event["choices"][0]["text"] for event in TOLD["streams"][name]["told"])


def test_recordings_are_of_what_is_asked_today() -> None:
    greedy, told = ids_of("greedy"), TOLD["streams"]["greedy"]["told"]
    today = streams(greedy, told[2]["choices"][0]["text"])
    assert {name: one["asked"] for name, one in TOLD["streams"].items()} == json.loads(
        json.dumps(today)
    )
    assert {name: one["asked"] for name, one in TOLD["refusals"].items()} == json.loads(
        json.dumps(refusals())
    )


def test_every_token_has_its_number_and_its_chance() -> None:
    for name in TOLD["streams"]:
        pieces = pieces_of(name)
        assert all(one.row == 3 and one.logprob <= 0 for one in pieces)
        assert [one.finished for one in pieces[:-1]] == [None] * (len(pieces) - 1)
        assert pieces[-1].finished in ("stop", "length")
    assert len(ids_of("greedy")) == 6
    assert pieces_of("greedy")[-1].finished == "length"


def test_alternatives_are_the_likeliest_in_order() -> None:
    for one in pieces_of("alternatives", alternatives=2):
        assert len(one.alternatives) == 2
        assert one.alternatives[0] == Alternative(one.token, one.logprob)
        assert one.alternatives[0].logprob >= one.alternatives[1].logprob
    # a drawn token that is not the likeliest is told beside it, and left out of as many as were asked for
    assert all(len(one.alternatives) == 1 for one in pieces_of("drawn", alternatives=1))
    assert all(one.alternatives == () for one in pieces_of("alternatives"))


def test_what_ended_an_answer_stays_in_it_and_is_named() -> None:
    asked = TOLD["streams"]["stop_text"]["asked"]
    last = pieces_of("stop_text")[-1]
    assert (last.finished, last.stopped_by) == ("stop", asked["stop"][0])
    assert text_of("stop_text").endswith(asked["stop"][0])
    assert ids_of("stop_text") == ids_of("greedy")[:3]
    last = pieces_of("stop_token")[-1]
    assert (last.finished, last.stopped_by) == ("stop", None)
    assert ids_of("stop_token") == ids_of("greedy")[:2]


def test_an_answer_keeps_its_grammar() -> None:
    assert TOLD["streams"]["grammar"]["asked"]["structured_outputs"] == {"grammar": DIGITS}
    assert 10 <= int(text_of("grammar").removesuffix("</s>")) <= 99


def test_surprise_is_the_sum_over_the_last_tokens() -> None:
    reply = TOLD["surprise"]["told"]
    places = reply["choices"][0]["prompt_logprobs"]
    wanted = -sum(places[at][str(PROMPT[at])]["logprob"] for at in (2, 3))
    assert read_surprise(reply, PROMPT[2:]) == pytest.approx(wanted)
    with pytest.raises(BurnishError, match="another shape"):
        read_surprise(reply, [5, 6])


@pytest.mark.parametrize(
    "change",
    [
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"token_ids": [1], "logprobs": None, "finish_reason": None}]},
        {"choices": [{"token_ids": ["x"], "logprobs": None, "finish_reason": None}]},
        {"choices": [{"token_ids": [], "logprobs": None, "finish_reason": "abort"}]},
    ],
)
def test_an_event_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BurnishError) as caught:
        read_pieces(change, row=0, alternatives=0)
    assert [one.code for one in caught.value.problems] == ["vllm-failed"]


def test_the_stand_in_says_what_was_recorded(tmp_path: Path) -> None:
    base = wide_base(tmp_path / "cache", tmp_path / "base")
    # it holds answers to no grammar, and draws with other numbers
    stood_in = asked_and_told(command_of(tmp_path), base.folder, without=("grammar",))
    assert stood_in["refusals"] == TOLD["refusals"]
    assert stood_in["tokenize"] == TOLD["tokenize"]
    for name, one in stood_in["streams"].items():
        real = TOLD["streams"][name]["told"]
        for mine, theirs in zip(one["told"], real, strict=name != "drawn"):
            mine, theirs = mine["choices"][0], theirs["choices"][0]
            assert READ <= mine.keys() & theirs.keys()
            assert mine["logprobs"].keys() == theirs["logprobs"].keys() == READ_CHANCES
            if name == "drawn":
                continue
            same = ("token_ids", "finish_reason", "stop_reason")
            assert [mine[key] for key in same] == [theirs[key] for key in same]
            assert mine["logprobs"]["tokens"] == theirs["logprobs"]["tokens"]
            for left, right in zip(
                *(x["logprobs"]["top_logprobs"] for x in (mine, theirs)), strict=True
            ):
                assert left == pytest.approx(right, abs=1e-3)
    ours, real = (one["surprise"]["told"] for one in (stood_in, TOLD))
    assert read_surprise(ours, PROMPT[1:]) == pytest.approx(
        read_surprise(real, PROMPT[1:]), abs=1e-3
    )
