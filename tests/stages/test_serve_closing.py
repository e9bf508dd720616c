"""What a server does for the circle: takes feedback, marks audits, lets a candidate answer in silence, counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from burnish.deploy.deployments import promote
from burnish.records.signal import Change, Signal, Watched
from burnish.store.feedback import feedback
from burnish.store.journal import find_prediction, predictions
from burnish.store.ledger import Ledger
from burnish.store.observed import record_window, replies, shadow_answers
from burnish.store.workspace import Workspace
from deployed import AT, WHO, bundle_of, ledger_of, make_workspace, server_on
from support_task import make_task


def until(found: Callable[[], object], *, seconds: float = 20.0) -> object:
    """What is found in the end; fails when it never is."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.02)
    pytest.fail("it never came")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)


def client_of(server: object) -> httpx.Client:
    return httpx.Client(
        base_url=server.url,  # type: ignore[attr-defined]
        headers={"Authorization": "Bearer a-token-for-tests-only"},
        timeout=20,
    )


def ask(client: httpx.Client, *texts: str) -> list[dict[str, object]]:
    reply = client.post("/v1/predictions", json={"inputs": list(texts)})
    assert reply.status_code == 200, reply.text
    assert reply.json()["journalled"] is True
    return reply.json()["predictions"]


def test_feedback_is_on_the_disk_when_the_reply_comes(workspace: Workspace) -> None:
    ledger = ledger_of(workspace)
    promote(ledger, bundle_of(workspace, (0.6, 0.3, 0.1)), **WHO)
    task = make_task(audit=1.0, abstain_below=0.7)
    with server_on(workspace, task=task) as server, client_of(server) as client:
        first, second = ask(client, "where is it", "write to ann@example.org")
        assert (
            first["abstained"] is False
        )  # the version's own task decides, and it has no threshold
        kept = find_prediction(ledger, str(second["id"]))
        assert kept is not None and kept.audit and kept.inputs == {"text": "write to [email]"}
        body = {"prediction": first["id"], "label": "delivery", "by": "ann"}
        for new in (True, False):
            reply = client.post("/v1/feedback", json=body)
            assert reply.status_code == 200, reply.text
            (answer,) = reply.json()["feedback"]
            assert answer["new"] is new and answer["chosen"] == "random" and not answer["right"]
            assert [one.labels for _, one in feedback(ledger)] == [("delivery",)]
        both = [{"prediction": one["id"], "right": True, "by": "bob"} for one in (first, second)]
        reply = client.post("/v1/feedback", json={"feedback": both})
        assert [one["against"] for one in reply.json()["feedback"]] == [["ann"], []]
        assert "burnish_feedback_total" in client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"prediction": "nobody", "label": "refund", "by": "ann"}, 404, "prediction-unknown"),
        ({"prediction": "ID", "label": "refnd", "by": "ann"}, 422, "label-unknown"),
        ({"prediction": "ID", "by": "ann"}, 422, "feedback-empty"),
        ({"prediction": "ID", "label": "refund"}, 422, "body-wrong"),
        (
            {"prediction": "ID", "label": "refund", "labels": ["refund"], "by": "a"},
            422,
            "body-wrong",
        ),
        ({"prediction": "ID", "label": "refund", "by": ""}, 422, "feedback-unsigned"),
        ({"prediction": "ID", "label": "refund", "by": "a", "x": 1}, 422, "body-wrong"),
        ({"feedback": []}, 422, "body-wrong"),
        ({"feedback": [{"prediction": "ID", "right": "yes", "by": "ann"}]}, 422, "body-wrong"),
        (
            {"feedback": [{"prediction": "ID", "by": "ann", "right": True}] * 30},
            413,
            "too-many-rows",
        ),
        ([], 422, "body-wrong"),
    ],
)
def test_wrong_feedback_is_told(
    scene: tuple[httpx.Client, str], body: object, status: int, code: str
) -> None:
    client, known = scene
    text = json.dumps(body).replace("ID", known)
    reply = client.post("/v1/feedback", content=text)
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory):
    workspace = make_workspace(tmp_path_factory.mktemp("feedback"))
    promote(ledger_of(workspace), bundle_of(workspace, (0.6, 0.3, 0.1)), **WHO)
    with server_on(workspace, request_rows=20) as server, client_of(server) as client:
        yield client, str(ask(client, "hello")[0]["id"])


def test_a_candidate_answers_in_silence_and_no_client_hears_it(workspace: Workspace) -> None:
    ledger = ledger_of(workspace)
    old = bundle_of(workspace, (0.2, 0.2, 0.6))
    promote(ledger, old, **WHO, stage="shadow")
    promote(ledger, bundle_of(workspace, (0.6, 0.3, 0.1)), **WHO)
    with server_on(workspace) as server, client_of(server) as client:
        ask(client, "before any candidate")
        promote(ledger, bundle_of(workspace, (0.1, 0.8, 0.1)), **WHO, stage="shadow")
        heard: list[dict[str, object]] = []

        def answered() -> list[object]:
            heard.extend(ask(client, "hello"))
            return [one for _, one in shadow_answers(ledger, version="support-3")]

        until(answered)
        assert {one["label"] for one in heard} == {"refund"}
        wanted = {str(one["id"]) for one in heard}
        until(lambda: len(shadow_answers(ledger, version="support-3")) > 3 or answered() is None)
        found = [one for _, one in shadow_answers(ledger, version="support-3")]
        assert {one.labels for one in found} == {("delivery",)}
        assert {one.prediction_id for one in found} <= wanted | {str(one["id"]) for one in heard}
        # older than the live version: no candidate
        assert shadow_answers(ledger, version="support-1") == []
        assert (
            'burnish_silent_predictions_total{version="support-3"}' in client.get("/metrics").text
        )
    every = predictions(ledger)
    assert {one.version for one in every} == {"support-2"}


def test_replies_are_counted_and_the_newest_window_is_among_the_metrics(
    workspace: Workspace,
) -> None:
    ledger = ledger_of(workspace)
    promote(ledger, bundle_of(workspace, (0.6, 0.3, 0.1)), **WHO)
    signal = Signal(name="confidence", value=0.5, level="look", because="", method="")
    window = Watched(
        version="support-1", first=1, last=2, rows=2, since=AT, until=AT,
        signals=(signal,), change=Change(), at=AT,
    )  # fmt: skip
    record_window(ledger, window)
    with server_on(workspace, replies_seconds=0.05) as server, client_of(server) as client:
        ask(client, "one")
        client.post("/v1/predictions", json={"inputs": 1})
        counted = until(
            lambda: len(found := replies(ledger, since="2000", until="2100")) == 2 and found
        )
        assert counted == {200: 1, 422: 1}
        line = 'burnish_signal_level{signal="confidence",version="support-1"} 1.0'
        until(lambda: line in client.get("/metrics").text)


def test_a_ledger_that_cannot_be_written_does_not_stop_the_answers(workspace: Workspace) -> None:
    ledger = ledger_of(workspace)
    promote(ledger, bundle_of(workspace, (0.6, 0.3, 0.1)), **WHO)
    with server_on(workspace) as server, client_of(server) as client:
        kept = ask(client, "kept")
        lock = ledger.path.with_name(f"{ledger.path.name}.lock")
        # what a read-only or full disk does to every write: the turn cannot be taken
        lock.unlink()
        lock.mkdir()
        reply = client.post("/v1/predictions", json={"inputs": "hello"})
        assert reply.status_code == 200 and reply.json()["journalled"] is False, reply.text
        (lost,) = reply.json()["predictions"]
        body = {"prediction": kept[0]["id"], "label": "other", "by": "ann"}
        refused = client.post("/v1/feedback", json=body)
        assert refused.status_code == 503 and refused.json()["code"] == "journal-closed"
        assert "burnish_unjournalled_total 1.0" in client.get("/metrics").text
        lock.rmdir()
        assert ask(client, "again")
        assert client.post("/v1/feedback", json=body).status_code == 200
    assert find_prediction(ledger, str(lost["id"])) is None
    assert find_prediction(ledger, str(kept[0]["id"])) is not None


def test_the_ledger_of_the_first_release_is_brought_up_to_date(tmp_path: Path) -> None:
    import hashlib
    import sqlite3

    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    from burnish.store.database import MIGRATIONS
    from burnish.store.ledger import check_ledger, open_ledger

    path = tmp_path / "ledger.db"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with create_engine(f"sqlite:///{path}").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    row = [
        "p1",
        "t-1",
        "9f2c",
        '{"text":"old words"}',
        '["refund"]',
        0.5,
        '{"refund":0.5}',
        0,
        1.5,
        AT,
    ]
    spelt = json.dumps([0, *row], separators=(",", ":"))
    raw = sqlite3.connect(path)
    for number in range(3):
        values = [f"p{number}", *row[1:]] if number else row
        values = [*values[:3], None, *values[4:]] if number == 2 else values
        raw.execute(
            "INSERT INTO predictions (id, version, input_id, inputs, labels, confidence, scores, "
            "dropped_characters, latency_ms, at, digest) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            [f"q{number}", *values[1:], hashlib.sha256(spelt.encode()).hexdigest()],
        )
    raw.commit()
    raw.close()
    ledger: Ledger = open_ledger(path)
    found = predictions(ledger)
    assert [one.id for one in found] == ["q0", "q1", "q2"]
    assert [one.inputs for one in found] == [{"text": "old words"}] * 2 + [None]
    assert check_ledger(ledger) == ()
