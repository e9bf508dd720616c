"""The workspace: the folder that holds task.toml, and in `.burnish` everything made from it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import BurnishError, fail, nearest
from burnish.records.task import NAME_PATTERN
from burnish.store.durable import make_folder, write_text
from burnish.store.faults import told, unreadable

_NAME = re.compile(NAME_PATTERN)
_SHOWN = 5
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where everything of one task rests. `root` holds task.toml; the rest hangs below `state`.

    Example:
        >>> Workspace(Path("/srv/tickets")).ledger_path.as_posix()
        '/srv/tickets/.burnish/ledger.db'
    """

    root: Path

    @property
    def task_path(self) -> Path:
        """task.toml, the file people edit."""
        return self.root / "task.toml"

    @property
    def state(self) -> Path:
        """The folder of everything Burnish made; hidden from git by its own .gitignore."""
        return self.root / ".burnish"

    @property
    def datasets(self) -> Path:
        """One immutable folder per dataset id."""
        return self.state / "datasets"

    @property
    def runs(self) -> Path:
        """One folder per run id."""
        return self.state / "runs"

    @property
    def bundles(self) -> Path:
        """One immutable folder per bundle id."""
        return self.state / "bundles"

    @property
    def reports(self) -> Path:
        """One folder per report: the page, its JSON twin, the decision."""
        return self.state / "reports"

    @property
    def references(self) -> Path:
        """What each watched bundle answered on its test rows, computed once."""
        return self.state / "references"

    @property
    def monitoring(self) -> Path:
        """One page of signals per version."""
        return self.state / "monitoring"

    @property
    def bases(self) -> Path:
        """Base models that were fetched."""
        return self.state / "bases"

    @property
    def locks(self) -> Path:
        """One empty file per thing only one process may do at a time."""
        return self.state / "locks"

    @property
    def ledger_path(self) -> Path:
        """The database of events and predictions."""
        return self.state / "ledger.db"

    @property
    def forget_key_path(self) -> Path:
        """The key of the hashes by which forgotten rows are known again; there after the first `burnish forget`."""
        return self.state / "forget.key"

    @property
    def exchange(self) -> Path:
        """Folders rewritten by `burnish forget` on their way into the place of the old ones; empty otherwise."""
        return self.state / "exchange"

    @property
    def token_path(self) -> Path:
        """The bearer token of the server."""
        return self.state / "token"


def open_workspace(root: Path, *, create: bool = False) -> Workspace:
    """The workspace in `root`, which must hold task.toml; with `create` its folders are made first.

    Raises: workspace-missing, not-writable, disk-full.
    """
    workspace = Workspace(Path(root).resolve())
    if not workspace.root.is_dir():
        raise _missing(workspace, "is not a folder")
    if create:
        _make_state(workspace)
    elif not workspace.task_path.is_file():
        raise _missing(workspace, "has no task.toml")
    return workspace


def resolve(folder: Path, prefix: str) -> Path:
    """The one entry of `folder` whose name is `prefix` or, when none is, starts with it.

    A prefix is a name, never a path: nothing outside `folder` can be reached.

    Raises: id-invalid, id-unknown (with the nearest name), id-ambiguous.
    """
    where = folder.name
    if not _NAME.fullmatch(prefix):
        raise fail(
            "id-invalid",
            f"{prefix[:80]!r} is not a name",
            where=where,
            expected="lower-case letters, digits, dots, dashes and underscores, at most 64",
            fix=f"use a name, or the start of one, from {where}",
        )
    names = names_in(folder)
    found = [prefix] if prefix in names else [name for name in names if name.startswith(prefix)]
    if not found:
        close = nearest(prefix, names) or nearest(prefix, [name[: len(prefix)] for name in names])
        raise fail(
            "id-unknown",
            f"nothing here is named {prefix!r} or starts with it",
            where=where,
            expected=f"one of: {_some(names)}" if names else "a name; there is none yet",
            fix="use one of the names, or the start of one",
            nearest=close,
        )
    if len(found) > 1:
        raise fail(
            "id-ambiguous",
            f"{len(found)} names start with {prefix!r}",
            where=where,
            expected=f"enough characters to mean one of: {_some(found)}",
            fix="type more of the name",
        )
    return folder / found[0]


def names_in(folder: Path) -> list[str]:
    """The names of the finished folders in `folder`, sorted; none when it does not exist yet.

    Raises: not-readable.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(
                entry.name
                for entry in found
                if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(error, folder) from error


@contextmanager
def lock(
    workspace: Workspace, name: str, *, wait_seconds: float = 0.0, shared: bool = False
) -> Iterator[None]:
    """Hold `name` for this block; the system lets go of it when the process ends, however it ends.

    Another holder is waited for `wait_seconds`. Many may hold it `shared`, as long as nobody holds it alone.

    Raises: busy (naming the process that holds it), not-writable.
    """
    if not _NAME.fullmatch(name):
        raise fail("id-invalid", f"{name[:80]!r} is not a name", where="locks")
    make_folder(workspace.locks)
    path = workspace.locks / f"{name}.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise told(error, path) from error
    try:
        until = time.monotonic() + wait_seconds
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise told(error, path) from error
                if time.monotonic() >= until:
                    raise _busy(name, handle) from error
                time.sleep(_POLL_SECONDS)
        try:
            os.ftruncate(handle, 0)
            if not shared:  # of several holders none can be named for all
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise told(error, path, needs_bytes=16) from error
        yield
    finally:
        # The file stays: removing it would let two processes lock two files of one name.
        with suppress(OSError):
            os.close(handle)


def _make_state(workspace: Workspace) -> None:
    for folder in (
        workspace.state,
        workspace.datasets,
        workspace.runs,
        workspace.bundles,
        workspace.reports,
        workspace.references,
        workspace.monitoring,
        workspace.bases,
        workspace.locks,
    ):
        make_folder(folder)
    state = workspace.state
    if stat.S_IMODE(state.stat().st_mode) & 0o077:
        try:
            os.chmod(state, 0o700)
        except OSError as error:
            raise told(error, state) from error
    ignore = state / ".gitignore"
    if not ignore.exists():
        write_text(
            ignore, "# Made by Burnish: texts, models and the server's token stay here.\n*\n"
        )


def _busy(name: str, handle: int) -> BurnishError:
    pid = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
    who = f"process {pid}" if pid.isdigit() else "another process"
    wait = f" (kill {pid})" if pid.isdigit() else ""
    return fail(
        "busy",
        f"{who} is already at it",
        where=name,
        expected="one process at a time",
        fix=f"wait for {who} to end, or stop it{wait}, then run the same command again",
    )


def _missing(workspace: Workspace, what: str) -> BurnishError:
    return fail(
        "workspace-missing",
        f"{workspace.root} {what}",
        expected="the folder that holds task.toml",
        fix="go to that folder, or make a task: burnish init FILE",
    )


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
