"""Where rows that are meant stand in a workspace, and what is known about them. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.data.erased import Erased, only_there
from burnish.data.examples import ReadResult, read_examples
from burnish.data.fold import fold
from burnish.data.forget import Holding, search_datasets
from burnish.data.redact import redact
from burnish.data.tombstones import EVENT_KIND, load_tombstones, standing
from burnish.data.wanted import Wanted
from burnish.errors import BurnishError
from burnish.project import Edge, Project
from burnish.records.example import Example, input_id
from burnish.records.forgotten import Learnt
from burnish.records.label import label_names
from burnish.store.workspace import Workspace, names_in

if TYPE_CHECKING:
    from burnish.deploy.forget import Marked
    from burnish.evaluate.forget import Told
    from burnish.records.signal import Watched

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


def search(project: Project, edge: Edge, wanted: Wanted, *, also: Sequence[Example] = ()) -> Found:
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
    from burnish.store.words import ANSWER

    task, workspace = project.task, project.workspace
    holdings = search_datasets(workspace, wanted)
    in_files, unread = _in_files(project, wanted)
    rows = [*(row for one in holdings for row in one.rows), *in_files, *also]
    ids = {row.row_id for row in rows}
    remaining = _remaining(project, ids)
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
        about = {*predictions, *owners}
        about |= {one.id for _, one in feedback(ledger) if one.prediction_id in about}
        # and what was answered to it, or said to be right, may quote it
        gone_texts += [one for one in kept if one.owner.removesuffix(ANSWER) in about]
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
        workspace,
        erased=erased,
        is_gone=lambda column, value: (column, value) in values,
        places={row.source.where for row in rows},
    )
    answers = frozenset() if task.is_closed else _answers(workspace, rows, ids)
    spelt = [text for inputs in gone_inputs for text in _rendered(project, inputs)]
    bundles = search_bundles(
        workspace, is_meant=is_meant, words=Words(spelt, others, values, answers)
    )
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


def _in_files(project: Project, wanted: Wanted) -> tuple[tuple[Example, ...], str]:
    """The rows of the task's own files that are meant, and why the files could not be read."""
    try:
        read: ReadResult = read_examples(project.task, project.workspace.root)
    except BurnishError as error:
        return (), error.problems[0].code
    return tuple(row for rows in read.examples.values() for row in rows if wanted.means(row)), ""


def _remaining(project: Project, gone: set[str]) -> list[str]:
    """Every text, as it is and as models read it, and every cell of every dataset's other rows, each once."""
    from burnish.data.dataset import load_rows

    workspace = project.workspace
    found: dict[str, None] = {}
    for name in names_in(workspace.datasets):
        for rows in load_rows(workspace, name).values():
            for row in rows:
                if row.row_id not in gone:
                    found.update(dict.fromkeys(_rendered(project, row.inputs)[:1]))
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


def _answers(workspace: Workspace, rows: Sequence[Example], gone: set[str]) -> frozenset[str]:
    """Texts that are right for rows that are meant and for no other."""
    from burnish.data.dataset import load_rows

    found = {text for row in rows if row.label is not None for text in label_names(row.label)}
    for name in names_in(workspace.datasets):
        for others in load_rows(workspace, name).values():
            for row in others:
                if row.row_id not in gone and row.label is not None:
                    found -= set(label_names(row.label))
    return frozenset(found)


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


def _measured_on(workspace: Workspace, bundle_id: str) -> str:
    """The dataset, as it stands today, that a reference was measured on; empty when its bundle is gone."""
    from burnish.deploy.bundle import load_bundle

    try:
        return standing(workspace, load_bundle(workspace.bundles / bundle_id).dataset_id)
    except BurnishError:
        return ""


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
