"""Promote and roll back under traffic, and stop under traffic: nobody notices."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import httpx

from burnish.deploy.deployments import history, promote, rollback
from burnish.store.journal import find_prediction, predictions
from deployed import WHO, Server, bundle_of, ledger_of, make_workspace, server_on

REQUESTS = 2000
SWAPS = 20
CLIENTS = 8
# what each version says, so that a reply that mixed two would show
SHARES = {"support-1": (0.7, 0.2, 0.1), "support-2": (0.1, 0.7, 0.2)}
SAYS = {"support-1": "refund", "support-2": "delivery"}


def client_of(server: Server) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    return httpx.AsyncClient(base_url=server.url, headers=server.headers, limits=limits, timeout=30)


def test_twenty_swaps_under_two_thousand_requests(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    ledger = ledger_of(workspace)
    bundles = {version: bundle_of(workspace, shares) for version, shares in SHARES.items()}
    promote(ledger, bundles["support-1"], **WHO)
    seen: Counter[str] = Counter()
    ids: list[str] = []

    async def one(client: httpx.AsyncClient, number: int) -> None:
        texts = [f"request {number}", "and another"]
        reply = await client.post("/v1/predictions", json={"inputs": texts})
        assert reply.status_code == 200, reply.text
        version = reply.json()["version"]
        for answer in reply.json()["predictions"]:
            assert answer["label"] == SAYS[version]
            ids.append(answer["id"])
        seen[version] += 1

    async def swap() -> None:
        live = "support-1"
        for number in range(SWAPS):
            due = (number + 1) * REQUESTS // (SWAPS + 2)
            while sum(seen.values()) < due:
                await asyncio.sleep(0.005)
            if number % 2 == 0:
                await asyncio.to_thread(lambda: promote(ledger, bundles["support-2"], **WHO))
                live = "support-2"
            else:
                await asyncio.to_thread(lambda: rollback(ledger, "support", **WHO))
                live = "support-1"
        assert live == "support-1"

    async def traffic(server: Server) -> None:
        numbers = iter(range(REQUESTS))
        async with client_of(server) as client:

            async def worker() -> None:
                for number in numbers:
                    await one(client, number)

            await asyncio.gather(swap(), *(worker() for _ in range(CLIENTS)))

    with server_on(workspace) as server:
        asyncio.run(traffic(server))
        assert server.stop() == 0
    assert sum(seen.values()) == REQUESTS and min(seen.values()) > 0 and len(seen) == 2
    assert len(history(ledger)) == SWAPS + 1
    assert len(set(ids)) == 2 * REQUESTS
    for id in ids[::97]:
        assert find_prediction(ledger, id) is not None


def test_sigterm_answers_what_was_accepted_and_exits_0(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    ledger = ledger_of(workspace)
    promote(ledger, bundle_of(workspace, SHARES["support-1"]), **WHO)
    told: list[str] = []

    async def traffic(server: Server) -> Counter[str]:
        ends: Counter[str] = Counter()
        async with client_of(server) as client:

            async def worker() -> None:
                while True:
                    try:
                        reply = await client.post("/v1/predictions", json={"inputs": "hello"})
                    except httpx.ConnectError:
                        ends["not accepted"] += 1
                        return
                    except httpx.TransportError as error:
                        # an idle connection that the server closed just as the client picked it up
                        ends[type(error).__name__] += 1
                        return
                    assert reply.status_code in (200, 503), reply.text
                    ends[str(reply.status_code)] += 1
                    if reply.status_code == 200:
                        told.append(reply.json()["predictions"][0]["id"])

            workers = [asyncio.create_task(worker()) for _ in range(CLIENTS)]
            while ends["200"] < 100:
                await asyncio.sleep(0.01)
            started = time.monotonic()
            assert await asyncio.to_thread(server.stop) == 0
            assert time.monotonic() - started < 10
            await asyncio.gather(*workers)
        return ends

    with server_on(workspace) as server:
        ends = asyncio.run(traffic(server))
    # Accepted means journalled, and every journalled answer has reached its client. What ended otherwise
    # was an idle connection that the server closed just as the client picked it up.
    assert ends["200"] >= 100 and ends["ReadTimeout"] == 0, ends
    kept = predictions(ledger, limit=100_000)
    assert sorted(p.id for p in kept) == sorted(told)
