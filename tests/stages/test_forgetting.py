"""Forgetting beside a running server, in the ledger, in learnt vocabularies and in sentences."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from burnish.data.dataset import load_dataset
from burnish.data.erased import Erased, only_there, words_of
from burnish.data.tombstones import MARK, load_tombstones, standing
from burnish.data.wanted import Wanted
from burnish.deploy.bundle import load_bundle
from burnish.deploy.deployments import deployments, history, live, promote, rollback
from burnish.deploy.golden import read_golden
from burnish.edge import make_edge
from burnish.errors import BurnishError
from burnish.forgetting.forget import Forgetting, asked, forget
from burnish.models.learnt_words import pieces_only_in, without_pieces
from burnish.project import Project
from burnish.records.example import input_id
from burnish.store.journal import predictions
from burnish.store.ledger import check_ledger, events
from burnish.store.workspace import Workspace
from deployed import WHO, bundle_of, ledger_of, make_workspace, server_on
from small_disk import fill, mounted
from support_task import make_task
from watched_scene import Scene

KEY = b"k" * 32
CANARY = "Zyxcanary asks for a parcel"
GOLDEN = ({"text": CANARY}, {"text": "I want my money back"})


def forget_text(workspace: Workspace, *lines: str) -> Forgetting:
    path = workspace.root.parent / "match.txt"
    path.write_text("\n".join(lines))
    project = Project(make_task(), workspace)
    wanted = asked(project, match=path, containing=False, where=[])
    return forget(project, make_edge(), wanted, because="asked", fresh_key=lambda: KEY)


def test_a_server_goes_on_answering_while_its_golden_row_is_forgotten(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    bundle = bundle_of(workspace, (0.6, 0.3, 0.1), golden=GOLDEN)
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
        with server_on(workspace) as server:
            codes: set[int] = set()
            versions: set[str] = set()
            ended = threading.Event()

            def traffic() -> None:
                with httpx.Client(headers=server.headers, timeout=20) as client:
                    while not ended.is_set():
                        body = {"inputs": {"text": "where is it"}}
                        reply = client.post(f"{server.url}/v1/predictions", json=body)
                        codes.add(reply.status_code)
                        versions.add(reply.json().get("version", ""))

            sender = threading.Thread(target=traffic)
            sender.start()
            forget_text(workspace, CANARY)
            now = live(ledger, "support")
            assert now is not None and now.bundle_id != bundle.id and now.version == "support-1"
            until = time.monotonic() + 20
            while f"bundle {now.bundle_id}" not in server.log() and time.monotonic() < until:
                time.sleep(0.05)
            assert f"bundle {now.bundle_id}" in server.log()
            ended.set()
            sender.join()
            assert codes == {200} and versions == {"support-1"}
    folder = workspace.bundles / now.bundle_id
    assert [row.inputs for row in read_golden(folder)] == [GOLDEN[1]]
    assert load_bundle(folder).verdict == "passed"
    assert not (workspace.bundles / bundle.id).exists()


def test_a_bundle_whose_only_golden_row_goes_gets_new_ones(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    bundle = bundle_of(workspace, (0.6, 0.3, 0.1), golden=GOLDEN[:1])
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
        forget_text(workspace, CANARY)
        now = live(ledger, "support")
    assert now is not None
    assert CANARY not in {row.inputs["text"] for row in read_golden(workspace.bundles / now.bundle_id)}  # fmt: skip


def test_versions_keep_names_stages_and_history_and_roll_back(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    first = bundle_of(workspace, (0.6, 0.3, 0.1), golden=GOLDEN)
    second = bundle_of(workspace, (0.3, 0.6, 0.1), golden=GOLDEN[1:])
    third = bundle_of(workspace, (0.1, 0.6, 0.3), golden=GOLDEN)
    with ledger_of(workspace) as ledger:
        for one in (first, second):
            promote(ledger, one, **WHO)
        promote(ledger, third, **WHO, stage="shadow")
        before = [(d.version, d.stage, d.sequence) for d in deployments(ledger)]
        past = [(d.version, d.stage, d.replaces, d.at) for d in history(ledger)]
        forget_text(workspace, CANARY)
        assert [(d.version, d.stage, d.sequence) for d in deployments(ledger)] == before
        assert [(d.version, d.stage, d.replaces, d.at) for d in history(ledger)] == past
        for one in (*deployments(ledger), *history(ledger)):
            assert load_bundle(workspace.bundles / one.bundle_id).id == one.bundle_id
        back = rollback(ledger, "support", by="ann", because="worse", at=WHO["at"])
        assert back.version == "support-1" and back.bundle_id != first.id
        fourth = bundle_of(workspace, (0.2, 0.6, 0.2), golden=GOLDEN[1:])
        assert promote(ledger, fourth, **WHO).version == "support-4"


def test_the_journal_keeps_its_answers_its_seals_and_its_guards(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "w")
    scene.answer(5, text=CANARY)
    scene.answer(5)
    scene.answer(3, text=CANARY, inputs=None)
    before = guards(scene)
    forgetting = forget_text(scene.workspace, CANARY)
    assert forgetting.counts["journal texts"] == 5 and forgetting.counts["journal hashes"] == 8
    found = predictions(scene.ledger)
    assert [one.input_id == "forgotten" for one in found] == [True] * 5 + [False] * 5 + [True] * 3
    assert [one.inputs is None for one in found] == [True] * 5 + [False] * 5 + [True] * 3
    assert all(one.labels == ("refund",) for one in found)
    assert check_ledger(scene.ledger) == ()
    assert guards(scene) == before
    with pytest.raises(IntegrityError), scene.ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE predictions SET digest = ''")


def guards(scene: Scene) -> list[tuple[str, ...]]:
    with scene.ledger.engine.begin() as connection:
        query = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_a_full_disk_loses_nothing_and_the_same_command_ends_it(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", megabytes=8) as disk:
        scene = Scene(disk / "w")
        scene.answer(5, text="question 7 about delivery")
        name = load_bundle(scene.workspace.bundles / scene.live.bundle_id).dataset_id
        filler = fill(disk, leave=60_000)
        with pytest.raises(BurnishError) as told:
            forget_text(scene.workspace, "question 7 about delivery")
        assert told.value.code == "disk-full"
        assert load_dataset(scene.workspace, name).rows_used == 600
        filler.unlink()
        done = forget_text(scene.workspace, "question 7 about delivery")
        assert load_dataset(scene.workspace, done.datasets[name]).rows_used == 599
        assert check_ledger(scene.ledger) == ()
        for path in (disk / "w").rglob("*"):
            assert not path.is_file() or b"question 7 about" not in path.read_bytes(), path


def test_a_row_of_a_dataset_goes_and_the_old_id_leads_to_the_new(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "w")
    old = load_bundle(scene.workspace.bundles / scene.live.bundle_id).dataset_id
    forgetting = forget_text(scene.workspace, "question 7 about delivery")
    (new,) = forgetting.datasets.values()
    assert standing(scene.workspace, old) == new and standing(scene.workspace, new) == new
    twice = forget_text(scene.workspace, "question 8 about other")
    assert standing(scene.workspace, old) == twice.datasets[new]
    assert [(m.kind, m.name, m.stage) for m in twice.models] == [("version", "support-1", "live")]
    assert len(load_tombstones(scene.workspace).hashes) == 2
    scene.watch()


def test_a_tombstone_holds_no_word_and_no_plain_hash(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "w")
    text = "question 7 about delivery"
    forget_text(scene.workspace, text)
    payloads = "".join(event.model_dump_json() for event in events(scene.ledger))
    assert text not in payloads and input_id({"text": text}) not in payloads


WORDS = st.lists(st.sampled_from("anna bert carla 12345678 k\u00f6ln a.b@c.de parcel".split()), min_size=1)  # fmt: skip


@given(gone=st.lists(WORDS, min_size=1), others=st.lists(WORDS))
def test_words_of_others_are_never_marked_and_own_ones_never_kept(
    gone: list[list[str]], others: list[list[str]]
) -> None:
    mine, theirs = [" ".join(one) for one in gone], [" ".join(one) for one in others]
    erased = Erased(Wanted(), frozenset(), only_there(mine, theirs))
    for text in theirs:
        assert erased.remark(text) == text
    own = set().union(*map(words_of, mine)) - set().union(set(), *map(words_of, theirs))
    for text in mine:
        assert not words_of(erased.remark(text)).intersection(w for w in own if len(w) >= 4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abcxyz", min_size=3, max_size=8), min_size=2, max_size=12, unique=True))
def test_other_texts_keep_their_token_ids(words: list[str]) -> None:
    """The law of a tokenizer that forgot: nothing but the forgotten words is seen otherwise."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(words, trainer)
    old = tokenizer.to_str().encode()
    gone, others = words[:1], words[1:]
    pieces = pieces_only_in(old, gone, others)
    new = without_pieces(old, pieces)
    again = Tokenizer.from_str(new.decode())
    for word in others:
        assert again.encode(word).ids == tokenizer.encode(word).ids
    names = json.loads(new)["model"]["vocab"]
    assert not pieces & set(names) and len(names) == len(json.loads(old)["model"]["vocab"])


def test_a_sentence_of_ours_loses_only_what_the_row_said() -> None:
    erased = Erased(Wanted(), frozenset(), only_there(["Zyxcanary has label parcel 99887766"], ["x"]))  # fmt: skip
    told = erased.message('12 rows of label "refund" quote "Zyxcanary" and 99887766')
    assert told == f'12 rows of label "refund" quote "{MARK}" and {MARK}'


def test_no_prediction_is_lost_when_a_journal_is_written_meanwhile(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "w")
    scene.answer(20, text=CANARY)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            scene.answer(3)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        forget_text(scene.workspace, CANARY)
    finally:
        stop.set()
        writer.join()
    found = predictions(scene.ledger, limit=100_000)
    assert len(found) == scene.made and sum(one.inputs is None for one in found) == 20
