"""Forget a person's rows everywhere: look, tell, then rewrite every place in an order that a kill cannot spoil.

What the rows were is known from the datasets alone, so these go last: until then the same command finds again whatever
is left. Every place is written whole before the old one is removed; the ledger's part is one commit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.data.erased import Erased, only_there
from burnish.data.examples import ReadResult, read_examples
from burnish.data.fold import fold
from burnish.data.forget import Holding, columns_of, rewrite_datasets, search_datasets
from burnish.data.redact import redact
from burnish.data.tombstones import (
    EVENT_KIND,
    load_tombstones,
    row_hash,
    standing,
    text_hash,
)
from burnish.data.wanted import Wanted, read_match, read_where
from burnish.errors import BurnishError, fail
from burnish.lifecycle import Edge, Project
from burnish.records.example import Example, input_id
from burnish.records.forgotten import Forgotten, Learnt
from burnish.records.record import content_id
from burnish.store.durable import exchange_folder, make_folder, remove_folder, sweep, write_text
from burnish.store.keyed import own_key
from burnish.store.workspace import Workspace, lock, names_in

if TYPE_CHECKING:
    from burnish.deploy.forget import Marked
    from burnish.evaluate.forget import Told
    from burnish.records.signal import Watched
    from burnish.store.ledger import Ledger

# Whoever holds one of these reads rows or writes what was made from them.
_LOCKS = ("rows", "retrain", "train", "schedule")
_QUOTING = frozenset({"deployment", "retraining", EVENT_KIND})


@dataclass(frozen=True, slots=True)
class Found:
    """Everything in the workspace that holds a row that is meant, and what is known about the rows."""

    wanted: Wanted
    holdings: tuple[Holding, ...]
    in_files: tuple[Example, ...]
    texts: tuple[str, ...]
    predictions: tuple[str, ...]
    windows: Mapping[int, Watched]
    payloads: Mapping[int, dict[str, Any]]
    reports: tuple[Told, ...]
    bundles: tuple[Marked, ...]
    tokenizers: tuple[Path, ...]
    references: tuple[Path, ...]
    pages: tuple[str, ...]
    models: tuple[Learnt, ...]
    erased: Erased
    is_meant: Callable[[Mapping[str, str]], bool]
    spelt: tuple[str, ...]
    others: tuple[str, ...]
    unread: str

    @property
    def rows(self) -> tuple[Example, ...]:
        """The rows of datasets that are meant, each once."""
        found = {row.row_id: row for one in self.holdings for row in one.rows}
        return tuple(found.values())

    @property
    def counts(self) -> dict[str, int]:
        """How much goes from each place; places without any are left out."""
        told = {
            "rows": len(self.rows),
            "datasets": sum(bool(one.rows) for one in self.holdings),
            "journal texts": len(self.texts),
            "journal hashes": len(self.predictions),
            "windows": len(self.windows),
            "events": len(self.payloads),
            "reports": len(self.reports),
            "golden rows": sum(one.golden for one in self.bundles),
            "bundles": len(self.bundles),
            "learnt words": sum(len(one.terms) + len(one.pieces) for one in self.bundles),
            "tokenizers": len(self.tokenizers),
            "references": len(self.references),
        }
        return {place: count for place, count in told.items() if count}

    @property
    def is_empty(self) -> bool:
        """Whether nothing in the workspace holds such a row."""
        return not self.counts


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What a forgetting found, or with `done` took. `files` are the places in the user's own files where the rows
    stand still; `models` those that met the rows; `command` trains again without them.
    """

    id: str
    done: bool
    counts: Mapping[str, int]
    datasets: Mapping[str, str]
    files: tuple[str, ...]
    models: tuple[Learnt, ...]
    command: str
    unread: str


def asked(
    project: Project, *, match: Path | None, containing: bool, where: Sequence[str]
) -> Wanted:
    """What is to be forgotten, as the person asked for it.

    Raises: forget-what, and the codes of read_match and read_where.
    """
    if (match is None) == (not where):
        raise fail(
            "forget-what",
            "nothing says whose rows are meant"
            if match is None
            else "both a file and --where are given",
            expected="either --match FILE or --where column=value",
            fix="burnish forget --match FILE, or burnish forget --where customer=4711",
        )
    if match is not None:
        return read_match(match, project.task, containing=containing)
    return Wanted(columns=read_where(where, columns_of(project.task, project.workspace)))


def look(project: Project, edge: Edge, wanted: Wanted) -> Forgetting:
    """What would be forgotten: counts, models and places. Changes nothing.

    Raises: nothing-matches, and the codes of whatever is damaged.
    """
    found = _search(project, edge, wanted)
    _refuse_nothing(project, found)
    return _told(project, found, id="", datasets={}, done=False)


def forget(
    project: Project, edge: Edge, wanted: Wanted, *, because: str, fresh_key: Callable[[], bytes]
) -> Forgetting:
    """Take the rows out of every file of the workspace, and write down by keyed hashes and counts that it was done.

    The same call after a kill or a full disk ends the work; after a finished one it changes nothing. Servers go on
    answering; trainings and other readers of rows must have ended.

    Raises: nothing-matches, busy, forget-incomplete, disk-full, not-writable, ledger-busy, and the codes of whatever is
        damaged.
    """
    workspace = project.workspace
    with ExitStack() as held:
        for name in _LOCKS:
            held.enter_context(lock(workspace, name))
        _finish_earlier(workspace)
        found = _search(project, edge, wanted)
        _refuse_nothing(project, found)
        key = own_key(workspace.forget_key_path, fresh=fresh_key)
        hashes = _hashes(key, found)
        new = not set(hashes) <= load_tombstones(workspace).hashes
        if found.is_empty and not new:
            return _told(project, found, id="", datasets={}, done=True)
        id = content_id([project.task.name, edge.now(), *hashes])
        # a person's own words for it may name the person
        why = found.erased.remark(because)
        stone, datasets = _rewrite(project, edge, found, id=id, hashes=hashes, because=why)
        left = _search(project, edge, wanted, also=found.rows)
        if not left.is_empty:
            raise fail(
                "forget-incomplete",
                f"something is left, or came meanwhile: {_listed(left.counts)}",
                expected="nothing",
                fix="run the same command again",
            )
    return _told(project, replace(found, models=stone.models), id=id, datasets=datasets, done=True)


def _search(project: Project, edge: Edge, wanted: Wanted, *, also: Sequence[Example] = ()) -> Found:
    """Everything that holds a row that is meant; `also` are rows that no dataset holds any more."""
    from burnish.deploy.forget import Words, search_bundles
    from burnish.encode.render import render
    from burnish.evaluate.forget import search_reports
    from burnish.monitor.forget import forget_in_window
    from burnish.store.erase import (
        NO_INPUT,
        asked_before,
        kept_texts,
        numbered_windows,
        quoting_events,
    )
    from burnish.store.feedback import feedback
    from burnish.store.journal import find_many
    from burnish.store.ledger import open_ledger

    task, workspace = project.task, project.workspace
    holdings = search_datasets(workspace, wanted)
    in_files, unread = _in_files(project, wanted)
    rows = [*(row for one in holdings for row in one.rows), *in_files, *also]
    ids = {row.row_id for row in rows}
    remaining = _remaining(workspace, ids)
    # texts of these rows, wherever they stand without their columns
    same = frozenset(row.input_id for row in rows)
    redacted = {fold(text) for row in rows for text in _rendered(project, row.inputs)}

    def is_meant(inputs: Mapping[str, str]) -> bool:
        if input_id(dict(inputs)) in same or wanted.means_inputs(inputs):
            return True
        return set(task.inputs) <= set(inputs) and fold(render(task, inputs)) in redacted

    with open_ledger(workspace.ledger_path) as ledger:
        gone_texts, kept = [], []
        for one in kept_texts(ledger):
            (gone_texts if is_meant(one.inputs) else kept).append(one)
        gone_inputs = [dict(row.inputs) for row in rows] + [one.inputs for one in gone_texts]
        hashed = sorted(
            {*same, *(input_id(inputs) for inputs in gone_inputs), *_line_ids(project, wanted)}
        )
        owners = {one.owner for one in gone_texts}
        said = [one.prediction_id for _, one in feedback(ledger) if one.id in owners]
        predictions = sorted({*asked_before(ledger, hashed), *find_many(ledger, [*owners, *said])})
        # what was asked with a forgotten hash is a forgotten text, also where it was redacted
        gone_texts += [one for one in kept if one.owner in set(predictions)]
        texts = {one.owner for one in gone_texts}
        kept = [one for one in kept if one.owner not in texts]
        others = [*remaining, *(text for one in kept for text in one.inputs.values())]
        erased = _erased(project, wanted, gone_inputs, rows, others)
        seen = numbered_windows(ledger)
        windows = {
            number: new
            for number, one in seen.items()
            if (new := forget_in_window(one, erased=erased, predictions=set(predictions))) != one
        }
        payloads = {
            number: new
            for number, old in quoting_events(ledger, kinds=_QUOTING).items()
            if (new := _remarked(old, erased)) != old
        }
        known = find_many(ledger, predictions)
        predictions = [id for id in predictions if known[id].prediction.input_id != NO_INPUT]
    values = _values(workspace, rows, ids)
    reports = search_reports(
        workspace, erased=erased, is_gone=lambda column, value: (column, value) in values
    )
    spelt = [text for inputs in gone_inputs for text in _rendered(project, inputs)]
    bundles = search_bundles(workspace, is_meant=is_meant, words=Words(spelt, others))
    tokenizers = _tokenizers(workspace, edge.cache, spelt, others)
    touched = {one.dataset.id for one in holdings if one.gone["test"]}
    references = tuple(
        workspace.references / name
        for name in names_in(workspace.references)
        if _measured_on(workspace, name) in touched or any(one.bundle.id == name for one in bundles)
    )
    return Found(
        wanted=wanted,
        holdings=holdings,
        in_files=in_files,
        texts=tuple(sorted(texts)),
        predictions=tuple(predictions),
        windows=windows,
        payloads=payloads,
        reports=reports,
        bundles=bundles,
        tokenizers=tokenizers,
        references=references,
        pages=tuple(sorted({one.version for one in windows.values()})),
        models=_models(project, holdings),
        erased=erased,
        is_meant=is_meant,
        spelt=tuple(spelt),
        others=tuple(others),
        unread=unread,
    )


def _rewrite(
    project: Project,
    edge: Edge,
    found: Found,
    *,
    id: str,
    hashes: tuple[str, ...],
    because: str,
) -> tuple[Forgotten, dict[str, str]]:
    """Every place in turn: what was derived, the ledger, and last the datasets, from which all else is known."""
    from burnish.deploy.deployments import replace_bundle
    from burnish.deploy.forget import rewrite_bundle
    from burnish.evaluate.forget import rewrite_report
    from burnish.store.erase import Erasure, erase
    from burnish.store.ledger import open_ledger, record_event

    task, workspace, at = project.task, project.workspace, edge.now()
    make_folder(workspace.exchange)
    _sweep(workspace)
    for told in found.reports:
        edge.announce(f"report {told.report.id}")
        published = rewrite_report(workspace, told, at=at)
        exchange_folder(workspace.reports / told.report.id, published=published)
    for folder in found.references:
        remove_folder(folder)
    for folder in found.tokenizers:
        _forget_tokenizer(project, folder, found)
    with open_ledger(workspace.ledger_path) as ledger:
        for one in found.bundles:
            edge.announce(f"bundle {one.bundle.id}")
            spare = _spare(workspace, one.bundle.dataset_id, found)
            new = rewrite_bundle(workspace, one, is_meant=found.is_meant, spare=spare, at=at)
            if new.id != one.bundle.id:
                replace_bundle(
                    ledger,
                    new,
                    replaced=one.bundle.id,
                    by=edge.by,
                    because="rows were forgotten",
                    at=at,
                )
                remove_folder(workspace.bundles / one.bundle.id)
        _write_pages(project, ledger, found)
        erase(
            ledger,
            Erasure(found.texts, found.predictions, found.windows, found.payloads),
        )
        edge.announce("datasets")
        datasets = rewrite_datasets(task, workspace, found.holdings, erased=found.erased)
        stone = Forgotten(
            id=id,
            task_name=task.name,
            datasets=datasets,
            counts=found.counts,
            hashes=hashes,
            models=found.models,
            by=edge.by,
            because=because,
            at=at,
        )
        record_event(
            ledger,
            kind=EVENT_KIND,
            subject=task.name,
            by=edge.by,
            at=at,
            payload=stone.model_dump(mode="json"),
        )
    for old in datasets:
        remove_folder(workspace.datasets / old)
    return stone, datasets


def _finish_earlier(workspace: Workspace) -> None:
    """End what a killed forgetting began: folders on their way take their places."""
    from burnish.store.manifest import verify_folder

    _sweep(workspace)
    for name in names_in(workspace.exchange):
        published = workspace.exchange / name
        if verify_folder(published):
            remove_folder(published)
        else:
            exchange_folder(workspace.state / name.replace(".", "/"), published=published)


def _sweep(workspace: Workspace) -> None:
    """Remove what killed writers left: half-written folders hold rows too."""
    for folder in (workspace.state, *(one for one in workspace.state.iterdir() if one.is_dir())):
        sweep(folder)
    for name in names_in(workspace.runs):
        sweep(workspace.runs / name)
    with lock(workspace, "bundles"):
        # where make_bundle drafts; nobody is at it under the lock
        shutil.rmtree(workspace.bundles / ".draft", ignore_errors=True)


def _in_files(project: Project, wanted: Wanted) -> tuple[tuple[Example, ...], str]:
    """The rows of the task's own files that are meant, and why the files could not be read."""
    try:
        read: ReadResult = read_examples(project.task, project.workspace.root)
    except BurnishError as error:
        return (), error.problems[0].code
    return tuple(row for rows in read.examples.values() for row in rows if wanted.means(row)), ""


def _remaining(workspace: Workspace, gone: set[str]) -> list[str]:
    """Every text and cell of every dataset's other rows, each once."""
    from burnish.data.dataset import load_rows

    found: dict[str, None] = {}
    for name in names_in(workspace.datasets):
        for rows in load_rows(workspace, name).values():
            for row in rows:
                if row.row_id not in gone:
                    found.update(dict.fromkeys(row.inputs.values()))
                    found.update(dict.fromkeys(row.columns.values()))
                    found[row.group or ""] = None
    return list(found)


def _values(workspace: Workspace, rows: Sequence[Example], gone: set[str]) -> set[tuple[str, str]]:
    """(column, value) pairs that only rows that are meant have."""
    from burnish.data.dataset import load_rows

    found = {pair for row in rows for pair in row.columns.items()}
    for name in names_in(workspace.datasets):
        for others in load_rows(workspace, name).values():
            for row in others:
                if row.row_id not in gone:
                    found -= set(row.columns.items())
    return found


def _rendered(project: Project, inputs: Mapping[str, str]) -> list[str]:
    """What records show of a row: the text the model read, as it was asked and as the journal keeps it."""
    from burnish.encode.render import render

    task = project.task
    if not set(task.inputs) <= set(inputs):
        return list(inputs.values())
    kept = {name: redact(text, task.redact).text for name, text in inputs.items()}
    plain = render(task, inputs)
    return [plain, redact(plain, task.redact).text, render(task, kept)]


def _erased(
    project: Project,
    wanted: Wanted,
    gone: Sequence[Mapping[str, str]],
    rows: Sequence[Example],
    others: Sequence[str],
) -> Erased:
    from burnish.evaluate.worst import excerpt
    from burnish.monitor.change import cut

    whole: set[str] = set(wanted.texts)
    for inputs in gone:
        for text in (*inputs.values(), *_rendered(project, inputs)):
            whole |= {fold(text), fold(excerpt(text)), fold(cut(text))}
    texts = [text for inputs in gone for text in inputs.values()]
    texts += [cell for row in rows for cell in (*row.columns.values(), row.group or "")]
    texts += [*wanted.texts, *wanted.pieces, *(value for _, value in wanted.columns)]
    ours = project.task.model_dump_json()
    return Erased(wanted, frozenset(whole - {""}), only_there(texts, [*others, ours]))


def _line_ids(project: Project, wanted: Wanted) -> list[str]:
    """The plain hashes of texts that are asked for, for journals that keep nothing else."""
    if len(project.task.inputs) != 1:
        return [input_id(dict(row)) for row in wanted.rows]
    name = project.task.inputs[0]
    return [
        *(input_id({name: text}) for text in wanted.texts),
        *(input_id({name: row[name]}) for row in wanted.rows if name in row),
    ]


def _remarked(value: Any, erased: Erased) -> Any:
    """A payload with what people and errors said cleaned."""
    if isinstance(value, dict):
        return {
            name: erased.remark(one)
            if name in ("because", "message") and isinstance(one, str)
            else _remarked(one, erased)
            for name, one in value.items()
        }
    return [_remarked(one, erased) for one in value] if isinstance(value, list) else value


def _tokenizers(
    workspace: Workspace, cache: Path, gone: Sequence[str], others: Sequence[str]
) -> tuple[Path, ...]:
    """The folders of runs, and of made models in the cache, whose tokenizer learnt words of these rows alone."""
    from burnish.models.learnt_words import TOKENIZER_FILE, is_tiny, pieces_only_in

    places = [workspace.runs / name / "model" for name in names_in(workspace.runs)]
    places += sorted(cache.glob("tiny-*")) if cache.is_dir() else []
    return tuple(
        folder
        for folder in places
        if (folder / TOKENIZER_FILE).is_file()
        and is_tiny(folder)
        and pieces_only_in((folder / TOKENIZER_FILE).read_bytes(), gone, others)
    )


def _forget_tokenizer(project: Project, folder: Path, found: Found) -> None:
    from burnish.models.learnt_words import TOKENIZER_FILE, pieces_only_in, without_pieces
    from burnish.store.durable import new_folder

    workspace = project.workspace
    if not folder.is_relative_to(workspace.root):
        # a made base model in the cache: made again, of other rows, when it is needed
        remove_folder(folder)
        return
    staged = workspace.exchange / folder.relative_to(workspace.state).as_posix().replace("/", ".")
    old = (folder / TOKENIZER_FILE).read_bytes()
    pieces = pieces_only_in(old, found.spelt, found.others)
    remove_folder(staged)
    with new_folder(staged) as made:
        for source in sorted(folder.iterdir()):
            if source.name == TOKENIZER_FILE:
                (made / TOKENIZER_FILE).write_bytes(without_pieces(old, pieces))
            elif source.name != "manifest.json":
                shutil.copyfile(source, made / source.name)
    exchange_folder(folder, published=staged)


def _measured_on(workspace: Workspace, bundle_id: str) -> str:
    """The dataset, as it stands today, that a reference was measured on; empty when its bundle is gone."""
    from burnish.deploy.bundle import load_bundle

    try:
        return standing(workspace, load_bundle(workspace.bundles / bundle_id).dataset_id)
    except BurnishError:
        return ""


def _spare(workspace: Workspace, dataset_id: str, found: Found) -> list[dict[str, str]]:
    """Inputs for new golden rows: test rows that stay."""
    from burnish.data.dataset import load_rows
    from burnish.deploy.release import golden_examples

    try:
        rows = load_rows(workspace, standing(workspace, dataset_id))["test"]
    except BurnishError:
        return []
    kept = [row for row in rows if not found.is_meant(row.inputs)]
    return [row.inputs for row in golden_examples(kept)]


def _write_pages(project: Project, ledger: Ledger, found: Found) -> None:
    from burnish.monitor.page import monitor_page
    from burnish.store.erase import numbered_windows
    from burnish.store.journal import count_answers

    windows = {**numbered_windows(ledger), **found.windows}
    for version in found.pages:
        mine = [one for _, one in sorted(windows.items()) if one.version == version]
        page = project.workspace.monitoring / f"{version}.html"
        if page.is_file():
            waiting = count_answers(ledger, version=version, after=mine[-1].last)
            write_text(page, monitor_page(project.task, mine, version=version, waiting=waiting))


def _models(project: Project, holdings: Sequence[Holding]) -> tuple[Learnt, ...]:
    """The runs and versions that were trained or measured on a row that is meant, in the order they were made."""
    from burnish.deploy.bundle import load_bundle
    from burnish.deploy.deployments import deployments
    from burnish.store.ledger import open_ledger
    from burnish.train.runs import load_run

    workspace = project.workspace
    tombs = load_tombstones(workspace)
    held = {one.dataset.id: one for one in holdings if one.rows}
    found: list[Learnt] = []

    def learnt(kind: str, name: str, dataset_id: str, *, stage: str = "") -> None:
        known = held.get(dataset_id) or held.get(tombs.standing(dataset_id))
        if known is None:
            return
        trained = len(known.gone["train"])
        fields = {
            "kind": kind,
            "name": name,
            "how": "trained" if trained else "measured",
            "rows": trained or len(known.rows),
            "stage": stage,
        }
        found.append(Learnt.model_validate(fields))

    for name in names_in(workspace.runs):
        run = load_run(workspace.runs / name)
        learnt("run", run.id, run.dataset_id)
    with open_ledger(workspace.ledger_path) as ledger:
        known = {one.bundle_id: one for one in deployments(ledger)}
    for name in names_in(workspace.bundles):
        bundle = load_bundle(workspace.bundles / name)
        deployed = known.get(bundle.id)
        if deployed is None:
            learnt("bundle", bundle.id, bundle.dataset_id)
        else:
            learnt("version", deployed.version, bundle.dataset_id, stage=deployed.stage)
    return tuple(found)


def _hashes(key: bytes, found: Found) -> tuple[str, ...]:
    """What lets an import know these rows again. Asked by column, the very rows; else every row of their text."""
    known = [*found.rows, *found.in_files]
    by = row_hash if found.wanted.by_column else text_hash
    return tuple(sorted({by(key, row) for row in known}))


def _refuse_nothing(project: Project, found: Found) -> None:
    if found.is_empty and not found.in_files:
        raise fail(
            "nothing-matches",
            "no row, journalled text, report or model of this workspace holds what you look for",
            where=project.task.name,
            expected="at least one match; texts are compared whole, white space folded",
            fix="check the spelling; --containing looks for pieces of a text",
        )


def _told(
    project: Project, found: Found, *, id: str, datasets: Mapping[str, str], done: bool
) -> Forgetting:
    del project
    trained = any(one.how == "trained" for one in found.models)
    reason = f"forget {id}" if id else "forget"
    return Forgetting(
        id=id,
        done=done,
        counts=found.counts,
        datasets=datasets,
        files=tuple(row.source.where for row in found.in_files),
        models=found.models,
        command=f'burnish retrain --because "{reason}"' if trained else "",
        unread=found.unread,
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {place}" for place, count in counts.items())
