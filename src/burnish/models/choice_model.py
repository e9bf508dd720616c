"""A model that writes as a classifier: each label is scored by the likelihood of its text, over the closed set.

Shape legend: R rows, L labels, T tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from burnish.encode.codec import Codec
from burnish.errors import BurnishError, fail
from burnish.models.chat_model import OWN, ChatModel, open_chat_model, open_codec
from burnish.models.likelihood import choice_log_likelihoods
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.message import Message
from burnish.records.task import Task
from burnish.tasks.choice import choice_prompt

CHOICES_FILE = "choices.json"


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceModel:
    """The Fitted of a base that writes. `choices` are the labels' tokens in the task's order, each with its stop token.

    The logits are log-likelihoods of whole labels in nats, divided by `temperature`: softmax gives each label's share
    of what the model would say if it had to say one of them.
    """

    task: Task
    chat: ChatModel
    choices: tuple[tuple[int, ...], ...]
    temperature: float = 1.0

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """The prompt of each text; a text that is too long loses its end, counted.

        Raises: prompt-too-long where not even the instruction fits, and the codes of rendering.
        """
        found: list[Encoding] = []
        for row, text in enumerate(texts):
            prompt = self.chat.codec.prompt(
                choice_prompt(self.task, text), where=f"row {row + 1}" if len(texts) > 1 else ""
            )
            found.append(
                Encoding(
                    text=text,
                    ids_T=prompt.ids_T.astype(np.int32),
                    # prompts hold more than the text: their tokens have no place in it
                    offsets_T2=np.zeros((len(prompt.ids_T), 2), dtype=np.int32),
                    dropped_tokens=prompt.dropped_tokens,
                    dropped_characters=prompt.dropped_characters,
                )
            )
        return found

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        """Log-likelihood (R, L) of every label behind every prompt, in nats, over the temperature."""
        if not encodings:
            return np.zeros((0, len(self.choices)))
        prompts = [row.ids_T.tolist() for row in encodings]
        scores_RL = choice_log_likelihoods(self.chat.writer, prompts, self.choices)
        return scores_RL / self.temperature

    def with_temperature(self, temperature: float) -> ChoiceModel:
        """The same model, calibrated."""
        return replace(self, temperature=temperature)

    def size_bytes(self) -> int:
        """Memory of the weights."""
        return self.chat.size_bytes()


def choice_codec(folder: Path, task: Task, *, max_tokens: int, template: str = OWN) -> Codec:
    """How the base in this folder is asked for a label: prompt and the longest label together in `max_tokens`.

    Raises: labels-same-tokens, answer-room, and the codes of open_codec.
    """
    # the room that labels need is known only once they are tokens
    wide = _codec(folder, max_tokens=max_tokens, new_tokens=1, template=template)
    longest = max(map(len, choices_of(wide, task)))
    return _codec(folder, max_tokens=max_tokens, new_tokens=longest, template=template)


def _codec(folder: Path, *, max_tokens: int, new_tokens: int, template: str) -> Codec:
    return open_codec(
        folder, max_tokens=max_tokens, new_tokens=new_tokens, template=template, truncate="right"
    )


def choices_of(codec: Codec, task: Task) -> tuple[tuple[int, ...], ...]:
    """The labels' tokens as training teaches them, stop token included.

    Raises: labels-same-tokens when two labels are the same tokens to the model.
    """
    asked = choice_prompt(task, "text")
    found: dict[tuple[int, ...], str] = {}
    for name in task.label_names:
        row, _ = codec.row((*asked, Message(role="assistant", content=name)), where=f"label {name}")
        tokens = tuple(int(one) for one in row.targets_T if one >= 0)
        if tokens in found:
            raise _alike(found[tokens], name)
        found[tokens] = name
    return tuple(found)


def load_choice_model(
    folder: Path,
    task: Task,
    *,
    max_tokens: int,
    precision: str,
    temperature: float | None = None,
    template: str = OWN,
) -> ChoiceModel:
    """A base or saved model as a classifier; without `temperature` the one that stands beside the model, or 1.

    Raises: labels-same-tokens, choices-broken, and the codes of open_chat_model.
    """
    codec = choice_codec(folder, task, max_tokens=max_tokens, template=template)
    chat = open_chat_model(
        folder,
        precision=precision,
        max_tokens=max_tokens,
        new_tokens=max(map(len, choices_of(codec, task))),
        template=template,
        truncate="right",
    )
    if temperature is None:
        temperature = _read_temperature(folder)
    return ChoiceModel(task, chat, choices_of(codec, task), temperature)


def write_temperature(folder: Path, temperature: float) -> None:
    """Put the temperature beside a model."""
    (folder / CHOICES_FILE).write_text(json.dumps({"temperature": temperature}), encoding="utf-8")


def _read_temperature(folder: Path) -> float:
    if not (folder / CHOICES_FILE).is_file():
        return 1.0
    try:
        found = float(json.loads((folder / CHOICES_FILE).read_bytes())["temperature"])
    except (ValueError, KeyError, TypeError, RecursionError):
        found = 0.0
    if found > 0 and np.isfinite(found):
        return found
    raise fail(
        "choices-broken",
        "does not hold a temperature",
        where=CHOICES_FILE,
        expected='{"temperature": 1.0}, a number above 0',
        fix="make the bundle again with burnish run",
    )


def _alike(first: str, second: str) -> BurnishError:
    return fail(
        "labels-same-tokens",
        f'the labels "{first}" and "{second}" are the same tokens to this model',
        expected="labels that the model's tokenizer tells apart",
        fix="rename one of them in task.toml, with its spelling in the data under values, or choose another base",
    )
