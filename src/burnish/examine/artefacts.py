"""Everything that rests in a folder of its own: datasets, runs and their checkpoints, reports, bundles, references, bases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from burnish.data.dataset import ROWS_FILE, load_dataset
from burnish.deploy.bundle import load_bundle
from burnish.evaluate.report_folder import load_report
from burnish.examine.finding import Finding, Looked, below, fault, looked, note
from burnish.examine.tree import Tree
from burnish.models.cached_base import cached_folders
from burnish.monitor.reference_folder import reference_fault
from burnish.records.run import Run
from burnish.store.manifest import listed_checksums, verify_folder
from burnish.store.workspace import Workspace, names_in
from burnish.train.checkpoint_files import Checkpoints, checkpoint_fault
from burnish.train.runs import MODEL, RECORD, load_run, result_fault, sound_steps


def look_at_artefacts(workspace: Workspace, tree: Tree) -> Iterator[Looked]:
    """Every folder of the workspace, verified byte by byte."""
    rooms: dict[Path, tuple[str, Callable[[Workspace, Path], Iterable[Finding]], str]] = {
        workspace.datasets: ("dataset", _dataset, "burnish run makes the dataset again"),
        workspace.reports: ("report", _report, "burnish run writes it again"),
        workspace.bundles: ("bundle", _bundle, "burnish run makes it again"),
        workspace.references: ("reference", _reference, "burnish monitor measures it again"),
    }
    for room, (kind, look, again) in rooms.items():
        for folder in _folders(room, tree):
            yield looked(
                kind,
                below(workspace.root, folder),
                lambda look=look, folder=folder: look(workspace, folder),
                fix=f"rm -r {below(workspace.root, folder)}; {again}",
            )
        yield from _strangers(workspace, room, kind, tree)
    for folder in _folders(workspace.runs, tree):
        yield from _run(workspace, folder)
    yield from _strangers(workspace, workspace.runs, "run", tree)


def look_at_bases(cache: Path) -> Iterator[Looked]:
    """Every base model in the cache that other projects share."""
    for folder in cached_folders(cache):
        yield looked("base", folder, lambda folder=folder: _base(folder))


def _folders(room: Path, tree: Tree) -> list[Path]:
    if not room.is_dir() or not tree.is_listed(room):
        return []
    return [room / name for name in names_in(room) if tree.may_open(room / name)]


def _strangers(workspace: Workspace, room: Path, kind: str, tree: Tree) -> Iterator[Looked]:
    """What stands in a room and is no finished folder."""
    if not room.exists() or not tree.is_listed(room):
        return
    where = below(workspace.root, room)
    if not room.is_dir():
        found = fault(
            "not-ours", "is not a folder", where=where, expected=f"the folder of every {kind}",
            fix=f"look at it, then remove it: rm {where}",
        )  # fmt: skip
        yield Looked("stranger", (found,))
        return
    names = set(names_in(room))
    for path in sorted(room.iterdir()):
        if path.name in names or path.name.startswith(".") or path.is_symlink():
            continue  # hidden names and links are told by the walk
        found = note(
            "not-ours", f"is no {kind}, and nothing reads it", where=below(workspace.root, path),
            fix="leave it, or look at it and remove it",
        )  # fmt: skip
        yield Looked("stranger", (found,))


def _dataset(workspace: Workspace, folder: Path) -> Iterator[Finding]:
    dataset = load_dataset(workspace, folder.name)
    if listed_checksums(folder).get(ROWS_FILE) != dataset.rows_sha256:
        yield fault(
            "dataset-damaged",
            "its rows are not those its record names",
            where=below(workspace.root, folder),
            expected="the files as they were written",
            fix=f"rm -r {below(workspace.root, folder)}; burnish run makes the dataset again",
        )


def _report(workspace: Workspace, folder: Path) -> Iterator[Finding]:
    del workspace
    load_report(folder)
    yield from ()


def _bundle(workspace: Workspace, folder: Path) -> Iterator[Finding]:
    bundle = load_bundle(folder)
    if bundle.id != folder.name:
        where = below(workspace.root, folder)
        yield fault(
            "bundle-tampered",
            f"it is bundle {bundle.id}",
            where=where,
            expected="the bytes that were published",
            fix=f"burnish rollback if it is live; then rm -r {where}, and burnish run makes it again",
        )


def _reference(workspace: Workspace, folder: Path) -> Iterator[Finding]:
    what = reference_fault(folder)
    if what is not None:
        where = below(workspace.root, folder)
        yield fault(
            "reference-damaged",
            what,
            where=where,
            expected="what the bundle of that name answered on its test rows",
            fix="nothing: the next burnish monitor removes it and measures again",
        )


def _base(folder: Path) -> Iterator[Finding]:
    for problem in verify_folder(folder):
        yield fault(
            problem.code,
            problem.what,
            where=problem.where,
            expected=problem.expected,
            fix="nothing: the next command that needs it removes and fetches it again",
        )


def _run(workspace: Workspace, folder: Path) -> Iterator[Looked]:
    where = below(workspace.root, folder)
    again = f"the same `burnish train` again; or rm -r {where}"
    known: list[Run] = []

    def record() -> Iterator[Finding]:
        if not (folder / RECORD).exists() and not any(
            path for path in folder.iterdir() if not path.name.startswith(".")
        ):
            yield note(
                "run-unfinished", "it was stopped before its first step", where=where, fix=again
            )
            return
        run = load_run(folder)
        known.append(run)
        if run.status != "done":
            yield note(
                "run-unfinished",
                f"it is {run.status} after step {run.steps}"
                if run.steps
                else f"it is {run.status}",
                where=where,
                fix="nothing, while it trains; else the same `burnish train` goes on",
            )

    def rest() -> Iterator[Finding]:
        steps, told = sound_steps(folder)
        run = known[0] if known else None
        if told is None and run is not None and run.status == "done" and len(steps) < run.steps:
            told = f"steps.jsonl holds {len(steps)} of {run.steps} steps"
        if told is not None:
            yield fault(
                "run-damaged", told, where=where, expected="the lines as Burnish wrote them",
                fix=f"rm {where}/steps.jsonl: the weights do not depend on it, only the curves do",
            )  # fmt: skip
        if run is None or run.status != "done":
            return
        what = result_fault(folder, weights_sha256=run.weights_sha256)
        if what is not None:
            yield fault(
                "run-damaged", f"its model is damaged: {what}", where=f"{where}/{MODEL}",
                expected="the model as it was trained", fix=again,
            )  # fmt: skip
        adapter = folder / "adapter"
        if adapter.is_dir() and (problems := verify_folder(adapter)):
            yield fault(
                "run-damaged", f"its adapter is damaged: {problems[0].what}",
                where=f"{where}/adapter", expected="the adapter as it was trained", fix=again,
            )  # fmt: skip

    yield looked("run", where, record, fix=again)
    yield looked("run's files", where, rest, fix=again)
    checkpoints = Checkpoints(folder / "checkpoints")
    for step in sorted((checkpoints.folder / "latest").glob("step-*")):
        place = below(workspace.root, step)
        yield looked(
            "checkpoint",
            place,
            lambda step=step, place=place: _checkpoint(checkpoints, step, place),
            fix="nothing: the same `burnish train` goes on from the checkpoint before",
        )


def _checkpoint(checkpoints: Checkpoints, folder: Path, place: str) -> Iterator[Finding]:
    what = checkpoint_fault(checkpoints, folder)
    if what is not None:
        yield fault(
            "checkpoint-damaged",
            what,
            where=place,
            expected="the checkpoint as it was saved",
            fix="nothing: the same `burnish train` goes on from the checkpoint before, or starts over",
        )
