"""The circle on real rows with the real base model: from `burnish init` to an answer over HTTP, and back."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

TRAIN_ROWS = 900


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, real_data: Path, burnish) -> Path:
    """A project on eight intents of banking77, its head trained on the real base."""
    folder = tmp_path_factory.mktemp("banking")
    with (real_data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    intents = sorted({row[1] for row in rows[1:]})[:8]
    with (folder / "banking.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [rows[0], *[r for r in rows[1:] if r[1] in intents]][:TRAIN_ROWS]
        )
    burnish("init", "banking.csv", cwd=folder)
    done = burnish("run", "--method", "head", "--epochs", "10", "--json", cwd=folder)
    (folder / "outcome.json").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def server(project: Path, cache: Path, burnish) -> Iterator[tuple[str, dict[str, str]]]:
    """The served project: its address and the header that opens it."""
    shadows = json.loads((project / "outcome.json").read_text())["shadows"]
    burnish("promote", shadows["tuned"]["version"], cwd=project)
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish", "serve", "--port", "0"],
        cwd=project,
        env={**os.environ, "BURNISH_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    token = (project / ".burnish" / "token").read_text().strip()
    with httpx.Client(base_url=address, timeout=60) as client:
        for _ in range(900):
            if client.get("/readyz").status_code == 200:
                break
            time.sleep(0.1)
    yield address, {"Authorization": f"Bearer {token}"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_an_answer_names_label_probabilities_version_and_id(server) -> None:
    address, headers = server
    body = {"inputs": {"text": "How do I activate my new card?"}}
    reply = httpx.post(f"{address}/v1/predictions", json=body, headers=headers, timeout=60)
    assert reply.status_code == 200
    answer = reply.json()
    assert answer["version"].startswith("banking-")
    (prediction,) = answer["predictions"]
    assert prediction["label"] == "activate_my_card"
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)
    assert prediction["id"]


def test_batch_answers_equal_the_servers(project: Path, server, burnish) -> None:
    address, headers = server
    texts = ["I lost my card", "card still not here", "is there an age limit?"]
    (project / "rows.csv").write_text("text\n" + "\n".join(texts) + "\n")
    burnish("predict", "rows.csv", "-o", "out.jsonl", "--probabilities", cwd=project)
    lines = [json.loads(line) for line in (project / "out.jsonl").read_text().splitlines()]
    reply = httpx.post(
        f"{address}/v1/predictions", json={"inputs": texts}, headers=headers, timeout=60
    ).json()
    assert [line["label"] for line in lines] == [p["label"] for p in reply["predictions"]]


def test_the_report_has_every_number_with_its_interval(project: Path) -> None:
    outcome = json.loads((project / "outcome.json").read_text())
    report = outcome["report"]
    for measure in report["measures"]:
        assert measure["n"] > 0
        if measure["low"] is not None:
            assert measure["low"] <= measure["value"] <= measure["high"]
    names = [one["name"] for one in outcome["decision"]["candidates"]]
    assert names == ["majority", "tfidf", "centroid", "knn", "tuned"]
    assert report["verdict"] == "passed"
    page = (project / outcome["report_path"]).read_text()
    assert "<svg" in page and "http://" not in page.replace("http://www.w3.org", "")


def test_the_same_command_again_makes_nothing_new(project: Path, server, burnish) -> None:
    before = json.loads((project / "outcome.json").read_text())
    again = json.loads(
        burnish("run", "--method", "head", "--epochs", "10", "--json", cwd=project).stdout
    )
    assert again["run"]["weights_sha256"] == before["run"]["weights_sha256"]
    assert again["report"]["id"] == before["report"]["id"]
    versions = {name: one["version"] for name, one in before["shadows"].items()}
    assert {name: one["version"] for name, one in again["shadows"].items()} == versions


def test_rollback_needs_something_to_go_back_to(project: Path, server, burnish) -> None:
    told = burnish("rollback", cwd=project, code=1).stderr
    assert "nothing-to-roll-back" in told


@pytest.fixture(scope="module")
def bundle(project: Path) -> Path:
    """The folder of the tuned model's bundle."""
    for folder in (project / ".burnish" / "bundles").iterdir():
        if (folder / "config.json").is_file() and not (folder / "arrays.json").is_file():
            return folder
    raise AssertionError("no tuned bundle")


def test_plain_transformers_gives_the_servers_probabilities(server, bundle: Path) -> None:
    """The bundle is a Hugging Face folder: temperature and all, nothing of ours is needed to use it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from burnish.deploy.bundle import load_bundle
    from burnish.deploy.golden import TOLERANCE

    texts = ["My card has not arrived yet", "why was I charged?", "ok", "Ünïcødé 💳 card?"]
    tokenizer = AutoTokenizer.from_pretrained(bundle, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(bundle, local_files_only=True).eval()
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    plain = torch.softmax(logits, 1).numpy()
    address, headers = server
    body = {"inputs": texts, "model": "banking"}
    reply = httpx.post(f"{address}/v1/predictions", json=body, headers=headers, timeout=60).json()
    labels = [model.config.id2label[i] for i in range(plain.shape[1])]
    # transformers computes in fp32; a version that was trained in bf16 answers in bf16, within what its golden rows allow
    limit = 1e-4 if load_bundle(bundle).precision == "fp32" else TOLERANCE["bf16"]
    for row, prediction in zip(plain, reply["predictions"], strict=True):
        ours = [prediction["probabilities"][label] for label in labels]
        assert row == pytest.approx(ours, abs=limit)


def test_bf16_stays_within_its_tolerance(bundle: Path) -> None:
    """The same bundle run in bf16 moves no probability by more than 0.02."""
    import numpy as np

    from burnish.deploy.bundle import load_task_of
    from burnish.deploy.engine import load_engine
    from burnish.evaluate.predict import predict

    task = load_task_of(bundle)
    rows = [{"text": text} for text in ("card not here", "why was I charged twice?", "age limit?")]
    found = [
        [one.probabilities_L for one in predict(fitted, task, rows)]
        for fitted in (
            load_engine(bundle, task, engine="transformers", precision=precision, max_tokens=256)
            for precision in ("fp32", "bf16")
        )
    ]
    assert np.abs(np.array(found[0]) - np.array(found[1])).max() <= 0.02


def test_one_changed_golden_id_keeps_the_server_from_ready(
    project: Path, bundle: Path, cache: Path, burnish, tmp_path: Path
) -> None:
    """The token contract: what the tokenizer gives must be what it gave in training, id by id."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    folder = copy / ".burnish" / "bundles" / bundle.name
    golden = folder / "burnish" / "golden.jsonl"
    lines = golden.read_text().splitlines()
    first = json.loads(lines[0])
    first["ids"][1] += 1
    golden.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    shadows = json.loads((project / "outcome.json").read_text())["shadows"]
    told = burnish("promote", shadows["tuned"]["version"], cwd=copy, code=1).stderr
    assert "bundle-tampered" in told and "golden.jsonl" in told
