"""The whole examination: every file of a workspace, the base models in the cache, and the disk they stand on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import BurnishError, fail
from burnish.examine.artefacts import look_at_artefacts, look_at_bases
from burnish.examine.finding import Finding, Looked, all_of, fault, looked
from burnish.examine.singles import look_at_singles
from burnish.examine.tree import Tree, bytes_below, room_findings, tree_findings, walk
from burnish.store.faults import free_bytes
from burnish.store.workspace import Workspace, names_in

_ROOMS = frozenset(
    (
        "datasets",
        "runs",
        "bundles",
        "reports",
        "references",
        "monitoring",
        "bases",
        "locks",
        "exchange",
    )
)


@dataclass(frozen=True, slots=True)
class Examination:
    """What was looked at (how many of each kind), every finding, and the room there is."""

    looked_at: Mapping[str, int]
    findings: tuple[Finding, ...]
    files: int
    bytes: int
    free_bytes: int

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(one for one in self.findings if one.level == "fault")

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not self.faults


def examine(
    root: Path, *, cache: Path | None = None, announce: Callable[[str], None] = lambda text: None
) -> Examination:
    """Verify a workspace file by file, and the base models in `cache` where one is given. Changes nothing.

    Whatever lies there, this ends with findings, not with an error.

    Raises: workspace-missing when the folder holds neither task.toml nor anything Burnish made.
    """
    workspace = Workspace(root.absolute())
    if not workspace.root.is_dir() or not any(
        place.exists() or place.is_symlink() for place in (workspace.task_path, workspace.state)
    ):
        raise fail(
            "workspace-missing",
            f"{root} holds neither task.toml nor .burnish",
            expected="the folder that holds task.toml",
            fix="go to that folder, or make a task: burnish init FILE",
        )
    tree = Tree((), (), (), 0, 0)
    parts: list[Looked] = []
    if workspace.state.is_dir():
        announce("names and modes")
        tree = walk(workspace.state, rooms=_ROOMS)
        parts.append(
            looked(
                "state folder",
                ".burnish",
                lambda: tree_findings(workspace.root, workspace.state, tree),
            )
        )
        announce(f"{tree.files:,} files, {tree.bytes / 1e6:,.0f} MB")
        parts += all_of("state folder", ".burnish", look_at_artefacts(workspace, tree))
        largest = _largest_model(workspace)
        parts.append(
            looked(
                "disk",
                ".burnish",
                lambda: room_findings(workspace.root, workspace.state, largest_bytes=largest),
            )
        )
    elif workspace.state.exists() or workspace.state.is_symlink():
        parts.append(looked("state folder", ".burnish", _no_folder))
    announce("task, keys, pages and the ledger")
    parts += all_of("state folder", ".burnish", look_at_singles(workspace, tree))
    if cache is not None and cache.is_dir():
        announce(f"base models in {cache}")
        parts += all_of("base", cache, look_at_bases(cache))
    counts = Counter(part.kind for part in parts)
    findings = tuple(finding for part in parts for finding in part.findings)
    return Examination(dict(counts), findings, tree.files, tree.bytes, free_bytes(workspace.root))


def _largest_model(workspace: Workspace) -> int:
    found = [0]
    for room in (workspace.runs, workspace.bundles):
        with suppress(OSError, BurnishError):  # a room that cannot be listed was told by the walk
            found += [bytes_below(room / name) for name in names_in(room)]
    return max(found)


def _no_folder() -> Iterator[Finding]:
    yield fault(
        "not-ours",
        "is not a folder",
        where=".burnish",
        expected="the folder of everything Burnish made",
        fix="look at it, move it away, then run the same command again",
    )
