"""The ledger: append-only events, predictions in group commits, and a file that is believed or refused."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.records.deployment import Prediction
from burnish.store import database
from burnish.store.journal import find_prediction, journal, predictions
from burnish.store.ledger import (
    Ledger,
    check_ledger,
    close_ledger,
    events,
    open_ledger,
    record_event,
    sequence,
)

AT = "2026-11-22T10:00:00Z"


def prediction(id: str, *, version: str = "tickets-1", **changes: object) -> Prediction:
    return Prediction.model_validate(
        {
            "id": id,
            "version": version,
            "input_id": "9f2c",
            "inputs": {"text": "naïve ☃ \ud800 \0"},
            "labels": ["refund"],
            "confidence": 0.1 + 0.2,
            "scores": {"refund": 0.3, "other": 1 / 3},
            "latency_ms": 1.25,
            "at": AT,
            **changes,
        }
    )


def say(ledger: Ledger, kind: str = "promoted", subject: str = "tickets-1") -> int:
    return record_event(ledger, kind=kind, subject=subject, by="ann", at=AT, payload={"n": 1})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "state" / "ledger.db") as opened:
        yield opened


def test_events_are_numbered_and_come_back(ledger: Ledger) -> None:
    assert (events(ledger), sequence(ledger)) == ([], 0)
    payload = {"because": "naïve ☃ \ud800", "evidence": [1, 2.5, None, {"a": True}]}
    first = record_event(ledger, kind="promoted", subject="a-1", by="ann", at=AT, payload=payload)
    say(ledger, "retired", "a-1")
    say(ledger, "promoted", "b-1")
    assert first == 1
    assert [event.sequence for event in events(ledger)] == [1, 2, 3]
    assert events(ledger)[0].payload == payload
    assert [event.sequence for event in events(ledger, kind="promoted")] == [1, 3]
    assert [event.sequence for event in events(ledger, subject="a-1", after=1)] == [2]
    assert events(ledger, after=3) == events(ledger, after=99) == []
    assert (sequence(ledger), sequence(ledger, kind="retired"), sequence(ledger, kind="x")) == (
        3,
        2,
        0,
    )
    assert check_ledger(ledger) == ()


def test_predictions_come_back_exactly_and_in_order(ledger: Ledger) -> None:
    given = [prediction(f"p{n}", version=f"tickets-{n % 2}") for n in range(7)]
    given[3] = prediction("p3", version="tickets-1", inputs=None, labels=[], confidence=-0.0)
    journal(ledger, given[:4])
    journal(ledger, given[4:])
    journal(ledger, [])
    assert predictions(ledger) == given
    assert predictions(ledger, version="tickets-1") == given[1::2]
    assert predictions(ledger, limit=2, after="p2") == given[3:5]
    assert predictions(ledger, version="tickets-1", after="p3", limit=1) == [given[5]]
    assert find_prediction(ledger, "p3") == given[3]
    assert find_prediction(ledger, "nobody") is find_prediction(ledger, "\ud800") is None
    with pytest.raises(BurnishError, match="id-unknown"):
        predictions(ledger, after="nobody")


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    inputs=st.dictionaries(st.text(st.characters()), st.text(st.characters()), max_size=3),
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
    dropped=st.integers(0, 2**62),
)
def test_any_prediction_survives(
    ledger: Ledger, inputs: dict[str, str], numbers: list[float], dropped: int
) -> None:
    number = len(predictions(ledger))
    wanted = prediction(
        f"p{number}",
        inputs=inputs,
        confidence=numbers[0],
        latency_ms=numbers[1],
        dropped_characters=dropped,
    )
    journal(ledger, [wanted])
    assert find_prediction(ledger, wanted.id) == wanted


def test_a_group_is_all_or_nothing(ledger: Ledger) -> None:
    journal(ledger, [prediction("a")])
    with pytest.raises(BurnishError, match="prediction-exists"):
        journal(ledger, [prediction("b"), prediction("a")])
    with pytest.raises(BurnishError, match="record-unwritable"):
        journal(ledger, [prediction("b"), prediction("c", confidence=float("nan"))])
    assert [found.id for found in predictions(ledger)] == ["a"]
    journal(ledger, [prediction("b")])
    assert [found.id for found in predictions(ledger)] == ["a", "b"]


@pytest.mark.parametrize("payload", [{"a": float("nan")}, {"a": object()}, {"a": {1, 2}}])
def test_what_is_no_json_is_refused(ledger: Ledger, payload: dict[str, object]) -> None:
    with pytest.raises(BurnishError, match="record-unwritable"):
        record_event(ledger, kind="k", subject="s", by="b", at=AT, payload=payload)
    with pytest.raises(BurnishError, match="record-unwritable"):
        record_event(ledger, kind="k", subject="s", by="\ud800", at=AT, payload={})
    assert events(ledger) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET by = 'eve'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events",
        "UPDATE predictions SET confidence = 1.0",
    ],
)
def test_sqlite_itself_refuses_changes(ledger: Ledger, statement: str) -> None:
    say(ledger)
    journal(ledger, [prediction("a")])
    with sqlite3.connect(ledger.path) as raw, pytest.raises(sqlite3.IntegrityError, match="append"):
        raw.execute("PRAGMA recursive_triggers = ON")
        raw.execute(statement)
    raw.close()
    assert check_ledger(ledger) == ()


def test_it_is_private_and_synced_to_the_disk(ledger: Ledger) -> None:
    say(ledger)
    for path in ledger.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(ledger.path.parent.stat().st_mode) == 0o700
    with ledger.engine.connect() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "trusted_schema")
        ]
    assert values == ["wal", 2, 0]


def test_it_opens_again_and_odd_paths_are_paths(tmp_path: Path) -> None:
    path = tmp_path / "100%? a#b;c" / "ledger.db"
    with open_ledger(path) as first:
        say(first)
    with open_ledger(path) as second:
        assert say(second) == 2
        close_ledger(second)
        assert len(events(second)) == 2
    assert path.exists()


def test_migrations_and_tables_say_the_same(ledger: Ledger) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from burnish.store.tables import METADATA

    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == database.HEAD
    assert ScriptDirectory(str(database.MIGRATIONS)).get_heads() == [database.HEAD]


def test_a_ledger_of_a_newer_burnish_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        say(ledger)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(BurnishError, match="ledger-newer"):
        open_ledger(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"not a database " * 500, b"SQLite format 3\0" + b"\xff" * 4096],
    ids=["text", "header"],
)
def test_a_file_that_is_no_ledger_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(BurnishError, match="ledger-damaged"):
        open_ledger(path)
    assert path.read_bytes() == content


def test_a_lost_event_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for lost in (1, 2, 3):
        path.unlink(missing_ok=True)
        with open_ledger(path) as ledger:
            for _ in range(3):
                say(ledger)
        with sqlite3.connect(path) as raw:
            raw.execute("DROP TRIGGER events_no_delete")
            raw.execute(f"DELETE FROM events WHERE sequence = {lost}")
        raw.close()
        with open_ledger(path) as ledger, pytest.raises(BurnishError, match="ledger-damaged"):
            events(ledger)


def test_flipped_bits_are_noticed_or_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        for number in range(4):
            say(ledger, "promoted", f"tickets-{number}")
        journal(ledger, [prediction(f"p{n}") for n in range(6)])
        wanted = events(ledger), predictions(ledger)
    whole = path.read_bytes()
    assert not path.with_name("ledger.db-wal").exists()
    chance = random.Random(0)
    # Half of the flips hit bytes that hold something: most of a small database is zeros.
    filled = [at for at, byte in enumerate(whole) if byte]
    caught = 0
    for number in range(200):
        at = chance.choice(filled) if number % 2 else chance.randrange(len(whole))
        torn = bytearray(whole)
        torn[at] ^= 1 << chance.randrange(8)
        for name in os.listdir(tmp_path):
            (tmp_path / name).unlink()
        path.write_bytes(torn)
        try:
            with open_ledger(path) as ledger:
                found = events(ledger), predictions(ledger)
        except BurnishError as error:
            caught += 1
            assert error.code in {"ledger-damaged", "ledger-newer", "not-writable"}, at
        else:
            assert found == wanted, at
    assert caught > 40


def test_threads_share_a_ledger(ledger: Ledger) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(8):
                say(ledger, "promoted", name)
                journal(ledger, [prediction(f"{name}-{number}-{row}") for row in range(4)])
                events(ledger)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [event.sequence for event in events(ledger)] == list(range(1, 33))
    assert len(predictions(ledger)) == 128
    assert check_ledger(ledger) == ()


WRITER = """
import sys
from pathlib import Path
from burnish.records.deployment import Prediction
from burnish.store.journal import journal
from burnish.store.ledger import open_ledger, record_event

path, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ledger = open_ledger(path)
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    said = record_event(ledger, kind="k", subject=f"{name}-{number}", by="b", at="t", payload={})
    journal(ledger, [
        Prediction(id=f"{name}-{number}-{row}", version="v", input_id="i", inputs={"text": "x" * 500},
                   labels=("a",), confidence=0.5, scores={"a": 0.5}, latency_ms=1.0, at="t")
        for row in range(5)
    ])
    print(number, flush=True)
"""


def writer(path: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_open_a_new_ledger_and_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    both = [writer(path, name, 25) for name in ("left", "right")]
    for child in both:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in both:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in both:
        child.communicate()
    assert [child.returncode for child in both] == [0, 0]
    with open_ledger(path) as ledger:
        said = [event.subject for event in events(ledger)]
        for name in ("left", "right"):
            assert [one for one in said if one.startswith(name)] == [
                f"{name}-{n}" for n in range(25)
            ]
        assert len(predictions(ledger)) == 250
        assert check_ledger(ledger) == ()


def test_kill_9_keeps_every_acknowledged_row(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    acknowledged = {}
    for name, stop_after in (("a", 0), ("b", 7), ("c", 23)):
        child = writer(path, name, 100_000)
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        child.stdin.write("go\n")
        child.stdin.flush()
        for _ in range(stop_after):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        acknowledged[name] = stop_after + rest.count("\n")
    with open_ledger(path) as ledger:
        assert check_ledger(ledger) == ()
        ids = {found.id for found in predictions(ledger, limit=1_000_000)}
        said = {event.subject for event in events(ledger)}
        for name, count in acknowledged.items():
            assert {f"{name}-{n}" for n in range(count)} <= said
            assert {f"{name}-{n}-{row}" for n in range(count) for row in range(5)} <= ids
        # a group is whole or absent
        assert len(ids) % 5 == 0
        assert say(ledger) == len(said) + 1


def test_a_held_ledger_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with (
        database.writing(ledger.engine, ledger.path),
        pytest.raises(BurnishError, match="ledger-busy"),
    ):
        say(ledger)
    assert say(ledger) == 1


def test_a_second_opening_in_the_process_takes_no_lock_away(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops the process's POSIX locks on it, and SQLite's presence with them: another
    process would then think itself the last, and remove the write-ahead log that this one goes on writing into.
    """
    path = tmp_path / "ledger.db"
    look = (
        "import sys; from pathlib import Path; from burnish.store.ledger import *\n"
        "with open_ledger(Path(sys.argv[1])) as ledger: print(sequence(ledger))"
    )

    def seen_elsewhere() -> int:
        done = subprocess.run(
            [sys.executable, "-c", look, str(path)], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    with open_ledger(path) as ledger:
        say(ledger)
        with open_ledger(path) as again:
            assert sequence(again) == 1
        assert seen_elsewhere() == 1
        say(ledger)
        assert seen_elsewhere() == 2
    assert seen_elsewhere() == 2
