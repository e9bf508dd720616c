"""A report at rest: its record read back, every byte of its folder as it was published."""

from __future__ import annotations

from pathlib import Path

from burnish.errors import fail
from burnish.records.report import Report
from burnish.store.manifest import verify_folder

RECORD, PAGE, DECISION = "report.json", "report.html", "decision.json"


def load_report(folder: Path) -> Report:
    """The record of a report folder.

    Raises: report-damaged, also when it is the folder of another report.
    """
    try:
        problems = verify_folder(folder)
        if not problems:
            report = Report.model_validate_json((folder / RECORD).read_bytes())
            if report.id == folder.name:
                return report
            why = f"its files are those of report {report.id}"
        else:
            why = problems[0].what
    except (OSError, ValueError) as error:
        why = f"it cannot be read ({type(error).__name__})"
    raise fail(
        "report-damaged",
        why,
        where=f"report {folder.name}",
        expected="the files as they were written",
        fix="remove the folder, then run the same command again",
    )
