"""burnish doctor: is everything on the disk as it was written, and if not, what to do."""

from __future__ import annotations

import typer

from burnish.cli import say
from burnish.cli.options import HERE, JsonOption, ProjectOption
from burnish.errors import EXIT_DONE, EXIT_PROBLEM

_NAMES = {"base": "base model", "run's files": "run folder"}


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(doctor)


def doctor(project: ProjectOption = HERE, as_json: JsonOption = False) -> int:
    """Verify the workspace file by file and say for each fault what to do next. Changes nothing. Exit code 1: a fault."""
    from burnish.edge import cache_folder
    from burnish.examine.doctor import examine

    announce = (lambda text: None) if as_json else say.progress
    found = examine(project, cache=cache_folder(), announce=announce)
    code = EXIT_DONE if found.is_whole else EXIT_PROBLEM
    if as_json:
        say.as_json(
            {
                "whole": found.is_whole,
                "looked_at": dict(found.looked_at),
                "files": found.files,
                "bytes": found.bytes,
                "free_bytes": found.free_bytes,
                "findings": [
                    {"level": one.level, **one.problem.as_json()} for one in found.findings
                ],
            }
        )
        return code
    for one in found.findings:
        say.result(one.text())
    counted = ", ".join(
        _many(count, _NAMES.get(kind, kind)) for kind, count in sorted(found.looked_at.items())
    )
    say.result(f"looked at  {counted}")
    notes = len(found.findings) - len(found.faults)
    verdict = "whole" if found.is_whole else _many(len(found.faults), "fault")
    say.result(f"verdict    {verdict}, {_many(notes, 'note')}, {found.free_bytes:,} bytes free")
    return code


def _many(count: int, name: str) -> str:
    """So many of something.

    Example:
        >>> _many(1, "fault"), _many(0, "note")
        ('1 fault', '0 notes')
    """
    return f"{count} {name}{'' if count == 1 else 's'}"
