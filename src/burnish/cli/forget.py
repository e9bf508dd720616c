"""burnish forget: take a person's rows out of everything that was made from them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import say
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, JsonOption, ProjectOption
from burnish.errors import EXIT_DONE, EXIT_USAGE, fail

if TYPE_CHECKING:
    from burnish.forgetting.forget import Forgetting

_SHOWN = 20


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(forget)


def forget(
    match: Annotated[
        Path | None,
        typer.Option(help="A file: one whole text a line, or a table of rows (CSV, JSONL, ...)."),
    ] = None,
    containing: Annotated[
        bool,
        typer.Option("--containing", help="The lines of the file are pieces to be found in texts."),
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(help="column=value that a row must have; several must all hold."),
    ] = None,
    because: Annotated[str, typer.Option(help="Why, for the history; name no person.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> int:
    """Find rows everywhere (datasets, journal, feedback, reports, golden rows, caches) and take them out for good.

    Names the models that learnt from them. The same command again ends one that was killed.
    """
    from burnish.edge import fresh_key
    from burnish.forgetting import forget as forgetting
    from burnish.project import open_project

    opened = open_project(project)
    edge = terminal_edge()
    wanted = forgetting.asked(opened, match=match, containing=containing, where=where or [])
    if dry_run or not yes:
        found = forgetting.look(opened, edge, wanted)
        if dry_run:
            _tell(found, as_json=as_json)
            return EXIT_DONE
        _ask(found)
    done = forgetting.forget(opened, edge, wanted, because=because, fresh_key=fresh_key)
    _tell(done, as_json=as_json)
    return EXIT_DONE


def _ask(found: Forgetting) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise fail(
            "not-confirmed",
            "this cannot be undone, and nobody is there to be asked",
            expected="--yes, after a look at what --dry-run says",
            fix="burnish forget --yes ...",
            exit_code=EXIT_USAGE,
        )
    say.progress("this cannot be undone; it takes out:")
    for place, count in found.counts.items():
        say.progress(f"  {count} {place}")
    typer.confirm("  forget them?", abort=True, err=True)


def _tell(found: Forgetting, *, as_json: bool) -> None:
    if as_json:
        value = dataclasses.asdict(found) | {
            "counts": dict(found.counts),
            "datasets": dict(found.datasets),
            "models": [one.model_dump(mode="json") for one in found.models],
        }
        say.as_json(value)
        return
    if not found.counts:
        say.result("nothing of it is left in the workspace")
    elif found.done:
        say.result(f"forgotten {found.id}")
    else:
        say.result("would be forgotten; nothing was changed")
    for place, count in found.counts.items():
        say.result(f"  {count} {place}")
    for old, new in found.datasets.items():
        say.result(f"dataset  {old} is now {new}")
    for one in found.models:
        stage = f", {one.stage}" if one.stage else ""
        say.result(f"{one.how:8} {one.kind} {one.name}{stage}: {one.rows} of the rows")
    if found.files:
        shown = ", ".join(found.files[:_SHOWN])
        more = f" and {len(found.files) - _SHOWN} more" if len(found.files) > _SHOWN else ""
        say.result(f"warning: the rows stand still in your own files: {shown}{more}")
        say.result("  no import takes them again, but the files are yours to edit")
    if found.unread:
        say.result(f"warning: the files of [data] could not be searched ({found.unread})")
    if found.command:
        say.result("the weights of these models learnt from the rows; without them:")
        say.result(f"next: {found.command}")
