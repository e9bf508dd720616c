"""Conversations: do the turns follow each other as a model must learn them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.tally import Tally
from burnish.records.dataset import Severity
from burnish.tasks.kinds.chat import is_conversation
from burnish.tasks.turns import faults, read_turns

COLUMNS = ("messages", "conversations", "conversation", "dialogue_turns", "turns")
_NAMES = frozenset(COLUMNS)
_FAULTS: Mapping[str, tuple[Severity, str, str]] = {
    "chat-broken": (
        "error",
        "hold no list of turns with a role and a content",
        'write [{"role": "user", "content": "..."}, ...]; burnish data check --fix chat-broken drops the rows',
    ),
    "chat-role-unknown": (
        "error",
        "have a role that is none of system, user, assistant and tool",
        "rename the role",
    ),
    "chat-turn-twice": (
        "warning",
        "have two turns of one speaker in a row",
        "join the two turns, or add the answer that is missing between them",
    ),
    "chat-system-late": (
        "warning",
        "have a system turn that is not the first",
        "put the system turn first; most templates refuse it elsewhere",
    ),
    "chat-empty-turn": (
        "warning",
        "have a turn without content",
        "fill it in or take the turn out; burnish data check --fix chat-empty-turn drops the rows",
    ),
    "chat-last-turn": (
        "warning",
        "do not end with the assistant, so that their last turn teaches nothing",
        "take the last turn out or add the answer",
    ),
    "chat-tool-orphan": (
        "warning",
        "have a tool's result that nobody called for",
        "add the assistant's call before it, or take the result out",
    ),
}  # fmt: skip
_MENDED_BY_DROP = frozenset({"chat-broken", "chat-empty-turn"})


class ChatRoles:
    """One finding per fault, counted in rows. Silent for rows without a column of turns."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tallies = {code: Tally() for code in _FAULTS}
        self._rows = 0
        self._unknown: Counter[str] = Counter()

    def see(self, row: Seen) -> None:
        if _NAMES.isdisjoint(row.columns) and _NAMES.isdisjoint(row.inputs):
            return
        for name in COLUMNS:
            cell = row.columns.get(name)
            if cell is None:
                cell = row.inputs.get(name)
            if cell is not None and (cell.startswith(("[", "{")) or name in COLUMNS[:2]):
                break
        else:
            return
        self._rows += 1
        turns = read_turns(cell)
        if isinstance(turns, str):
            self._tallies["chat-broken"].add(row.number, turns)
            return
        task = self._scene.task
        if task is not None and is_conversation(task) and row.label:
            # the answer was taken out of the conversation, to be learnt
            turns.append(("assistant", row.label[0], False))
        for fault, instance in faults(turns):
            self._tallies[fault].add(row.number, instance)
            if fault == "chat-role-unknown":
                self._unknown[instance] += 1

    def findings(self) -> Iterator[Finding]:
        for code, (severity, said, fix) in _FAULTS.items():
            tally = self._tallies[code]
            if not len(tally):
                continue
            about = f", for instance {tally.first}" if tally.first else ""
            if code == "chat-role-unknown":
                roles = ", ".join(
                    f"{name} ({count})" for name, count in self._unknown.most_common(5)
                )
                about = f": {roles}"
            yield tally.finding(
                self._scene,
                code,
                severity,
                f"{len(tally)} of {self._rows} conversations {said}{about}",
                fix=fix,
                mend="drop" if code in _MENDED_BY_DROP else None,
            )
