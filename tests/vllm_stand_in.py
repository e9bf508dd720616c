"""Speaks vLLM's protocol where vLLM is not installed, computing with transformers and peft alone.

python tests/vllm_stand_in.py serve FOLDER --port PORT [further arguments of "vllm serve"]

It does what the tests need and no more; tests/stages/test_vllm_protocol.py holds its replies to the shape of those that were
recorded from vLLM (tests/recorded/vllm.json). With BURNISH_VLLM set to a real vllm command the same tests run against that.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def arguments() -> argparse.Namespace:
    """Those of "vllm serve" that Burnish passes; one that vLLM does not know would be refused here too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["serve"])
    parser.add_argument("folder")
    for name in ("host", "served-model-name", "dtype", "generation-config", "uvicorn-log-level"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "max-model-len"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("max-lora-rank", "max-loras"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--disable-log-stats", action="store_true")
    parser.add_argument("--enforce-eager", action="store_true")
    # what the tests ask of the stand-in alone
    parser.add_argument("--fail-at-start", action="store_true")
    parser.add_argument("--sleep-at-start", type=float, default=0)
    parser.add_argument("--other-tokens", action="store_true")
    parser.add_argument("--blur", type=float, default=1.0)
    return parser.parse_args()


class StandIn:
    """The models of one process, by name."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told
        self.tokenizer: Any = AutoTokenizer.from_pretrained(told.folder)
        self.models: dict[str, Any] = {told.served_model_name: self.weights()}

    def weights(self) -> Any:
        """The folder's weights, in the type that was asked for."""
        kind = getattr(torch, self.told.dtype)
        return AutoModelForCausalLM.from_pretrained(self.told.folder, dtype=kind).eval()

    @torch.inference_mode()
    def logprobs(self, name: str, ids: list[int]) -> torch.Tensor:
        """What the model expects behind every token."""
        logits = self.models[name](input_ids=torch.tensor([ids])).logits[0]
        return torch.log_softmax(logits.float() / self.told.blur, dim=-1)

    def write(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The tokens of an answer, and what ended it."""
        ids, new, before = list(asked["prompt"]), [], ""
        draws = torch.Generator().manual_seed(asked["seed"] % 2**63)
        for place in range(asked["max_tokens"]):
            chances = self.logprobs(asked["model"], ids + new)[-1]
            if asked["temperature"]:
                drawn = torch.softmax(chances / asked["temperature"], dim=-1)
                token = int(torch.multinomial(drawn, 1, generator=draws))
            else:
                token = int(chances.argmax())
            new.append(token)
            text = self.tokenizer.decode(new)
            stop = next((one for one in asked["stop"] if one in text), None)
            reason = None
            if token in asked["stop_token_ids"]:
                reason, stop = "stop", token
            elif stop is not None:
                reason = "stop"
            elif place + 1 == asked["max_tokens"]:
                reason = "length"
            best = torch.topk(chances, max(1, asked["logprobs"]))
            told = {
                f"token_id:{int(one)}": float(chance)
                for one, chance in zip(best.indices, best.values, strict=True)
            }
            yield {
                "text": text[len(before) :],
                "token": token,
                "logprob": float(chances[token]),
                "top": told | {f"token_id:{token}": float(chances[token])},
                "reason": reason,
                "stop": stop,
            }
            if reason:
                return
            before = text


def app_of(stand_in: StandIn) -> FastAPI:
    """The routes that Burnish asks."""
    app = FastAPI()
    key = os.environ["VLLM_API_KEY"]

    @app.middleware("http")
    async def guard(request: Request, follow: Any) -> Response:
        open_to_all = not request.url.path.startswith("/v1")
        if not open_to_all and request.headers.get("Authorization") != f"Bearer {key}":
            return JSONResponse({"error": "Unauthorized"}, status_code=401)
        return await follow(request)

    @app.get("/health")
    async def health() -> Response:
        return Response()

    @app.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        asked = await request.json()
        ids = stand_in.tokenizer(asked["prompt"], add_special_tokens=asked["add_special_tokens"])
        tokens = [one + stand_in.told.other_tokens for one in ids["input_ids"]]
        reply = {"count": len(tokens), "max_model_len": stand_in.told.max_model_len}
        return JSONResponse(reply | {"tokens": tokens, "token_strs": None})

    @app.post("/v1/load_lora_adapter")
    async def load(request: Request) -> Response:
        asked = await request.json()
        if os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") != "True":
            return JSONResponse({"detail": "Not Found"}, status_code=404)
        if not stand_in.told.enable_lora:
            return refusal("LoRA is not enabled")
        tuned: Any = PeftModel.from_pretrained(stand_in.weights(), asked["lora_path"])
        stand_in.models[asked["lora_name"]] = tuned.eval()
        return Response(f"Success: LoRA adapter '{asked['lora_name']}' added successfully.")

    @app.post("/v1/completions")
    async def complete(request: Request) -> Response:
        asked = await request.json()
        if asked["model"] not in stand_in.models:
            return refusal(
                f"The model `{asked['model']}` does not exist. Valid aliases: weights.", 404
            )
        if asked["temperature"] > 2:
            told = f"temperature must be in [0, 2], got {asked['temperature']}."
            return refusal(f"{told} (parameter=temperature, value={asked['temperature']})")
        if len(asked["prompt"]) + asked["max_tokens"] > stand_in.told.max_model_len:
            return refusal("This model's maximum context length is smaller")
        if asked.get("stream"):
            return StreamingResponse(lines(asked), media_type="text/event-stream")
        chances = stand_in.logprobs(asked["model"], asked["prompt"])
        places: list[Any] = [None]
        for place, token in enumerate(asked["prompt"][1:]):
            told = {"logprob": float(chances[place, token]), "rank": 1, "decoded_token": ""}
            places.append({str(token): told})
        choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
        return JSONResponse(head(asked) | {"choices": [choice | {"prompt_logprobs": places}]})

    def lines(asked: dict[str, Any]) -> Iterator[str]:
        for one in stand_in.write(asked):
            name = f"token_id:{one['token']}"
            chances = {
                "text_offset": [0],
                "token_logprobs": [one["logprob"]],
                "tokens": [name],
                "top_logprobs": [one["top"]],
            }
            choice = {
                "index": 0,
                "text": one["text"],
                "logprobs": chances,
                "finish_reason": one["reason"],
                "stop_reason": one["stop"],
                "token_ids": [one["token"]],
            }
            yield f"data: {json.dumps(head(asked) | {'choices': [choice]})}\n\n"
        yield "data: [DONE]\n\n"

    return app


def head(asked: dict[str, Any]) -> dict[str, Any]:
    """What stands around choices."""
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": asked["model"]}


def refusal(message: str, status: int = 400) -> Response:
    """An error as vLLM tells it."""
    error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
    return JSONResponse({"error": error}, status_code=status)


def main() -> None:
    """Serve until a signal."""
    told = arguments()
    time.sleep(told.sleep_at_start)
    if told.fail_at_start:
        raise SystemExit("ValueError: the stand-in was told to fail")
    torch.set_num_threads(1)
    app = app_of(StandIn(told))
    uvicorn.run(app, host=told.host, port=told.port, log_level=told.uvicorn_log_level)


if __name__ == "__main__":
    main()
