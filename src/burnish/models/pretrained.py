"""From a base model's name to a checked folder: fetched from a source, or made from scratch (`tiny:`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.errors import fail, nearest
from burnish.models.cached_base import FACTS, BaseFacts, read_facts, sha256_of_files
from burnish.models.hostile_config import MODEL_TYPES, WRITER_TYPES
from burnish.models.source import BaseModel, fetch_base, source_of
from burnish.store.durable import (
    manifest_sha256,
    new_folder,
    remove_folder,
    verify_folder,
    write_json,
)

_TINY_TYPES = tuple(sorted(MODEL_TYPES))


def open_pretrained(
    spec: str,
    *,
    cache: Path,
    texts: Callable[[], Sequence[str]],
    announce: Callable[[str], None],
    offline: bool = False,
) -> BaseModel:
    """The base model named by `spec`, on disk and past the safety gate.

    `tiny:bert`, `tiny:gpt2`, `tiny:t5` (or another known `model_type`) is made from scratch; `texts` gives the
    train texts its tokenizer learns from, answers included where they are texts. Every other name goes to models/source.py.

    Raises: base-unknown and the codes of models/source.py.
    """
    model_type = check_base_name(spec)
    if model_type is None:
        return fetch_base(spec, cache=cache, announce=announce, offline=offline)
    found = sorted(set(texts()))
    digest = hashlib.sha256("\0".join(found).encode("utf-8", "replace")).hexdigest()
    folder = cache / f"tiny-{model_type}-{digest[:16]}"
    if folder.is_dir() and not _is_whole(folder, digest):
        announce(f"the cached {spec} is damaged and is made again")
        remove_folder(folder)
    if not folder.is_dir():
        if model_type in WRITER_TYPES:
            from burnish.models.families.tiny_writer import make_tiny_writer as make_tiny
        else:
            from burnish.models.families.tiny import make_tiny

        announce(f"making a tiny {model_type} from scratch")
        with new_folder(folder) as staging:
            make_tiny(staging, texts=found, model_type=model_type, seed=0)
            write_json(staging / FACTS, _facts(model_type, digest))
    return BaseModel(
        spec=spec,
        folder=folder,
        sha256=manifest_sha256(folder),
        model_type=model_type,
        licence=None,
    )


def check_base_name(spec: str) -> str | None:
    """The type of a tiny model that is to be made; None for a name that says where a model comes from. Nothing is fetched.

    Raises: base-unknown.
    """
    kind, _, rest = spec.partition(":")
    if kind != "tiny":
        source_of(spec)
        return None
    model_type = rest or "bert"
    if model_type not in _TINY_TYPES:
        raise fail(
            "base-unknown",
            f'tiny model of type "{model_type}"',
            expected=f"tiny: followed by one of {', '.join(_TINY_TYPES)}",
            fix="write base = tiny:bert",
            nearest=nearest(model_type, _TINY_TYPES),
        )
    return model_type


def is_tiny_writer(spec: str) -> bool:
    """Whether this names a model made from scratch that writes."""
    kind, _, rest = spec.partition(":")
    return kind == "tiny" and rest in WRITER_TYPES


def _facts(model_type: str, digest: str) -> BaseFacts:
    """Which texts its tokenizer learnt from: the folder of another tiny model in its place is noticed."""
    return BaseFacts(
        sha256=sha256_of_files({}),
        model_type=model_type,
        licence=None,
        files={},
        origin={"texts_sha256": digest},
    )


def _is_whole(folder: Path, digest: str) -> bool:
    if verify_folder(folder):
        return False
    if not (folder / FACTS).is_file():
        return True  # made before tiny models told of what
    facts = read_facts(folder)
    return facts is not None and facts.origin == {"texts_sha256": digest}
