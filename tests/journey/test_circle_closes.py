"""The circle closes on real rows: a few-shot model is deployed, corrected, retrained, and replaced under traffic."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

FEW, TESTED, TRAFFIC, CORRECTIONS, REQUESTS = 8, 10, 1000, 300, 2000


@dataclass(frozen=True, slots=True)
class Scene:
    """A served project, the rows that arrive as traffic with their true labels, and a client."""

    folder: Path
    rows: list[dict[str, str]]
    client: httpx.Client


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "category"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def few_of(
    rows: list[dict[str, str]], each: int
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """So many rows of each label, and the others, both in their order."""
    taken: Counter[str] = Counter()
    few: list[dict[str, str]] = []
    others: list[dict[str, str]] = []
    for row in rows:
        taken[row["category"]] += 1
        (few if taken[row["category"]] <= each else others).append(row)
    return few, others


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, real_data: Path, cache: Path, burnish
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("few")
    few, others = few_of(rows_of(real_data / "banking77" / "train.csv"), FEW)
    tested, _ = few_of(rows_of(real_data / "banking77" / "test.csv"), TESTED)
    write(folder / "few.csv", few)
    write(folder / "test.csv", tested)
    burnish("init", "few.csv", "--test", "test.csv", cwd=folder)
    task = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text("audit = 0.1\n" + task)
    done = burnish("run", "--epochs", "4", "--json", cwd=folder)
    version = json.loads(done.stdout)["shadows"]["tuned"]["version"]
    burnish("promote", version, "--because", "first", cwd=folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish", "serve", "--port", "0"],
        cwd=folder,
        env={**os.environ, "BURNISH_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    token = (folder / ".burnish" / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        for _ in range(900):
            if client.get("/readyz").status_code == 200:
                break
            time.sleep(0.1)
        # every so-manieth row, so that the labels arrive mixed
        step = len(others) // TRAFFIC
        yield Scene(folder, others[::step][:TRAFFIC], client)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def ask(client: httpx.Client, texts: list[str]) -> dict[str, object]:
    reply = client.post("/v1/predictions", json={"inputs": texts})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_corrections_become_a_better_model_under_traffic(scene: Scene, burnish) -> None:
    client, folder = scene.client, scene.folder
    truth: dict[str, str] = {}
    sure: dict[str, float] = {}
    for start in range(0, len(scene.rows), 50):
        some = scene.rows[start : start + 50]
        answers = ask(client, [row["text"] for row in some])["predictions"]
        for row, answer in zip(some, answers, strict=True):  # type: ignore[call-overload]
            truth[answer["id"]] = row["category"]
            sure[answer["id"]] = answer["confidence"]
    # people correct what looks doubtful, and answer the audit
    audited = [
        one["id"]
        for one in json.loads(burnish("feedback", "list", "--audit", "--json", cwd=folder).stdout)
    ]
    assert 0.05 < len(audited) / len(truth) < 0.15
    doubtful = sorted((id for id in truth if id not in audited), key=sure.__getitem__)
    corrected = [*audited, *doubtful][:CORRECTIONS]
    said = [{"prediction": id, "label": truth[id], "by": "ann"} for id in corrected]
    reply = client.post("/v1/feedback", json={"feedback": said})
    assert reply.status_code == 200, reply.text
    chosen = Counter(one["chosen"] for one in reply.json()["feedback"])
    assert chosen == {"random": len(audited), "disputed": CORRECTIONS - len(audited)}

    seen: Counter[str] = Counter()
    failed: list[str] = []
    ended = threading.Event()

    def traffic() -> None:
        texts = [row["text"] for row in scene.rows]
        number = 0
        while not ended.is_set() or sum(seen.values()) < REQUESTS:
            reply = client.post("/v1/predictions", json={"inputs": texts[number % len(texts)]})
            number += 1
            if reply.status_code == 200:
                seen[reply.json()["version"]] += 1
            else:
                failed.append(reply.text)
            time.sleep(0.03)

    sender = threading.Thread(target=traffic)
    sender.start()
    try:
        found = json.loads(burnish("retrain", "--epochs", "4", "--json", cwd=folder).stdout)
        candidate = found["version"]
        # in shadow it answers in silence first
        for _ in range(600):
            silent = json.loads(burnish("shadow", "--json", cwd=folder).stdout)
            if silent["answered"] >= 50:
                break
            time.sleep(0.2)
        assert silent["answered"] >= 50 and set(seen) == {found["live_version"]}
        burnish("promote", candidate, "--because", "corrections", cwd=folder)
        until = time.monotonic() + 60
        while seen[candidate] < 100 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        ended.set()
        sender.join()
    assert failed == [] and sum(seen.values()) >= REQUESTS
    assert set(seen) == {found["live_version"], candidate} and seen[candidate] >= 100

    assert found["outcome"] == "shadow" and all(gate["passed"] for gate in found["gates"])
    old = next(one for one in found["comparisons"] if one["ours"] == "old: candidate")
    assert old["n"] == 77 * TESTED and old["low"] > 0, old
    assert found["fresh_rows"] > 0
    check_rows(folder, found, corrected)
    check_trace(folder, burnish, client, candidate, found)


def check_rows(folder: Path, found: dict[str, object], corrected: list[str]) -> None:
    """Every old row is where it was; every correction is a row with its provenance or in the ledger of rejections."""
    splits: dict[str, dict[str, str]] = {}
    places: dict[str, list[dict[str, object]]] = defaultdict(list)
    for name in ("parent_id", "dataset_id"):
        path = folder / ".burnish" / "datasets" / str(found[name]) / "rows.jsonl"
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        splits[name] = {line["row_id"]: line["split"] for line in lines}
        places[name] = [line for line in lines if line["source"]["where"].startswith("prediction:")]
    assert splits["parent_id"].items() <= splits["dataset_id"].items()
    assert not places["parent_id"]
    aside = (
        folder / ".burnish" / "datasets" / str(found["dataset_id"]) / "rejected.jsonl"
    ).read_text()
    for id in corrected:
        known = [
            one for one in places["dataset_id"] if one["source"]["where"] == f"prediction:{id}"
        ]  # type: ignore[index]
        assert known or f"prediction:{id}" in aside
        assert all(one["source"]["by"] == "ann" for one in known)  # type: ignore[index]
        assert all(one["split"] == "train" or one["source"]["chosen"] == "random" for one in known)  # type: ignore[index]


def check_trace(
    folder: Path, burnish, client: httpx.Client, candidate: str, found: dict[str, object]
) -> None:
    answer = ask(client, ["where is my card?"])
    assert answer["version"] == candidate
    id = answer["predictions"][0]["id"]  # type: ignore[index]
    trace = json.loads(burnish("trace", id, "--json", cwd=folder).stdout)
    assert trace["run_id"] == found["run_id"] and trace["missing"] == []
    assert trace["datasets"] == [found["dataset_id"], found["parent_id"]]
    assert trace["promoted"][0]["because"] == "corrections"
    before = json.loads(burnish("deployments", "--at", "2020-01-01", "--json", cwd=folder).stdout)
    now = json.loads(burnish("deployments", "--json", cwd=folder).stdout)
    assert before == []
    assert {one["version"]: one["stage"] for one in now}[candidate] == "live"
