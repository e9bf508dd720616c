"""Durable files and folders: whole or not at all, private, immutable, and every changed bit shows."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.records.event import Event
from burnish.store.durable import (
    LineLog,
    manifest_sha256,
    new_folder,
    read_lines,
    remove_folder,
    replacing,
    sweep,
    verify_folder,
    write_file,
    write_json,
    write_text,
)

FILES = {"rows.jsonl": b'{"a": 1}\n' * 20, "empty": b"", "deep/er/weights.bin": bytes(range(256))}


def publish(target: Path, files: dict[str, bytes] = FILES, *, checksum: str = "sha256") -> Path:
    with new_folder(target, checksum=checksum) as staging:  # type: ignore[arg-type]
        for name, data in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(data)
    return target


def codes(folder: Path) -> set[str]:
    return {problem.code for problem in verify_folder(folder)}


def hidden_names(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def test_write_file_replaces_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_file(path, b"new" * 100_000)
    assert path.read_bytes() == b"new" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"untouched")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "victim").read_bytes() == b"untouched"
    assert not (tmp_path / "link").is_symlink()


def test_text_and_json_come_back(tmp_path: Path) -> None:
    write_text(tmp_path / "t", "naïve ☃")
    assert (tmp_path / "t").read_text("utf-8") == "naïve ☃"
    event = Event(sequence=1, kind="k", subject="s", by="b", at="t", payload={"é": "\ud800"})
    write_json(tmp_path / "j", event)
    assert Event.model_validate(json.loads((tmp_path / "j").read_bytes())) == event
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "j", float("nan"))
    assert Event.model_validate(json.loads((tmp_path / "j").read_bytes())) == event


@pytest.mark.parametrize("checksum", ["sha256", "xxh3"])
def test_new_folder_is_whole_private_and_verifies(tmp_path: Path, checksum: str) -> None:
    target = publish(tmp_path / "a" / "b" / "one", checksum=checksum)
    assert verify_folder(target) == ()
    assert {name: (target / name).read_bytes() for name in FILES} == FILES
    assert json.loads((target / "manifest.json").read_bytes())["checksum"] == checksum
    for place in (target, *target.rglob("*")):
        assert stat.S_IMODE(place.stat().st_mode) == (0o700 if place.is_dir() else 0o600)
    assert os.listdir(tmp_path / "a" / "b") == ["one"]


def test_the_manifest_names_the_content(tmp_path: Path) -> None:
    one, two = publish(tmp_path / "one"), publish(tmp_path / "two")
    other = publish(tmp_path / "other", FILES | {"empty": b"x"})
    assert manifest_sha256(one) == manifest_sha256(two) != manifest_sha256(other)


def test_a_published_folder_never_changes(tmp_path: Path) -> None:
    target = publish(tmp_path / "one")
    before = manifest_sha256(target), target.stat().st_ino
    publish(target, {"rows.jsonl": b"something else"})
    assert (manifest_sha256(target), target.stat().st_ino) == before
    assert hidden_names(tmp_path) == []


def test_a_damaged_target_is_told_before_the_work(tmp_path: Path) -> None:
    target = publish(tmp_path / "one")
    (target / "empty").write_bytes(b"x")
    with pytest.raises(BurnishError, match="file-changed"), new_folder(target):
        pytest.fail("the body must not start")


def test_an_error_in_the_body_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "one") as staging:
        (staging / "half").write_bytes(b"half")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_errors_of_the_body_keep_their_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "one"):
        (tmp_path / "no such input").read_bytes()
    with pytest.raises(ValueError, match="regular files"), new_folder(tmp_path / "one") as staging:
        (staging / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="no manifest"), new_folder(tmp_path / "one") as staging:
        (staging / "manifest.json").write_bytes(b"{}")
    assert os.listdir(tmp_path) == []


def test_two_writers_of_one_target_both_end_well(tmp_path: Path) -> None:
    barrier = threading.Barrier(4, timeout=20)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with new_folder(tmp_path / "one") as staging:
                (staging / "rows").write_bytes(b"same")
                barrier.wait()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert verify_folder(tmp_path / "one") == ()
    assert os.listdir(tmp_path) == ["one"]


def test_living_writers_are_not_swept(tmp_path: Path) -> None:
    with new_folder(tmp_path / "one") as staging:
        (staging / "rows").write_bytes(b"mine")
        (tmp_path / ".dead.0.staging").mkdir()
        (tmp_path / ".dead.0.staging" / "x").write_bytes(b"left by a kill")
        (tmp_path / ".dead.0.tmp").write_bytes(b"left by a kill")
        sweep(tmp_path)
        assert hidden_names(tmp_path) == [staging.name]
    assert verify_folder(tmp_path / "one") == ()


def test_remove_folder_removes_one_and_twice_is_once(tmp_path: Path) -> None:
    steps = [publish(tmp_path / f"step-{n}", checksum="xxh3") for n in (1, 2, 3)]
    remove_folder(steps[1])
    remove_folder(steps[1])
    assert sorted(os.listdir(tmp_path)) == ["step-1", "step-3"]
    assert verify_folder(steps[0]) == verify_folder(steps[2]) == ()


def test_replacing_streams_and_keeps_the_old_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("out.csv")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "out.csv") as out:
        out.write("half")
        out.flush()
        raise ZeroDivisionError
    assert (tmp_path / "out.csv").read_text() == "old"
    with replacing(tmp_path / "link.csv") as out:
        out.write("naïve\r\nlines\n")
        assert (tmp_path / "out.csv").read_text() == "old"
    assert (tmp_path / "out.csv").read_bytes() == "naïve\r\nlines\n".encode()
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600
    assert hidden_names(tmp_path) == []
    assert (tmp_path / "link.csv").is_symlink()
    with pytest.raises(BurnishError, match="not-writable"), replacing(tmp_path / "no" / "x"):
        pytest.fail("no folder to write in")


def test_devices_and_folders_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "null", tmp_path, Path("/dev/null")):
        with pytest.raises(BurnishError, match="not-writable"):
            write_file(path, b"")
        with pytest.raises(BurnishError, match="not-writable"), replacing(path):
            pytest.fail("it must not start")
    assert Path("/dev/null").is_char_device()


def test_verify_names_every_fault(tmp_path: Path) -> None:
    target = publish(tmp_path / "one")
    (target / "rows.jsonl").write_bytes(FILES["rows.jsonl"][:-1])
    (target / "empty").unlink()
    (target / "deep" / "new").write_bytes(b"")
    (target / "link").symlink_to(target / "deep")
    (target / "deep" / "er" / "weights.bin").unlink()
    (target / "deep" / "er" / "weights.bin").symlink_to("/dev/zero")
    found = {(p.code, Path(p.where).name) for p in verify_folder(target)}
    assert found == {
        ("file-changed", "rows.jsonl"),
        ("file-gone", "empty"),
        ("file-added", "new"),
        ("file-added", "link"),
        ("file-changed", "weights.bin"),
    }
    (target / "manifest.json").unlink()
    assert codes(target) == {"manifest-missing"}
    os.mkfifo(target / "manifest.json")
    assert codes(target) == {"manifest-damaged"}
    assert codes(tmp_path / "nowhere") == {"manifest-missing"}


@pytest.mark.parametrize("name", ["../out", "/etc/hostname", "a\0b"])
def test_a_forged_manifest_leads_nowhere(tmp_path: Path, name: str) -> None:
    from burnish.store.manifest import Listed, render_manifest

    data = render_manifest([Listed(name, 1, "00")], "sha256")
    (tmp_path / "manifest.json").write_bytes(data)
    assert codes(tmp_path) == {"manifest-damaged"}


def test_any_flipped_bit_of_a_manifest_shows(tmp_path: Path) -> None:
    target = publish(tmp_path / "one", {"a": b"1"})
    path = target / "manifest.json"
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        torn = bytearray(whole)
        torn[bit // 8] ^= 1 << bit % 8
        path.write_bytes(torn)
        assert codes(target) == {"manifest-damaged"}, bit
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        assert codes(target) == {"manifest-damaged"}, length
    path.write_bytes(whole)
    assert verify_folder(target) == ()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("published")
    return {name: publish(root / name, checksum=name) for name in ("sha256", "xxh3")}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    checksum=st.sampled_from(["sha256", "xxh3"]),
    name=st.sampled_from(["rows.jsonl", "deep/er/weights.bin", "manifest.json"]),
    place=st.floats(0, 1, exclude_max=True),
    damage=st.sampled_from(["flip", "truncate", "extend", "remove", "swap"]),
    bit=st.integers(0, 7),
)
def test_any_damage_to_a_folder_shows(
    published: dict[str, Path], checksum: str, name: str, place: float, damage: str, bit: int
) -> None:
    folder = published[checksum]
    path = folder / name
    whole = path.read_bytes()
    at = int(place * len(whole))
    try:
        if damage == "flip":
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        elif damage == "truncate":
            path.write_bytes(whole[:at])
        elif damage == "extend":
            path.write_bytes(whole + whole[at : at + 1])
        elif damage == "remove":
            path.unlink()
        else:
            path.write_bytes(whole[::-1])
        assert verify_folder(folder) != ()
    finally:
        path.write_bytes(whole)
    assert verify_folder(folder) == ()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    lines=st.lists(st.dictionaries(st.text(max_size=8), st.text(max_size=20)), max_size=6),
    cut=st.integers(1, 40),
)
def test_a_line_log_keeps_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, str]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "steps.jsonl"
    with LineLog(path, sync_every=4) as log:
        for line in lines:
            log.append(line)
    assert read_lines(path) == lines
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    kept = read_lines(path)
    assert kept == lines[: len(kept)]
    with LineLog(path) as log:
        log.append({"after": "the tear"})
        log.close()
    assert read_lines(path) == [*kept, {"after": "the tear"}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
