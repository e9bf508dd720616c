"""How much memory this process holds, has held at most, and may hold: the smallest of all limits that are set on it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
# What version 1 writes where nothing is limited: the largest whole number of pages.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be held in all, in bytes, and who says so. Beyond it either an allocation is refused, which training
    survives with smaller passes, or the system ends the process.
    """

    most: int
    name: str
    refuses: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """What is held now, in bytes, and every limit that can be read."""

    held: int
    limits: tuple[Limit, ...]

    @property
    def smallest(self) -> Limit | None:
        """The limit that is met first, None when none can be read."""
        return min(self.limits, key=lambda limit: limit.most, default=None)

    @property
    def deadly(self) -> Limit | None:
        """The smallest of the limits beyond which the process is ended."""
        return Memory(self.held, tuple(one for one in self.limits if not one.refuses)).smallest


def host_memory(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> Memory:
    """The room of this process: free physical memory, its control groups (v1 and v2), RLIMIT_AS and RLIMIT_DATA."""
    held = resident_bytes(proc=proc)
    ended = [Limit(held + free, name, refuses=False)
             for free, name in (*_physical(proc), *_groups(proc, cgroups))]  # fmt: skip
    refused = [Limit(held + free, name, refuses=True) for free, name in _process_limits(proc)]
    return Memory(held, (*ended, *refused))


def resident_bytes(*, proc: Path = PROC) -> int:
    """What this process holds now; where the system does not tell, the most it has held."""
    try:
        pages = int((proc / "self" / "statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return peak_bytes()
    return pages * resource.getpagesize()


def peak_bytes() -> int:
    """The most memory this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _physical(proc: Path) -> Iterator[tuple[int, str]]:
    """What the kernel would give without swapping."""
    free = _fields(proc / "meminfo").get("MemAvailable")
    if free is not None:
        yield free * 1024, "physical memory"


def _process_limits(proc: Path) -> Iterator[tuple[int, str]]:
    """Limits on addresses, which are asked for before they are filled: counted as they are counted by the kernel."""
    status = _fields(proc / "self" / "status")
    for number, field, name in (
        (resource.RLIMIT_AS, "VmSize", "RLIMIT_AS (ulimit -v)"),
        (resource.RLIMIT_DATA, "VmData", "RLIMIT_DATA (ulimit -d)"),
    ):
        soft, _ = resource.getrlimit(number)
        if soft != resource.RLIM_INFINITY and field in status:
            yield max(0, soft - status[field] * 1024), name


def _groups(proc: Path, cgroups: Path) -> Iterator[tuple[int, str]]:
    """The control group of this process and every one around it. Pages of files that can be dropped count as free."""
    try:
        lines = (proc / "self" / "cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file", "active_file")
            home = cgroups
        elif "memory" in controllers.split(","):
            names = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
                "total_active_file",
            )
            home = cgroups / "memory"
        else:
            continue
        # inside a container the path may be that of the host, and only the root of the mount is ours
        inner = home / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if not folder.is_relative_to(home):
                break
            limit, used = _number(folder / names[0]), _number(folder / names[1])
            if limit is None or used is None or limit >= _NO_LIMIT:
                continue
            stat = _fields(folder / "memory.stat")
            droppable = stat.get(names[2], 0) + stat.get(names[3], 0)
            yield max(0, limit - used + min(droppable, used)), "the control group's memory limit"


def _fields(path: Path) -> dict[str, int]:
    """Lines of "name: number unit" or "name number"; nothing where there is no such file."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        return {}
    parts = [line.replace(":", " ").split() for line in lines]
    return {part[0]: int(part[1]) for part in parts if len(part) > 1 and part[1].isdigit()}


def _number(path: Path) -> int | None:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() else None
