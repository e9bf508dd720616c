"""burnish data check, show: what we have, and what the model sees of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import say, versions
from burnish.cli.circle import recipe_of
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, BaseOption, JsonOption, ProjectOption
from burnish.cli.suggest import show_suggestion
from burnish.errors import EXIT_DONE, EXIT_USAGE, fail, nearest
from burnish.records.example import SPLITS, Split

if TYPE_CHECKING:
    from burnish.showing import ShownRow

app = typer.Typer(help="Look at the data: check it, see its tokens, compare its versions.")

_MARKS = {"text": ("", ""), "special": ("<", ">"), "supervised": ("[", "]"), "dropped": ("~", "~")}
_COLOURS = {"text": "", "special": "\033[2m", "supervised": "\033[30;42m", "dropped": "\033[9;31m"}


@app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files without a task; the project's own files without."),
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="Show only this finding, with all its rows.")
    ] = None,
    asked: Annotated[
        list[str] | None,
        typer.Option("--with", help="A slow check to run too, by name; may be given again."),
    ] = None,
    suggest: Annotated[
        bool,
        typer.Option(
            "--suggest",
            help="Print what task.toml should add: other spellings of labels, rules for texts.",
        ),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="With --suggest: add it to task.toml.")
    ] = False,
    method: Annotated[
        str | None,
        typer.Option(help="What judges labels: head (quick, the default), or full or lora: tuned."),
    ] = None,
    pii: Annotated[
        bool, typer.Option("--pii", help="Only personal data; with --fix it is redacted.")
    ] = False,
    fix: Annotated[
        str | None,
        typer.Option(help="Show what the mend of this finding would change.", metavar="CODE"),
    ] = None,
    relabel: Annotated[
        bool, typer.Option("--relabel", help="With --fix: take the likelier label, drop nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --fix: make it so, as a new dataset version.")
    ] = False,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> int:
    """Everything the checks find, with rows and what to do. Changes nothing without --fix and --yes. Exit code 1: an error was found."""
    from burnish.cli.check import Wanted, fix_rows, look, show_findings
    from burnish.project import open_project

    if write and not suggest:
        raise typer.BadParameter("goes with --suggest", param_hint="--write")
    if suggest:
        show_suggestion(open_project(project), write=write, as_json=as_json)
        return EXIT_DONE
    if pii and code is None:
        code = "personal"
    wanted = Wanted(tuple(files or ()), _asked(asked or ()), method, project, as_json)
    if fix is not None:
        return fix_rows(wanted, fix, relabel=relabel, yes=yes)
    return show_findings(look(wanted), code, as_json=as_json)


def _asked(names: Sequence[str]) -> tuple[str, ...]:
    """The slow checks of those names, each once.

    Raises: check-unknown.
    """
    from burnish.data.check import ASKED

    for name in names:
        if name not in ASKED:
            raise fail(
                "check-unknown",
                f'no check is called "{name}"',
                where="--with",
                expected=f"one of {', '.join(ASKED) or 'none yet'}",
                fix="burnish data check --help",
                nearest=nearest(name, ASKED),
            )
    return tuple(dict.fromkeys(names))


@app.command()
def show(
    row: Annotated[
        str | None,
        typer.Argument(help='A place such as "tickets.csv:812"; the first rows without.'),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many rows.")] = 3,
    project: ProjectOption = HERE,
    base: BaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print rows as the model sees them: tokens, those that carry the loss, the target, what was cut."""
    from burnish.project import open_project
    from burnish.showing import show_rows

    opened = open_project(project)
    recipe = recipe_of(
        project, base=base, method=None, epochs=None, learning_rate=None, max_tokens=None, seed=None
    )
    shown = show_rows(opened, terminal_edge(), recipe=recipe, row=row, count=count)
    if as_json:
        say.as_json([_as_json(one) for one in shown])
        return
    for one in shown:
        target = ", ".join(one.labels) or "(none)"
        length = sum(1 for part in one.parts for view in part if view.id >= 0)
        parts = f" in {len(one.parts)} windows" if len(one.parts) > 1 else ""
        say.result(f"{one.where}  {one.split}  target: {target}  {length} tokens{parts}")
        for part in one.parts:
            say.result("  " + " ".join(_coloured(view.token, view.role) for view in part))
            say.result("  " + " ".join(str(view.id) for view in part if view.id >= 0))
    say.result("green or [ ] carries the loss; dim or < > was added; struck out or ~ ~ was cut off")


def _as_json(shown: ShownRow) -> dict[str, object]:
    parts = [
        [{"id": v.id, "token": v.token, "text": v.text, "role": v.role} for v in part]
        for part in shown.parts
    ]
    return {
        "row": shown.where,
        "split": shown.split,
        "labels": list(shown.labels),
        **({"windows": parts} if shown.in_windows else {"tokens": parts[0]}),
        "dropped_tokens": shown.dropped_tokens,
    }


@app.command()
def export(
    dataset: Annotated[
        str | None, typer.Argument(help="A dataset version: the beginning of its id.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The newest dataset version.")] = False,
    format: Annotated[
        str | None,
        typer.Option(
            help="csv, tsv, jsonl, json, parquet, xlsx, label-studio, prodigy, argilla or folder; "
            "by the file's ending without."
        ),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="train, validation or test; several times for several.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset version as a file that this or another tool reads, every value unchanged."""
    from burnish import curate
    from burnish.project import open_project

    if to is None or latest == (dataset is not None):
        raise fail(
            "usage",
            "say which dataset and where to: one of DATASET and --latest, and --to FILE",
            where="burnish data export",
            expected="burnish data export --latest --to rows.jsonl",
            fix="burnish data list shows the versions",
            exit_code=EXIT_USAGE,
        )
    splits: list[Split] = [_split_named(name) for name in split or ()]
    done = curate.export_data(
        open_project(project), dataset, to, format=format, splits=splits, force=force
    )
    if as_json:
        say.as_json(
            {
                "path": str(done.path),
                "format": done.format,
                "rows": dict(done.rows),
                "left_out": list(done.left_out),
            }
        )
        return
    told = ", ".join(f"{count} {name}" for name, count in done.rows.items())
    say.result(f"wrote {done.path} ({done.format}): {told}")
    if done.left_out:
        say.result(f"left out, for {done.format} has no place for them: {', '.join(done.left_out)}")


def _split_named(name: str) -> Split:
    known: dict[str, Split] = {split: split for split in SPLITS}
    if name in known:
        return known[name]
    raise fail(
        "usage",
        f'no split "{name}"',
        where="--split",
        expected=f"one of: {', '.join(SPLITS)}",
        fix="name one of these",
        nearest=nearest(name, SPLITS),
        exit_code=EXIT_USAGE,
    )


versions.add_to(app)


def _coloured(token: str, role: str) -> str:
    """The token in its role's colour on a terminal, between its role's marks elsewhere."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        before, after = _MARKS[role]
        return f"{before}{token}{after}"
    colour = _COLOURS[role]
    return f"{colour}{token}\033[0m" if colour else token
