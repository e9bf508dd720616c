"""burnish promote, rollback, deployments, serve: what answers, and who said so."""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from burnish.cli import say
from burnish.cli.edge import terminal_edge
from burnish.cli.options import HERE, JsonOption, ProjectOption
from burnish.errors import fail

if TYPE_CHECKING:
    from burnish.records.deployment import Deployment
    from burnish.store.workspace import Workspace

_SHOWN_CHARACTERS = 40


def add_to(app: typer.Typer) -> None:
    """Put this group's commands on the app."""
    app.command()(promote)
    app.command()(rollback)
    app.command()(deployments)
    app.command()(serve)


def promote(
    version: Annotated[
        str | None, typer.Argument(help="The version; without it the newest in shadow.")
    ] = None,
    because: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Promote although a gate failed; needs --because.")
    ] = False,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Make a version live after verifying its bytes and golden rows; running servers follow."""
    from burnish import lifecycle
    from burnish.project import open_project

    edge = terminal_edge()
    found = lifecycle.promote_version(
        open_project(project), version, edge, because=because, force=force
    )
    if as_json:
        say.as_json(found.model_dump(mode="json"))
        return
    replaced = f" in place of {found.replaces}" if found.replaces else ""
    say.result(f"{found.version} is live{replaced} (report {found.report_id}, by {found.by})")
    say.result("next: burnish serve")


def rollback(
    because: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Make the version before the live one answer again."""
    from burnish import lifecycle
    from burnish.project import open_project

    found = lifecycle.roll_back(open_project(project), terminal_edge(), because=because)
    if as_json:
        say.as_json(found.model_dump(mode="json"))
        return
    say.result(f"{found.version} is live again in place of {found.replaces}")


def deployments(
    history: Annotated[
        bool, typer.Option("--history", help="Every promotion and rollback in order.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(help="As it was at that moment (ISO, UTC); a date means its end."),
    ] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What is live, in shadow and retired: who, when, on which evidence."""
    from burnish.deploy import deployments as book
    from burnish.project import open_project
    from burnish.store.ledger import open_ledger

    opened = open_project(project)
    ledger = open_ledger(opened.workspace.ledger_path)
    until = None if at is None else _moment(at)
    read = book.history if history else book.deployments
    found = read(ledger, opened.task.name, until=until)
    if as_json:
        say.as_json([one.model_dump(mode="json") for one in found])
        return
    if not found:
        say.result(
            "nothing deployed yet; next: burnish run"
            if at is None
            else f"nothing was deployed at {until}"
        )
        return
    say.table(
        ["version", "stage", "engine", "by", "at", "report", "because"],
        [
            [one.version, one.stage, one.engine, one.by, one.at, one.report_id, _start(one.because)]
            for one in found
        ],
    )


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8000,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name clients may call the server by.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="A version that answers too, to requests that name it; may be repeated."),
    ] = None,
    engine: Annotated[
        Literal["torch", "vllm"],
        typer.Option(
            help="Who computes for models that write: this process, or vLLM in one of its own."
        ),
    ] = "torch",
    vllm_command: Annotated[
        str, typer.Option(help="With --engine vllm: the command, of whatever environment it is in.")
    ] = "vllm",
    vllm_argument: Annotated[
        list[str] | None,
        typer.Option(
            help='With --engine vllm: a further argument of "vllm serve", such as --vllm-argument=--gpu-memory-utilization=0.5; may be repeated.'
        ),
    ] = None,
    project: ProjectOption = HERE,
) -> None:
    """Answer over HTTP until Ctrl-C or SIGTERM; follows promotions and rollbacks while running."""
    from burnish.deploy.versions import find_live, find_version
    from burnish.edge import cache_folder, vllm_settings
    from burnish.project import open_project
    from burnish.serve.app import serve as serve_app
    from burnish.serve.app import token_of
    from burnish.serve.settings import ServeSettings

    opened = open_project(project)
    live = find_live(opened.workspace, opened.task.name)
    held = [find_version(opened.workspace, opened.task.name, version=one) for one in also or ()]
    vllm = None
    if engine == "vllm":
        vllm = vllm_settings(vllm_command, tuple(vllm_argument or ()))
        for one in [live, *held]:
            if one is not None:
                _refuse_unfit(opened.workspace, one)
    token = token_of(opened.workspace)
    settings = ServeSettings(
        workspace=opened.workspace,
        task=opened.task,
        token=token,
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        also=tuple(also or ()),
        cache=cache_folder(),
        vllm=vllm,
    )
    # the server drains on SIGTERM by itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def announce(address: str) -> None:
        columns = ", ".join(f'"{name}": "..."' for name in opened.task.inputs)
        say.result(f"serving {opened.task.name} on {address}")
        say.result(f"token in {opened.workspace.token_path}")
        if live is None:
            say.result(
                "nothing is live yet: burnish run, then burnish promote; this server follows"
            )
        if vllm is not None:
            say.result("vLLM computes: it answers when it has started, which may take minutes")
        for version in settings.also:
            say.result(f'{version} answers requests that name it: "model": "{version}"')
        say.result(
            f'try: curl -s {address}/v1/predictions -H "Authorization: Bearer $(cat '
            f"{opened.workspace.token_path})\" -H 'Content-Type: application/json' "
            f"-d '{{\"inputs\": {{{columns}}}}}'"
        )
        sys.stdout.flush()

    serve_app(settings, announce=announce)


def _refuse_unfit(workspace: Workspace, deployment: Deployment) -> None:
    """Say at once what vLLM would refuse minutes later."""
    from burnish.deploy.bundle import load_bundle, load_task_of
    from burnish.deploy.vllm import refuse_unfit

    folder = workspace.bundles / deployment.bundle_id
    refuse_unfit(folder, load_task_of(folder), load_bundle(folder))


def _moment(at: str) -> str:
    """A moment as the ledger writes it; a date alone is the end of that day."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        raise fail(
            "time-unknown",
            f'"{at[:40]}" is no moment',
            where="--at",
            expected="a date, or a date and time, in UTC",
            fix="write for example --at 2026-11-01 or --at 2026-11-01T12:00",
        ) from None
    if len(at) == len("2026-11-01"):
        found = found.replace(hour=23, minute=59, second=59)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _start(text: str) -> str:
    """The beginning of a reason, so that a table row stays a row; --json has it whole."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS].rstrip()}..."
