"""An edit: what a person's fix does to rows, said without their text, so that it can be kept, applied again and taken back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from burnish.records.record import Record
from burnish.records.task import Redaction

Action = Literal["drop", "relabel", "redact"]


class Edit(Record):
    """Rows are named by their content (`data.edits.row_key`), which moved lines do not change.

    `code` is the finding that asked for it ("likely-mislabel"), `to` the label names of a relabel, `kinds` what a
    redaction takes out. `id` is the hash of code, action, keys, to and kinds: the same fix is the same edit, whoever
    makes it and whenever.
    """

    id: str
    code: str
    action: Action
    keys: tuple[str, ...] = Field(min_length=1)
    to: tuple[str, ...] = ()
    kinds: tuple[Redaction, ...] = ()
    by: str
    at: str
