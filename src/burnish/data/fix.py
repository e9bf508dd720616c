"""A finding becomes edits: what its mend would do to which rows. Nothing is changed here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from burnish.data.edits import make_edit, redacted
from burnish.data.evidence import Finding, Labels
from burnish.data.redact import KINDS
from burnish.errors import fail, nearest
from burnish.records.edit import Action, Edit
from burnish.records.example import Example
from burnish.records.label import label_names
from burnish.records.task import Redaction, Task

PERSONAL = "personal-"
# findings with a mend, and the check to ask for where it does not run by itself
MENDED: Mapping[str, str | None] = {
    **dict.fromkeys(("answer-missing", "answers-broken", "chat-broken", "chat-empty-turn")),
    **dict.fromkeys(("junk-keys", "junk-run", "junk-digits", "junk-url", "junk-short")),
    "likely-mislabel": "mislabels",
    "near-duplicates": "near-duplicates",
    "near-leakage": "near-duplicates",
    "text-placeholder": None,
    **{f"{PERSONAL}{kind.replace('_', '-')}": None for kind in KINDS},
}


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one row: `to` are its new label names or `text` is its new text; neither: it is dropped."""

    row: Example
    to: Labels | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Fix:
    """The changes a fix makes, in the order the finding names the rows; none: nothing is left to fix."""

    code: str
    action: Action
    changes: tuple[Change, ...]
    kinds: tuple[Redaction, ...] = ()

    def edits(self, *, by: str, at: str) -> tuple[Edit, ...]:
        """The edits to record: one, or for new labels one for each of them."""
        together: dict[Labels, list[Example]] = defaultdict(list)
        for change in self.changes:
            together[change.to or ()].append(change.row)
        return tuple(
            make_edit(
                rows, code=self.code, action=self.action, to=to, kinds=self.kinds, by=by, at=at
            )
            for to, rows in sorted(together.items(), key=lambda item: item[0])
        )


def check_for(code: str) -> str | None:
    """The check to ask for so that a finding of that code shows; None where it runs by itself."""
    return MENDED.get(code)


def plan_fix(
    findings: Sequence[Finding],
    code: str,
    *,
    task: Task,
    examples: Callable[[Sequence[int]], Mapping[int, Example]],
    relabel: bool = False,
) -> Fix:
    """What the mend of the findings of that code does; "personal" stands for all personal kinds.

    `examples` gives the rows of those numbers as they are now.

    Raises: fix-unknown, not-mendable.
    """
    found = [one for one in findings if _is(one.issue.code, code)]
    mended = [one for one in found if one.mend is not None]
    if found and not mended:
        raise fail(
            "not-mendable",
            f"{code} has no mend that a program could do: {found[0].issue.what}",
            where="--fix",
            fix=found[0].issue.fix or "correct the files by hand",
        )
    known = {*MENDED, PERSONAL.rstrip("-"), *(one.issue.code for one in findings if one.mend)}
    if not found and code not in known:
        raise fail(
            "fix-unknown",
            f'no finding is called "{code}"',
            where="--fix",
            expected=f"one of {', '.join(sorted(known))}",
            fix="burnish data check shows what there is to fix",
            nearest=nearest(code, sorted(known)),
        )
    if relabel and any(not one.labels for one in mended):
        raise fail(
            "not-mendable",
            f"{code} proposes no labels",
            where="--relabel",
            fix=f"burnish data check --fix {code} without --relabel",
        )
    mends = {one.mend for one in mended}
    if "redact" in mends:
        asked = {_kind(one.issue.code) for one in mended}
        kinds: tuple[Redaction, ...] = tuple(kind for kind in KINDS if kind in asked)
        return Fix(code, "redact", _redactions(mended, kinds, examples, task=task), kinds)
    if relabel or "relabel" in mends:
        return Fix(code, "relabel", _relabels(mended, examples))
    return Fix(code, "drop", _drops(mended, examples))


def _drops(
    found: Sequence[Finding], examples: Callable[[Sequence[int]], Mapping[int, Example]]
) -> tuple[Change, ...]:
    numbers = list(dict.fromkeys(number for one in found for number in one.numbers))
    rows = examples(numbers)
    return tuple(Change(rows[number]) for number in numbers if number in rows)


def _relabels(
    found: Sequence[Finding], examples: Callable[[Sequence[int]], Mapping[int, Example]]
) -> tuple[Change, ...]:
    wanted = {
        number: to for one in found for number, to in zip(one.numbers, one.labels, strict=True)
    }
    rows = examples(list(wanted))
    return tuple(
        Change(rows[number], to=to)
        for number, to in wanted.items()
        if number in rows and _said(rows[number]) != to
    )


def _redactions(
    found: Sequence[Finding],
    kinds: Sequence[Redaction],
    examples: Callable[[Sequence[int]], Mapping[int, Example]],
    *,
    task: Task,
) -> tuple[Change, ...]:
    """Inputs and other columns are rewritten; labels and groups are not text."""
    numbers = sorted({number for one in found for number in one.numbers})
    rows = examples(numbers)
    changes: list[Change] = []
    for number in numbers:
        if number not in rows:
            continue
        row = rows[number]
        before = {**row.columns, **row.inputs}
        inputs, columns = redacted(row, kinds, task=task)
        changed = [text for name, text in {**inputs, **columns}.items() if text != before[name]]
        if changed:
            changes.append(Change(row, text="\n".join(changed)))
    return tuple(changes)


def _is(found: str, code: str) -> bool:
    return found == code or (code == PERSONAL.rstrip("-") and found.startswith(PERSONAL))


def _kind(code: str) -> Redaction:
    wanted = code.removeprefix(PERSONAL)
    return next(kind for kind in KINDS if kind.replace("_", "-") == wanted)


def _said(row: Example) -> Labels:
    return tuple(label_names(row.label)) if row.label else ()
