"""People's words in the ledger: the one table that is erased from, beside records that are not.

What was asked stands under the id of its record, what was answered (or said to be right) under that id and "/answer".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from burnish.store import database
from burnish.store.columns import TEXTS
from burnish.store.sealed import is_sealed, require_text, seal, spell

if TYPE_CHECKING:
    from sqlalchemy import Select, Table

    from burnish.store.ledger import Ledger

# Owner of an answer's words, behind the id of its record.
ANSWER = "/answer"


def text_row(owner: str, inputs: Mapping[str, str], *, at: str) -> dict[str, Any]:
    """The row of the only table that holds people's words.

    Raises: record-unwritable.
    """
    row = {"owner": owner, "at": at, "inputs": spell(dict(inputs), what=f"inputs of {owner}")}
    require_text(row)
    row["digest"] = seal(row, TEXTS)
    return row


def text_rows(
    id: str, *, inputs: Mapping[str, str] | None, text: str | None, at: str
) -> list[dict[str, Any]]:
    """The rows of a record: its inputs and its answer, as far as there are any.

    Raises: record-unwritable.
    """
    rows = [] if inputs is None else [text_row(id, inputs, at=at)]
    if text is not None:
        rows.append(text_row(f"{id}{ANSWER}", {"text": text}, at=at))
    return rows


def with_words(table: Table) -> Select[Any]:
    """All rows of a table of records, each beside its words."""
    from sqlalchemy import select

    texts = table.metadata.tables["texts"]
    answers = texts.alias("answers")
    return (
        select(
            table,
            texts.c.inputs,
            texts.c.owner,
            texts.c.at.label("text_at"),
            texts.c.digest.label("text_digest"),
            answers.c.inputs.label("answer"),
            answers.c.owner.label("answer_owner"),
            answers.c.at.label("answer_at"),
            answers.c.digest.label("answer_digest"),
        )
        .outerjoin(texts, texts.c.owner == table.c.id)
        .outerjoin(answers, answers.c.owner == table.c.id + ANSWER)
    )


def words_of(ledger: Ledger, row: Mapping[str, Any]) -> tuple[dict[str, str] | None, str | None]:
    """The inputs and the answer in a row of `with_words`; None for what was not kept, or is erased.

    Raises: ledger-damaged.
    """
    inputs = text = None
    if row["owner"] is not None:
        inputs = read_text(
            ledger,
            owner=row["owner"],
            at=row["text_at"],
            inputs=row["inputs"],
            digest=row["text_digest"],
        )
    if row["answer_owner"] is not None:
        text = read_text(
            ledger,
            owner=row["answer_owner"],
            at=row["answer_at"],
            inputs=row["answer"],
            digest=row["answer_digest"],
        )["text"]
    return inputs, text


def read_text(ledger: Ledger, *, owner: str, at: str, inputs: str, digest: str) -> dict[str, str]:
    """The inputs in a row of texts, when its seal is whole.

    Raises: ledger-damaged.
    """
    row = {"owner": owner, "at": at, "inputs": inputs, "digest": digest}
    if not is_sealed(row, TEXTS):
        raise database.damaged(ledger.path, f"the text of {owner} does not match its checksum")
    return json.loads(inputs)
