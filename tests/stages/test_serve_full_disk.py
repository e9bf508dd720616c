"""A server whose disk fills up: it goes on answering, says what is not journalled, and loses nothing it acknowledged."""

from __future__ import annotations

from pathlib import Path

import httpx

from burnish.deploy.deployments import promote
from burnish.store.feedback import feedback
from burnish.store.journal import find_many
from burnish.store.ledger import check_ledger
from deployed import TOKEN, WHO, bundle_of, ledger_of, make_workspace, server_on
from small_disk import fill, mounted

LONG = "where is my parcel, the one with the long description? " * 30


def test_answers_go_on_when_the_disk_is_full(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", megabytes=12) as disk:
        workspace = make_workspace(disk / "workspace")
        ledger = ledger_of(workspace)
        promote(ledger, bundle_of(workspace, (0.6, 0.3, 0.1)), **WHO)
        kept: list[str] = []
        lost: list[str] = []
        said: list[str] = []
        with (
            server_on(workspace) as server,
            httpx.Client(
                base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20
            ) as client,
        ):

            def ask(times: int) -> None:
                for number in range(times):
                    reply = client.post("/v1/predictions", json={"inputs": f"{LONG}{number}"})
                    assert reply.status_code == 200, reply.text
                    answer = reply.json()
                    (kept if answer["journalled"] else lost).append(answer["predictions"][0]["id"])

            def correct(id: str) -> httpx.Response:
                body = {"prediction": id, "label": "delivery", "by": "ann"}
                reply = client.post("/v1/feedback", json=body)
                if reply.status_code == 200:
                    said.append(reply.json()["feedback"][0]["id"])
                return reply

            ask(20)
            assert not lost and correct(kept[0]).status_code == 200
            filler = fill(disk, leave=200_000)
            ask(300)
            assert len(lost) > 100
            refused = correct(kept[1])
            assert refused.status_code == 503, refused.text
            assert client.get("/readyz").status_code == 200
            assert f"burnish_unjournalled_total {len(lost)}.0" in client.get("/metrics").text
            filler.unlink()
            before = len(lost)
            ask(20)
            assert len(lost) == before and correct(kept[1]).status_code == 200
        assert set(find_many(ledger, kept)) == set(kept)
        assert find_many(ledger, lost) == {}
        assert {one.id for _, one in feedback(ledger)} == set(said) and len(said) == 2
        assert check_ledger(ledger) == ()
