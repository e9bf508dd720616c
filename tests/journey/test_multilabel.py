"""The circle for rows with several labels, and for ordered sentiment, from scratch without any base model."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

TOPICS = {
    "billing": ("invoice", "charged", "payment", "price"),
    "delivery": ("parcel", "courier", "late", "tracking"),
    "quality": ("broken", "scratched", "torn", "leaks"),
}
FILLERS = ("the", "my", "please", "again", "today", "it", "was", "is", "order", "you", "and", "we")


def sentence(words: list[str], source: random.Random) -> str:
    """The words among fillers, shuffled."""
    bag = [*words, *source.choices(FILLERS, k=5)]
    source.shuffle(bag)
    return " ".join(bag)


def test_several_labels_a_row(tmp_path: Path, burnish) -> None:
    source = random.Random(7)
    with (tmp_path / "topics.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text", "topics"])
        for number in range(300):
            topics = [topic for topic in TOPICS if source.random() < 0.45]
            words = [source.choice(TOPICS[topic]) for topic in topics]
            out.writerow([f"{sentence(words, source)} {number}", ",".join(topics)])
    burnish("init", "topics.csv", "--kind", "multilabel", cwd=tmp_path)
    done = burnish(
        "run", "--base", "tiny:bert", "--epochs", "3", "--learning-rate", "2e-3", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    outcome = json.loads(done.stdout)
    quality = {one["name"]: one["quality"]["value"] for one in outcome["decision"]["candidates"]}
    assert quality["tfidf"] > 0.8 > quality["majority"] + 0.2
    assert {m["name"] for m in outcome["report"]["measures"]} >= {"subset_accuracy", "micro_f1"}
    version = outcome["shadows"]["tfidf"]["version"]
    burnish("promote", version, cwd=tmp_path)
    (tmp_path / "new.csv").write_text("text\nthe parcel was late and torn\nhello you\n")
    burnish("predict", "new.csv", "-o", "out.csv", cwd=tmp_path)
    with (tmp_path / "out.csv").open(newline="") as file:
        answers = [row["label"] for row in csv.DictReader(file)]
    assert set(answers[0].split(",")) == {"delivery", "quality"}
    assert answers[1] == ""
