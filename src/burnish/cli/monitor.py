"""burnish monitor: is it still true? Windows of the journal against the reference, once or again and again."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import say
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, JsonOption, ProjectOption
from burnish.errors import EXIT_DONE, EXIT_GATE

if TYPE_CHECKING:
    from burnish.monitor.watch import Watching
    from burnish.records.signal import Watched


class FailOn(StrEnum):
    """The lowest level that gives exit code 3."""

    look = "look"
    act = "act"
    never = "never"


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(monitor)


def monitor(
    version: Annotated[str | None, typer.Option(help="Another version than the live one.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C, a look every --every seconds.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = 60.0,
    fail_on: Annotated[
        FailOn, typer.Option(help="The lowest level that gives exit code 3.")
    ] = FailOn.look,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> int:
    """Judge every whole window of answers not judged yet; say what differs from the reference, and what changed.

    Exit code 3: the newest judged window says look or act (see --fail-on).
    """
    from burnish import maintain
    from burnish.monitor.page import headline
    from burnish.project import open_project

    opened = open_project(project)
    edge = terminal_edge()
    while True:
        found = maintain.monitor(opened, edge, version=version)
        if as_json:
            say.as_json(_as_json(found))
        else:
            _tell(found)
        if not watch:
            break
        time.sleep(every)
    newest = found.watching.judged[-1] if found.watching.judged else found.newest
    if newest is None or fail_on == FailOn.never or newest.level == "quiet":
        return EXIT_DONE
    if fail_on == FailOn.act and newest.level != "act":
        return EXIT_DONE
    say.progress(headline(newest))
    return EXIT_GATE


def _as_json(found) -> dict[str, object]:  # noqa: ANN001 - maintain.Monitored, not imported here
    watching: Watching = found.watching
    return {
        "version": watching.deployment.version,
        "judged": [one.model_dump(mode="json") | {"level": one.level} for one in watching.judged],
        "waiting_rows": watching.waiting_rows,
        "window_rows": watching.window_rows,
        "page": str(found.page) if found.page else None,
    }


def _tell(found) -> None:  # noqa: ANN001 - maintain.Monitored, not imported here
    watching: Watching = found.watching
    version = watching.deployment.version
    for one in watching.judged:
        say.result(f"{version}: {one.rows} answers from {one.since} to {one.until}: {one.level}")
        _table(one)
        if one.level != "quiet":
            _changes(one)
    missing = watching.window_rows - watching.waiting_rows
    say.result(
        f"{watching.waiting_rows} answers of {version} wait; {missing} more make the next window"
    )
    if found.page:
        say.result(f"page     {found.page}")


def _table(one: Watched) -> None:
    from burnish.monitor.page import value_of

    say.table(
        ["signal", "value", "reference", "p", "level", "because"],
        [
            [
                signal.name,
                value_of(signal),
                value_of(signal.model_copy(update={"value": signal.reference})),
                "-" if signal.p_value is None else f"{signal.p_value:.2g}",
                signal.level,
                signal.because,
            ]
            for signal in one.signals
        ],
    )


def _changes(one: Watched) -> None:
    change = one.change
    if change.words_more:
        say.result(f"words that came up more: {', '.join(w.name for w in change.words_more)}")
    if change.words_less:
        say.result(f"words that came up less: {', '.join(w.name for w in change.words_less)}")
    moved = [
        f"{label.name} {100 * label.reference:.0f}% -> {100 * label.window:.0f}%"
        for label in change.labels[:3]
    ]
    if moved:
        say.result(f"labels: {', '.join(moved)}")
    for row in change.rows[:3]:
        say.result(f"unlike the reference: {row.text[:100]!r} ({row.prediction_id})")
