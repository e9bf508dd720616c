"""Versions by name: found in the history, opened only when their bytes and golden rows verify."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.deploy.bundle import Opened, OpenedText, open_any
from burnish.deploy.deployments import deployments, live
from burnish.errors import fail, nearest
from burnish.records.deployment import Deployment
from burnish.store.durable import verify_folder
from burnish.store.ledger import open_ledger
from burnish.store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class OpenVersion:
    """A deployment and its verified model."""

    deployment: Deployment
    opened: Opened | OpenedText


def find_version(workspace: Workspace, task_name: str, *, version: str | None) -> Deployment:
    """The deployment of that version (None: the newest in shadow).

    Raises: nothing-to-promote, version-unknown.
    """
    with open_ledger(workspace.ledger_path) as ledger:
        known = deployments(ledger, task_name)
    if version is None:
        waiting = [one for one in known if one.stage == "shadow"]
        if not waiting:
            raise fail(
                "nothing-to-promote",
                "no version is in shadow",
                expected="a version made by burnish run",
                fix="burnish run",
            )
        return max(waiting, key=lambda one: one.sequence)
    for one in known:
        if one.version == version:
            return one
    names = [one.version for one in known]
    raise fail(
        "version-unknown",
        f'no version named "{version}"',
        expected=f"one of: {', '.join(names) or '(none yet)'}",
        fix="burnish deployments",
        nearest=nearest(version, names),
    )


def named_or_live(workspace: Workspace, task_name: str, *, version: str | None) -> Deployment:
    """The version of that name, or without one the live version.

    Raises: nothing-live, version-unknown.
    """
    if version is not None:
        return find_version(workspace, task_name, version=version)
    found = find_live(workspace, task_name)
    if found is None:
        raise fail(
            "nothing-live",
            f"no version of {task_name} is live",
            expected="a promoted version",
            fix="burnish promote, or name one: --version",
        )
    return found


def find_live(workspace: Workspace, task_name: str) -> Deployment | None:
    """The version that should be answering; None before the first promotion."""
    with open_ledger(workspace.ledger_path) as ledger:
        return live(ledger, task_name)


def find_reported(workspace: Workspace, task_name: str, *, report_id: str) -> Deployment | None:
    """The version that was made on this very evidence, if its bundle is still whole."""
    with open_ledger(workspace.ledger_path) as ledger:
        known = deployments(ledger, task_name)
    for one in known:
        folder = workspace.bundles / one.bundle_id
        if one.report_id == report_id and folder.is_dir() and not verify_folder(folder):
            return one
    return None


def open_version(workspace: Workspace, task_name: str, *, version: str | None) -> OpenVersion:
    """A version (None: the live one), its bytes and golden rows verified, ready to answer.

    Raises: nothing-live, version-unknown, and the codes of open_any.
    """
    found = named_or_live(workspace, task_name, version=version)
    folder = workspace.bundles / found.bundle_id
    return OpenVersion(found, open_any(folder, bundle_id=found.bundle_id))
