"""burnish feedback add, import, list; burnish trace: what people say about answers, and where an answer came from."""

from __future__ import annotations

import csv
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from burnish.cli import say
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, JsonOption, ProjectOption
from burnish.records.deployment import Feedback

app = typer.Typer(help="What people say about predictions.")
_SHOWN_CHARACTERS = 60

ByOption = Annotated[str | None, typer.Option(help="Who says so; you, unless another is named.")]


def add_to(main: typer.Typer) -> None:
    """Put this group's commands on the app."""
    main.add_typer(app, name="feedback")
    main.command()(trace)


@app.command()
def add(
    prediction: Annotated[str, typer.Argument(help="The prediction's id.")],
    label: Annotated[
        list[str] | None, typer.Option(help="The right label; several for tasks with several.")
    ] = None,
    right: Annotated[
        bool | None, typer.Option("--right/--wrong", help="Only whether it was right.")
    ] = None,
    by: ByOption = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say what is right about one prediction; it is on the disk when the command ends."""
    from burnish import maintain
    from burnish.deploy.feedback import Said
    from burnish.project import open_project

    edge = terminal_edge()
    labels = tuple(label) if label else None
    said = Said(prediction=prediction, by=by or edge.by, labels=labels, right=right)
    (taken,) = maintain.give(open_project(project), [said], edge)
    if as_json:
        say.as_json(
            {**taken.feedback.model_dump(mode="json"), "new": taken.new, "against": taken.against}
        )
        return
    verdict = "right" if taken.feedback.right else "wrong"
    known = "" if taken.new else "; this was known"
    say.result(f"prediction {prediction} was {verdict} ({taken.feedback.chosen}){known}")
    if taken.against:
        say.result(
            f"said otherwise: {', '.join(taken.against)}; it is not learnt from until they agree"
        )


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help='Rows with "prediction" and "label" or "right".')],
    by: ByOption = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Record a file of feedback: all of it, or none and every problem named. Rows not filled in are passed by."""
    from burnish import maintain
    from burnish.deploy.feedback_file import read_feedback_file
    from burnish.project import open_project

    edge = terminal_edge()
    opened = open_project(project)
    said = read_feedback_file(file, opened.task, by=by or edge.by)
    taken = maintain.give(opened, said, edge)
    new = sum(one.new for one in taken)
    against = sum(bool(one.against) for one in taken)
    wrong = sum(not one.feedback.right for one in taken)
    if as_json:
        say.as_json({"rows": len(taken), "new": new, "wrong": wrong, "contradicted": against})
        return
    say.result(
        f"{len(taken)} rows: {new} new, {wrong} say the answer was wrong, {against} contradict others"
    )
    say.result("next: burnish retrain")


@app.command("list")
def list_rows(
    audit: Annotated[
        bool,
        typer.Option("--audit", help="Predictions drawn for an audit that nobody checked yet."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A CSV to fill in and import.")
    ] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What was said so far, or with --audit what waits to be checked. The answer given is not shown in the CSV."""
    from burnish import maintain
    from burnish.project import open_project

    opened = open_project(project)
    if not audit:
        _list_said(opened, as_json=as_json)
        return
    waiting = maintain.audits_waiting(opened)
    if as_json:
        say.as_json([one.model_dump(mode="json") for one in waiting])
        return
    if output is None:
        say.table(
            ["prediction", "at", "text"],
            [[one.id, one.at, _text(one.inputs)] for one in waiting],
        )
        say.result(
            f"{len(waiting)} predictions wait; burnish feedback list --audit -o FILE to fill in"
        )
        return
    from burnish.store.durable import replacing

    target = replacing(output) if str(output) != "-" else nullcontext(sys.stdout)
    with target as out:
        # without the model's answer: a person who sees it tends to agree with it
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["prediction", "label", "by", *opened.task.inputs])
        for one in waiting:
            cells = [(one.inputs or {}).get(name, "") for name in opened.task.inputs]
            writer.writerow([one.id, "", "", *cells])
    say.progress(
        f"{len(waiting)} rows in {output}; fill in label, then burnish feedback import {output}"
    )


def trace(
    prediction: Annotated[str, typer.Argument(help="The prediction's id.")],
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Where an answer came from: version, who made it live and why, run, dataset, rows, feedback."""
    from burnish.deploy.trace import trace as trace_prediction
    from burnish.project import open_project
    from burnish.store.ledger import open_ledger

    opened = open_project(project)
    with open_ledger(opened.workspace.ledger_path) as ledger:
        found = trace_prediction(opened.workspace, ledger, prediction)
    if as_json:
        say.as_json(found.model_dump(mode="json"))
        return
    one = found.prediction
    answer = "+".join(one.labels) if one.text is None else _short(one.text)
    say.result(f"prediction  {one.id} at {one.at}: {answer} ({one.confidence:.3f})")
    for event in found.promoted[:1]:
        say.result(
            f"version     {event.version}, live since {event.at} by {event.by}: {event.because}"
        )
    say.result(f"report      {found.report_id}")
    say.result(f"run         {found.run_id or 'none: a baseline'}")
    for place, id in enumerate(found.datasets):
        rows = (
            ", ".join(f"{count.rows} {count.split}" for count in found.counts)
            if not place
            else "parent"
        )
        say.result(f"dataset     {id}: {rows}")
    if found.datasets:
        say.result(f"rows        .burnish/datasets/{found.datasets[0]}/rows.jsonl")
    for said in found.feedback:
        labels = _right_label(said)
        verdict = "right" if said.right else "wrong"
        say.result(f"feedback    {said.at} {said.by}: {verdict}, label {labels} ({said.chosen})")
    for gone in found.missing:
        say.result(f"missing     {gone}")


def _list_said(opened, *, as_json: bool) -> None:  # noqa: ANN001 - Project, not imported here
    from burnish.store.feedback import feedback
    from burnish.store.ledger import open_ledger

    with open_ledger(opened.workspace.ledger_path) as ledger:
        found = [one for _, one in feedback(ledger)]
    if as_json:
        say.as_json([one.model_dump(mode="json") for one in found])
        return
    if not found:
        say.result("nobody said anything yet; next: burnish feedback list --audit")
        return
    say.table(
        ["prediction", "right", "labels", "by", "chosen", "at"],
        [
            [
                one.prediction_id,
                "yes" if one.right else "no",
                _right_label(one),
                one.by,
                one.chosen,
                one.at,
            ]
            for one in found
        ],
    )


def _right_label(said: Feedback) -> str:
    if said.text is not None:
        return _short(said.text)
    return "+".join(said.labels) if said.labels is not None else "-"


def _text(inputs: dict[str, str] | None) -> str:
    return _short(" | ".join((inputs or {}).values()) or "(kept as a hash)")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS].rstrip()}..."
