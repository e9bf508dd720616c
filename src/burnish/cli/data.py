"""burnish data check, show, list: what we have, and what the model sees of it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from burnish.cli import say
from burnish.cli.circle import recipe_of
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, BaseOption, JsonOption, ProjectOption
from burnish.errors import EXIT_DONE, EXIT_PROBLEM, fail

app = typer.Typer(help="Look at the data: check it, see its tokens, list its versions.")

_MARKS = {"text": ("", ""), "special": ("<", ">"), "supervised": ("[", "]"), "dropped": ("~", "~")}
_COLOURS = {"text": "", "special": "\033[2m", "supervised": "\033[30;42m", "dropped": "\033[9;31m"}


@app.command()
def check(
    code: Annotated[
        str | None, typer.Option(help="Show only this finding, with all its rows.")
    ] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> int:
    """Everything the checks find, with rows and what to do. Changes nothing. Exit code 1: an error was found."""
    from burnish import lifecycle

    opened = lifecycle.open_project(project)
    edge = terminal_edge(quiet=True)
    recipe = recipe_of(
        project, base=None, method=None, epochs=None, learning_rate=None, max_tokens=None, seed=None
    )
    read, issues = lifecycle.check_data(
        opened, counter=lifecycle.token_counter(opened, recipe, edge, cached=True)
    )
    issues = tuple(issue for issue in issues if code is None or issue.code == code)
    used = sum(len(rows) for rows in read.examples.values())
    worst = EXIT_PROBLEM if any(issue.severity == "error" for issue in issues) else EXIT_DONE
    if as_json:
        say.as_json(
            {
                "rows_in": read.rows_in,
                "readable": used,
                "rejected": [one.model_dump(mode="json") for one in read.rejections],
                "issues": [issue.model_dump(mode="json") for issue in issues],
            }
        )
        return worst
    say.result(f"{read.rows_in} rows in: {used} readable, {len(read.rejections)} rejected")
    for issue in issues:
        say.result(f"{issue.severity}: {issue.code}: {issue.what}")
        rows = issue.rows if code else issue.rows[:3]
        more = f" and {issue.count - len(rows)} more" if issue.count > len(rows) else ""
        if rows:
            say.result(f"    rows: {', '.join(rows)}{more}")
        if issue.fix:
            say.result(f"    fix: {issue.fix}")
    say.result(
        "next: burnish run" if worst == EXIT_DONE else "next: mend the errors, or run as it is"
    )
    return worst


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
    """Print rows as the model sees them: tokens, the one that carries the loss, the target, what was cut."""
    from burnish import lifecycle
    from burnish.encode.render import render
    from burnish.encode.show import show as views_of
    from burnish.encode.tokenise import load_tokeniser, tokenise
    from burnish.records.label import label_names

    opened = lifecycle.open_project(project)
    edge = terminal_edge()
    recipe = recipe_of(
        project, base=base, method=None, epochs=None, learning_rate=None, max_tokens=None, seed=None
    )
    with lifecycle.using_rows(opened):
        prepared = lifecycle.prepare(opened, edge, recipe=recipe)
        model = lifecycle.fetch(opened, prepared, recipe, edge)
    tokeniser = load_tokeniser(model.folder, max_tokens=recipe.max_tokens)
    examples = [
        (split, example) for split, rows in prepared.rows.items() for example in rows
        if row is None or example.source.where == row
    ][:count]  # fmt: skip
    if not examples:
        raise fail(
            "row-unknown",
            f'no row "{row}" in dataset {prepared.dataset.id}',
            expected='a place such as "tickets.csv:812" of a row that is used',
            fix="burnish data check shows the rows that were rejected",
        )
    encodings = tokenise(tokeniser, [render(opened.task, one.inputs) for _, one in examples])
    shown = []
    for (split, example), encoding in zip(examples, encodings, strict=True):
        names = label_names(example.label) if example.label else ()
        views = views_of(encoding, tokeniser=tokeniser)
        if as_json:
            shown.append(
                {
                    "row": example.source.where,
                    "split": split,
                    "labels": list(names),
                    "tokens": [
                        {"id": v.id, "token": v.token, "text": v.text, "role": v.role}
                        for v in views
                    ],
                    "dropped_tokens": encoding.dropped_tokens,
                }
            )
            continue
        target = ", ".join(names) or "(none)"
        say.result(f"{example.source.where}  {split}  target: {target}  {len(encoding)} tokens")
        say.result("  " + " ".join(_coloured(view.token, view.role) for view in views))
        say.result("  " + " ".join(str(view.id) for view in views if view.id >= 0))
    if as_json:
        say.as_json(shown)
    else:
        say.result(
            "green or [ ] carries the loss (the pooled token); dim or < > was added; struck out or "
            "~ ~ was cut off"
        )


@app.command("list")
def list_versions(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """The dataset versions of this task, with their splits and ancestors."""
    from burnish import lifecycle
    from burnish.data.dataset import load_dataset
    from burnish.store.workspace import names_in

    opened = lifecycle.open_project(project)
    found = [load_dataset(opened.workspace, name) for name in names_in(opened.workspace.datasets)]
    found.sort(key=lambda dataset: dataset.at)
    if as_json:
        say.as_json([dataset.model_dump(mode="json") for dataset in found])
        return
    say.table(
        ["dataset", "parent", "train", "validation", "test", "rejected", "at"],
        [
            [
                one.id,
                one.parent_id or "-",
                *[str(count.rows) for count in one.counts],
                str(sum(one.rejected.values())),
                one.at,
            ]
            for one in found
        ],
    )


def _coloured(token: str, role: str) -> str:
    """The token in its role's colour on a terminal, between its role's marks elsewhere."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        before, after = _MARKS[role]
        return f"{before}{token}{after}"
    colour = _COLOURS[role]
    return f"{colour}{token}\033[0m" if colour else token
