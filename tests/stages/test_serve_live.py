"""Who answers: only what was promoted, verified here, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from burnish.deploy.deployments import promote, rollback
from burnish.records.deployment import Bundle
from burnish.store.ledger import Ledger
from burnish.store.workspace import Workspace
from deployed import WHO, Server, bundle_of, forge, ledger_of, make_workspace, server_on

FIRST, SECOND = (0.6, 0.3, 0.1), (0.1, 0.8, 0.1)


def until(true: Callable[[], bool], *, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def version(server: Server) -> str:
    reply = httpx.post(
        f"{server.url}/v1/predictions", json={"inputs": "hello"}, headers=server.headers
    )
    return reply.json().get("version", reply.json().get("code"))


def facts(server: Server) -> dict[str, dict]:
    data = httpx.get(f"{server.url}/v1/models", headers=server.headers).json()["data"]
    return {model["id"]: model for model in data}


def with_a_wrong_golden_id(workspace: Workspace, bundle: Bundle) -> Bundle:
    name = "burnish/golden.jsonl"
    rows = (workspace.bundles / bundle.id / name).read_text().splitlines()
    first = json.loads(rows[0])
    first["ids"][0] += 1
    return forge(workspace, bundle, {name: "\n".join([json.dumps(first), *rows[1:]]).encode()})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Ledger, Server]]:
    """A server that started with nothing live: the tests below are one story, in order."""
    workspace = make_workspace(tmp_path_factory.mktemp("live"))
    with server_on(workspace, ready=False, retry_seconds=0.3) as server:
        yield workspace, ledger_of(workspace), server


def test_1_nothing_is_live(place) -> None:
    _, _, server = place
    reply = httpx.get(f"{server.url}/readyz")
    assert (reply.status_code, reply.text) == (503, '{"status":"not ready"}')
    reply = httpx.post(f"{server.url}/v1/predictions", json={"inputs": "a"}, headers=server.headers)
    assert reply.status_code == 503 and reply.json()["code"] == "not-ready"
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.json()["fix"] == "burnish promote"
    assert facts(server) == {}


def test_2_one_changed_golden_id_is_never_ready(place) -> None:
    workspace, ledger, server = place
    wrong = with_a_wrong_golden_id(workspace, bundle_of(workspace, FIRST))
    promote(ledger, wrong, **WHO)
    until(lambda: facts(server).get("support-1", {}).get("verified") is False)
    assert facts(server)["support-1"]["problems"] == ["golden-ids-differ"]
    for _ in range(20):
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        assert version(server) == "not-ready"
    metrics = httpx.get(f"{server.url}/metrics", headers=server.headers).text
    assert "burnish_ready 0.0" in metrics
    assert 'burnish_candidates_refused_total{code="golden-ids-differ"}' in metrics
    assert "golden-ids-differ" in server.log()


def test_3_shadow_is_verified_and_does_not_answer(place) -> None:
    workspace, ledger, server = place
    promote(ledger, bundle_of(workspace, FIRST), **WHO, stage="shadow")
    until(lambda: facts(server).get("support-2", {}).get("verified") is True)
    assert facts(server)["support-2"]["stage"] == "shadow"
    assert version(server) == "not-ready"


def test_4_promotion_makes_it_answer(place) -> None:
    workspace, ledger, server = place
    promote(ledger, bundle_of(workspace, FIRST), **WHO)
    until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
    assert version(server) == "support-2"


def test_5_a_candidate_that_fails_never_answers(place) -> None:
    workspace, ledger, server = place
    wrong = with_a_wrong_golden_id(workspace, bundle_of(workspace, SECOND))
    promote(ledger, wrong, **WHO)
    until(lambda: facts(server).get("support-3", {}).get("verified") is False)
    for _ in range(20):
        assert version(server) == "support-2"
        assert httpx.get(f"{server.url}/readyz").status_code == 200
    rollback(ledger, "support", **WHO)
    until(lambda: facts(server)["support-2"]["stage"] == "live")
    assert version(server) == "support-2"


def test_6_a_bundle_that_is_put_right_answers_without_a_restart(place) -> None:
    workspace, ledger, server = place
    bundle = bundle_of(workspace, (0.2, 0.2, 0.6))
    arrays = workspace.bundles / bundle.id / "arrays.json"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole.replace(b"0.6", b"0.7"))
    promote(ledger, bundle, **WHO)
    until(lambda: facts(server).get("support-4", {}).get("problems") == ["bundle-tampered"])
    assert version(server) == "support-2"
    arrays.write_bytes(whole)
    until(lambda: version(server) == "support-4")
    assert facts(server)["support-4"]["verified"] is True


def test_7_it_ends_with_0(place) -> None:
    _, _, server = place
    assert server.stop() == 0


def test_a_bundle_tampered_with_before_the_start_is_not_ready(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    bundle = bundle_of(workspace, FIRST)
    promote(ledger_of(workspace), bundle, **WHO)
    (workspace.bundles / bundle.id / "README.md").write_text("# Better card\n")
    with server_on(workspace, ready=False) as server:
        until(lambda: facts(server).get("support-1", {}).get("problems") == ["bundle-tampered"])
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        reply = httpx.post(
            f"{server.url}/v1/predictions", json={"inputs": "a"}, headers=server.headers
        )
        assert reply.status_code == 503 and "bundle-tampered" in reply.json()["what"]
        assert str(tmp_path) not in reply.text
