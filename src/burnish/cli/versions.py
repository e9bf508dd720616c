"""burnish data list, diff, history, card, edits, undo: the versions of the data, and what happened between them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from burnish.cli import say
from burnish.cli.circle import recipe_of
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, JsonOption, ProjectOption

FIRST_ROWS = 20
_WIDEST = 60


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command("list")(list_versions)
    app.command()(diff)
    app.command()(history)
    app.command()(card)
    app.command()(edits)
    app.command()(undo)


def list_versions(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """The dataset versions of this task, with their splits, ancestors and the uses of their test rows."""
    from burnish import curate
    from burnish.project import open_project

    found = curate.versions(open_project(project))
    if as_json:
        say.as_json(
            [
                {
                    **one.dataset.model_dump(mode="json"),
                    "current": one.current,
                    "test_uses": one.reuse.model_dump(mode="json"),
                }
                for one in found
            ]
        )
        return
    say.table(
        ["dataset", "parent", "train", "validation", "test", "rejected", "test used", "at"],
        [
            [
                f"{one.dataset.id}{' *' if one.current else ''}",
                one.dataset.parent_id or "-",
                *[str(count.rows) for count in one.dataset.counts],
                str(sum(one.dataset.rejected.values())),
                f"{one.reuse.times} ({one.reuse.models} models)",
                one.dataset.at,
            ]
            for one in found
        ],
    )
    if found:
        say.result("* is what the last run was about")


def diff(
    before: Annotated[str, typer.Argument(help="The older version's id, or the start of it.")],
    after: Annotated[str, typer.Argument(help="The newer version's id, or the start of it.")],
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What changed between two versions: added, removed, relabelled, redacted, moved; which rows, and by whom."""
    from burnish import curate
    from burnish.project import open_project

    found = curate.compare_versions(open_project(project), before, after)
    if as_json:
        say.as_json(found.model_dump(mode="json"))
        return
    counts = ", ".join(f"{count} {name}" for name, count in found.counts.items())
    say.result(f"{found.before} to {found.after}: {counts}; {found.unchanged} unchanged")
    for name in found.counts:
        changes = [one for one in found.changes if one.change == name]
        for one in changes[:FIRST_ROWS]:
            label = " to ".join(x for x in (one.label_before, one.label_after) if x is not None)
            split = one.split_after or one.split_before
            by = f" by {one.by}" if one.by else ""
            say.result(f"  {name}  {one.where}  {split}  {label}  ({one.because}{by})")
            say.result(f"    {_short(one.text)}")
        if len(changes) > FIRST_ROWS:
            say.result(f"  ... and {len(changes) - FIRST_ROWS} more {name}: --json has all")


def history(
    row: Annotated[
        str,
        typer.Argument(
            help='A place such as "tickets.csv:812", or the start of a row_id or input_id.'
        ),
    ],
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """In which versions a row stood, in which split, with which label, and who changed it."""
    from burnish import curate
    from burnish.project import open_project

    found = curate.row_history(open_project(project), row)
    if as_json:
        say.as_json([one.model_dump(mode="json") for one in found])
        return
    say.table(
        ["version", "dataset", "at", "where", "split", "label", "by"],
        [
            [
                str(one.number),
                one.dataset_id,
                one.at,
                one.where,
                one.split or f"kept out ({one.reason})",
                one.label or "-",
                one.by + (f" (edit {', '.join(one.edits)})" if one.edits else ""),
            ]
            for one in found
        ],
    )
    say.result(_short(next((one.text for one in reversed(found) if one.text), "")))


def card(
    dataset: Annotated[
        str | None, typer.Argument(help="The version's id, or the start of it; the current one.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the card to this file.")
    ] = None,
    project: ProjectOption = HERE,
) -> None:
    """The data card of a version: counts, sources, licence, label guide, splits, faults, edits, uses of the test rows."""
    from burnish import curate
    from burnish.project import open_project
    from burnish.store.durable import write_text

    text = curate.describe_data(open_project(project), dataset)
    if output is None:
        say.result(text)
        return
    write_text(output, text)
    say.result(f"wrote {output}")


def edits(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """The edits that act on the rows, oldest first."""
    from burnish import curate
    from burnish.project import open_project

    found = curate.acting_edits(open_project(project))
    if as_json:
        say.as_json([one.model_dump(mode="json") for one in found])
        return
    say.table(
        ["edit", "does", "to", "finding", "rows", "by", "at"],
        [
            [
                one.id,
                one.action,
                "+".join(one.to or one.kinds) or "-",
                one.code,
                str(len(one.keys)),
                one.by,
                one.at,
            ]
            for one in found
        ],
    )
    say.result("next: burnish data undo EDIT takes one back" if found else "no edit acts")


def undo(
    edit: Annotated[
        str | None, typer.Argument(help="The edit's id, or the start of it; the newest without.")
    ] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Take an edit back and make the version without it."""
    from burnish import curate
    from burnish.project import open_project

    recipe = recipe_of(
        project, base=None, method=None, epochs=None, learning_rate=None, max_tokens=None, seed=None
    )
    opened = open_project(project)
    undone, dataset = curate.undo(opened, edit, recipe, terminal_edge(quiet=True))
    if as_json:
        say.as_json(
            {
                "undone": undone.model_dump(mode="json"),
                "dataset": dataset.model_dump(mode="json"),
            }
        )
        return
    say.result(f"undone   {undone.id}: {undone.action} of {len(undone.keys)} rows ({undone.code})")
    say.result(f"dataset  {dataset.id}")
    say.result("next: burnish run")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"
