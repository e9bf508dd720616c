"""Write a project for one of five tasks over open data: a model that writes, tuned within 25 minutes on two cores.

python examples/texts.py clinical-notes notes --data DATA
burnish run --project notes

DATA is the folder that holds mts_dialog, legal_summ, medquad, sgd_chat and bitext_support as docs/examples.md names them
(default: the environment variable BURNISH_DATA). Each project trains on as many rows as the time allows.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
SEED = 6


@dataclass(frozen=True, slots=True)
class Texts:
    """A task over one open set: its rows and what task.toml and recipe.toml say of them."""

    rows: Callable[[Path], dict[str, list[Row]]]
    task: str
    recipe: str


def clinical_notes(data: Path) -> dict[str, list[Row]]:
    """Doctor-patient dialogues and the section of the note that was written of each."""
    train, test = (_csv(data / "mts_dialog" / f"{name}.csv") for name in ("train", "test1"))
    wanted = [
        row
        for row in train
        if row["dialogue"] and len(row["dialogue"] + row["section_text"]) <= 1500
    ]
    validation = _csv(data / "mts_dialog" / "validation.csv")
    names = ("dialogue", "section_text", "section_header")
    return {
        name: [{key: row[key] for key in names} for row in rows]
        for name, rows in (("train", wanted), ("validation", validation[:50]), ("test", test))
    }


def contract_clauses(data: Path) -> dict[str, list[Row]]:
    """Clauses of terms of service in legal and in plain English; a document is never in two parts."""
    rows = _lines(data / "legal_summ" / "all_v1.jsonl")
    names = ("doc", "original_text", "reference_summary")
    kept = [{key: row[key] for key in names} for row in rows if len(row["original_text"]) <= 2500]
    return _by_group(kept, key="doc", test=100, validation=40)


def medical_questions(data: Path) -> dict[str, list[Row]]:
    """Questions of patients with the answers of public institutes; a disease is never in two parts."""
    rows = [
        {
            "focus": row["focus"],
            "question": row["question"],
            "answer": " ".join(row["answer"].split()),
        }
        for row in _lines(data / "medquad" / "qa.jsonl")
    ]
    kept = [row for row in rows if len(row["answer"]) <= 900]
    return _by_group(kept, key="focus", test=100, validation=40)


def service_chat(data: Path) -> dict[str, list[Row]]:
    """Conversations with a booking assistant; of each test conversation one answer, drawn, is asked for."""
    choose = random.Random(SEED)
    train, dev, test = (
        _lines(data / "sgd_chat" / f"{name}.jsonl") for name in ("train", "dev", "test")
    )
    short = [row for row in train if len(json.dumps(row["messages"])) <= 2200]
    return {
        "train": [{"messages": row["messages"]} for row in choose.sample(short, 240)],
        "validation": [{"messages": _cut(row["messages"], choose)} for row in dev[:40]],
        "test": [{"messages": _cut(row["messages"], choose)} for row in test[:100]],
    }


def support_replies(data: Path) -> dict[str, list[Row]]:
    """What customers ask and what support replies: 27 replies in all, so memorising them is the task."""
    rows = _csv(data / "bitext_support" / "train.csv")
    drawn = random.Random(SEED).sample(rows, 760)
    kept = [{"instruction": row["instruction"], "response": row["response"]} for row in drawn]
    return {"train": kept[:600], "validation": kept[600:660], "test": kept[660:]}


TASK = """name = "{name}"
{lines}
[data]
train = ["train.jsonl"]
validation = ["validation.jsonl"]
test = ["test.jsonl"]

[decoding]
max_new_tokens = {most}

[[gates]]
metric = "{metric}"
than = "base"
sure = true

[[gates]]
metric = "{metric}"
than = "base-3-shot"
sure = true
"""


def _task(name: str, *, most: int, metric: str, **keys: object) -> str:
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    lines += f'primary_metric = "{metric}"\n'
    return TASK.format(name=name, lines=lines, most=most, metric=metric)


def _recipe(*, epochs: int, rate: float, max_tokens: int) -> str:
    return (
        f'method = "lora"\nepochs = {epochs}\nbatch_rows = 8\nmax_tokens = {max_tokens}\n'
        f"learning_rate = {rate}\n"
    )


TASKS = {
    "clinical-notes": Texts(
        clinical_notes,
        _task(
            "clinical-notes", kind="summarization", inputs=["dialogue"], label="section_text", slices=["section_header"],
            instruction="Write the section of the clinical note for this conversation.", metric="rougeL", most=128, test_rows=200,
        ),
        _recipe(epochs=1, rate=5e-4, max_tokens=1536),
    ),
    "contract-clauses": Texts(
        contract_clauses,
        _task(
            "contract-clauses", kind="summarization", inputs=["original_text"], label="reference_summary", group="doc",
            instruction="Say in plain English what this clause means.", metric="rougeL", most=64, test_rows=100,
        ),
        _recipe(epochs=2, rate=4e-4, max_tokens=1024),
    ),
    "medical-questions": Texts(
        medical_questions,
        _task(
            "medical-questions", kind="qa", inputs=["question"], label="answer", group="focus",
            instruction="Answer the patient's question.", metric="rougeL", most=160, test_rows=100,
        ),
        _recipe(epochs=1, rate=4e-4, max_tokens=1024),
    ),
    "service-chat": Texts(
        service_chat,
        _task(
            "service-chat", kind="chat", inputs=["messages"], label="messages", metric="chrf", most=48, test_rows=100,
        ),
        _recipe(epochs=1, rate=5e-4, max_tokens=2048),
    ),
    "support-replies": Texts(
        support_replies,
        _task(
            "support-replies", kind="chat", inputs=["instruction"], label="response", metric="chrf", most=96, test_rows=100,
        ),
        _recipe(epochs=1, rate=8e-4, max_tokens=512),
    ),
}  # fmt: skip


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _cut(messages: list[Row], choose: random.Random) -> list[Row]:
    """The conversation up to one of the assistant's turns, drawn."""
    answers = [at for at, turn in enumerate(messages) if turn["role"] == "assistant"]
    return messages[: choose.choice(answers) + 1]


def _by_group(rows: list[Row], *, key: str, test: int, validation: int) -> dict[str, list[Row]]:
    """Whole groups, drawn, until the test and then the validation part have their rows; the rest trains."""
    groups = sorted({row[key] for row in rows})
    random.Random(SEED).shuffle(groups)
    parts: dict[str, list[Row]] = {"test": [], "validation": [], "train": []}
    for group in groups:
        name = next(
            (
                name
                for name, most in (("test", test), ("validation", validation))
                if len(parts[name]) < most
            ),
            "train",
        )
        parts[name].extend(row for row in rows if row[key] == group)
    return parts


def main() -> None:
    """Write the project."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=os.environ.get("BURNISH_DATA"))
    asked = parser.parse_args()
    if asked.data is None or not asked.data.is_dir():
        parser.error("say with --data where the open data sets are (docs/examples.md names them)")
    chosen = TASKS[asked.task]
    asked.folder.mkdir(parents=True, exist_ok=True)
    for name, rows in chosen.rows(asked.data).items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (asked.folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (asked.folder / "task.toml").write_text(chosen.task, encoding="utf-8")
    (asked.folder / "recipe.toml").write_text(chosen.recipe, encoding="utf-8")


if __name__ == "__main__":
    main()
