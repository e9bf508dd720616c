"""What a version was measured on: the test rows of its report, answered by its own bundle, embedded by the base.

Computed once for a bundle and kept beside it; texts stay in the dataset.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
from safetensors.numpy import load_file, save_file

from burnish.data.dataset import load_rows
from burnish.data.redact import redact
from burnish.data.tombstones import standing
from burnish.deploy.bundle import Opened, OpenedText
from burnish.encode.render import render
from burnish.evaluate.predict import predict_encodings
from burnish.evaluate.report_folder import load_report
from burnish.evaluate.scored import scored_from, targets_of
from burnish.models.fitted_text import confidence_of
from burnish.monitor.endings import answered_endings, asked_text, endings
from burnish.monitor.reference_folder import FILE, OWNER, reference_fault
from burnish.monitor.seen import Reference, Seen
from burnish.records.encoding import FloatArray
from burnish.records.example import Example
from burnish.records.label import label_names
from burnish.records.task import Task
from burnish.store.durable import new_folder, remove_folder
from burnish.store.workspace import Workspace
from burnish.tasks.kind import kind_of

# Enough that the reference's own sampling error is below a window's; more only costs time once.
_MOST_ROWS = 2000
# Texts are written token by token: as many as a report writes by default, so that a first look takes minutes.
_MOST_WRITTEN = 200

Embed = Callable[[Sequence[str]], FloatArray]


def reference_of(
    task: Task,
    workspace: Workspace,
    opened: Opened | OpenedText,
    *,
    embed: Embed | None,
    seed: int,
    announce: Callable[[str], None],
) -> Reference:
    """The reference of a verified bundle. `embed` turns texts into unit vectors; without it there are none.

    Texts are redacted as the journal's are, so that a redaction is not taken for drift.

    Raises: dataset-damaged, report-damaged, id-unknown when the dataset is gone, and what the model raises.
    """
    rows = _rows_of(opened, workspace, seed=seed)
    texts = [journal_text(task, row.inputs) for row in rows]
    arrays = _kept(opened, workspace, rows=len(rows), wants_vectors=embed is not None)
    if arrays is None:
        announce(f"measuring the reference of {opened.bundle.task_name} on {len(rows)} test rows")
        arrays = _computed(opened, rows, texts, embed=embed)
        _keep(opened, workspace, arrays)
    own = opened.task
    if isinstance(opened, OpenedText):
        names, said_RL = endings(own), arrays["probabilities_RL"] > 0
        right_R = arrays["right_R"] > 0 if own.finds else np.zeros(0, np.bool_)
    else:
        scored = scored_from(
            targets_of(own, rows), arrays["probabilities_RL"], objective=kind_of(own).objective
        )
        names, said_RL, right_R = own.label_names, scored.said_RL, scored.right_R
    vectors = arrays.get("vectors_RH")
    return Reference(
        seen=Seen(
            labels=names,
            texts=texts,
            probabilities_RL=arrays["probabilities_RL"],
            said_RL=said_RL,
            confidence_R=arrays["confidence_R"],
            embedded_K=np.arange(len(rows) if vectors is not None else 0),
            vectors_KH=vectors,
        ),
        right_R=right_R,
        calibrated=_is_calibrated(workspace, opened),
    )


def journal_text(task: Task, inputs: dict[str, str]) -> str:
    """The text of a row as the journal keeps it: rendered, what the task redacts taken out."""
    return redact(asked_text(task, inputs), task.redact).text


def _rows_of(opened: Opened | OpenedText, workspace: Workspace, *, seed: int) -> list[Example]:
    rows = load_rows(workspace, standing(workspace, opened.bundle.dataset_id))["test"]
    most = _MOST_WRITTEN if opened.task.writes else _MOST_ROWS
    if len(rows) <= most:
        return rows
    chosen = np.random.default_rng(seed).choice(len(rows), most, replace=False)
    return [rows[row] for row in sorted(chosen)]


def _computed(
    opened: Opened | OpenedText,
    rows: Sequence[Example],
    texts: Sequence[str],
    *,
    embed: Embed | None,
) -> dict[str, FloatArray]:
    # the model answers what it was measured on: the row itself, nothing redacted
    if isinstance(opened, OpenedText):
        arrays = _answered(opened, rows)
    else:
        encodings = opened.fitted.encode([render(opened.task, row.inputs) for row in rows])
        answers = predict_encodings(opened.fitted, opened.task, encodings)
        arrays = {
            "probabilities_RL": np.stack([answer.probabilities_L for answer in answers]),
            "confidence_R": np.array([answer.answer.confidence for answer in answers]),
        }
    if embed is not None:
        arrays["vectors_RH"] = np.ascontiguousarray(embed(texts), dtype=np.float64)
    return arrays


def _answered(opened: OpenedText, rows: Sequence[Example]) -> dict[str, FloatArray]:
    """How answers that are texts ended, how likely each was, and which are right word by word. Shapes: (R, L), (R,), (R,)."""
    answers = opened.fitted.answer(opened.task, [row.inputs for row in rows])
    right = [
        row.label is not None and answer.text in (label_names(row.label) or ("",))
        for row, answer in zip(rows, answers, strict=True)
    ]
    return {
        "probabilities_RL": answered_endings(opened.task, answers),
        "confidence_R": np.array([confidence_of(answer) for answer in answers]),
        "right_R": np.array(right, dtype=np.float64),
    }


def _kept(
    opened: Opened | OpenedText, workspace: Workspace, *, rows: int, wants_vectors: bool
) -> dict[str, FloatArray] | None:
    folder = workspace.references / opened.bundle.id
    if not folder.is_dir():
        return None
    if reference_fault(folder) is not None:
        remove_folder(folder)
        return None
    arrays = load_file(folder / FILE)
    whole = len(arrays["confidence_R"]) == rows and (not wants_vectors or "vectors_RH" in arrays)
    return arrays if whole else None


def _keep(opened: Opened | OpenedText, workspace: Workspace, arrays: dict[str, FloatArray]) -> None:
    folder = workspace.references / opened.bundle.id
    if folder.is_dir():
        remove_folder(folder)
    with new_folder(folder) as staging:
        save_file(arrays, staging / FILE)
        (staging / OWNER).write_text(json.dumps({"bundle_id": opened.bundle.id}), "utf-8")


def _is_calibrated(workspace: Workspace, opened: Opened | OpenedText) -> bool:
    """Whether the report measured how far the confidence can be believed; a report that is gone did not.

    Raises: report-damaged.
    """
    folder = workspace.reports / opened.bundle.report_id
    return folder.is_dir() and load_report(folder).calibration is not None
