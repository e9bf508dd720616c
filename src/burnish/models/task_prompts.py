"""From rows of a task to prompts, and from what was written behind them to answers: the same for every engine that writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from burnish.data.normalise import normalise_inputs
from burnish.encode.codec import Codec
from burnish.encode.fit_prompt import FittedPrompt
from burnish.models.fitted_text import TextAnswer
from burnish.models.pieces import Generated
from burnish.records.task import Task
from burnish.tasks.kind import writing_kind_of


def task_prompts(
    codec: Codec, task: Task, inputs: Sequence[Mapping[str, str]], *, new_tokens: int
) -> list[FittedPrompt]:
    """What a model is fed for each row of inputs, with room for answers of `new_tokens`.

    Raises: prompt-too-long, input-missing, answer-room, and the codes of rendering.
    """
    kind, roomy = writing_kind_of(task), codec.with_room(new_tokens=new_tokens)
    return [
        roomy.prompt(
            kind.prompt(task, normalise_inputs(task, row)),
            where=f"row {number + 1}" if len(inputs) > 1 else "",
        )
        for number, row in enumerate(inputs)
    ]


def said_text(codec: Codec, made: Generated) -> str:
    """The text of what was generated, cut before the stop text that ended it."""
    text = codec.text(made.ids)
    if made.stopped_by is not None and made.stopped_by in text:
        return text[: text.index(made.stopped_by)]
    return text


def text_answer(prompt: FittedPrompt, text: str, made: Generated) -> TextAnswer:
    """The answer to a row, with how it came about."""
    return TextAnswer(
        text=text,
        finished=made.finished != "length",
        prompt_ids=tuple(int(one) for one in prompt.ids_T),
        answer_ids=made.ids,
        logprob=made.logprob,
        dropped_tokens=prompt.dropped_tokens,
        dropped_characters=prompt.dropped_characters,
    )
