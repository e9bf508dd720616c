"""What reading does to rows: how many the rules for texts changed, how many those that are off would, and what of
conversations is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from burnish.data.evidence import LISTED_ROWS
from burnish.data.normalise import normalise_counted, would_change
from burnish.data.rows import Row
from burnish.records.dataset import Issue
from burnish.records.example import Example
from burnish.records.record import canonical_json
from burnish.records.task import Normalise, Task
from burnish.tasks.kinds.chat import is_conversation, turns_behind

# Rules that are off are only tried on so many rows: the note is to be cheap, and damage shows early.
TRIED_ROWS = 5_000


class Changes:
    """Counts rows as they are read; `tried_rows` of None tries the rules that are off on every row."""

    def __init__(self, task: Task, *, tried_rows: int | None = TRIED_ROWS) -> None:
        self._task = task
        self._on = task.normalise
        self._off = rules_off(task.normalise)
        self._tried_rows = tried_rows
        self._rows = 0
        self._changed: Counter[str] = Counter()
        self._would: Counter[str] = Counter()
        self._changed_places: list[str] = []
        self._would_places: list[str] = []
        self._changed_rows = 0
        self._would_rows = 0
        self._turns = 0
        self._longer_places: list[str] = []
        self._longer_rows = 0

    def count(self, row: Row) -> None:
        """Look at one row; it stays as it is."""
        self._rows += 1
        found = [
            normalise_counted(self._on, row.fields.get(name, "")) for name in self._task.inputs
        ]
        changed = {rule for _, rules in found for rule in rules}
        self._changed.update(changed)
        if changed:
            self._changed_rows += 1
            if len(self._changed_places) < LISTED_ROWS:
                self._changed_places.append(row.where)
        if self._tried_rows is not None and self._rows > self._tried_rows:
            return
        texts = [text for text, _ in found]
        would = {
            name
            for name, rules in self._off.items()
            if any(would_change(rules, text) for text in texts)
        }
        self._would.update(would)
        if would:
            self._would_rows += 1
            if len(self._would_places) < LISTED_ROWS:
                self._would_places.append(row.where)

    def count_turns(self, row: Row, used: Example) -> None:
        """Look at a row and what was made of it: a conversation may go on behind the answer that it asks for."""
        if not is_conversation(self._task):
            return
        behind = turns_behind(row.fields[self._task.label], used.inputs[self._task.label])
        if behind:
            self._turns += behind
            self._longer_rows += 1
            if len(self._longer_places) < LISTED_ROWS:
                self._longer_places.append(row.where)

    @property
    def would(self) -> Mapping[str, int]:
        """Rows that each rule that is off would change, of the rows it was tried on; rules in their order."""
        return {name: self._would[name] for name in self._off if self._would[name]}

    def issues(self) -> tuple[Issue, ...]:
        """A note for what was changed, one for what is not, and one for what is not used."""
        found: list[Issue] = []
        if self._changed:
            told = {
                name: self._changed[name] for name in Normalise.model_fields if self._changed[name]
            }
            found.append(
                Issue(
                    code="normalised",
                    severity="note",
                    what=f"{_listed(told, 'changed')}, as [normalise] asks",
                    count=self._changed_rows,
                    rows=tuple(self._changed_places),
                )
            )
        if self.would:
            tried = self._rows if self._tried_rows is None else min(self._rows, self._tried_rows)
            among = "" if tried == self._rows else f" of the first {tried:,}"
            found.append(
                Issue(
                    code="normalise-would",
                    severity="note",
                    what=f"rules that are off: {_listed(self.would, 'would change', among=among)}",
                    count=self._would_rows,
                    rows=tuple(self._would_places),
                    fix="if these differences mean nothing, in task.toml:\n"
                    + "\n".join(("[normalise]", *rule_lines(self.would))),
                )
            )
        if self._turns:
            found.append(
                Issue(
                    code="turns-not-used",
                    severity="note",
                    what="not used, because no answer that may be learnt follows: "
                    f"{self._turns:,} turn{'' if self._turns == 1 else 's'} "
                    f"of {self._longer_rows:,} conversation{'' if self._longer_rows == 1 else 's'}",
                    count=self._longer_rows,
                    rows=tuple(self._longer_places),
                )
            )
        return tuple(found)


def rules_off(rules: Normalise) -> dict[str, Normalise]:
    """For each rule that is off, in their order, that rule alone; of the Unicode forms the one that loses nothing."""
    alone = {"unicode": Normalise(unicode="NFC")} | {
        name: Normalise.model_validate({name: True})
        for name in Normalise.model_fields
        if name != "unicode"
    }
    return {
        name: alone[name]
        for name in Normalise.model_fields
        if getattr(rules, name) in (False, "off")
    }


def rule_lines(names: Mapping[str, int]) -> tuple[str, ...]:
    """The lines of task.toml that turn these rules on.

    Example:
        >>> rule_lines({"html": 3, "unicode": 1})
        ('html = true', 'unicode = "NFC"')
    """
    return tuple(f"{name} = {canonical_json(_turned_on(name))}" for name in names)


def turned_on(rules: Normalise, names: Mapping[str, int]) -> Normalise:
    """The rules with these on as well."""
    return rules.model_copy(update={name: _turned_on(name) for name in names})


def _turned_on(name: str) -> bool | str:
    return "NFC" if name == "unicode" else True


def _listed(counts: Mapping[str, int], verb: str, *, among: str = "") -> str:
    """In words: html changed 12 rows, whitespace 1."""
    parts = []
    for name, count in counts.items():
        if parts:
            parts.append(f"{name} {count:,}")
        else:
            parts.append(f"{name} {verb} {count:,} row{'' if count == 1 else 's'}{among}")
    return ", ".join(parts)
