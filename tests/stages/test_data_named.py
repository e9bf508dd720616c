"""What [data] names, as files: patterns, folders, names twice, hub data sets; and init with all of them."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import pytest

from burnish.data.examples import read_examples
from burnish.data.named import expand, names_of
from burnish.data.start import start
from burnish.errors import BurnishError
from burnish.records.task import DataFiles
from burnish.tasks.load import load_task

COMMIT = "0123456789" * 4


def rows_of(first: int, count: int = 40) -> str:
    return "".join(
        f"text number {number} says {'good' if number % 2 else 'bad'} things,{'card' if number % 2 else 'cash'}\n"
        for number in range(first, first + count)
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tickets"
    folder.mkdir()
    for number, name in enumerate(("b", "a", "10", "9")):
        (folder / f"{name}.csv").write_text(f"text,label\n{rows_of(100 * number)}")
    (folder / ".hidden.csv").write_text("not,read\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "c.csv").write_text(f"text,label\n{rows_of(900)}")
    return tmp_path


def names(root: Path, train: tuple[str, ...], test: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    found = expand(names_of(DataFiles(train=train, test=test)), root)
    assert not found.problems
    return [(file.split, file.name) for file in found.files]


def test_a_pattern_gives_its_files_sorted_and_no_hidden_ones(root: Path) -> None:
    expected = [("train", f"tickets/{name}.csv") for name in ("10", "9", "a", "b")]
    assert names(root, ("tickets/*.csv",)) == expected
    deep = names(root, ("tickets/**/*.csv",))
    assert sorted(deep) == sorted([*expected, ("train", "tickets/deep/c.csv")])
    absolute = expand(names_of(DataFiles(train=(f"{root}/tickets/*.csv",))), root)
    assert [file.name for file in absolute.files] == ["10.csv", "9.csv", "a.csv", "b.csv"]


def test_a_file_that_is_called_like_a_pattern_is_that_file(root: Path) -> None:
    (root / "a[1].csv").write_text("text,label\nx,y\n")
    assert names(root, ("a[1].csv",)) == [("train", "a[1].csv")]


def test_a_file_named_twice_is_read_once_and_a_test_file_never_trains(root: Path) -> None:
    (root / "link.csv").symlink_to(root / "tickets" / "a.csv")
    train = ("tickets/a.csv", "tickets/[ab].csv", "link.csv")
    found = expand(names_of(DataFiles(train=train, test=("tickets/b.csv",))), root)
    assert [(file.split, file.name) for file in found.files] == [
        ("train", "tickets/a.csv"),
        ("test", "tickets/b.csv"),
    ]
    assert [(issue.code, issue.severity, issue.count) for issue in found.issues] == [
        ("file-twice", "note", 2),
        ("file-twice", "warning", 1),
    ]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("tickets/*.json", "10.csv, 9.csv, a.csv, b.csv, deep/"),
        ("nowhere/*.csv", ""),
        ("tickets/d*", "a.csv"),
    ],
)
def test_a_pattern_without_a_match_names_what_is_there(root: Path, pattern: str, said: str) -> None:
    (problem,) = expand(names_of(DataFiles(train=(pattern,))), root).problems
    assert (problem.code, problem.where) == ("pattern-no-match", pattern)
    assert said in problem.expected and problem.fix


def write_task(root: Path, data: str) -> None:
    (root / "task.toml").write_text(
        'name = "t"\nkind = "classification"\ninputs = ["text"]\nlabel = "label"\n'
        'primary_metric = "accuracy"\n' + f"[data]\n{data}\n"
        '[[labels]]\nname = "pos"\n[[labels]]\nname = "neg"\n'
    )


def test_the_task_s_delimiter_and_encoding_reach_the_files(root: Path) -> None:
    (root / "t.csv").write_bytes("text#label\nż;ó,ł#pos\nx#neg\n".encode("cp1250"))
    write_task(root, 'train = ["t.csv"]\ndelimiter = "#"\nencoding = "cp1250"')
    read = read_examples(load_task(root / "task.toml"), root)
    assert read.examples["train"][0].inputs["text"] == "ż;ó,ł"
    assert read.files[0].encoding == "cp1250"


@pytest.mark.parametrize(
    ("line", "said"),
    [('delimiter = "||"', "one character"), ('delimiter = "\\n"', "one character"), ("delimiter = ''", "one character"),
     ('encoding = "cp125"', "a text encoding"), ('encoding = "rot13"', "a text encoding")],
)  # fmt: skip
def test_a_delimiter_or_encoding_that_is_none_is_said_with_its_line(
    root: Path, line: str, said: str
) -> None:
    write_task(root, f'train = ["t.csv"]\n{line}')
    with pytest.raises(BurnishError) as caught:
        load_task(root / "task.toml")
    (problem,) = caught.value.problems
    assert problem.code == "task-bad-value" and problem.where == "task.toml line 8"
    assert said in problem.expected


def test_init_takes_patterns_folders_and_gzip(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for label in ("good", "bad"):
        (root / "reviews" / label).mkdir(parents=True)
        for number in range(40):
            (root / "reviews" / label / f"{number}.txt").write_text(
                f"it is number {number} and {label}"
            )
    Path("mail.csv.gz").write_bytes(gzip.compress(Path("tickets/a.csv").read_bytes()))
    for given, name, labels, rows in (
        ("tickets/*.csv", "tickets", {"card", "cash"}, 160),
        ("reviews/", "reviews", {"good", "bad"}, 80),
        ("mail.csv.gz", "mail", {"card", "cash"}, 40),
    ):
        started = start([Path(given)], root, force=True)
        task = load_task(started.path)
        assert (task.name, set(task.label_names), started.rows) == (name, labels, rows)
        assert task.data is not None and task.data.train == (given.rstrip("/"),)
        read = read_examples(task, root)
        assert (len(read.examples["train"]), read.rejections) == (rows, ())


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("hub:reviews", "hub-name"),
        (f"hub:org/reviews@{COMMIT}", "hub-name"),
        (f"hub:org/../x@{COMMIT}:train", "hub-name"),
        ("hub:org/reviews:train", "hub-revision-missing"),
        ("hub:org/reviews@main:train", "hub-revision-missing"),
    ],
)
def test_a_hub_name_says_what_it_lacks(tmp_path: Path, name: str, code: str) -> None:
    (problem,) = expand(names_of(DataFiles(train=(name,))), tmp_path).problems
    assert (problem.code, problem.where) == (code, name)
    assert COMMIT[:10] in problem.expected or "COMMIT" in problem.expected


def test_a_hub_name_without_the_extra_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (problem,) = expand(
        names_of(DataFiles(train=(f"hub:org/reviews@{COMMIT}:train",))), tmp_path
    ).problems
    assert problem.code == "hub-missing-extra" and "burnish[datasets]" in problem.fix


HUB = """
import hashlib, http.server, json, os, sys, threading
from pathlib import Path
from urllib.parse import unquote, urlsplit
folder, commit, home = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

class Hub(http.server.BaseHTTPRequestHandler):
    def answer(self, body, status=200, etag=""):
        self.send_response(status)
        self.send_header("X-Repo-Commit", commit)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if self.command == "POST":
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        listed = [{"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()} for n, d in files.items()]
        begin = f"/datasets/org/reviews/resolve/{commit}/"
        if path.startswith(begin) and path.removeprefix(begin) in files:
            data = files[path.removeprefix(begin)]
            self.answer(data, etag=f'"{hashlib.sha1(data).hexdigest()}"')
        elif path in ("/api/datasets/org/reviews", f"/api/datasets/org/reviews/revision/{commit}"):
            self.answer(json.dumps({"id": "org/reviews", "sha": commit, "tags": [],
                "siblings": [{"rfilename": n} for n in files]}).encode())
        elif path.startswith(f"/api/datasets/org/reviews/tree/{commit}"):
            inside = path.removeprefix(f"/api/datasets/org/reviews/tree/{commit}").strip("/")
            here = [one for one in listed if one["path"].rpartition("/")[0] == inside]
            if not inside:
                here.append({"type": "directory", "path": "data", "size": 0, "oid": "0" * 40})
            self.answer(json.dumps(here).encode())
        elif path == f"/api/datasets/org/reviews/paths-info/{commit}":
            self.answer(json.dumps(listed).encode())
        else:
            self.answer(b"{}", 404)

    do_HEAD = do_POST = do_GET
    def log_message(self, *a): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
os.environ["HF_HOME"] = home
from burnish.data.named import files_of
from burnish.data.read import read_rows
from burnish.errors import BurnishError
for name in sys.argv[4:]:
    try:
        for path, called in files_of(name, Path()):
            for row in read_rows(path, name=called):
                print(row.where, row.fields)
    except BurnishError as error:
        print(error.code)
"""


def test_a_hub_data_set_is_read_as_its_files_are_written(tmp_path: Path) -> None:
    """Over real HTTP, from a stand-in that answers what the hub answers for a data set of files."""
    pytest.importorskip("datasets", reason="the extra burnish[datasets] is not installed")
    import subprocess

    folder = tmp_path / "hub"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.csv").write_text("text,label\n007,NA\n")
    (folder / "data" / "test.csv").write_text("text,label\n1e5,null\n")
    wanted = [f"hub:org/reviews@{COMMIT}:{split}" for split in ("train", "test", "other")]
    wanted.append(f"hub:org/reviews@{'1' * 40}:train")
    surroundings = {name: value for name, value in os.environ.items() if name != "BURNISH_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", HUB, str(folder), COMMIT, str(tmp_path / "home"), *wanted],
        env=surroundings, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"hub:org/reviews@{COMMIT}/data/train.csv:2 {{'text': '007', 'label': 'NA'}}",
        f"hub:org/reviews@{COMMIT}/data/test.csv:2 {{'text': '1e5', 'label': 'null'}}",
        "hub-not-found",
        "hub-not-found",
    ]
    offline = f"import os; os.environ['HF_ENDPOINT'] = 'http://127.0.0.1:9'; os.environ['HF_HOME'] = {str(tmp_path / 'new')!r}\n"
    script = (
        offline
        + "from burnish.data.named import files_of\nfrom pathlib import Path\nlist(files_of(%r, Path()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script % wanted[0]],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "error: hub-offline" in done.stderr, done.stderr
    # offline is said, not tried: with a hub that would answer
    done = subprocess.run(
        [sys.executable, "-m", "burnish", "init", wanted[0]],
        env=os.environ | {"BURNISH_OFFLINE": "1", "HF_HOME": str(tmp_path / "new")},
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1 and "error: hub-offline" in done.stderr, done.stderr
