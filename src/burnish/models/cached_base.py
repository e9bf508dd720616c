"""A base model at rest: copied file by file into the cache, with a manifest, verified whenever it is used again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from burnish.errors import BurnishError
from burnish.models.hostile_config import WRITER_TYPES
from burnish.models.hostile_files import open_regular, read_bytes
from burnish.models.safety import check_model_folder, is_used
from burnish.records.record import Record, canonical_json
from burnish.store.durable import new_folder, remove_folder, verify_folder, write_json
from burnish.store.manifest import MANIFEST_NAME, manifest_sha256

_CHUNK_BYTES = 1 << 20
FACTS = "base.json"
_LICENCE = re.compile(
    r"^licen[cs]e:\s*[\"']?([A-Za-z0-9 .+()_-]{1,80}?)[\"']?\s*$", re.MULTILINE | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model that passed the gate. `sha256` covers the name and bytes of every file that is used.

    The same files have the same `sha256`, whichever source they came from.
    """

    spec: str
    folder: Path
    sha256: str
    model_type: str
    licence: str | None

    @property
    def writes(self) -> bool:
        """Whether it is a decoder or encoder-decoder, which answers with text."""
        return self.model_type in WRITER_TYPES


@dataclass(frozen=True, slots=True)
class RawModel:
    """Model files that nobody has checked yet, and what their source knows about them."""

    folder: Path
    licence: str | None
    origin: Mapping[str, str]


class BaseFacts(Record):
    """base.json of a cached folder. `files` maps each used file to its SHA-256; `origin` is the source's."""

    sha256: str
    model_type: str
    licence: str | None
    files: dict[str, str]
    origin: dict[str, str]


def cached_base(
    target: Path,
    *,
    spec: str,
    announce: Callable[[str], None],
    is_meant: Callable[[BaseFacts], bool],
) -> tuple[BaseModel, BaseFacts] | None:
    """The base model cached at `target`, verified byte by byte; None when it is not (or no longer) there.

    A damaged copy, or one whose facts say that it is another model, is removed with an announcement: its source can
    give it again.
    """
    if not target.exists():
        return None
    if not verify_folder(target) and not check_model_folder(target):
        facts = read_facts(target)
        if facts is not None and is_meant(facts):
            return _base(spec, target, facts), facts
    announce(f"the cached copy of {spec} is damaged and is fetched again")
    remove_folder(target)
    return None


def cached_folders(cache: Path) -> list[Path]:
    """Every base model in the cache, fetched ones and tiny ones; links are no base models."""
    found: list[Path] = []
    for room in (cache, *(cache / name for name in ("hub", "pip", "folder", "gguf"))):
        if room.is_dir():
            found += [
                one
                for one in sorted(room.iterdir())
                if one.is_dir()
                and not one.is_symlink()
                and not one.name.startswith(".")
                and (room != cache or one.name.startswith("tiny-"))
            ]
    return found


def find_cached(cache: Path, *, sha256: str) -> Path | None:
    """The cached base of that digest, verified byte by byte; None when it is not there, or not whole."""
    for folder in cached_folders(cache):
        facts = read_facts(folder)
        named = {facts.sha256} if facts is not None else set[str]()
        if (folder / MANIFEST_NAME).is_file():
            named.add(manifest_sha256(folder))  # the digest of a tiny model
        if sha256 in named and not verify_folder(folder) and not check_model_folder(folder):
            return folder
    return None


def keep_base(
    target: Path, *, spec: str, fill: Callable[[Path], RawModel], needs_bytes: int = 0
) -> BaseModel:
    """Check what `fill` brings, copy what is used to `target`, and check the copy; all or nothing.

    `fill` gets an empty work folder, which is gone afterwards. The files are checked before the copy
    and again after it: a folder that changes in between gains nothing.

    Raises: every code of models/safety.py, and those of store/durable.py.
    """
    with new_folder(target, needs_bytes=needs_bytes) as staging:
        work = staging / "work"
        work.mkdir(mode=0o700)
        raw = fill(work)
        _refuse(raw.folder)
        files = {
            path.name: copy_regular(path, staging / path.name)
            for path in sorted(raw.folder.iterdir())
            if is_used(path.name)
        }
        shutil.rmtree(work)
        _refuse(staging)
        facts = BaseFacts(
            sha256=sha256_of_files(files),
            model_type=model_type_of_config(staging),
            licence=raw.licence,
            files=files,
            origin=dict(raw.origin),
        )
        write_json(staging / FACTS, facts)
    return _base(spec, target, facts)


def sha256_of_files(files: Mapping[str, str]) -> str:
    """One digest for a set of (name, SHA-256) pairs, whatever their order.

    Example:
        >>> sha256_of_files({"a": "00", "b": "11"}) == sha256_of_files({"b": "11", "a": "00"})
        True
    """
    return hashlib.sha256(canonical_json(dict(files)).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a regular file, opened without following a link."""
    digest = hashlib.sha256()
    with open_regular(path) as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def licence_in_readme(text: str) -> str | None:
    """The licence a model card states in its YAML head, read as one plain line.

    Example:
        >>> licence_in_readme("---\\nlanguage: en\\nlicense: apache-2.0\\n---\\n# A model")
        'apache-2.0'
        >>> licence_in_readme("# A model\\nlicense: mit") is None
        True
    """
    if not text.startswith("---"):
        return None
    found = _LICENCE.search(text[3:].partition("\n---")[0])
    return found[1] if found else None


def model_type_of_config(folder: Path) -> str:
    """The model_type of a folder that passed the gate."""
    return str(json.loads(read_bytes(folder / "config.json", most=8 << 20))["model_type"])


def _refuse(folder: Path) -> None:
    problems = check_model_folder(folder)
    if problems:
        raise BurnishError(problems)


def copy_regular(source: Path, target: Path) -> str:
    """Copy a regular file to a new one; the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with open_regular(source) as reader, open(target, "xb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def read_facts(folder: Path) -> BaseFacts | None:
    """The facts of a cached base model; None when there are none, or none that agree with themselves."""
    try:
        facts = BaseFacts.model_validate_json((folder / FACTS).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return facts if facts.sha256 == sha256_of_files(facts.files) else None


def _base(spec: str, folder: Path, facts: BaseFacts) -> BaseModel:
    return BaseModel(spec, folder, facts.sha256, facts.model_type, facts.licence)
