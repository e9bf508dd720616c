"""One error shape for the command line, HTTP and pages: what went wrong, where, what was expected, what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

EXIT_DONE = 0
EXIT_PROBLEM = 1
EXIT_USAGE = 2
EXIT_GATE = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, told so that the reader can mend it.

    `code` is a stable kebab-case word documented in docs/errors.md. `where` names the place
    ("tickets.csv line 812, column \\"label\\""), `what` what was found there, `expected` what would
    have been right, `fix` the next thing to do or type.

    Example:
        >>> problem = Problem(code="label-unknown", where="t.csv line 3", what='found "spma"',
        ...                   expected="one of: ham, spam", fix="correct the row", nearest="spam")
        >>> print(problem.text())
        error: label-unknown
          t.csv line 3: found "spma".
          expected one of: ham, spam.
          fix: correct the row.   (nearest: "spam")
    """

    code: str
    what: str
    where: str = ""
    expected: str = ""
    fix: str = ""
    nearest: str | None = None
    more: int = 0

    def text(self) -> str:
        """The problem as the terminal shows it, without colour."""
        place = f"{self.where}: " if self.where else ""
        lines = [f"error: {self.code}", f"  {place}{_sentence(self.what)}"]
        if self.expected:
            lines.append(f"  expected {_sentence(self.expected)}")
        hint = f'   (nearest: "{self.nearest}")' if self.nearest else ""
        if self.fix:
            lines.append(f"  fix: {_sentence(self.fix)}{hint}")
        if self.more:
            lines.append(f"  ... and {self.more} more like it.")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """The same fields as plain JSON values, empty ones left out."""
        fields = ("code", "where", "what", "expected", "fix", "nearest", "more")
        return {name: getattr(self, name) for name in fields if getattr(self, name)}


@dataclass(eq=False)
class BurnishError(Exception):
    """Every error Burnish raises on purpose: one or more problems and the exit code they carry.

    Example:
        >>> error = fail("file-missing", 'no file named "t.csv"', fix="check the path")
        >>> error.problems[0].code, error.exit_code
        ('file-missing', 1)
    """

    problems: tuple[Problem, ...]
    exit_code: int = field(default=EXIT_PROBLEM)

    def __str__(self) -> str:
        return "\n".join(problem.text() for problem in self.problems)

    @property
    def code(self) -> str:
        """The code of the first problem."""
        return self.problems[0].code


def fail(
    code: str,
    what: str,
    *,
    where: str = "",
    expected: str = "",
    fix: str = "",
    nearest: str | None = None,
    exit_code: int = EXIT_PROBLEM,
) -> BurnishError:
    """Build (not raise) the error for a single problem, so that call sites read `raise fail(...)`."""
    problem = Problem(
        code=code, what=what, where=where, expected=expected, fix=fix, nearest=nearest
    )
    return BurnishError((problem,), exit_code)


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that looks most like `word`, or None when nothing is close.

    Example:
        >>> nearest("spma", ["spam", "ham"])
        'spam'
        >>> nearest("zzz", ["spam", "ham"]) is None
        True
    """
    known = list(choices)
    folded = {choice.casefold().strip(): choice for choice in reversed(known)}
    close: Sequence[str] = difflib.get_close_matches(word.casefold().strip(), list(folded), n=1)
    return folded[close[0]] if close else None


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
