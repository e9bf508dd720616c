"""burnish data check --suggest: what task.toml should say about its data, to paste or to write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from burnish.cli import say

if TYPE_CHECKING:
    from burnish.project import Project


def show_suggestion(opened: Project, *, write: bool, as_json: bool) -> None:
    """Print the suggestion; with `write` put it into task.toml, whole or not at all."""
    from burnish.data.suggest import suggest, suggestion_text
    from burnish.tasks.amend import amend_task

    workspace = opened.workspace
    found = suggest(opened.task, workspace.root)
    text = suggestion_text(found)
    written = write and not found.is_empty
    if written:
        amend_task(workspace.task_path, found.task)
    if as_json:
        say.as_json(
            {
                "spellings": [
                    {
                        "spelling": one.spelling,
                        "label": one.label,
                        "rows": one.rows,
                        "differs_in": one.differs_in,
                    }
                    for one in found.spellings
                ],
                "questions": [
                    {
                        "spellings": list(one.spellings),
                        "rows": one.rows,
                        "what": one.what,
                        "labels": list(one.labels),
                    }
                    for one in found.questions
                ],
                "normalise": dict(found.rules),
                "toml": text,
                "written": written,
            }
        )
        return
    # all of it is TOML: what is not a key is a comment
    if text:
        say.result(text)
    name = Path(workspace.task_path).name
    if written:
        say.result(f"# written to {name}; it is another task now: a model of the old one stays")
        say.result("# next: burnish data check")
    elif found.is_empty:
        say.result(f"# nothing to add to {name}")
    else:
        say.result(f"# for the labels named, these blocks take the place of those in {name}")
        say.result("# next: burnish data check --suggest --write, or paste what you agree with")
