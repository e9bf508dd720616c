"""Forget rows in reports: their texts are marked in the record and on the page, and no figure changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from burnish.data.dataset import load_dataset
from burnish.data.erased import Erased
from burnish.data.tombstones import MARK, standing
from burnish.errors import BurnishError
from burnish.evaluate.report_folder import PAGE, RECORD, load_report
from burnish.records.report import Neighbour, Report, Slice, WorstRow
from burnish.records.sample import Sample
from burnish.store.durable import new_folder, remove_folder
from burnish.store.workspace import Workspace, names_in

_MAIN = "<main>"


@dataclass(frozen=True, slots=True)
class Told:
    """A report that shows forgotten rows: the record without them, and with its mark every text that changed and
    every sentence on the page that quotes one. `cases` are the places of rows that were shown in full: they go whole.
    """

    report: Report
    changed: dict[str, str]
    sentences: dict[str, str]
    cases: tuple[str, ...]


def search_reports(
    workspace: Workspace,
    *,
    erased: Erased,
    is_gone: Callable[[str, str], bool],
    places: Collection[str] = (),
) -> tuple[Told, ...]:
    """The reports that show a row that is meant, or one of these `places`. `is_gone` tells of a column's value whether
    only such rows had it.

    Raises: report-damaged.
    """
    found = []
    for name in names_in(workspace.reports):
        report = load_report(workspace.reports / name)
        told = _told(report, erased, is_gone, _sentences(workspace, report, erased), places)
        if told.changed or told.sentences or told.cases:
            found.append(told)
    return tuple(found)


def rewrite_report(workspace: Workspace, told: Told, *, at: str) -> Path:
    """Publish the report's folder without the texts, ready to take the old one's place; its id stays.

    Raises: disk-full, not-writable.
    """
    old = workspace.reports / told.report.id
    note = (
        f"rows of this report were forgotten at {at}: their texts are marked {MARK}, and every figure "
        "is what it was when they were measured"
    )
    known = [
        one
        for one in told.report.warnings
        if not one.startswith("rows of this report were forgotten")
    ]
    report = told.report.model_copy(update={"warnings": (*known, note)})
    staged = workspace.exchange / f"reports.{told.report.id}"
    remove_folder(staged)
    with new_folder(staged) as folder:
        for source in sorted(old.iterdir()):
            if source.name == RECORD:
                (folder / RECORD).write_text(report.model_dump_json(indent=1), "utf-8")
            elif source.name == PAGE:
                (folder / PAGE).write_text(_page(source.read_text("utf-8"), told, note), "utf-8")
            elif source.name != "manifest.json":
                (folder / source.name).write_bytes(source.read_bytes())
    return staged


def _sentences(workspace: Workspace, report: Report, erased: Erased) -> dict[str, str]:
    """What the page says of the dataset's findings, where that quotes a forgotten row."""
    from markupsafe import escape

    try:
        issues = load_dataset(workspace, standing(workspace, report.dataset_id)).issues
        page = (workspace.reports / report.id / PAGE).read_text("utf-8")
    except (BurnishError, OSError):
        return {}
    said = [sentence for issue in issues for sentence in (issue.what, issue.fix)]
    changed = {sentence: erased.message(sentence) for sentence in said}
    return {old: new for old, new in changed.items() if new != old and str(escape(old)) in page}


def _told(
    report: Report,
    erased: Erased,
    is_gone: Callable[[str, str], bool],
    sentences: dict[str, str],
    places: Collection[str],
) -> Told:
    changed: dict[str, str] = {}

    def kept(old: str, new: str) -> str:
        if new != old:
            changed[old] = new
        return new

    def near(one: Neighbour) -> Neighbour:
        return one.model_copy(update={"text": kept(one.text, erased.text(one.text))})

    def worst(one: WorstRow) -> WorstRow:
        text = kept(one.text, erased.text(one.text))
        return one.model_copy(update={"text": text, "nearest": tuple(map(near, one.nearest))})

    def slice_of(one: Slice) -> Slice:
        gone = is_gone(one.column, one.value)
        return one.model_copy(update={"value": kept(one.value, MARK)}) if gone else one

    def is_case(one: Sample) -> bool:
        return one.where in places or erased.is_text(one.prompt)

    fields = {
        "worst": tuple(map(worst, report.worst)),
        "slices": tuple(map(slice_of, report.slices)),
        "samples": tuple(one for one in report.samples if not is_case(one)),
    }
    cases = tuple(one.where for one in report.samples if is_case(one))
    return Told(report.model_copy(update=fields), changed, sentences, cases)


def _page(page: str, told: Told, note: str) -> str:
    """The page with every changed text replaced as the template had escaped it, and the note at its head."""
    from markupsafe import escape

    for old, new in told.changed.items():
        for spelt in (str(escape(old)), str(escape(old)).replace("_", "_<wbr>")):
            # a text fills its element; a short one may be part of many other words
            page = page.replace(f">{spelt}<", f">{escape(new)}<")
    for old, new in told.sentences.items():
        page = page.replace(str(escape(old)), str(escape(new)))
    for where in told.cases:
        place = re.escape(str(escape(where)))
        case = rf'<article class="case">(?:(?!</article>).)*?>{place}</span></p>.*?</article>'
        page = re.sub(case, "", page, flags=re.DOTALL)
    page = re.sub(r'<p class="note" id="forgotten">.*?</p>', "", page, flags=re.DOTALL)
    mark = f'<p class="note" id="forgotten">{escape(note)}</p>'
    return page.replace(_MAIN, f"{_MAIN}\n{mark}", 1)
