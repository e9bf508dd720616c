"""Rows are forgotten by what answers with texts: a baseline that quotes them, golden rows, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

from burnish.decide.text_baselines import retrieval
from burnish.decide.text_candidates import asked_of
from burnish.deploy.bundle import make_bundle, open_text_bundle
from burnish.deploy.engines.text_arrays import AnsweringBaseline
from burnish.deploy.forget import Words, rewrite_bundle, search_bundles
from burnish.records.deployment import Bundle
from burnish.store.workspace import Workspace
from deployed import AT, make_workspace
from written_bundles import chat_task, text_bundle, writer_base

TASK = chat_task(name="answers", kind="qa", inputs=("question",), label="answer", instruction="")
ROWS = {
    "Where is the parcel?": "It is on its way.",
    "Is there any refund?": "It is on its way.",
    "Zyx Qwvname, where do they live?": "Zyx lives in Xylostreet.",
}
GONE = "Zyx Qwvname, where do they live?"


def retrieval_bundle(workspace: Workspace) -> Bundle:
    asked = [asked_of(TASK, {"question": one}) for one in ROWS]
    built = retrieval.build(asked, [[one] for one in ROWS.values()], metric="f1", seed=1)
    return make_bundle(
        TASK,
        AnsweringBaseline(built),
        model_folder_writer=built.save,
        workspace=workspace,
        engine="retrieval",
        run_id=None,
        dataset_id="d" * 16,
        report_id="e" * 16,
        golden_inputs=[{"question": one} for one in list(ROWS)[:2]],
        precision="fp32",
        max_tokens=32,
        card="# Card\n",
        at=AT,
    )


def words() -> Words:
    others = [one for one in ROWS if one != GONE]
    return Words([GONE], others, answers=frozenset({ROWS[GONE]}))


def test_a_baseline_no_longer_quotes_a_forgotten_row(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    bundle = retrieval_bundle(workspace)
    folder = workspace.bundles / bundle.id
    before = open_text_bundle(folder).fitted
    asked = [{"question": one} for one in ROWS]
    assert [one.text for one in before.answer(TASK, asked)] == list(ROWS.values())
    (marked,) = search_bundles(workspace, is_meant=lambda inputs: False, words=words())
    assert (
        marked.answers == {ROWS[GONE]} and "qwvname" in marked.terms and "where" not in marked.terms
    )
    new = rewrite_bundle(workspace, marked, is_meant=lambda inputs: False, spare=(), at=AT)
    after = open_text_bundle(workspace.bundles / new.id)
    kept = [one.text for one in after.fitted.answer(TASK, asked)]
    assert kept == ["It is on its way."] * 3
    written = b"".join(path.read_bytes() for path in (workspace.bundles / new.id).rglob("*.json"))
    assert b"wvname" not in written.lower() and b"Xylostreet" not in written
    (left,) = search_bundles(workspace, is_meant=lambda inputs: False, words=words())
    assert left.bundle.id == bundle.id  # the old folder stays until servers have been told


def test_golden_rows_of_a_writer_are_made_anew_where_none_is_left(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "burnish")
    bundle = text_bundle(workspace, TASK, writer_base(tmp_path / "cache"))

    def everything(inputs: object) -> bool:
        return True

    for spare in ([{"question": "What is left?"}], []):
        found = search_bundles(workspace, is_meant=everything, words=Words([], []))
        marked = next(one for one in found if one.bundle.id == bundle.id)
        new = rewrite_bundle(workspace, marked, is_meant=everything, spare=spare, at=AT)
        opened = open_text_bundle(workspace.bundles / new.id)
        lines = (workspace.bundles / new.id / "burnish/golden.jsonl").read_text().splitlines()
        (golden,) = [json.loads(line) for line in lines]
        assert golden["inputs"]["question"] == (spare[0]["question"] if spare else "Hello.")
        assert golden["text"] is not None and opened.bundle.id == new.id
