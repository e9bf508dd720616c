"""What is asked of vLLM's HTTP interface, and how its replies read. Prompts and answers are token ids both ways, so that no
other tokenizer and no other chat template stands between a version and what it was trained on.

Source: vLLM 0.32.0 as it answers (tests/recorded/vllm.json), and its pages on the OpenAI-compatible server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.errors import fail
from burnish.models.pieces import Alternative, Finished, Piece
from burnish.records.decoding import Decoding

_TOKEN = "token_id:"


def completion_body(
    name: str,
    ids: Sequence[int],
    decoding: Decoding,
    *,
    seed: int,
    stop_ids: Sequence[int],
    alternatives: int,
    grammar: str | None,
) -> dict[str, Any]:
    """The request for one streamed answer behind these tokens.

    Stop tokens are ours alone (`ignore_eos`); what ended the text stays in it, as it does in our own answers.
    """
    body: dict[str, Any] = {
        "model": name,
        "prompt": list(ids),
        "max_tokens": decoding.max_new_tokens,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "repetition_penalty": decoding.repetition_penalty,
        "seed": seed,
        "stop": list(decoding.stop),
        "stop_token_ids": list(stop_ids),
        "ignore_eos": True,
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "logprobs": alternatives,
        "return_tokens_as_token_ids": True,
        "return_token_ids": True,
        "stream": True,
    }
    if grammar is not None:
        body["structured_outputs"] = {"grammar": grammar}
    return body


def read_pieces(event: Mapping[str, Any], *, row: int, alternatives: int) -> list[Piece]:
    """The tokens of one event of that answer.

    Raises: vllm-failed for an event of another shape, or an answer that vLLM gave up.
    """
    try:
        choice = event["choices"][0]
        ids = [int(one) for one in choice.get("token_ids") or ()]
        told = choice["logprobs"] or {"token_logprobs": [], "top_logprobs": []}
        chances = [float(one) for one in told["token_logprobs"]]
        best = told["top_logprobs"] or [{}] * len(ids)
        reason, stopped_by = choice["finish_reason"], choice.get("stop_reason")
        pieces = [
            Piece(row, token, chance, _alternatives(others or {}, most=alternatives))
            for token, chance, others in zip(ids, chances, best, strict=True)
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise fail(
            "vllm-failed",
            f"vLLM's event has another shape: {type(error).__name__} at {error}",
            expected="an event as vLLM 0.32 sends it",
            fix="install a version of vLLM that docs/serve.md names",
        ) from error
    if reason is None:
        return pieces
    if reason not in ("stop", "length"):
        raise fail("vllm-failed", f'vLLM ended an answer with "{reason}"', fix="ask again")
    finished: Finished = "stop" if reason == "stop" else "length"
    end = stopped_by if isinstance(stopped_by, str) else None
    if not pieces:
        return [Piece(row, None, 0.0, (), finished, end)]
    last = pieces[-1]
    return [
        *pieces[:-1],
        Piece(row, last.token, last.logprob, last.alternatives, finished, end),
    ]


def surprise_body(name: str, ids: Sequence[int]) -> dict[str, Any]:
    """The request for how likely each token of a text is behind those before it."""
    return {
        "model": name,
        "prompt": list(ids),
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
    }


def read_surprise(reply: Mapping[str, Any], answer_ids: Sequence[int]) -> float:
    """Minus the sum of the log-probabilities of the text's last tokens, in nats.

    Raises: vllm-failed for a reply of another shape.
    """
    try:
        places = reply["choices"][0]["prompt_logprobs"][-len(answer_ids) :]
        return -sum(
            float(place[str(token)]["logprob"])
            for place, token in zip(places, answer_ids, strict=True)
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise fail(
            "vllm-failed",
            f"vLLM's reply has another shape: {type(error).__name__} at {error}",
            expected="prompt_logprobs as vLLM 0.32 sends them",
            fix="install a version of vLLM that docs/serve.md names",
        ) from error


def _alternatives(told: Mapping[str, float], *, most: int) -> tuple[Alternative, ...]:
    """The likeliest tokens; the chosen one is told too where it is none of them."""
    if not most:
        return ()
    found = [
        Alternative(int(key.removeprefix(_TOKEN)), float(value)) for key, value in told.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.logprob)[:most])
