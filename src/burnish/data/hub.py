"""`hub:ORG/NAME@COMMIT:SPLIT`: the files of a data set on the model hub; needs the extra `burnish[datasets]`.

The package `datasets` is asked only which files make up a split. They are downloaded as they are and read by our own
readers, because its own loading gives types to text ("007" becomes 7).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from burnish.errors import fail

_T = TypeVar("_T")

PREFIX = "hub:"
FORM = "hub:ORG/NAME@COMMIT:SPLIT"
_NAME = re.compile(
    r"hub:(?P<repository>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@(?P<commit>[^:]*))?(?::(?P<split>\w+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(name: str) -> Iterator[tuple[Path, str]]:
    """(file in the hub's cache, what it is called) of every file of the split, in the data set's order.

    Raises: hub-name, hub-revision-missing, hub-missing-extra, hub-not-found, hub-offline.
    """
    match = _NAME.fullmatch(name)
    if match is None or ".." in name or not match["split"]:
        raise fail(
            "hub-name",
            "does not name a data set, a commit and a split",
            where=name,
            expected=f"{FORM}, such as hub:org/reviews@{'0123456789' * 4}:train",
            fix="correct the name under [data] in task.toml",
        )
    repository, commit = match["repository"], match["commit"] or ""
    if not _COMMIT.fullmatch(commit):
        raise fail(
            "hub-revision-missing",
            f'"{commit}" is not a commit: the data could be other rows tomorrow'
            if commit
            else "names no commit: the data could be other rows tomorrow",
            where=name,
            expected=FORM,
            fix="add @ and the commit of 40 digits from the data set's page",
        )
    listed = _files_of(repository, commit, split=match["split"], name=name)
    for file in listed:
        yield _download(repository, commit, file, name=name), f"hub:{repository}@{commit}/{file}"


def _files_of(repository: str, commit: str, *, split: str, name: str) -> list[str]:
    """Paths inside the repository that make up the split, in the data set's order."""
    datasets = _datasets(name)
    if Path(repository).exists():
        # the package looks in the working folder first
        raise fail(
            "hub-name",
            f'the working folder holds "{repository}", which would be read in its stead',
            where=name,
            expected="a data set of the hub",
            fix="work in another folder, or name those files themselves",
        )
    splits = _tried(
        name,
        lambda: datasets.load_dataset_builder(repository, revision=commit).config.data_files or {},
    )
    if split not in splits:
        raise fail(
            "hub-not-found",
            f'the data set has no split "{split}"',
            where=name,
            expected=f"one of {', '.join(map(str, splits))}" if splits else "splits made of files",
            fix="correct the name under [data] in task.toml",
        )
    begin = f"hf://datasets/{repository}@{commit}/"
    return [str(url).removeprefix(begin) for url in splits[split]]


def _download(repository: str, commit: str, file: str, *, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(
        _tried(
            name,
            lambda: hf_hub_download(repository, file, repo_type="dataset", revision=commit),
        )
    )


def _datasets(name: str) -> Any:
    try:
        import datasets  # pyright: ignore[reportMissingImports]
        from huggingface_hub import constants
    except ModuleNotFoundError as error:
        raise fail(
            "hub-missing-extra",
            f"the package {error.name} is not installed",
            where=name,
            fix="python -m pip install 'burnish[datasets]', or download the files and name them",
        ) from None
    # nothing about the user leaves the machine; one plain way to download; one voice on the terminal
    constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.HF_HUB_DISABLE_XET = True
    found: Any = datasets
    found.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    found.disable_progress_bars()
    return found


def _tried(name: str, call: Callable[[], _T]) -> _T:
    from huggingface_hub import errors

    datasets = _datasets(name)

    try:
        return call()
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
        datasets.exceptions.DatasetNotFoundError,
        FileNotFoundError,
    ):
        raise fail(
            "hub-not-found",
            "the hub has no such data set, commit or file, or does not show it to you",
            where=name,
            fix="check the name and the commit; log in with the hub's own tool if it is private",
        ) from None
    except RuntimeError as error:
        raise fail(
            "hub-not-found",
            f"the data set cannot be listed: {str(error).splitlines()[0][:200] if str(error) else 'unknown'}",
            where=name,
            expected="a data set that is made of files, without code of its own",
            fix="download its rows as files and name them",
        ) from None
    except (
        errors.HfHubHTTPError,
        errors.HTTPError,  # pyright: ignore[reportPrivateImportUsage] - the HTTP library's, whichever it is
        errors.LocalEntryNotFoundError,
        ConnectionError,
    ) as error:
        raise fail(
            "hub-offline",
            f"the hub could not be reached ({type(error).__name__})",
            where=name,
            expected="a hub that answers",
            fix="check the network, unset BURNISH_OFFLINE if it is set, or download the files elsewhere "
            "and name them",
        ) from None
