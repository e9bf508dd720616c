"""What task.toml should say about the data it names: spellings of its labels, rules for its texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from burnish.data.changes import Changes, rule_lines, turned_on
from burnish.data.examples import read_spellings
from burnish.data.meant import Meant, Question, meant
from burnish.records.record import canonical_json
from burnish.records.task import Task
from burnish.tasks.write import label_text

QUESTIONS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A task as its data suggests it. `rules` are those that are off, with the rows each would change."""

    task: Task
    spellings: tuple[Meant, ...]
    questions: tuple[Question, ...]
    rules: Mapping[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether task.toml may stay as it is."""
        return not self.spellings and not self.rules


def suggest(task: Task, root: Path) -> Suggestion:
    """Read every row and say what would be added to the task; nothing is changed, no label refused.

    Raises: task-no-data, and the codes of read_rows and check_columns.
    """
    changes = Changes(task, tried_rows=None)
    found = meant(task, read_spellings(task, root, changes=changes))
    more: dict[str, list[str]] = defaultdict(list)
    for one in found.meant:
        more[one.label].append(one.spelling)
    labels = tuple(
        label.model_copy(update={"values": (*label.values, *more[label.name])})
        if label.name in more
        else label
        for label in task.labels
    )
    rules = turned_on(task.normalise, changes.would)
    suggested = task.model_copy(update={"labels": labels, "normalise": rules})
    return Suggestion(suggested, found.meant, found.questions, dict(changes.would))


def suggestion_text(suggestion: Suggestion) -> str:
    """The suggestion as TOML to paste, with its reasons and what is left to decide as comments."""
    blocks: list[str] = []
    merged = {one.label for one in suggestion.spellings}
    for label in suggestion.task.labels:
        if label.name not in merged:
            continue
        reasons = [
            f"# {_quoted(one.spelling)}: {_rows(one.rows)}, differs in {one.differs_in}\n"
            for one in suggestion.spellings
            if one.label == label.name
        ]
        blocks.append("".join(reasons) + label_text(label))
    if suggestion.rules:
        lines = [
            f"{line}  # would change {_rows(rows)}\n"
            for line, rows in zip(
                rule_lines(suggestion.rules), suggestion.rules.values(), strict=True
            )
        ]
        blocks.append("[normalise]\n" + "".join(lines))
    asked = [
        f"# {', '.join(map(_quoted, one.spellings))}"
        f"{f' ({_rows(one.rows)})' if one.rows else ''}: {one.what}\n"
        for one in suggestion.questions[:QUESTIONS_SHOWN]
    ]
    if len(suggestion.questions) > QUESTIONS_SHOWN:
        asked.append(f"# and {len(suggestion.questions) - QUESTIONS_SHOWN:,} more\n")
    if asked:
        blocks.append("# for you to decide; nothing is done about these:\n" + "".join(asked))
    return "\n".join(blocks)


def _quoted(spelling: str) -> str:
    """A spelling on one line of a comment, with every strange character escaped."""
    quoted = canonical_json(spelling if len(spelling) <= 60 else f"{spelling[:59]}…")
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in quoted)


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
