"""burnish retrain, shadow, schedule: what people and files added, the candidate's silent answers, the policies."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import say
from burnish.cli.circle import recipe_of
from burnish.cli.edge import terminal_edge
from burnish.cli.options import (
    HERE,
    BaseOption,
    EpochsOption,
    JsonOption,
    MethodOption,
    ProjectOption,
    RateOption,
    SaveEveryOption,
    SeedOption,
    TokensOption,
)
from burnish.errors import EXIT_DONE, EXIT_GATE, EXIT_PROBLEM

if TYPE_CHECKING:
    from burnish.maintain import Attended
    from burnish.records.retraining import Retraining

# A retraining that could not even begin is not tried again every minute.
_RETRY_SECONDS = 600.0
_SHOWN_ROWS = 20
_SHOWN_CHARACTERS = 60


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(retrain)
    app.command()(shadow)
    app.command()(schedule)


def retrain(
    because: Annotated[str, typer.Option(help="Why, for the history.")] = "asked by hand",
    base: BaseOption = None,
    method: MethodOption = None,
    epochs: EpochsOption = None,
    learning_rate: RateOption = None,
    max_tokens: TokensOption = None,
    seed: SeedOption = None,
    save_every: SaveEveryOption = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="Show every retraining and train nothing.")
    ] = False,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> int:
    """Learn from feedback and new rows, compare with the live model on the same rows, go into shadow if the gates agree.

    The same command again takes up one that was stopped. Exit code 3: a gate said no.
    """
    from burnish import maintain
    from burnish.project import open_project

    opened = open_project(project)
    if list_all:
        return _list(opened, as_json=as_json)
    recipe = recipe_of(
        project,
        base=base,
        method=method,
        epochs=epochs,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seed=seed,
    )
    edge = terminal_edge(save_every_seconds=save_every)
    found = maintain.retrain(opened, recipe, edge, because=because)
    if as_json:
        say.as_json(found.model_dump(mode="json"))
    else:
        _tell(found)
    return EXIT_DONE if found.outcome == "shadow" else EXIT_GATE


def shadow(
    version: Annotated[
        str | None, typer.Argument(help="The version; without it the one that answers in silence.")
    ] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Where the candidate would have said something else than the live version, on live traffic."""
    import dataclasses

    from burnish import maintain
    from burnish.project import open_project

    opened = open_project(project)
    found = maintain.silent_answers(opened, version)
    if as_json:
        value = dataclasses.asdict(found)
        value["rows"] = [
            {
                "prediction": ours.model_dump(mode="json"),
                "candidate": dataclasses.asdict(theirs),
            }
            for ours, theirs in found.rows
        ]
        say.as_json(value)
        return
    if found.agreement is None or found.low is None or found.high is None:
        say.result(f"{found.version} has answered nothing in silence yet; a running server lets it")
        return
    say.result(
        f"{found.version} agrees with the live version on {100 * found.agreement:.1f}% "
        f"({100 * found.low:.1f}% to {100 * found.high:.1f}%) of {found.answered:,} rows"
    )
    say.table(
        ["live says", "candidate says", "rows"],
        [["+".join(ours), "+".join(theirs), str(count)] for ours, theirs, count in found.moves],
    )
    say.table(
        ["prediction", "live", "candidate", "confidence", "text"],
        [
            [
                ours.id,
                "+".join(ours.labels),
                "+".join(theirs.labels),
                f"{theirs.confidence:.2f}",
                _start(" | ".join((ours.inputs or {}).values())),
            ]
            for ours, theirs in found.rows[:_SHOWN_ROWS]
        ],
    )


def schedule(
    every: Annotated[float, typer.Option(min=1, help="Seconds between two turns.")] = 60.0,
    once: Annotated[
        bool, typer.Option("--once", help="One turn, a due retraining included, then end.")
    ] = False,
    project: ProjectOption = HERE,
) -> int:
    """Let the policies of task.toml work until Ctrl-C: watch, roll back, promote, retrain in the background.

    A retraining that was killed is taken up again. A second scheduler of the same project is refused.
    """
    from burnish import maintain
    from burnish.project import open_project
    from burnish.store.workspace import lock

    opened = open_project(project)
    edge = terminal_edge()
    child: subprocess.Popen[bytes] | None = None
    begun = 0.0
    with lock(opened.workspace, "schedule"):
        turns = "one turn" if once else f"a turn every {every:g} s; Ctrl-C ends"
        say.result(f"policies of {opened.task.name}: {turns}")
        sys.stdout.flush()
        try:
            while True:
                turn = maintain.attend(opened, edge)
                _tell_turn(turn)
                if child is not None and child.poll() is not None:
                    say.progress(f"retraining ended with exit code {child.returncode}")
                    failed = child.returncode == EXIT_PROBLEM
                    child, begun = None, time.monotonic() if failed else begun
                reason = _reason(turn)
                rested = time.monotonic() - begun >= _RETRY_SECONDS or not begun
                if reason and child is None and rested:
                    say.progress(f"retraining: {reason}")
                    child = _start_retraining(opened.workspace.root, reason)
                if once:
                    if not (reason or turn.rolled_back or turn.promoted):
                        say.result("nothing is due")
                    code = child.wait() if child is not None else EXIT_DONE
                    if child is not None:
                        child = None
                        _tell_turn(maintain.attend(opened, edge))
                    return EXIT_DONE if code in (EXIT_DONE, EXIT_GATE) else code
                time.sleep(every)
        finally:
            if child is not None and child.poll() is None:
                # it writes a checkpoint and stays open: the next scheduler takes it up
                child.terminate()
                child.wait()


def _reason(turn: Attended) -> str:
    if turn.unfinished is not None:
        return f"taking up {turn.unfinished.id}: {turn.unfinished.because}"
    if turn.retraining is not None and not turn.retraining.waits:
        return turn.retraining.because
    return ""


def _start_retraining(root: Path, reason: str) -> subprocess.Popen[bytes]:
    """The same command a person types, in a process of its own: what kills one leaves the other."""
    command = [sys.executable, "-m", "burnish", "retrain", "-C", str(root), "--because", reason]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _tell_turn(turn: Attended) -> None:
    watched = turn.watched
    for window in watched.watching.judged if watched else ():
        say.result(f"window {window.first} to {window.last} of {window.version}: {window.level}")
    if turn.rolled_back is not None:
        say.result(f"rolled back to {turn.rolled_back.version}: {turn.rolled_back.because}")
    if turn.promoted is not None:
        say.result(f"promoted {turn.promoted.version}: {turn.promoted.because}")
    elif turn.promotion is not None and turn.promotion.waits:
        say.progress(f"promotion waits: {turn.promotion.waits}")
    if turn.retraining is not None and turn.retraining.waits:
        say.progress(f"retraining waits: {turn.retraining.waits} ({turn.retraining.because})")
    sys.stdout.flush()


def _list(opened, *, as_json: bool) -> int:  # noqa: ANN001 - Project, not imported here
    from burnish.retrain.book import retrainings
    from burnish.store.ledger import open_ledger

    with open_ledger(opened.workspace.ledger_path) as ledger:
        found = retrainings(ledger, opened.task.name)
    if as_json:
        say.as_json([one.model_dump(mode="json") for one in found])
        return EXIT_DONE
    if not found:
        say.result("no retraining yet; next: burnish feedback list --audit")
        return EXIT_DONE
    say.table(
        ["retraining", "began", "outcome", "version", "minutes", "by", "because"],
        [
            [
                one.id,
                one.started_at,
                one.outcome or "unfinished",
                one.version or "-",
                f"{one.minutes:.1f}",
                one.by,
                _start(one.because),
            ]
            for one in found
        ],
    )
    return EXIT_DONE


def _tell(found: Retraining) -> None:
    say.result(f"dataset  {found.dataset_id}{_parent(found)}; {found.fresh_rows} fresh test rows")
    for one in found.comparisons:
        say.result(
            f"{one.metric} of {one.ours} against live: {one.difference:+.4f} "
            f"({one.low:+.4f} to {one.high:+.4f}), p = {one.p_value:.2g}, {one.n} rows ({one.method})"
        )
    for gate in found.gates:
        mark = "passed" if gate.passed else "FAILED"
        say.result(f"gate {mark}: {gate.gate} ({gate.found})")
    say.result(f"report   {found.report_id}")
    if found.version is not None:
        say.result(f"shadow   {found.version}")
        say.result(f"next: burnish shadow, then burnish promote {found.version}")
    else:
        say.result("refused: the live version goes on answering; next: open the report")


def _start(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS].rstrip()}..."


def _parent(found: Retraining) -> str:
    """Nothing where no row was new: then the dataset is the one from which rows were forgotten."""
    return "" if found.dataset_id == found.parent_id else f", child of {found.parent_id}"
