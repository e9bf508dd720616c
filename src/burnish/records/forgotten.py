"""The tombstone: what a forgetting took, by counts and keyed hashes; never a word of what was there."""

from __future__ import annotations

from typing import Literal

from burnish.records.record import Record


class Learnt(Record):
    """A model that met the rows: a run, or a version with the stage it is in.

    `how` is "trained" when a row stood in its train split, "measured" when one stood in validation or test.
    """

    kind: Literal["run", "bundle", "version"]
    name: str
    how: Literal["trained", "measured"]
    rows: int
    stage: str = ""


class Forgotten(Record):
    """One forgetting. `datasets` names the version that stands in each old one's place, `counts` how much went from
    each place, `hashes` are HMAC-SHA-256 of the rows under the workspace's key: they let an import know a row again
    and tell nobody else anything.
    """

    id: str
    task_name: str
    datasets: dict[str, str]
    counts: dict[str, int]
    hashes: tuple[str, ...]
    models: tuple[Learnt, ...]
    by: str
    because: str
    at: str
