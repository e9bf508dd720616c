"""The SQLite file under the ledger: its connections, its migrations, and what it says when it fails.

WAL with synchronous=FULL: a commit has returned means a power cut cannot undo it. Writers, of this
process and of others, take turns on a lock file: SQLite before 3.51.3 can lose a commit when two
connections write and checkpoint at the same instant (its "WAL-reset" bug), and one queue is fairer
than its busy loop.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.errors import BurnishError, fail
from burnish.store.durable import make_folder
from burnish.store.faults import disk_full, free_bytes, told

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

MIGRATIONS = Path(__file__).parent / "migrations"
# The newest revision in migrations/versions; a test keeps it so. With it the usual start is one
# SELECT and does not import alembic.
HEAD = "0002"
BUSY_SECONDS = 30.0
# SQLite calls a disk too full to grow its shared index an input/output error.
_LOW_BYTES = 64 << 10
# Our statements are fixed and tested, so SQLITE_ERROR ("no such column") is about the file, not them.
_DAMAGED = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_TOOBIG,
    }
)
_READ_ONLY = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_HELD = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRAGMAS = (
    f"busy_timeout = {int(BUSY_SECONDS * 1000)}",
    "journal_mode = WAL",
    "synchronous = FULL",
    "fullfsync = ON",  # macOS: past the drive's cache
    "checkpoint_fullfsync = ON",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "secure_delete = ON",  # what is erased is overwritten
)


def connect(path: Path) -> Engine:
    """An engine on the SQLite file at `path`, made (mode 0600) when missing, at the newest revision.

    Raises: ledger-damaged, ledger-newer, ledger-busy, disk-full, not-writable.
    """
    from sqlalchemy import URL, create_engine, event

    make_folder(path.parent)
    _make_file(path)
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        # isolation_level None: the BEGIN below is the only one, so DDL rolls back too.
        connect_args={"isolation_level": None, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    try:
        with telling(path):
            # SQLite does not queue for the switch to WAL, so a new file's first connection does.
            with _turn(path):
                engine.connect().close()
            _upgrade(engine, path)
    except BurnishError:
        engine.dispose()
        raise
    return engine


def _make_file(path: Path) -> None:
    """An empty file of mode 0600 where there is none; SQLite gives its -wal and -shm files the same mode.

    A file that is there is never opened here: closing a descriptor of it would drop the POSIX locks by which this
    process's own connections tell others that they are there, and the next process to close would take the
    write-ahead log away under them.
    """
    try:
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        if not path.exists():
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with contextlib.suppress(FileExistsError):  # another process was first
                os.close(os.open(path, flags, 0o600))
    except OSError as error:
        raise told(error, path) from error


@contextmanager
def reading(engine: Engine, path: Path) -> Iterator[Connection]:
    """A connection that sees one moment of the ledger."""
    with telling(path), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine, path: Path, *, needs_bytes: int = 0) -> Iterator[Connection]:
    """A connection in one transaction, alone; on the disk when the block has ended.

    Raises: ledger-busy, ledger-damaged, disk-full, not-writable.
    """
    with (
        telling(path, needs_bytes=needs_bytes),
        _turn(path),
        engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        yield connection


def fold(engine: Engine, path: Path) -> None:
    """Fold the write-ahead log into the file and empty it, so that nothing erased is left there."""
    with telling(path), _turn(path):
        # not through SQLAlchemy, which begins a transaction: none may be open
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        finally:
            raw.close()


def close(engine: Engine, path: Path) -> None:
    """Close every connection; the last one folds the WAL into the file, so it waits for its turn."""
    with telling(path), _turn(path):
        engine.dispose()


@contextmanager
def telling(path: Path, *, needs_bytes: int = 0) -> Iterator[None]:
    """Turn what SQLite says into a problem; errors that are bugs of ours pass through."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        problem = _told(error.orig, path, needs_bytes)
        if problem is None:
            raise
        raise problem from error
    except sqlite3.Error as error:
        problem = _told(error, path, needs_bytes)
        if problem is None:
            raise
        raise problem from error
    except UnicodeDecodeError as error:
        # The damage is in a name that SQLite quotes in its message, and Python cannot read that.
        raise damaged(path, "it holds bytes that are not text") from error


def damaged(path: Path, what: str) -> BurnishError:
    """The error for a ledger that cannot be believed."""
    return fail(
        "ledger-damaged",
        what,
        where=str(path),
        expected="the ledger as Burnish wrote it",
        fix=f"stop what uses it, move {path.name}* away, put a backup back (or promote again)",
    )


def _told(error: BaseException | None, path: Path, needs_bytes: int) -> BurnishError | None:
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        # Python decodes text itself: bytes that are no UTF-8 come without an SQLite code.
        if isinstance(error, sqlite3.OperationalError) and "decode to UTF-8" in str(error):
            return damaged(path, "it holds bytes that are not text")
        return None
    code = extended & 0xFF
    if code in _DAMAGED:
        return damaged(path, f"SQLite says: {error}")
    if code == sqlite3.SQLITE_FULL:
        return disk_full(path, needs_bytes=max(needs_bytes, _LOW_BYTES))
    if code == sqlite3.SQLITE_IOERR:
        if free_bytes(path) < _LOW_BYTES:
            return disk_full(path, needs_bytes=max(needs_bytes, _LOW_BYTES))
        return fail(
            "write-failed",
            f"the disk refused ({error}); nothing of this was recorded",
            where=str(path),
            fix="check the disk and its room, then run the same command again",
        )
    if code in _READ_ONLY:
        return fail(
            "not-writable",
            f"the ledger cannot be opened for writing ({error})",
            where=str(path),
            expected="a file and folder this user may write to",
            fix=f"check the owner and mode of {path.parent}",
        )
    if code in _HELD:
        return _busy(path)
    return None


def _busy(path: Path) -> BurnishError:
    return fail(
        "ledger-busy",
        f"another process has held the ledger for {BUSY_SECONDS:.0f} seconds",
        where=str(path),
        fix="find it (fuser, lsof) and let it end, then run the same command again",
    )


def _set_pragmas(raw: sqlite3.Connection, _record: object) -> None:
    for pragma in _PRAGMAS:
        raw.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE: a writer that starts as a reader can be refused half way, one that starts as a
    # writer waits.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise told(error, lock_path) from error
    try:
        until = time.monotonic() + BUSY_SECONDS
        wait = 0.0005
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise _busy(path) from None
            time.sleep(wait)
            wait = min(wait * 2, 0.02)
        yield
    finally:
        os.close(handle)


def _revision(engine: Engine) -> str | None:
    from sqlalchemy import inspect, text

    with engine.begin() as connection:
        if "alembic_version" not in inspect(connection).get_table_names():
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(engine: Engine, path: Path) -> None:
    found = _revision(engine)
    if found == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        # In the turn: two processes that open a new ledger at once must not both make the tables.
        with writing(engine, path) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise fail(
            "ledger-newer",
            f"its tables are of revision {found}, this Burnish knows up to {HEAD}",
            where=str(path),
            fix="use the newer Burnish that wrote it: pip install --upgrade burnish",
        ) from error
