"""`gguf:FILE`: a model in llama.cpp's format, unpacked to an ordinary folder; needs the extra `burnish[gguf]`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from burnish.errors import fail
from burnish.models.cached_base import (
    BaseModel,
    RawModel,
    cached_base,
    copy_regular,
    file_sha256,
    keep_base,
)
from burnish.models.gguf import unpack_gguf
from burnish.models.hostile_gguf import check_gguf

FORM: str = "gguf:FILE"


def fetch(
    rest: str,
    *,
    cache: Path,
    announce: Callable[[str], None],
    offline: bool,
    pip: tuple[str, ...],
) -> BaseModel:
    """The model of a GGUF file; its unpacked copy is named by the file's content. `offline` and `pip` do not matter.

    Raises: base-not-found, base-hash-mismatch, and the codes of models/gguf.py and models/safety.py.
    """
    path = _existing(rest)
    facts = check_gguf(path)
    digest = file_sha256(path)
    spec = f"gguf:{rest}"
    target = cache / "gguf" / digest[:32]
    found = cached_base(
        target,
        spec=spec,
        announce=announce,
        is_meant=lambda known: known.origin.get("gguf_sha256") == digest,
    )
    if found:
        return found[0]
    unpacked_bytes = 4 * facts.elements
    announce(f"unpacking base model {path.name} to {unpacked_bytes / 1e6:.0f} MB of fp32 weights")

    def fill(work: Path) -> RawModel:
        home = work / "gguf"
        home.mkdir()
        raw = work / "model"
        raw.mkdir()
        copied = copy_regular(path, home / "model.gguf")
        if copied != digest:
            raise fail(
                "base-hash-mismatch",
                "changed while it was read",
                where=spec,
                expected=f"SHA-256 {digest}",
                fix="run the command again when nobody writes the file",
            )
        licence = unpack_gguf(home / "model.gguf", raw)
        return RawModel(raw, licence, {"gguf": path.name, "gguf_sha256": digest})

    needs_bytes = 2 * unpacked_bytes + path.stat().st_size
    return keep_base(target, spec=spec, fill=fill, needs_bytes=needs_bytes)


def _existing(rest: str) -> Path:
    path = Path(rest)
    if "\0" not in rest and path.is_file():
        # the user's own path may pass through links
        return path.resolve()
    raise fail(
        "base-not-found",
        "there is no such file",
        where=f"gguf:{rest[:200]}",
        expected="one .gguf file",
        fix="write the whole path: ~ is not expanded here"
        if rest.startswith("~")
        else "check the path; it is taken from the folder you are in",
    )
