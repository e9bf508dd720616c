"""The manifest of a folder: name, bytes and checksum of every file, and a checksum of itself."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import xxhash

from burnish.errors import BurnishError, Problem, fail

MANIFEST_NAME = "manifest.json"
Checksum = Literal["xxh3", "sha256"]
_CHUNK_BYTES = 1 << 20
_MANIFEST_MAX_BYTES = 64 << 20
_MADE_AGAIN = "remove the folder and run the command that made it again"


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a folder. `name` is relative, with forward slashes."""

    name: str
    bytes: int
    checksum: str


def checksum_of(path: Path, checksum: Checksum) -> str:
    """The checksum of a file's bytes in hexadecimal: SHA-256, or xxh3-128 (fast, not against malice)."""
    digest = xxhash.xxh3_128() if checksum == "xxh3" else hashlib.sha256()
    # buffering=0: the chunk is already large, a second copy would only cost time
    with open(path, "rb", buffering=0) as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def render_manifest(files: Iterable[Listed], checksum: Checksum) -> bytes:
    """The bytes of manifest.json: one spelling per content, so any changed byte of it shows.

    Example:
        >>> render_manifest([Listed("a.txt", 1, "ff")], "xxh3").decode().splitlines()[1].strip()
        '"checksum": "xxh3",'
    """
    body: dict[str, Any] = {
        "checksum": checksum,
        "files": [asdict(file) for file in sorted(files, key=lambda file: file.name)],
    }
    body["manifest_sha256"] = hashlib.sha256(_spell(body)).hexdigest()
    return _spell(body)


def verify_folder(folder: Path) -> tuple[Problem, ...]:
    """Nothing, when every listed file is there with its bytes and nothing else is; else every problem.

    Codes: manifest-missing, manifest-damaged, file-gone, file-changed, file-added.
    """
    where = folder / MANIFEST_NAME
    try:
        files, checksum = _read_manifest(where)
    except BurnishError as error:
        return error.problems
    try:
        found = sorted(entries(folder))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return (_changed(folder, f"cannot be listed ({reason})", "a readable folder"),)
    problems = [_verify_file(folder, file, checksum) for file in files]
    listed = {file.name for file in files} | {MANIFEST_NAME}
    problems += [
        Problem(
            code="file-added",
            what="not in the manifest",
            where=str(folder / name),
            expected="only the files the folder was published with",
            fix="remove the file",
        )
        for name in found
        if name not in listed
    ]
    return tuple(problem for problem in problems if problem is not None)


def verify_file(folder: Path, name: str) -> tuple[Problem, ...]:
    """Nothing, when this one file of a published folder has its bytes; the others are not read.

    Codes: as `verify_folder`.
    """
    where = folder / MANIFEST_NAME
    try:
        files, checksum = _read_manifest(where)
    except BurnishError as error:
        return error.problems
    listed = [file for file in files if file.name == name]
    if not listed:
        return (_changed(folder / name, "is not in the manifest", "a file the folder came with"),)
    problem = _verify_file(folder, listed[0], checksum)
    return () if problem is None else (problem,)


def listed_checksums(folder: Path) -> dict[str, str]:
    """The checksum of every file by its name, as the manifest gives them; the files are not read.

    Raises: manifest-missing, manifest-damaged.
    """
    files, _ = _read_manifest(folder / MANIFEST_NAME)
    return {file.name: file.checksum for file in files}


def manifest_sha256(folder: Path) -> str:
    """The SHA-256 of manifest.json, which names the whole folder's content.

    Raises: manifest-missing.
    """
    return hashlib.sha256(_manifest_bytes(folder / MANIFEST_NAME)).hexdigest()


def entries(folder: Path) -> Iterator[str]:
    """The relative name of everything in `folder` that is not a real folder, links included.

    Raises: OSError; a folder that cannot be listed must not look like an empty one.
    """
    for base, folders, files in os.walk(folder, onerror=_stop):
        inside = Path(base).relative_to(folder)
        links = [name for name in folders if os.path.islink(os.path.join(base, name))]
        for name in (*files, *links):
            yield (PurePosixPath(inside.as_posix()) / name).as_posix()


def folders_in(folder: Path) -> list[Path]:
    """Every real folder below `folder`, the deepest first.

    Raises: OSError.
    """
    walk = os.walk(folder, topdown=False, onerror=_stop)
    return [Path(base) for base, _, _ in walk][:-1]


def _stop(error: OSError) -> None:
    raise error


def _verify_file(folder: Path, file: Listed, checksum: Checksum) -> Problem | None:
    path = folder / file.name
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return _changed(path, "is not a regular file", "a regular file")
        if status.st_size != file.bytes:
            return _changed(path, f"has {status.st_size:,} bytes", f"{file.bytes:,} bytes")
        found = checksum_of(path, checksum)
    except (FileNotFoundError, NotADirectoryError):
        return Problem(
            code="file-gone",
            what="listed in the manifest and not there",
            where=str(path),
            expected=f"a file of {file.bytes:,} bytes",
            fix=_MADE_AGAIN,
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return _changed(path, f"cannot be read ({reason})", "a readable file")
    if found != file.checksum:
        return _changed(path, f"has {checksum} {found[:16]}...", f"{file.checksum[:16]}...")
    return None


def _changed(path: Path, what: str, expected: str) -> Problem:
    return Problem(
        code="file-changed", what=what, where=str(path), expected=expected, fix=_MADE_AGAIN
    )


def _manifest_bytes(where: Path) -> bytes:
    try:
        status = where.lstat()
        # A folder may come from anywhere: no pipe to wait for, no gigabytes to hold.
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MANIFEST_MAX_BYTES:
            raise _not_ours(where)
        return where.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise fail(
            "manifest-missing",
            f"no manifest can be read ({reason}), so the folder was never finished or is not ours",
            where=str(where),
            fix=_MADE_AGAIN,
        ) from error


def _read_manifest(where: Path) -> tuple[list[Listed], Checksum]:
    data = _manifest_bytes(where)
    try:
        body = json.loads(data)
        files = [Listed(**file) for file in body["files"]]
        # Written by us means spelt by us: any other byte, even white space, is damage.
        if render_manifest(files, body["checksum"]) != data:
            raise ValueError("the bytes do not match the manifest's own checksum")
        checksum: Checksum = {"xxh3": "xxh3", "sha256": "sha256"}[body["checksum"]]  # pyright: ignore[reportAssignmentType]
        if any(not _is_inside(file.name) for file in files):
            raise ValueError("a name leads out of the folder")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _not_ours(where) from error
    return files, checksum


def _not_ours(where: Path) -> BurnishError:
    return fail(
        "manifest-damaged",
        "the manifest does not match its own checksum",
        where=str(where),
        fix=_MADE_AGAIN,
    )


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and "\0" not in name and ".." not in PurePosixPath(name).parts


def _spell(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=2, sort_keys=True) + "\n").encode("ascii")
