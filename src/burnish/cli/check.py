"""What burnish data check shows, and what --fix does about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.cli import say
from burnish.cli.circle import recipe_of
from burnish.cli.edge import terminal_edge
from burnish.errors import EXIT_DONE, EXIT_PROBLEM, fail

if TYPE_CHECKING:
    from burnish.curate import Checked, Fixed
    from burnish.data.fix import Change, Fix
    from burnish.records.recipe import Recipe

_SHOWN = 5
_WIDTH = 70


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    files: tuple[Path, ...]
    asked: tuple[str, ...]
    method: str | None
    project: Path
    as_json: bool

    @property
    def recipe(self) -> Recipe:
        """The project's recipe with the method asked for, head first."""
        return recipe_of(
            self.project, base=None, method=self.method, epochs=None, learning_rate=None,
            max_tokens=None, seed=None,
        )  # fmt: skip


def look(wanted: Wanted, *, asked: Sequence[str] = ()) -> Checked:
    """Run the checks over the files named or the project's own."""
    from burnish import curate
    from burnish.project import open_project

    names = tuple(dict.fromkeys((*wanted.asked, *asked)))
    models = [name for name in names if name != "near-duplicates"]
    edge = terminal_edge(quiet=not models)
    opened = None if wanted.files else open_project(wanted.project)
    with edge.interruptible() as stop:
        judges = None
        if models:
            judges = curate.judges(
                opened.task if opened else None,
                wanted.recipe,
                edge,
                stop=stop,
                tuned=wanted.method not in (None, "head"),
            )
        if opened is None:
            return curate.check_files(wanted.files, asked=names, judges=judges)
        counter = curate.token_counter(opened, wanted.recipe, edge, cached=True)
        return curate.check_data(opened, counter=counter, asked=names, judges=judges)


def show_findings(checked: Checked, code: str | None, *, as_json: bool) -> int:
    """Print what was found; with a code only that, its rows in full."""
    from burnish.data.shape import title_of

    issues = tuple(issue for issue in checked.issues if code is None or _is(issue.code, code))
    worst = EXIT_PROBLEM if any(issue.severity == "error" for issue in issues) else EXIT_DONE
    rows = len(checked.scene)
    every = {one.issue: one.numbers for one in checked.findings} if code else {}
    if as_json:
        found = [issue.model_dump(mode="json") for issue in issues]
        for one, issue in zip(found, issues, strict=True):
            if every.get(issue):
                one["rows"] = [checked.scene.place(number) for number in every[issue]]
        rejected = {reason: one.count for reason, one in checked.scene.rejections.items()}
        say.as_json(
            {
                "rows_in": rows + checked.rejected,
                "readable": rows,
                "files": [
                    {"name": name, "encoding": facts.encoding, "shape": facts.shape}
                    for name, facts in zip(
                        checked.reading.names, checked.reading.facts, strict=True
                    )
                ],
                "rejected": rejected,
                "issues": found,
            }
        )
        return worst
    say.result(f"{rows + checked.rejected} rows in: {rows} readable, {checked.rejected} rejected")
    for name, facts in zip(checked.reading.names, checked.reading.facts, strict=True):
        if title := title_of(facts.shape):
            say.result(f"{name}: {title}")
    for issue in issues:
        say.result(f"{issue.severity}: {issue.code}: {issue.what}")
        if every.get(issue):
            for number in every[issue]:
                say.result(f"    {checked.scene.place(number)}")
        elif issue.rows:
            shown = issue.rows if code else issue.rows[:3]
            more = f" and {issue.count - len(shown)} more" if issue.count > len(shown) else ""
            say.result(f"    rows: {', '.join(shown)}{more}")
        if issue.fix:
            lines = issue.fix.replace("\n", "\n         ")
            say.result(f"    fix: {lines}")
    say.result(
        "next: burnish run" if worst == EXIT_DONE else "next: mend the errors, or run as it is"
    )
    return worst


def fix_rows(wanted: Wanted, code: str, *, relabel: bool, yes: bool) -> int:
    """Show what the mend of a finding changes; with `yes` record it and make the next version."""
    from burnish import curate
    from burnish.data.fix import check_for
    from burnish.project import open_project

    if wanted.files:
        raise fail(
            "not-mendable",
            "files without a task have no versions",
            where="--fix",
            expected="a folder with task.toml",
            fix=f"burnish init {wanted.files[0]}",
        )
    check = check_for(code)
    checked = look(wanted, asked=(check,) if check else ())
    opened = open_project(wanted.project)
    fix = curate.plan_fix(opened, checked, code, relabel=relabel)
    if not fix.changes:
        if wanted.as_json:
            say.as_json(_told(fix, None))
        else:
            say.result(f"{code}: nothing is left to fix")
        return EXIT_DONE
    made = None
    if yes:
        made = curate.make_fix(opened, fix, wanted.recipe, terminal_edge(quiet=True))
    if wanted.as_json:
        say.as_json(_told(fix, made))
        return EXIT_DONE
    say.result(f"{code}: {fix.action} {len(fix.changes)} rows")
    for change in fix.changes[:_SHOWN]:
        say.result(f"    {change.row.source.where}  {_line(change)}")
    if len(fix.changes) > _SHOWN:
        say.result(f"    and {len(fix.changes) - _SHOWN} more")
    if made is None:
        again = " --relabel" if relabel else ""
        say.result(f"nothing was changed; next: burnish data check --fix {code}{again} --yes")
        return EXIT_DONE
    say.result(f"dataset  {made.before.id} -> {made.after.id}")
    for edit in made.edits:
        say.result(f"edit     {edit.id}: {edit.action} of {len(edit.keys)} rows")
    newest = " (once for each edit)" if len(made.edits) > 1 else ""
    say.result(f"undo     burnish data undo{newest}")
    return EXIT_DONE


def _told(fix: Fix, made: Fixed | None) -> dict[str, object]:
    return {
        "code": fix.code,
        "action": fix.action,
        "rows": [change.row.source.where for change in fix.changes],
        "changed": made is not None,
        "before": made.before.id if made else None,
        "after": made.after.id if made else None,
        "edits": [edit.id for edit in made.edits] if made else [],
    }


def _line(change: Change) -> str:
    before = _short("\n".join(change.row.inputs.values()))
    if change.to is not None:
        from burnish.records.label import label_names

        said = "+".join(label_names(change.row.label)) if change.row.label else "no label"
        return f"{before}  {said} -> {'+'.join(change.to) or 'no label'}"
    return before if change.text is None else f"-> {_short(change.text)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"}"'


def _is(found: str, code: str) -> bool:
    return found == code or (code == "personal" and found.startswith("personal-"))
