"""A person is forgotten: canaries planted in every place a row can reach, and after `forget` found in none."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import burnish
from burnish.data.dataset import load_dataset, load_rows
from burnish.data.tombstones import load_tombstones
from burnish.deploy.deployments import deployments, live
from burnish.deploy.feedback import Said, give_feedback
from burnish.errors import BurnishError
from burnish.records.deployment import Prediction
from burnish.records.example import input_id
from burnish.store.journal import find_prediction, journal
from burnish.store.ledger import check_ledger, open_ledger
from burnish.store.manifest import verify_folder
from burnish.store.workspace import Workspace, lock, names_in
from burnish.train.recipe_file import load_recipe
from quick_circle import QUICK_RECIPE, SAID

AT = "2026-11-22T10:00:00.000+00:00"
# A name that JSON and HTML spell in other ways, an address, a number, a customer.
NAME, MAIL, PHONE, CUSTOMER = (
    "Zyx\u00eb O'Qwvname",
    "zyx.qwv@qwv-mail.test",
    "0170 99887766",
    "kd-778899",
)
CANARIES = (NAME, "Qwvname", MAIL, "qwv-mail", "99887766", CUSTOMER, "Xylocanary")
TASK = """\
name = "desk"
kind = "classification"
inputs = ["text"]
label = "intent"
primary_metric = "accuracy"
slices = ["customer"]
audit = 1.0

[data]
train = ["train.csv"]
test = ["test.csv"]
validation_fraction = 0.2

[monitor]
window_rows = 60

[[labels]]
name = "delivery"

[[labels]]
name = "login"

[[labels]]
name = "refund"

[[gates]]
metric = "accuracy"
at_least = 0.0
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A project whose workspace knows the person, and the cache of base models beside it."""

    folder: Path
    cache: Path

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder)

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "burnish", *arguments], cwd=self.folder, capture_output=True,
            text=True, check=False, env={**os.environ, "BURNISH_CACHE": str(self.cache)},
        )  # fmt: skip
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def copy(self, target: Path) -> Scene:
        shutil.copytree(self.folder, target / "project")
        shutil.copytree(self.cache, target / "cache")
        return Scene(target / "project", target / "cache")


def person_says(number: int) -> str:
    return f"I am {NAME}, {MAIL}, call {PHONE} <b>case</b> {number}: where is my parcel"


def rows_of(start: int, each: int) -> list[tuple[str, str, str]]:
    return [
        (f"{phrase} {number * 37 + start}", f"kd-{number % 3}", intent)
        for number in range(each)
        for intent, phrases in SAID.items()
        for phrase in phrases
    ]


def write(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "customer", "intent"), *rows])


def spellings(canary: str) -> list[bytes]:
    """Every way a file may spell a text."""
    forms = {canary, canary.lower(), canary.upper(), html.escape(canary), json.dumps(canary)[1:-1]}
    forms |= {form.replace("'", "&#39;") for form in forms}
    return [form.encode(code) for form in forms for code in ("utf-8", "utf-16-le", "utf-16-be")]


def holders(*folders: Path) -> dict[str, list[str]]:
    """The files that hold a canary in any spelling."""
    wanted = {canary: spellings(canary) for canary in CANARIES}
    found: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                held = [name for name, forms in wanted.items() if any(f in data for f in forms)]
                if held:
                    found[path.relative_to(folder).as_posix()] = held
    return found


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The circle really run with the person's rows in it: trained, tested, answered, corrected, watched, retrained."""
    scene = Scene(tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("cache"))
    folder = scene.folder
    (folder / "task.toml").write_text(TASK)
    (folder / "recipe.toml").write_text(QUICK_RECIPE)
    mine = [(person_says(n), CUSTOMER, "refund" if n % 2 else "delivery") for n in range(24)]
    write(folder / "train.csv", [*rows_of(0, 16), *mine[:12]])
    # the labels of the person's test rows are odd, so that some are the worst errors
    write(folder / "test.csv", [*rows_of(10**5, 5), *[(t, c, "login") for t, c, _ in mine[12:]]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", str(scene.cache))
        recipe = load_recipe(folder / "recipe.toml", overrides={})
        shadows = burnish.run(folder, recipe=recipe).shadows
        burnish.promote(shadows["tuned"].version, folder, because=f"{NAME} asked for it")
        talk(scene)
        watched = burnish.monitor(folder)
        assert watched.newest is not None
        retrained = burnish.retrain(folder, recipe=recipe, because=f"corrections of {NAME}")
        assert retrained.dataset_id != retrained.parent_id
        # what killed writers leave behind holds rows, too
        for name in ("bundles/.draft", "datasets/.0123456789abcdef.0.staging"):
            left = scene.workspace.state / name
            left.mkdir(parents=True)
            (left / "rows.jsonl").write_text(person_says(1))
        yield scene


def talk(scene: Scene) -> None:
    """What the live version answered, the person among those who asked, and what was said about it."""
    task = burnish.load_task(scene.folder / "task.toml")
    with open_ledger(scene.workspace.ledger_path) as ledger:
        version = live(ledger, task.name)
        assert version is not None
        texts = [
            person_says(100 + n) if n % 2 else f"Xylocanary says {NAME} {n}" for n in range(40)
        ]
        texts += [text for text, _, _ in rows_of(10**6, 3)]
        given = [
            Prediction(
                id=f"{number:016x}",
                version=version.version,
                input_id=input_id({"text": text}),
                # the last of the person's is journalled as a hash: its feedback sends the text again
                inputs={"text": text} if number != 39 else None,
                labels=("refund",),
                confidence=0.5,
                scores={"delivery": 0.25, "login": 0.25, "refund": 0.5},
                latency_ms=1.0,
                audit=number % 2 == 0,
                at=AT,
            )
            for number, text in enumerate(texts)
        ]
        journal(ledger, given)
        said = [Said(prediction=f"{n:016x}", by="ann", labels=("delivery",)) for n in range(20)]
        said.append(
            Said(prediction=f"{39:016x}", by="ann", labels=("login",), inputs={"text": texts[39]})
        )
        give_feedback(ledger, task, said, at=AT)


def asked(scene: Scene) -> Path:
    path = scene.folder.parent / "person.txt"
    path.write_text(f"{NAME}\n{CUSTOMER}\n", encoding="utf-8")
    return path


def test_the_canaries_stand_in_every_place_before(planted: Scene) -> None:
    """Otherwise finding none afterwards would say nothing."""
    held = holders(planted.workspace.state)
    places = {re.sub(r"[0-9a-f]{16}", "*", name) for name in held}
    assert {
        "datasets/*/rows.jsonl",
        "reports/*/report.json",
        "reports/*/report.html",
        "bundles/*/burnish/golden.jsonl",
        "bundles/*/tokenizer.json",
        "runs/*/model/tokenizer.json",
        "bundles/.draft/rows.jsonl",
        "datasets/.*.0.staging/rows.jsonl",
        "monitoring/desk-1.html",
    } <= places
    assert {"ledger.db", "ledger.db-wal"} & places
    assert holders(planted.cache), "the made base model learnt its words from the rows"
    pages = [(planted.workspace.reports / name / "report.html").read_text() for name in names_in(planted.workspace.reports)]  # fmt: skip
    assert any(CUSTOMER in page for page in pages), "a slice names the customer"


def test_after_forgetting_no_file_holds_a_canary(planted: Scene, tmp_path: Path) -> None:
    scene = planted.copy(tmp_path)
    workspace = scene.workspace
    before = {name: load_rows(workspace, name) for name in names_in(workspace.datasets)}
    figures = {name: report_of(workspace, name) for name in names_in(workspace.reports)}
    with open_ledger(workspace.ledger_path) as ledger:
        stages = [(one.version, one.stage) for one in deployments(ledger)]
    seen = scene.run("forget", "--match", str(asked(scene)), "--containing", "--dry-run", "--json")
    assert json.loads(seen.stdout)["counts"]["rows"] >= 24
    assert holders(workspace.state), "--dry-run changed nothing"
    scene.run("forget", "--match", str(asked(scene)), "--containing", code=2)  # nobody to ask
    done = scene.run(
        "forget", "--match", str(asked(scene)), "--containing", "--yes", "--json",
        "--because", f"{NAME} wrote to us",
    )  # fmt: skip
    assert holders(workspace.state, scene.cache) == {}
    assert not [one for one in CANARIES if one in done.stdout + done.stderr]
    told = json.loads(done.stdout)
    assert {place.partition(":")[0] for place in told["files"]} == {"train.csv", "test.csv"}
    assert {(one["kind"], one["how"]) for one in told["models"]} == {("run", "trained"), ("version", "trained")}  # fmt: skip
    assert told["command"] == f'burnish retrain --because "forget {told["id"]}"'
    check_datasets(workspace, before, told["datasets"])
    for name, old in figures.items():
        new = report_of(workspace, name)
        assert verify_folder(workspace.reports / name) == ()
        assert new["measures"] == old["measures"] and new["confusion"] == old["confusion"]
        assert len(new["worst"]) == len(old["worst"])
    with open_ledger(workspace.ledger_path) as ledger:
        assert check_ledger(ledger) == ()
        assert [(one.version, one.stage) for one in deployments(ledger)] == stages
        kept = find_prediction(ledger, f"{1:016x}")
    assert kept is not None and kept.inputs is None and kept.labels == ("refund",)
    again = scene.run("forget", "--match", str(asked(scene)), "--containing", "--yes", "--json")
    assert json.loads(again.stdout)["counts"] == {}
    check_goes_on(scene, told)


def report_of(workspace: Workspace, name: str) -> dict[str, list[object]]:
    return json.loads((workspace.reports / name / "report.json").read_text())


def check_datasets(workspace: Workspace, before: dict, successors: dict[str, str]) -> None:
    """Each version has a successor with its other rows in their splits and the law of its ledger; the old explains itself."""
    assert set(successors) == set(before) and len(set(successors.values())) == len(before)
    for old, rows in before.items():
        new = load_dataset(workspace, successors[old])
        assert new.rows_in == new.rows_used + sum(new.rejected.values())
        for split, kept in load_rows(workspace, new.id).items():
            expected = [r for r in rows[split] if NAME not in r.inputs["text"] and r.columns.get("customer") != CUSTOMER]  # fmt: skip
            assert kept == expected
        assert new.parent_id is None or new.parent_id in successors.values()
        with pytest.raises(BurnishError) as told:
            load_dataset(workspace, old)
        assert told.value.code == "dataset-forgotten" and new.id in str(told.value)


def check_goes_on(scene: Scene, told: dict) -> None:
    """Versions answer, the rows cannot come in again, and a retraining learns from what is left."""
    recipe = load_recipe(scene.folder / "recipe.toml", overrides={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", str(scene.cache))
        assert len(burnish.predict([{"text": "where is my parcel"}], scene.folder)) == 1
        retrained = burnish.retrain(scene.folder, recipe=recipe, because=f"forget {told['id']}")
        made = burnish.make_dataset(scene.folder, recipe=recipe)
    # a tiny model from scratch is no fair rival of itself: the gates may refuse it
    assert retrained.outcome in ("shadow", "refused") and retrained.run_id is not None
    assert retrained.parent_id in told["datasets"].values()
    assert made.rejected["forgotten"] == 24
    assert [issue.count for issue in made.issues if issue.code == "forgotten-rows"] == [24]
    assert holders(scene.workspace.state) == {}


def test_rows_of_one_customer_go_and_those_of_others_stay(planted: Scene, tmp_path: Path) -> None:
    scene = planted.copy(tmp_path)
    for condition, code in (
        ("custmer=kd-1", "column-unknown"),
        ("customer", "where-invalid"),
        ("customer=kd-77", "nothing-matches"),
    ):
        told = refused(scene, condition)
        assert told.code == code
    assert refused(scene, "custmer=kd-1").problems[0].nearest == "customer"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", str(scene.cache))
        done = burnish.forget(project=scene.folder, where=["customer=kd-1"])
    for new in done.datasets.values():
        rows = [row for some in load_rows(scene.workspace, new).values() for row in some]
        assert rows and all(row.columns.get("customer") != "kd-1" for row in rows)
        assert any(row.columns.get("customer") == "kd-0" for row in rows)
        assert any(row.columns.get("customer") == CUSTOMER for row in rows)


def refused(scene: Scene, condition: str) -> BurnishError:
    with pytest.raises(BurnishError) as told:
        burnish.forget(project=scene.folder, where=[condition])
    return told.value


def test_nothing_is_forgotten_beside_a_training(planted: Scene, tmp_path: Path) -> None:
    scene = planted.copy(tmp_path)
    for name, shared in (("rows", True), ("retrain", False)):
        with lock(scene.workspace, name, shared=shared):
            assert refused(scene, f"customer={CUSTOMER}").code == "busy"
    assert not load_tombstones(scene.workspace).hashes


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("gone.txt", None, "match-file-unreadable"),
        ("empty.txt", b"\n  \n", "match-file-empty"),
        ("binary.txt", b"\0\1\2", "match-file-unreadable"),
        ("latin.txt", b"Zo\xeb", "match-file-unreadable"),
        ("short.txt", b"Jo\n", "match-too-short"),
        ("other.csv", b"name\nJane\n", "column-unknown"),
        ("nobody.txt", b"somebody else altogether\n", "nothing-matches"),
    ],
)
def test_bad_files_are_refused_in_words(
    planted: Scene, tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BurnishError) as told:
        burnish.forget(path, planted.folder, containing=not name.endswith(".csv"))
    assert told.value.code == code
    assert not load_tombstones(planted.workspace).hashes


@pytest.mark.parametrize("name", ["rows.csv", "texts.txt"])
def test_a_table_of_rows_and_whole_texts_are_enough(
    planted: Scene, tmp_path: Path, name: str
) -> None:
    """White space is folded; other texts that only contain the line stay."""
    scene = planted.copy(tmp_path / "copy")
    text = "  where is my   parcel 37 "
    path = tmp_path / name
    path.write_text(f"text,note\n{text},x\n" if name.endswith(".csv") else f"{text}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", str(scene.cache))
        done = burnish.forget(path, scene.folder)
    assert done.counts["rows"] == 1
    for new in done.datasets.values():
        texts = {r.inputs["text"] for rows in load_rows(scene.workspace, new).values() for r in rows}  # fmt: skip
        assert "where is my parcel 37" not in texts and "where is my parcel 370" in texts


KILLS = """
import os, signal, sys
from pathlib import Path
from burnish.edge import make_edge
from burnish.forgetting.forget import asked, forget
from burnish.project import open_project
import burnish.deploy.engines.transformers_engine, burnish.evaluate.forget, burnish.monitor.page, sqlalchemy
# imported once, not in every child
import transformers.models.bert.modeling_bert, transformers.core_model_loading

COUNTED = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")

def work(root, stop):
    count = 0

    def watch(event, arguments):
        nonlocal count
        if event in COUNTED or event == "open" and str(root) in str(arguments[0]) and arguments[2] & 3:
            count += 1
            if count == stop:
                os.kill(os.getpid(), signal.SIGKILL)

    os.environ["BURNISH_CACHE"] = str(root.parent / "cache")
    project, edge = open_project(root), make_edge()
    wanted = asked(project, match=Path(sys.argv[1]), containing=True, where=[])
    sys.addaudithook(watch)
    forget(project, edge, wanted, because="asked", fresh_key=lambda: b"k" * 32)
    sys.stdout.write(f"{count}\\n")
    sys.stdout.flush()

for root, stop in zip(sys.argv[2::2], sys.argv[3::2]):
    child = os.fork()
    if not child:
        work(Path(root), int(stop))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        sys.stdout.write(f"{code}\\n")
        sys.stdout.flush()
"""


def forget_with_kills(match: Path, pairs: list[tuple[Scene, int]]) -> list[int]:
    """For each scene: how many steps it took, or -9 where it was killed at the given one (0: never)."""
    given = [word for scene, stop in pairs for word in (str(scene.folder), str(stop))]
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(match), *given],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return [int(line) for line in done.stdout.split()]


def test_a_kill_at_any_step_and_the_same_command_again(planted: Scene, tmp_path: Path) -> None:
    """SIGKILL at steps spread over the whole work; whatever was killed, running it again ends it."""
    match = asked(planted)
    (steps,) = forget_with_kills(match, [(planted.copy(tmp_path / "whole"), 0)])
    assert steps > 50
    kills = [steps * number // 7 for number in range(1, 7)]
    scenes = [planted.copy(tmp_path / str(stop)) for stop in kills]
    killed = forget_with_kills(match, list(zip(scenes, kills, strict=True)))
    assert killed == [-signal.SIGKILL] * len(kills)
    for scene in scenes:
        for name in names_in(scene.workspace.datasets):
            load_dataset(scene.workspace, name)
        with open_ledger(scene.workspace.ledger_path) as ledger:
            assert check_ledger(ledger) == ()
    ended = forget_with_kills(match, [(scene, 0) for scene in scenes])
    assert all(steps >= 0 for steps in ended) and len(ended) == len(scenes)
    for scene in scenes:
        assert holders(scene.workspace.state, scene.cache) == {}
        with open_ledger(scene.workspace.ledger_path) as ledger:
            assert check_ledger(ledger) == ()
            for one in deployments(ledger):
                assert verify_folder(scene.workspace.bundles / one.bundle_id) == ()
                assert verify_folder(scene.workspace.reports / one.report_id) == ()
