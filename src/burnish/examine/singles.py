"""What stands alone: task.toml, the recipe, keys and tokens, pages, and folders on their way; and the ledger."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from burnish.data.dataset import all_datasets
from burnish.data.tombstones import tombstones_in
from burnish.deploy.deployments import deployments
from burnish.errors import BurnishError
from burnish.examine.finding import Finding, Looked, below, fault, looked, note
from burnish.examine.tree import Tree
from burnish.monitor.page_seal import page_fault
from burnish.records.task import Task
from burnish.serve.token import read_token
from burnish.store.keyed import read_key
from burnish.store.ledger import Ledger, check_ledger, events
from burnish.store.ledger_copy import ledger_copy
from burnish.store.workspace import Workspace, names_in
from burnish.tasks.load import load_task
from burnish.train.recipe_file import load_recipe

# Files that people write are small; anything larger is not read.
_MOST_BYTES = 16 << 20


def look_at_singles(workspace: Workspace, tree: Tree) -> Iterator[Looked]:
    """Every file that is no part of a folder with a manifest."""
    tasks: list[Task] = []
    yield looked("task", "task.toml", lambda: _task(workspace, tasks))
    recipe = workspace.root / "recipe.toml"
    if recipe.exists() or recipe.is_symlink():
        yield looked("recipe", "recipe.toml", lambda: _recipe(recipe))
    for path in (workspace.token_path, workspace.forget_key_path):
        if path.exists() and tree.may_open(path):
            yield looked(path.name, below(workspace.root, path), lambda path=path: _secret(path))
    if workspace.monitoring.is_dir() and tree.is_listed(workspace.monitoring):
        for page in sorted(workspace.monitoring.glob("*.html")):
            if tree.may_open(page):
                place = below(workspace.root, page)
                yield looked("page", place, lambda page=page, place=place: _page(page, place))
    if workspace.exchange.is_dir() and tree.is_listed(workspace.exchange):
        for name in names_in(workspace.exchange):
            yield Looked("folder on its way", (_on_its_way(workspace, name),))
    beside = [workspace.ledger_path.with_name(f"ledger.db{end}") for end in ("", "-wal", ".lock")]
    if workspace.ledger_path.exists() and all(tree.may_open(path) for path in beside):
        place = below(workspace.root, workspace.ledger_path)
        yield looked("ledger", place, lambda: _ledger(workspace, tasks[0] if tasks else None))


def _task(workspace: Workspace, tasks: list[Task]) -> Iterator[Finding]:
    path = workspace.task_path
    if path.exists() and not path.is_file():
        raise _odd(path)
    task = load_task(path)
    tasks.append(task)
    try:
        versions = [one for one in all_datasets(workspace) if one.task_name == task.name]
    except BurnishError:
        return  # told where datasets are looked at
    if versions and versions[-1].task_id != task.id:
        yield note(
            "task-changed",
            "it was changed after the newest dataset was made, by a person or by the disk",
            where="task.toml",
            fix="nothing, if you changed it: burnish run makes a new version; else put a backup back",
        )


def _recipe(path: Path) -> Iterator[Finding]:
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise _odd(path)
    load_recipe(path, overrides={})
    yield from ()


def _secret(path: Path) -> Iterator[Finding]:
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise _odd(path)
    if path.name == "token":
        read_token(path, fresh=_nobody)
    else:
        read_key(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield fault(
            "mode-open",
            f"other users of this machine may read or write it ({stat.S_IMODE(path.stat().st_mode):04o})",
            where=path.name,
            expected="mode 0600",
            fix=f"chmod 600 .burnish/{path.name}",
        )


def _page(path: Path, place: str) -> Iterator[Finding]:
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise _odd(path)
    what = page_fault(path)
    if what is not None:
        yield fault(
            "page-damaged",
            what,
            where=place,
            expected="the page as it was written",
            fix=f"rm {place}; burnish monitor writes it again",
        )


def _on_its_way(workspace: Workspace, name: str) -> Finding:
    return fault(
        "forget-incomplete",
        "a forgetting was stopped half way, and rows may be left",
        where=below(workspace.root, workspace.exchange / name),
        expected="an empty folder",
        fix="run the same `burnish forget` again: it ends what was begun",
    )


def _ledger(workspace: Workspace, task: Task | None) -> Iterator[Finding]:
    place = below(workspace.root, workspace.ledger_path)
    if not workspace.ledger_path.is_file():
        raise _odd(workspace.ledger_path)
    with tempfile.TemporaryDirectory(prefix="burnish-doctor-") as scratch:
        try:
            with ledger_copy(workspace.ledger_path, into=Path(scratch)) as ledger:
                yield from _rows(workspace, ledger, task, place)
        except BurnishError as error:
            for problem in error.problems:
                yield fault(
                    problem.code,
                    problem.what.replace(scratch, str(workspace.state)),
                    where=place,
                    expected=problem.expected,
                    fix=_LEDGER_FIX if problem.code == "ledger-damaged" else problem.fix,
                )


_LEDGER_FIX = (
    "stop what uses it, move ledger.db* away, put a backup back (or burnish promote again)"
)


def _rows(workspace: Workspace, ledger: Ledger, task: Task | None, place: str) -> Iterator[Finding]:
    problems = check_ledger(ledger)
    for problem in problems:
        yield fault(
            problem.code, problem.what, where=place, expected=problem.expected, fix=_LEDGER_FIX
        )
    if problems:
        return
    stones = tombstones_in(ledger)
    if stones and not workspace.forget_key_path.exists():
        yield fault(
            "forget-key-damaged",
            f"rows were forgotten {len(stones)} times, and the key that knows them again is gone",
            where=below(workspace.root, workspace.forget_key_path),
            expected="the key as Burnish wrote it",
            fix="put a backup of the file back before any rows are read again",
        )
    for name in sorted(
        {task.name} if task else {one.subject for one in events(ledger, kind="promoted")}
    ):
        for one in deployments(ledger, name):
            if (workspace.bundles / one.bundle_id).is_dir():
                continue
            what = f"version {one.version} ({one.stage}) is made of bundle {one.bundle_id}, which is gone"
            if one.stage == "live":
                fix = "burnish rollback, or burnish run and burnish promote"
                yield fault("bundle-missing", what, where=place, expected="its folder", fix=fix)
            else:
                fix = "nothing, unless you mean to promote it: burnish run makes another"
                yield note("bundle-missing", what, where=place, fix=fix)


def _odd(path: Path) -> BurnishError:
    from burnish.errors import fail

    return fail(
        "not-readable",
        "is not a file, or far too large for one of Burnish's",
        where=path.name,
        expected="the file as it was written",
        fix="look at it, then move it away or put a backup back",
    )


def _nobody() -> str:
    """Never asked: the token's file is there."""
    raise FileNotFoundError
