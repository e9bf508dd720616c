"""Every place rewritten in an order that a kill cannot spoil.

What the rows were is known from the datasets alone, so these go last: until then the same command finds again whatever
is left. Every place is written whole before the old one is removed; the ledger's part is one commit.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.data.forget import rewrite_datasets
from burnish.data.tombstones import EVENT_KIND, standing
from burnish.errors import BurnishError
from burnish.forgetting.search import Found
from burnish.project import Edge, Project
from burnish.records.forgotten import Forgotten
from burnish.store.durable import exchange_folder, make_folder, remove_folder, sweep, write_text
from burnish.store.temporaries import clear_quietly
from burnish.store.workspace import Workspace, lock, names_in

if TYPE_CHECKING:
    from burnish.store.ledger import Ledger


def rewrite(
    project: Project,
    edge: Edge,
    found: Found,
    *,
    id: str,
    hashes: tuple[str, ...],
    because: str,
) -> tuple[Forgotten, dict[str, str]]:
    """Every place in turn: what was derived, the ledger, and last the datasets, from which all else is known."""
    from burnish.deploy.deployments import replace_bundle
    from burnish.deploy.forget import rewrite_bundle
    from burnish.evaluate.forget import rewrite_report
    from burnish.store.erase import Erasure, erase
    from burnish.store.ledger import open_ledger, record_event

    task, workspace, at = project.task, project.workspace, edge.now()
    make_folder(workspace.exchange)
    _sweep(workspace)
    for told in found.reports:
        edge.announce(f"report {told.report.id}")
        published = rewrite_report(workspace, told, at=at)
        exchange_folder(workspace.reports / told.report.id, published=published)
    for folder in found.references:
        remove_folder(folder)
    for folder in found.tokenizers:
        _forget_tokenizer(project, folder, found)
    with open_ledger(workspace.ledger_path) as ledger:
        for one in found.bundles:
            edge.announce(f"bundle {one.bundle.id}")
            spare = _spare(workspace, one.bundle.dataset_id, found)
            new = rewrite_bundle(workspace, one, is_meant=found.is_meant, spare=spare, at=at)
            if new.id != one.bundle.id:
                replace_bundle(
                    ledger,
                    new,
                    replaced=one.bundle.id,
                    by=edge.by,
                    because="rows were forgotten",
                    at=at,
                )
                remove_folder(workspace.bundles / one.bundle.id)
        _write_pages(project, ledger, found)
        erase(
            ledger,
            Erasure(found.texts, found.predictions, found.windows, found.payloads),
        )
        edge.announce("datasets")
        datasets = rewrite_datasets(task, workspace, found.holdings, erased=found.erased)
        stone = Forgotten(
            id=id,
            task_name=task.name,
            datasets=datasets,
            counts=found.counts,
            hashes=hashes,
            models=found.models,
            by=edge.by,
            because=because,
            at=at,
        )
        record_event(
            ledger,
            kind=EVENT_KIND,
            subject=task.name,
            by=edge.by,
            at=at,
            payload=stone.model_dump(mode="json"),
        )
    for old in datasets:
        remove_folder(workspace.datasets / old)
    return stone, datasets


def finish_earlier(workspace: Workspace) -> None:
    """End what a killed forgetting began: folders on their way take their places."""
    from burnish.store.manifest import verify_folder

    _sweep(workspace)
    for name in names_in(workspace.exchange):
        published = workspace.exchange / name
        if verify_folder(published):
            remove_folder(published)
        else:
            exchange_folder(workspace.state / name.replace(".", "/"), published=published)


def _sweep(workspace: Workspace) -> None:
    """Remove what killed writers left: half-written folders hold rows too."""
    for folder in (workspace.state, *(one for one in workspace.state.iterdir() if one.is_dir())):
        sweep(folder)
    for name in names_in(workspace.runs):
        sweep(workspace.runs / name)
    with lock(workspace, "bundles"):
        # where make_bundle drafts; nobody is at it under the lock
        clear_quietly(workspace.bundles / ".draft")


def _forget_tokenizer(project: Project, folder: Path, found: Found) -> None:
    from burnish.models.learnt_words import TOKENIZER_FILE, pieces_only_in, without_pieces
    from burnish.store.durable import new_folder

    workspace = project.workspace
    if not folder.is_relative_to(workspace.root):
        # a made base model in the cache: made again, of other rows, when it is needed
        remove_folder(folder)
        return
    staged = workspace.exchange / folder.relative_to(workspace.state).as_posix().replace("/", ".")
    old = (folder / TOKENIZER_FILE).read_bytes()
    pieces = pieces_only_in(old, found.spelt, found.others)
    remove_folder(staged)
    with new_folder(staged) as made:
        for source in sorted(folder.iterdir()):
            if source.name == TOKENIZER_FILE:
                (made / TOKENIZER_FILE).write_bytes(without_pieces(old, pieces))
            elif source.name != "manifest.json":
                shutil.copyfile(source, made / source.name)
    exchange_folder(folder, published=staged)


def _spare(workspace: Workspace, dataset_id: str, found: Found) -> list[dict[str, str]]:
    """Inputs for new golden rows: test rows that stay."""
    from burnish.data.dataset import load_rows
    from burnish.deploy.release import golden_examples

    try:
        rows = load_rows(workspace, standing(workspace, dataset_id))["test"]
    except BurnishError:
        return []
    kept = [row for row in rows if not found.is_meant(row.inputs)]
    return [row.inputs for row in golden_examples(kept)]


def _write_pages(project: Project, ledger: Ledger, found: Found) -> None:
    from burnish.monitor.page import monitor_page
    from burnish.store.erase import numbered_windows
    from burnish.store.journal import count_answers

    windows = {**numbered_windows(ledger), **found.windows}
    for version in found.pages:
        mine = [one for _, one in sorted(windows.items()) if one.version == version]
        page = project.workspace.monitoring / f"{version}.html"
        if page.is_file():
            waiting = count_answers(ledger, version=version, after=mine[-1].last)
            write_text(page, monitor_page(project.task, mine, version=version, waiting=waiting))
