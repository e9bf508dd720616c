"""A bundle is what was evaluated, byte for byte, or it does not answer."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from burnish.deploy.bundle import load_bundle, make_bundle, open_bundle
from burnish.deploy.engines import majority
from burnish.deploy.golden import read_golden
from burnish.errors import BurnishError
from burnish.store.durable import verify_folder
from burnish.store.manifest import Listed, checksum_of, render_manifest
from burnish.store.workspace import Workspace
from deployed import AT, GOLDEN, bundle_of, forge, make_workspace
from support_task import make_task

SHARES = (0.6, 0.3, 0.1)
NAMES = {
    "README.md",
    "arrays.json",
    "manifest.json",
    "burnish/bundle.json",
    "burnish/golden.jsonl",
    "burnish/label_map.json",
    "burnish/task.json",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("bundle"))


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def code_of(folder: Path) -> tuple[str, str]:
    with pytest.raises(BurnishError) as caught:
        open_bundle(folder)
    return caught.value.problems[0].code, caught.value.problems[0].where


def test_it_holds_everything_and_opens(workspace: Workspace) -> None:
    bundle = bundle_of(workspace, SHARES)
    folder = workspace.bundles / bundle.id
    assert files_of(folder) == NAMES
    assert verify_folder(folder) == ()
    opened = open_bundle(folder, bundle_id=bundle.id)
    assert opened.bundle == bundle
    assert opened.task == make_task()
    assert (
        json.loads((folder / "burnish/label_map.json").read_text())["id2label"]["1"] == "delivery"
    )
    golden = read_golden(folder)
    assert [row.inputs for row in golden] == [dict(row) for row in GOLDEN]
    assert golden[0].probabilities == pytest.approx(SHARES)


def test_same_content_same_id_and_the_first_one_stays(workspace: Workspace) -> None:
    first = bundle_of(workspace, SHARES)
    before = {p: p.stat().st_mtime_ns for p in (workspace.bundles / first.id).rglob("*")}
    assert bundle_of(workspace, SHARES) == first
    assert before == {p: p.stat().st_mtime_ns for p in (workspace.bundles / first.id).rglob("*")}
    assert bundle_of(workspace, (0.5, 0.4, 0.1)).id != first.id
    assert bundle_of(workspace, SHARES, verdict="failed").id != first.id


def test_private_and_nothing_left_over(workspace: Workspace) -> None:
    bundle = bundle_of(workspace, SHARES)
    for path in (workspace.bundles / bundle.id).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert all(not p.name.startswith(".") for p in workspace.bundles.iterdir())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_one_flipped_bit_is_found_and_the_file_named(workspace: Workspace, name: str) -> None:
    bundle = bundle_of(workspace, (0.2, 0.2, 0.6))
    path = workspace.bundles / bundle.id / name
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        assert code_of(path.parents[name.count("/")]) == ("bundle-tampered", name)
    path.write_bytes(whole)
    load_bundle(workspace.bundles / bundle.id)


def test_added_and_missing_files_are_found(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    folder = workspace.bundles / bundle_of(workspace, SHARES).id
    (folder / "config.json").write_text("{}")
    assert code_of(folder) == ("bundle-tampered", "config.json")
    (folder / "config.json").unlink()
    (folder / "README.md").unlink()
    assert code_of(folder) == ("bundle-tampered", "README.md")


def test_a_manifest_written_to_match_does_not_help(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    folder = workspace.bundles / bundle_of(workspace, SHARES).id
    majority.write(folder, {"refund": 0.1, "delivery": 0.1, "other": 0.8})
    names = files_of(folder) - {"manifest.json"}
    listed = [
        Listed(n, (folder / n).stat().st_size, checksum_of(folder / n, "sha256")) for n in names
    ]
    (folder / "manifest.json").write_bytes(render_manifest(listed, "sha256"))
    assert verify_folder(folder) == ()
    assert code_of(folder) == ("bundle-tampered", "manifest.json")


def test_a_folder_with_another_bundle_is_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    bundle = bundle_of(workspace, SHARES)
    with pytest.raises(BurnishError, match="bundle-tampered"):
        open_bundle(workspace.bundles / bundle.id, bundle_id="0" * 16)
    with pytest.raises(BurnishError, match="bundle-missing"):
        open_bundle(workspace.bundles / ("0" * 16))


def test_a_golden_id_that_differs_is_refused_even_when_all_else_matches(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    bundle = bundle_of(workspace, SHARES)
    name = "burnish/golden.jsonl"
    lines = (workspace.bundles / bundle.id / name).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    rows[1]["ids"][2] += 1
    wrong = "".join(json.dumps(row) + "\n" for row in rows).encode()
    forged = forge(workspace, bundle, {name: wrong})
    assert code_of(workspace.bundles / forged.id) == ("golden-ids-differ", f"{name} line 2")
    rows[1]["ids"].pop()
    short = "".join(json.dumps(row) + "\n" for row in rows).encode()
    assert code_of(workspace.bundles / forge(workspace, bundle, {name: short}).id)[0] == (
        "golden-ids-differ"
    )
    for broken in (b"", b"{}\n", b"[[[[", b"\xff"):
        assert code_of(workspace.bundles / forge(workspace, bundle, {name: broken}).id) == (
            "golden-broken",
            name,
        )


def test_other_weights_do_not_reproduce_the_golden_rows(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    bundle = bundle_of(workspace, SHARES)
    arrays = json.dumps({"shares": {"refund": 0.6003, "delivery": 0.2997, "other": 0.1}}).encode()
    forged = forge(workspace, bundle, {"arrays.json": arrays})
    assert code_of(workspace.bundles / forged.id)[0] == "golden-probabilities-differ"
    near = json.dumps({"shares": {"refund": 0.60003, "delivery": 0.29997, "other": 0.1}}).encode()
    open_bundle(workspace.bundles / forge(workspace, bundle, {"arrays.json": near}).id)


def test_a_written_model_that_answers_differently_is_never_published(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    task = make_task()
    fitted = majority.MajorityFitted(SHARES, sigmoid=False, max_tokens=32)
    with pytest.raises(BurnishError) as caught:
        make_bundle(
            task,
            fitted,
            model_folder_writer=lambda f: majority.write(
                f, {"refund": 0.1, "delivery": 0.3, "other": 0.6}
            ),
            workspace=workspace,
            engine="majority",
            run_id=None,
            dataset_id="d",
            report_id="e",
            golden_inputs=GOLDEN,
            precision="fp32",
            max_tokens=32,
            card="",
            at=AT,
        )
    assert [p.code for p in caught.value.problems][:2] == [
        "bundle-differs",
        "golden-probabilities-differ",
    ]
    assert list(workspace.bundles.iterdir()) == []


def test_without_golden_rows_there_is_no_bundle(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    with pytest.raises(BurnishError, match="golden-broken"):
        bundle_of(workspace, SHARES, golden=())
    assert list(workspace.bundles.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    left = workspace.bundles / ".draft"
    left.mkdir()
    (left / "pytorch_model.bin").write_bytes(b"old")
    bundle = bundle_of(workspace, SHARES)
    assert files_of(workspace.bundles / bundle.id) == NAMES
    assert not left.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"shares": {"refund": 1}}', '{"shares": {"refund": "x"}}']
)
def test_broken_arrays_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "arrays.json").write_text(text)
    with pytest.raises(BurnishError, match="engine-arrays-broken"):
        majority.load(tmp_path, make_task(), precision="fp32", max_tokens=8)
