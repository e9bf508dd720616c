"""`folder:PATH`: a model folder on this machine, checked and copied, so that nothing can change it later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from burnish.errors import BurnishError, fail
from burnish.models.cached_base import (
    BaseModel,
    RawModel,
    cached_base,
    file_sha256,
    keep_base,
    licence_in_readme,
    sha256_of_files,
)
from burnish.models.hostile_files import read_bytes
from burnish.models.safety import check_model_folder, is_used

FORM: str = "folder:PATH"
_MOST_README_BYTES = 4 << 20


def fetch(
    rest: str,
    *,
    cache: Path,
    announce: Callable[[str], None],
    offline: bool,
    pip: tuple[str, ...],
) -> BaseModel:
    """The model folder at `rest`; its cached copy is named by content. `offline` and `pip` do not matter.

    Raises: base-not-found and the codes of models/safety.py.
    """
    folder = _existing(rest)
    problems = check_model_folder(folder)
    if problems:
        raise BurnishError(problems)
    used = [path for path in sorted(folder.iterdir()) if is_used(path.name)]
    digest = sha256_of_files({path.name: file_sha256(path) for path in used})
    target = cache / "folder" / digest[:32]
    found = cached_base(
        target,
        spec=f"folder:{rest}",
        announce=announce,
        is_meant=lambda facts: facts.sha256 == digest,
    )
    if found:
        return found[0]
    needs_bytes = sum(path.stat().st_size for path in used)
    announce(f"copying base model {folder.name} ({needs_bytes / 1e6:.0f} MB)")
    return keep_base(
        target,
        spec=f"folder:{rest}",
        fill=lambda work: RawModel(folder, _licence(folder), {"folder": str(folder)}),
        needs_bytes=needs_bytes,
    )


def _existing(rest: str) -> Path:
    path = Path(rest)
    if "\0" not in rest and path.is_dir():
        # the user's own path may pass through links; what is inside may not
        return path.resolve()
    if rest.startswith("~"):
        fix = "write the whole path: ~ is not expanded here"
    elif path.suffix and "\0" not in rest and path.is_file():
        fix = f"name the folder that holds it: folder:{path.parent}"
    else:
        fix = "check the path; it is taken from the folder you are in"
    raise fail(
        "base-not-found",
        "there is no such folder",
        where=f"folder:{rest[:200]}",
        expected="a folder with config.json, tokenizer.json and model.safetensors",
        fix=fix,
    )


def _licence(folder: Path) -> str | None:
    readme = folder / "README.md"
    if not readme.exists():
        return None
    return licence_in_readme(read_bytes(readme, most=_MOST_README_BYTES).decode("utf-8", "replace"))
