"""What [data] names, as files: patterns and hub data sets become the files they stand for, each counted once."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from burnish.data import hub
from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.records.dataset import Issue
from burnish.records.example import Split
from burnish.records.task import DataFiles

_LISTED = 10
# A file that two splits name is a test file first: `train = ["data/*.csv"]` beside `test = ["data/test.csv"]`.
_STRONGEST: tuple[Split, ...] = ("test", "validation", "train")


@dataclass(frozen=True, slots=True)
class NamedFile:
    """One file, or one folder of texts: its split, where it is, what its places are called."""

    split: Split
    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """All files in the order in which they are read, what to know about the names, and what is wrong with them."""

    files: tuple[NamedFile, ...]
    issues: tuple[Issue, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Seen:
    taken: dict[Path, NamedFile] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    across: list[str] = field(default_factory=list)


def expand(names: Mapping[Split, Sequence[str]], root: Path) -> NamedFiles:
    """The files that the names of each split stand for, relative to `root`.

    A pattern (`tickets/*.csv`, `**` for any folder) gives its files sorted; names that begin with a dot are not
    matched. A file named twice is read once, and that is said; named in two splits, it belongs to the test, then
    to the validation split.
    """
    seen = _Seen()
    problems: list[Problem] = []
    kept: dict[Split, list[NamedFile]] = {split: [] for split in names}
    for split in sorted(names, key=_STRONGEST.index):
        for name in names[split]:
            try:
                found = list(files_of(name, root))
            except BurnishError as error:
                problems.extend(error.problems)
                continue
            kept[split] += _once([NamedFile(split, path, called) for path, called in found], seen)
    files = [file for split in names for file in kept[split]]
    return NamedFiles(tuple(files), tuple(_issues(seen)), tuple(problems))


def names_of(data: DataFiles) -> dict[Split, tuple[str, ...]]:
    """The names under [data], by split."""
    return {"train": data.train, "validation": data.validation, "test": data.test}


def files_of(name: str, root: Path) -> Iterator[tuple[Path, str]]:
    """(path, what it is called) of every file that one name stands for.

    Raises: pattern-no-match, and the codes of hub.fetch.
    """
    if name.startswith(hub.PREFIX):
        yield from hub.fetch(name)
        return
    path = root / name
    if not is_pattern(name, root):
        yield path, _called(path, name)
        return
    # unlike Path.glob this passes by names that begin with a dot, and takes absolute patterns
    found = glob.glob(name, root_dir=root, recursive=True)  # noqa: PTH207
    matched = sorted(Path(one).as_posix() for one in found)
    files = [one for one in matched if (root / one).is_file()]
    if not files:
        raise _no_match(name, root, folders=matched)
    for one in files:
        yield root / one, _called(root / one, one)


def is_pattern(name: str, root: Path) -> bool:
    """Whether the name stands for other names; a file that is really called `a[1].csv` does not."""
    return glob.has_magic(name) and not (root / name).exists()


def _called(path: Path, name: str) -> str:
    # an absolute path would carry the machine's layout into the dataset
    return path.name if Path(name).is_absolute() else name


def _once(files: Sequence[NamedFile], seen: _Seen) -> Iterator[NamedFile]:
    for file in files:
        real = file.path.resolve()
        first = seen.taken.setdefault(real, file)
        if first is file:
            yield file
        elif first.split == file.split:
            seen.again.append(file.name)
        else:
            seen.across.append(f"{file.name} ({first.split}, not {file.split})")


def _issues(seen: _Seen) -> Iterator[Issue]:
    if seen.again:
        yield Issue(
            code="file-twice",
            severity="note",
            what=f"named more than once, read once: {', '.join(seen.again[:_LISTED])}",
            count=len(seen.again),
            fix="name each file once under [data] in task.toml",
        )
    if seen.across:
        yield Issue(
            code="file-twice",
            severity="warning",
            what=f"named in two splits, read in one: {', '.join(seen.across[:_LISTED])}",
            count=len(seen.across),
            fix="name each file in one split under [data] in task.toml",
        )


def _no_match(name: str, root: Path, *, folders: Sequence[str]) -> BurnishError:
    fixed = []
    for part in Path(name).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    folder = root.joinpath(*fixed)
    beside: list[str] = []
    if folder.is_dir():
        beside = sorted(one.name + "/" * one.is_dir() for one in folder.iterdir())
    shown = ", ".join(beside[:_LISTED]) + (
        f" and {len(beside) - _LISTED} more" * (len(beside) > _LISTED)
    )
    what = "matches folders only" if folders else "matches no file"
    close = nearest(Path(name).name, beside)
    return fail(
        "pattern-no-match",
        what if folder.is_dir() else "matches no file: its folder does not exist",
        where=name,
        expected=f"a pattern for some of: {shown}" if beside else "a pattern for files that exist",
        fix="correct the pattern under [data] in task.toml",
        nearest=close,
    )
