"""Candidates that write: baselines without a model, the base as it is, the tuned model; all measured on the same rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from burnish.decide.asked import Asked
from burnish.decide.text_baseline import TEXT_BASELINES, FittedTextBaseline, text_baselines
from burnish.encode.fit_prompt import FittedPrompt
from burnish.evaluate.metric import measure
from burnish.evaluate.script import metric_in_place_of
from burnish.evaluate.written import Written, written_from
from burnish.models.chat_model import ChatModel
from burnish.models.span_model import SpanModel
from burnish.records.decision import Candidate
from burnish.records.encoding import IntArray
from burnish.records.example import Example, Split
from burnish.records.report import Measure
from burnish.records.task import Task
from burnish.tasks.kind import writing_kind_of
from burnish.train.text_lessons import labelled, references_of, turns_of

# Rows answered one by one to time a candidate: writing takes seconds, and the median of few moves little.
_TIMED_ROWS = 5


@dataclass(frozen=True, slots=True, eq=False)
class TriedText:
    """A candidate with what it wrote. One of `model` and `baseline` is set; `measures` were taken beside the metrics."""

    candidate: Candidate
    scored: Written
    prompts: tuple[FittedPrompt, ...] = ()
    model: ChatModel | SpanModel | None = None
    baseline: FittedTextBaseline | None = None
    notes: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()


def asked_of(task: Task, inputs: Mapping[str, str]) -> Asked:
    """What a baseline without a model is asked: the text, and the context that an answer may be cut from."""
    if task.kind == "chat":
        turns = writing_kind_of(task).prompt(task, inputs)
        return Asked("\n".join(turn.content for turn in turns if turn.role != "system"))
    if task.kind == "summarization":
        return Asked("\n".join(inputs[name] for name in task.inputs))
    first, *rest = task.inputs
    return Asked(inputs[first], "\n".join(inputs[name] for name in rest))


def effective_metric(metric: str, examples: Sequence[Example]) -> tuple[str, str]:
    """The metric that can read the script the references are written in, and why it stands in for the task's ("")."""
    from burnish.evaluate.script import script_of

    script = script_of(text for one in examples for text in references_of(one))
    instead, why = metric_in_place_of(metric, script=script)
    return instead or metric, why


def try_text_baselines(
    task: Task,
    rows: Mapping[Split, Sequence[Example]],
    test: Sequence[Example],
    *,
    metric: str,
    groups_R: IntArray | None,
    seed: int,
    announce: Callable[[str], None],
) -> dict[str, TriedText]:
    """Build every baseline of the kind on train, measure it on these test rows, in the door's order."""
    tried: dict[str, TriedText] = {}
    train = list(labelled(rows["train"]))
    for name in text_baselines(task.kind):
        baseline = TEXT_BASELINES[name]
        announce(f"baseline: {baseline.TITLE}")
        started = time.perf_counter()
        built = baseline.build(
            [asked_of(task, one.inputs) for one in train],
            [references_of(one) for one in train],
            metric=metric,
            seed=seed,
        )
        build_seconds = time.perf_counter() - started
        asked = [asked_of(task, one.inputs) for one in test]
        started = time.perf_counter()
        texts = built.answers(asked)
        latency_ms = (time.perf_counter() - started) * 1000 / max(1, len(test))
        scored = written_from(
            texts,
            [references_of(one) for one in test],
            prompts=[one.text for one in asked],
            groups_R=groups_R,
        )
        candidate = Candidate(
            name=name,
            title=baseline.TITLE,
            quality=measure(metric, scored, seed=seed),
            latency_ms=latency_ms,
            memory_bytes=built.size_bytes(),
            build_seconds=build_seconds,
            explains=built.said(),
            needs=baseline.NEEDS,
        )
        tried[name] = TriedText(candidate, scored, baseline=built)
    return tried


def try_chat_model(
    task: Task,
    test: Sequence[Example],
    model: ChatModel,
    prompts: Sequence[FittedPrompt],
    *,
    metric: str,
    groups_R: IntArray | None,
    name: str,
    title: str,
    explains: str,
    needs: str,
    build_seconds: float,
    seed: int,
    likelihood: bool,
    deployable: bool = True,
    notes: Sequence[str] = (),
) -> TriedText:
    """Let a model write an answer to every test row, and measure it; with `likelihood` also how likely it finds the
    first references.
    """
    decoding = task.decoding
    replies = model.replies(prompts, decoding)
    nats = supervised = None
    if likelihood:
        codec = model.codec
        told = [codec.last_answer(turns_of(task, one), where=one.source.where) for one in test]
        nats_R, supervised_R = model.nats(told)
        nats, supervised = nats_R.tolist(), supervised_R.tolist()
    scored = written_from(
        [reply.text for reply in replies],
        [references_of(one) for one in test],
        prompts=[prompt.messages[-1].content for prompt in prompts],
        finished=[reply.finished != "length" for reply in replies],
        new_tokens=[len(reply.generated.ids) for reply in replies],
        nats=nats,
        supervised=supervised,
        groups_R=groups_R,
    )
    candidate = Candidate(
        name=name,
        title=title,
        quality=measure(metric, scored, seed=seed),
        latency_ms=_latency_ms(model, task, prompts),
        memory_bytes=model.size_bytes(),
        build_seconds=build_seconds,
        explains=explains,
        needs=needs,
        deployable=deployable,
    )
    return TriedText(candidate, scored, tuple(prompts), model=model, notes=tuple(notes))


def _latency_ms(model: ChatModel, task: Task, prompts: Sequence[FittedPrompt]) -> float:
    """Median milliseconds of one row alone; rows are spread over the split."""
    step = max(1, len(prompts) // _TIMED_ROWS)
    times = []
    for prompt in prompts[::step][:_TIMED_ROWS]:
        started = time.perf_counter()
        model.replies([prompt], task.decoding)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)
