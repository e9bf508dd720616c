"""Feedback becomes labelled rows, each with its provenance; what cannot be used is set aside with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from burnish.data.normalise import normalise_inputs
from burnish.data.redact import redact
from burnish.records.dataset import Rejection
from burnish.records.deployment import Feedback, Prediction
from burnish.records.example import Example, Source, Split, input_id, row_id
from burnish.records.label import Label, ManyOf, OneOf, Span, Spans, Texts, label_names
from burnish.records.task import Task
from burnish.tasks.kind import any_kind_of
from burnish.tasks.spans import nearest
from burnish.tasks.spellings import find_name, unknown_label


@dataclass(frozen=True, slots=True)
class Given:
    """What a person said, with the prediction it is about."""

    feedback: Feedback
    prediction: Prediction

    @property
    def where(self) -> str:
        """The place of the row this becomes."""
        return f"prediction:{self.prediction.id}"


@dataclass(frozen=True, slots=True)
class Merged:
    """Rows to add to a dataset, and what was set aside. Feedback given = examples + rejections, always."""

    examples: tuple[Example, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class _Claim:
    """Feedback that says which answer is right."""

    given: Given
    label: Label


def merge(task: Task, parent: Mapping[Split, Sequence[Example]], given: Sequence[Given]) -> Merged:
    """One example for each prediction whose right answer people agree on, in the order of the predictions.

    `given` is in the order it came. Of one person's feedback on a prediction the last counts. The text is the
    journal's or, where that kept only a hash, the feedback's own, which had that hash when it was given and was
    redacted after; it is normalised and redacted as the task says now. A row has no group and no other columns: the journal does
    not know them. The parent's rows stay as they are, whatever feedback says about the same text.

    Set aside: replaced, label-not-given, label-unknown, label-shape, contradictory, text-gone,
    answer-missing, input-missing, empty-text, duplicate, contradicts.
    """
    rejections: list[Rejection] = []
    claims: dict[str, list[_Claim]] = defaultdict(list)
    for thread in _threads(given).values():
        said, refused = _claims(task, thread)
        rejections += refused
        for claim in said:
            claims[claim.given.prediction.id].append(claim)
    old: dict[str, list[Example]] = defaultdict(list)
    for held in (one for examples in parent.values() for one in examples):
        old[held.input_id].append(held)
    rows: dict[str, list[Example]] = defaultdict(list)
    for agreed in claims.values():
        tried = [(one.given, _row(task, one)) for one in agreed]
        # where the journal kept no text, one of several people may have sent it
        kept = next((row for _, row in tried if isinstance(row, Example)), None)
        for one, row in tried:
            if isinstance(row, Rejection):
                rejections.append(_aside(one, row.reason, row.detail))
            elif row is not kept and kept is not None:
                rejections.append(_aside(one, "duplicate", f"{kept.source.by} said the same"))
        if kept is None:
            continue
        # the parent may hold the text as it was asked, before redaction
        asked = agreed[0].given.prediction.input_id
        same = [*old.get(kept.input_id, ()), *old.get(asked, ())]
        if same:
            rejections.append(beside(kept, same))
        else:
            rows[kept.input_id].append(kept)
    examples: list[Example] = []
    for same in rows.values():
        one, refused = _settled(same)
        examples += one
        rejections += refused
    return Merged(tuple(examples), tuple(rejections))


def _threads(given: Sequence[Given]) -> dict[str, list[Given]]:
    """Everything said about each prediction, the predictions in their order, what was said as it came."""
    threads: dict[str, list[Given]] = defaultdict(list)
    for one in sorted(given, key=lambda one: (one.prediction.at, one.prediction.id)):
        threads[one.prediction.id].append(one)
    return threads


def _claims(task: Task, thread: Sequence[Given]) -> tuple[list[_Claim], list[Rejection]]:
    """What the people of one prediction agree on; nothing where they do not."""
    last = {one.feedback.by: one for one in thread}
    rejections = [
        _aside(one, "replaced", f"{one.feedback.by} said something later")
        for one in thread
        if last[one.feedback.by] is not one
    ]
    claims: list[_Claim] = []
    doubts: list[Given] = []
    for one in last.values():
        if not _says_what(one.feedback) and not one.feedback.right:
            doubts.append(one)
            continue
        label = _label_said(task, one) if task.is_closed else _text_said(task, one)
        if isinstance(label, Rejection):
            rejections.append(_aside(one, label.reason, label.detail))
        else:
            claims.append(_Claim(one, label))
    if not task.is_closed:
        claims = _together(claims)
    apart = [one for one in claims if one.label != claims[0].label]
    told_right = [one for one in claims if one.given.feedback.right]
    if apart or (doubts and told_right):
        against = claims if apart else told_right
        said = {
            one.given.feedback.by: "+".join(label_names(one.label))[:80] or "none"
            for one in against
        }
        said |= {one.feedback.by: "wrong" for one in doubts}
        detail = " but ".join(f'{by} says "{what}"' for by, what in sorted(said.items()))
        everyone = [*(one.given for one in claims), *doubts]
        return [], [*rejections, *(_aside(one, "contradictory", detail) for one in everyone)]
    rejections += [_aside(one, "label-not-given", "wrong, but not what is right") for one in doubts]
    return claims, rejections


def _says_what(said: Feedback) -> bool:
    return said.labels is not None or said.text is not None


def _together(claims: Sequence[_Claim]) -> list[_Claim]:
    """Texts and pieces that people name are all right, in the order in which they were named; "no answer" is right alone."""
    texts = [text for one in claims if isinstance(one.label, Texts) for text in one.label.texts]
    spans = [span for one in claims if isinstance(one.label, Spans) for span in one.label.spans]
    made: list[_Claim] = []
    for one in claims:
        label = one.label
        if isinstance(label, Texts):
            label = Texts(texts=tuple(dict.fromkeys(texts)))
        elif isinstance(label, Spans) and label.spans:
            label = Spans(spans=tuple(dict.fromkeys(spans)))
        made.append(replace(one, label=label))
    return made


def _text_said(task: Task, given: Given) -> Label | Rejection:
    """The text that is right, of extractive answers with the place nearest to the predicted one where it stands."""
    feedback, prediction = given.feedback, given.prediction
    text = prediction.text if feedback.text is None else feedback.text
    if text is None:
        detail = "the journal kept no answer, or forgot it"
        return Rejection(where="", reason="text-gone", detail=detail)
    if not task.finds:
        return Texts(texts=(text,))
    if not text:
        return Spans(spans=())
    context = (prediction.inputs or feedback.inputs or {}).get(task.inputs[-1], "")
    start = nearest(context, text, int(prediction.scores.get("start", 0)))
    if start is None:
        detail = f'"{text[:60]}" stands nowhere in the context'
        return Rejection(where="", reason="answer-missing", detail=detail)
    return Spans(spans=(Span(text=text, start=start),))


def _label_said(task: Task, given: Given) -> Label | Rejection:
    """The names as a label of the task, in its order."""
    names = given.feedback.labels
    names = given.prediction.labels if names is None else names
    known = [find_name(task, name) for name in names]
    for name, found in zip(names, known, strict=True):
        if found is None:
            near = unknown_label(task, name).nearest
            detail = f'"{name}"' + (f', nearest "{near}"' if near else "")
            return Rejection(where="", reason="label-unknown", detail=detail)
    if task.kind == "multilabel":
        return ManyOf(names=tuple(name for name in task.label_names if name in known))
    if len(known) != 1 or known[0] is None:
        detail = f"{len(names)} labels, where one is asked for"
        return Rejection(where="", reason="label-shape", detail=detail)
    return OneOf(name=known[0])


def _row(task: Task, claim: _Claim) -> Example | Rejection:
    feedback, prediction = claim.given.feedback, claim.given.prediction
    text = prediction.inputs
    if text is None:
        text = feedback.inputs
        if text is None:
            detail = (
                "the journal kept no text, or forgot it, and the feedback did not send it again"
            )
            return Rejection(where="", reason="text-gone", detail=detail)
    missing = [name for name in task.inputs if name not in text]
    if missing:
        detail = f"nothing was asked in {', '.join(missing)}"
        return Rejection(where="", reason="input-missing", detail=detail)
    plain = normalise_inputs(task, {name: text[name] for name in task.inputs})
    # an address may have hidden behind entities; what redaction leaves is brought into form again
    safe = {name: redact(one, task.redact).text for name, one in plain.items()}
    inputs = normalise_inputs(task, safe)
    if not any(cell.strip() for cell in inputs.values()):
        return Rejection(where="", reason="empty-text", detail="there is nothing to read")
    where = claim.given.where
    row = Example(
        row_id=row_id(where=where, inputs=inputs, label="+".join(label_names(claim.label))),
        input_id=input_id(inputs),
        inputs=inputs,
        label=claim.label,
        source=Source(where=where, by=feedback.by, chosen=feedback.chosen, at=feedback.at),
    )
    problems = any_kind_of(task).check(task, row)
    if problems:
        return Rejection(where=where, reason=problems[0].code, detail=problems[0].what)
    return row


def beside(row: Example, old: Sequence[Example]) -> Rejection:
    """Why a row steps aside for the parent's rows of the same text."""
    where = row.source.where
    agreeing = next((one for one in old if one.label == row.label), None)
    if agreeing is not None:
        detail = f"{agreeing.source.where} says the same"
        return Rejection(where=where, reason="duplicate", detail=detail)
    said = "+".join(label_names(old[0].label)) if old[0].label else "nothing"
    detail = f'{old[0].source.where} says "{said}", and stays'
    return Rejection(where=where, reason="contradicts", detail=detail)


def _settled(same: Sequence[Example]) -> tuple[list[Example], list[Rejection]]:
    """Of rows with one text the first that an audit drew, else the first; none where they differ. Texts that several
    people wrote are all right.
    """
    written = [text for one in same if isinstance(one.label, Texts) for text in one.label.texts]
    if written:
        label = Texts(texts=tuple(dict.fromkeys(written)))
        same = [one.model_copy(update={"label": label}) for one in same]
    if any(one.label != same[0].label for one in same):
        said = {
            f"{one.source.by} ({one.source.where})": "+".join(label_names(one.label))
            for one in same
            if one.label
        }
        detail = " but ".join(f'{by} says "{what}"' for by, what in sorted(said.items()))
        return [], [
            Rejection(where=one.source.where, reason="contradictory", detail=detail) for one in same
        ]
    kept = next((one for one in same if one.source.chosen == "random"), same[0])
    return [kept], [
        Rejection(
            where=one.source.where,
            reason="duplicate",
            detail=f"{kept.source.where} says the same",
        )
        for one in same
        if one is not kept
    ]


def _aside(given: Given, reason: str, detail: str) -> Rejection:
    return Rejection(where=given.where, reason=reason, detail=detail)
