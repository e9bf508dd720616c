"""What was seen when a base model's name was first used: the commit of a tag, the SHA-256 of a wheel. Under a seal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from burnish.errors import BurnishError, fail
from burnish.models.hostile_files import parse_json, read_bytes
from burnish.store.durable import write_sealed
from burnish.store.sealed_json import Unsealed, open_sealed

_MOST_BYTES = 4096
_FACTS = frozenset({"commit", "spec", "wheel_sha256"})


def record_first_use(path: Path, facts: Mapping[str, str]) -> None:
    """Write the facts down, bound to the file's name.

    Raises: disk-full, not-writable, write-failed.
    """
    write_sealed(path, facts, bound_to=path.name)


def first_use(path: Path) -> dict[str, str] | None:
    """What was written down, None at the first use; a record of before seals is taken as it is.

    Raises: base-record-damaged.
    """
    if not path.exists():
        return None
    data = read_bytes(path, most=_MOST_BYTES)
    try:
        value = open_sealed(data, bound_to=path.name)
    except Unsealed as error:
        value = parse_json(data, name=path.name)
        if not isinstance(value, dict) or not _FACTS.issuperset(value):
            raise _damaged(path, "it is no record") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return {name: fact for name, fact in value.items() if isinstance(fact, str)}


def _damaged(path: Path, what: str) -> BurnishError:
    return fail(
        "base-record-damaged",
        f"{what}, so it does not say which files were seen at the first use",
        where=str(path),
        expected="the record as Burnish wrote it",
        fix="check what the base model's publisher says about that version, then remove the file",
    )
