"""The same tiny training with the Trainer of transformers, at its best settings for being resumed.

It saves after every update (or so many) and keeps two checkpoints, and the same command passes the newest of them, found by
transformers' own `get_last_checkpoint`. When an attempt ends with an error, its newest checkpoint is removed by hand.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROWS = 44
_OUT = "trainer"
_UPDATES = "trainer.updates"
_LABELS = ("delivery", "other", "refund")


def warm() -> None:
    """Import what the attempts need."""
    import datasets  # noqa: F401 - the Trainer looks for it
    import transformers.models.bert.modeling_bert  # noqa: F401
    from transformers import Trainer, TrainingArguments

    del Trainer, TrainingArguments


def make_base(cache: Path) -> None:
    """The tiny base model that Burnish would train, for all attempts."""
    from burnish.models.pretrained import open_pretrained
    from tiny_training import sentences

    child = os.fork()
    if child == 0:
        base = open_pretrained(
            "tiny:bert",
            cache=cache,
            texts=lambda: [text for text, _ in sentences(60)],
            announce=lambda text: None,
        )
        (cache / "base").write_text(str(base.folder))
        os._exit(0)
    os.waitpid(child, 0)


def train(project: Path, arguments: Sequence[str]) -> int:
    """One attempt: from the newest checkpoint where there is one, to the end."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )
    from transformers.trainer_utils import get_last_checkpoint

    seed = _number(arguments, "--seed")
    base = (Path(os.environ["BURNISH_CACHE"]) / "base").read_text()
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    with (project / "tickets.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:ROWS]
    learnt = [
        {
            **tokenizer(row["text"], truncation=True, max_length=24),
            "label": _LABELS.index(row["intent"]),
        }
        for row in rows
    ]

    class Counting(TrainerCallback):
        """Every update is a byte of a file, written before the update is saved."""

        def on_step_end(self, *args: object, **kwargs: object) -> None:
            del args, kwargs
            with (project / _UPDATES).open("ab", buffering=0) as out:
                out.write(b".")

    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(_LABELS))
    settings = TrainingArguments(
        output_dir=str(project / _OUT),
        num_train_epochs=10,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        save_strategy="steps",
        save_steps=_number(arguments, "--save-steps"),
        save_total_limit=2,
        seed=seed,
        data_seed=seed,
        use_cpu=True,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=settings,
        train_dataset=learnt,  # pyright: ignore
        processing_class=tokenizer,
        callbacks=[Counting()],
    )
    newest = get_last_checkpoint(project / _OUT) if (project / _OUT).is_dir() else None
    if newest is not None:
        os.write(1, f"resuming after step {newest.rpartition('-')[2]}\n".encode())
    trainer.train(resume_from_checkpoint=newest)
    trainer.save_model(str(project / "final"))
    return 0


def _number(arguments: Sequence[str], name: str) -> int:
    return int(arguments[arguments.index(name) + 1])


def updates(project: Path) -> int:
    """Updates made so far, those made again included."""
    path = project / _UPDATES
    return path.stat().st_size if path.exists() else 0


def result(project: Path) -> tuple[str, ...]:
    """SHA-256 of the weights at the end."""
    weights = project / "final" / "model.safetensors"
    return (hashlib.sha256(weights.read_bytes()).hexdigest(),)


def remove_newest(project: Path) -> str:
    """What a person would do after an attempt that cannot resume: remove the newest checkpoint; its name."""
    from transformers.trainer_utils import get_last_checkpoint

    newest = get_last_checkpoint(project / _OUT)
    if newest is None:
        raise SystemExit((project / "soak.log").read_text()[-4000:])
    missing = {
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
    }
    missing -= set(os.listdir(newest))
    shutil.rmtree(newest)
    return (
        f"{Path(newest).name} removed, without {', '.join(sorted(missing)) or 'anything missing'}"
    )
