"""Workspace folders, looking names up, and one process at a time."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.store.workspace import Workspace, lock, names_in, open_workspace, resolve


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path, create=True)


def test_create_makes_private_folders_hidden_from_git(workspace: Workspace) -> None:
    for place in (workspace.state, *workspace.state.rglob("*")):
        assert stat.S_IMODE(place.stat().st_mode) == (0o700 if place.is_dir() else 0o600)
    assert "*" in (workspace.state / ".gitignore").read_text().splitlines()
    for place in (workspace.datasets, workspace.runs, workspace.bundles, workspace.bases):
        assert place.is_dir()
    assert open_workspace(workspace.root, create=True) == workspace


def test_an_open_state_folder_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / ".burnish").mkdir(mode=0o755)
    (tmp_path / ".burnish").chmod(0o755)
    workspace = open_workspace(tmp_path, create=True)
    assert stat.S_IMODE(workspace.state.stat().st_mode) == 0o700


def test_open_asks_for_task_toml(tmp_path: Path) -> None:
    with pytest.raises(BurnishError) as caught:
        open_workspace(tmp_path)
    assert caught.value.code == "workspace-missing"
    assert "burnish init FILE" in str(caught.value)
    (tmp_path / "task.toml").write_text("")
    assert open_workspace(tmp_path).root == tmp_path.resolve()
    assert not (tmp_path / ".burnish").exists()
    for wrong in (tmp_path / "task.toml", tmp_path / "nowhere"):
        with pytest.raises(BurnishError, match="workspace-missing"):
            open_workspace(wrong, create=True)


def test_a_file_where_the_state_should_be(tmp_path: Path) -> None:
    (tmp_path / ".burnish").write_text("")
    with pytest.raises(BurnishError, match="not-writable"):
        open_workspace(tmp_path, create=True)


def test_resolve_finds_whole_names_and_prefixes(workspace: Workspace) -> None:
    for name in ("3fa9", "3fb0", "3f", "77aa", ".3fc1.0.staging"):
        (workspace.datasets / name).mkdir()
    (workspace.datasets / "99file").write_text("")
    (workspace.datasets / "88link").symlink_to(workspace.runs)
    assert names_in(workspace.datasets) == ["3f", "3fa9", "3fb0", "77aa"]
    assert resolve(workspace.datasets, "3f").name == "3f"
    assert resolve(workspace.datasets, "3fa").name == "3fa9"
    assert resolve(workspace.datasets, "7").name == "77aa"
    for prefix, code in (("3", "id-ambiguous"), ("99file", "id-unknown"), ("88", "id-unknown")):
        with pytest.raises(BurnishError) as caught:
            resolve(workspace.datasets, prefix)
        assert caught.value.code == code
    with pytest.raises(BurnishError, match='nearest: "77aa"'):
        resolve(workspace.datasets, "77ab")
    with pytest.raises(BurnishError, match="there is none yet"):
        resolve(workspace.state / "nothing", "a")


@settings(max_examples=200, deadline=None, derandomize=True)
@example("..")
@example("../runs")
@example("a/../../b")
@example("/etc/passwd")
@example("a\n")
@example("a\0")
@example("")
@example("A")
@given(st.text(alphabet="ab./\\-_ \0\n%2eé", max_size=80))
def test_resolve_never_leaves_its_folder(
    tmp_path_factory: pytest.TempPathFactory, prefix: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "traversal"
    folder = root / "inside"
    (folder / "ab").mkdir(parents=True, exist_ok=True)
    (root / "outside").mkdir(exist_ok=True)
    try:
        found = resolve(folder, prefix)
    except BurnishError as error:
        assert error.code in {"id-invalid", "id-unknown"}
        return
    assert found == folder / "ab"
    assert found.name.startswith(prefix)


def test_a_lock_is_held_by_one_and_names_who(workspace: Workspace) -> None:
    with lock(workspace, "run"), lock(workspace, "other"):
        with pytest.raises(BurnishError) as caught, lock(workspace, "run"):
            pytest.fail("two hold the lock")
        assert caught.value.code == "busy"
        assert f"process {os.getpid()}" in str(caught.value)
    with lock(workspace, "run"):
        pass
    with pytest.raises(BurnishError, match="id-invalid"), lock(workspace, "../run"):
        pytest.fail("a lock outside its folder")


def test_a_killed_process_lets_go(workspace: Workspace) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from burnish.store.workspace import Workspace, lock\n"
        "with lock(Workspace(Path(sys.argv[1])), 'run'):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(workspace.root)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(BurnishError, match=f"process {child.pid}"), lock(workspace, "run"):
            pytest.fail("two hold the lock")
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    with lock(workspace, "run"):
        pass


def test_importing_the_store_stays_light() -> None:
    script = (
        "import sys\n"
        "import burnish.store.workspace, burnish.store.durable, burnish.store.ledger\n"
        "heavy = {'sqlalchemy', 'alembic', 'numpy', 'torch'} & set(sys.modules)\n"
        "print(*sorted(heavy))\n"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "\n"
