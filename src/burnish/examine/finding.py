"""What an examination says, and how a part of it that cannot be read is told instead of ending it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from burnish.errors import BurnishError, Problem

Level = Literal["fault", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault (something is damaged, missing or open to others) or a note (worth knowing, mends itself or is meant).

    `problem.where` is a path below the project, or the name of what was looked at; `problem.fix` what to do or type.
    """

    level: Level
    problem: Problem

    def text(self) -> str:
        """As the terminal shows it."""
        text = self.problem.text()
        return text if self.level == "fault" else text.replace("error:", "note:", 1)


@dataclass(frozen=True, slots=True)
class Looked:
    """One thing that was looked at, and what was found."""

    kind: str
    findings: tuple[Finding, ...] = ()


def fault(code: str, what: str, *, where: str, expected: str = "", fix: str) -> Finding:
    """Something that is wrong."""
    return Finding("fault", Problem(code=code, what=what, where=where, expected=expected, fix=fix))


def note(code: str, what: str, *, where: str, fix: str) -> Finding:
    """Something worth knowing."""
    return Finding("note", Problem(code=code, what=what, where=where, fix=fix))


def looked(
    kind: str, place: Path | str, look: Callable[[], Iterable[Finding]], *, fix: str = ""
) -> Looked:
    """What `look` finds at a place; whatever it raises is a finding too, because a look must survive what lies there.

    `fix` is for errors that bring no next step of their own.
    """
    found: list[Finding] = []
    try:
        found += look()
    except BurnishError as error:
        found += [Finding("fault", _placed(problem, place, fix)) for problem in error.problems]
    except Exception as error:  # noqa: BLE001 - a reader met bytes it was not made for: told, with its name
        found.append(_unreadable(error, place, fix))
    return Looked(kind, tuple(found))


def below(root: Path, path: Path) -> str:
    """A path as the reader of the project's folder would type it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def all_of(kind: str, place: Path | str, parts: Iterable[Looked]) -> list[Looked]:
    """Every look of a generator of them, up to the one where it could not go on, which is told too."""
    found: list[Looked] = []
    try:
        found += parts
    except Exception as error:  # noqa: BLE001 - as in `looked`
        found.append(Looked(kind, (_unreadable(error, place, ""),)))
    return found


def _placed(problem: Problem, place: Path | str, fix: str) -> Problem:
    """The problem with the place that was looked at in front, unless it names one below it."""
    where, here = problem.where, str(place)
    if not where:
        where = here
    elif here not in where and not where.endswith(Path(here).name):
        where = f"{here} ({where})"
    return Problem(
        code=problem.code,
        what=problem.what,
        where=where,
        expected=problem.expected,
        fix=fix or problem.fix,
        nearest=problem.nearest,
    )


def _unreadable(error: Exception, place: Path | str, fix: str) -> Finding:
    reason = (error.strerror or "").lower() if isinstance(error, OSError) else ""
    return fault(
        "not-readable",
        f"cannot be read ({reason or type(error).__name__})",
        where=str(place),
        expected="what Burnish wrote there",
        fix=fix or "check its owner and mode, or put a backup back",
    )
