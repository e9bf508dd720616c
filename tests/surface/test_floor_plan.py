"""The house rules that a machine can read: import order, doors, walls, names and forbidden calls.

docs/architecture.md says why; a failure here names the file and the line.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from source_tree import PACKAGE, ROOT, Module, calls, dotted, imports, modules

# From left to right: a room may import what stands before it. The last three are the ways in.
ROOMS = (
    "errors", "records", "store", "tasks", "data", "encode", "models", "train", "evaluate", "decide",
    "deploy", "serve", "monitor", "retrain", "project", "curate", "finding", "writing", "choosing", "lifecycle", "showing", "talking", "exporting", "maintain", "forgetting", "examine", "edge", "api", "cli", "__main__",
)  # fmt: skip
DOORS = {
    "data/shapes": "test_shapes",
    "data/writers": "test_writers",
    "data/readers": "test_readers",
    "data/checks": "test_checks",
    "tasks/kinds": "test_kinds",
    "models/sources": "test_sources",
    "models/families": "test_families",
    "evaluate/metrics": "test_metrics",
    "decide/baselines": "test_baselines",
    "decide/text_baselines": "test_text_baselines",
    "deploy/engines": "test_engines",
    "deploy/exports": "test_exports",
    "monitor/signals": "test_signals",
}
TORCH = {"torch", "transformers", "peft", "accelerate"}
TORCH_ROOMS = ("models/", "train/", "deploy/exports", "deploy/engines/transformers")
# Where the clock, chance and the environment may be read; below, they are arguments.
EDGES = ("cli/", "edge.py", "api.py", "serve/app.py")
CLOCK_AND_CHANCE = {
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
    "datetime.date.today", "time.time", "time.time_ns", "time.localtime", "time.gmtime",
    "os.urandom", "os.getenv", "getpass.getuser", "socket.gethostname",
}  # fmt: skip
CHANCE_MODULES = {"random", "secrets", "uuid"}
SEEDED = {"Generator", "PCG64", "SeedSequence", "default_rng"}
DRAWERS = {"utils", "util", "helpers", "common", "misc", "base", "core", "manager", "handler"}
CLASS_ENDINGS = ("Manager", "Processor", "Factory", "Service", "Handler", "Helper", "Util", "Utils")
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "torch.load", "numpy.load", "yaml.load",
    "yaml.unsafe_load", "os.system", "os.popen", "print", "input",
}  # fmt: skip
DURABLE_CALLS = {"os.rename", "os.replace", "os.fsync", "shutil.move"}
# A block that stands twice: this many lines in a row, equal after stripping, in two places.
BLOCK_LINES = 8


def test_every_module_stands_in_a_room() -> None:
    assert {module.room for module in modules() if module.name} <= set(ROOMS)


def test_imports_point_left() -> None:
    wrong = []
    for module in modules():
        if not module.name:
            continue
        for line, name in imports(module):
            if name == "burnish" or not name.startswith("burnish."):
                continue
            theirs = name.split(".")[1]
            if ROOMS.index(theirs) > ROOMS.index(module.room):
                wrong.append(f"{module.place}:{line} imports {name}, which stands to its right")
    assert not wrong, "\n".join(wrong)


def test_the_public_package_imports_no_room_at_the_top() -> None:
    """`import burnish` costs nothing: its names are found when they are used."""
    (root,) = [module for module in modules() if not module.name]
    assert not [name for _, name in imports(root) if name.startswith("burnish")]


@pytest.mark.parametrize("door", DOORS)
def test_neighbours_behind_a_door_do_not_know_each_other(door: str) -> None:
    folder = door.replace("/", ".")
    wrong = [
        f"{module.place}:{line} imports {name}"
        for module in modules()
        if module.name.startswith(f"{folder}.")
        for line, name in imports(module)
        if name.startswith(f"burnish.{folder}.") and name != f"burnish.{module.name}"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_has_its_law_suite(door: str) -> None:
    assert (ROOT / "tests" / "laws" / f"{DOORS[door]}.py").is_file()
    assert list((PACKAGE / door).glob("[a-z]*.py")), f"{door} has no occupant"


def test_every_folder_of_occupants_is_a_door() -> None:
    """A folder below a room is a door (or the ledger's migrations): no third level grows unseen."""
    inner = {
        module.path.parent.relative_to(PACKAGE).as_posix()
        for module in modules()
        if len(module.path.relative_to(PACKAGE).parts) > 2
    }
    assert inner <= {*DOORS, "store/migrations", "store/migrations/versions"}


def test_stage_packages_hold_a_docstring_and_nothing_else() -> None:
    for module in modules():
        if module.path.name == "__init__.py" and module.name:
            assert len(module.tree.body) == 1, f"{module.place} holds code"
            assert ast.get_docstring(module.tree), f"{module.place} has no docstring"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        m.place for m in modules() if "versions" not in m.name and not ast.get_docstring(m.tree)
    ]
    assert not silent


def test_torch_stays_behind_its_wall() -> None:
    wrong = [
        f"{module.place}:{line} imports {name}"
        for module in modules()
        if not module.place.startswith(TORCH_ROOMS)
        for line, name in imports(module)
        if name.partition(".")[0] in TORCH
    ]
    assert not wrong, "\n".join(wrong)


def test_sql_stays_in_the_store() -> None:
    wrong = [
        f"{module.place}:{line} imports {name}"
        for module in modules()
        if module.room != "store"
        for line, name in imports(module)
        if name.partition(".")[0] in {"sqlalchemy", "sqlite3", "alembic"}
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_store_renames_and_syncs() -> None:
    wrong = [
        f"{module.place}:{call.lineno} calls {name}"
        for module in modules()
        if module.room != "store"
        for call, name in calls(module)
        if name in DURABLE_CALLS
    ]
    assert not wrong, "\n".join(wrong)


# What puts bytes or names on a disk. Everything that lasts goes through store/durable.py; these places write into a
# staging folder that new_folder commits, into a draft that is thrown away, or where nothing lasts.
STAGED = "into a folder that new_folder syncs, lists and renames"
WRITERS = {
    "data/dataset.py": STAGED,
    "data/forget.py": STAGED,
    "data/kept_texts.py": "a nameless temporary file, gone with the process",
    "data/readers/xlsx.py": "a nameless temporary file, gone with the process",
    "data/spill.py": "nameless temporary files, gone with the process",
    "data/writers/folder.py": STAGED,
    "decide/array_files.py": STAGED,
    "decide/judges.py": "a temporary folder for models that are asked once",
    "decide/write.py": STAGED,
    "deploy/adapter.py": "into a bundle's draft",
    "deploy/bundle.py": "into a draft, which is published through new_folder",
    "deploy/engines/majority.py": STAGED,
    "deploy/export.py": STAGED,
    "deploy/exports/adapter.py": STAGED,
    "deploy/exports/merged.py": STAGED,
    "deploy/exports/onnx.py": STAGED,
    "deploy/forget.py": STAGED,
    "deploy/release.py": STAGED,
    "evaluate/forget.py": STAGED,
    "examine/singles.py": "a temporary folder for a copy of the ledger",
    "forgetting/rewrite.py": STAGED,
    "models/cached_base.py": STAGED,
    "models/choice_model.py": STAGED,
    "models/classifier.py": STAGED,
    "models/families/tiny.py": STAGED,
    "models/families/tiny_writer.py": STAGED,
    "models/gguf.py": STAGED,
    "models/sources/gguf.py": STAGED,
    "models/sources/hub.py": STAGED,
    "models/sources/pip.py": STAGED,
    "models/wheel.py": STAGED,
    "models/writer.py": STAGED,
    "monitor/reference.py": STAGED,
    "train/checkpoint.py": STAGED,
    "train/result.py": STAGED,
    "train/warm_up.py": STAGED,
    "cli/main.py": "the story of a fault of ours, in the system's temporary folder",
}
STORE_WRITERS = {
    "store/disk.py", "store/durable.py", "store/line_log.py", "store/temporaries.py",
    "store/database.py", "store/ledger_copy.py", "store/workspace.py",
}  # fmt: skip
WRITING_CALLS = {
    "os.write", "os.pwrite", "os.writev", "os.sendfile", "os.copy_file_range", "os.mkdir", "os.makedirs",
    "os.rename", "os.renames", "os.replace", "os.link", "os.symlink", "os.truncate", "os.ftruncate",
    "os.fsync", "os.fdatasync", "os.sync", "os.mkfifo", "os.mknod", "shutil.move", "shutil.copy",
    "shutil.copy2", "shutil.copyfile", "shutil.copytree", "shutil.copyfileobj",
    "safetensors.torch.save_file", "safetensors.numpy.save_file", "torch.save", "numpy.save",
    "numpy.savez", "tempfile.TemporaryFile", "tempfile.NamedTemporaryFile", "tempfile.mkstemp",
    "tempfile.TemporaryDirectory", "tempfile.mkdtemp", "tempfile.SpooledTemporaryFile",
}  # fmt: skip
WRITING_METHODS = {
    "write_bytes", "write_text", "save_pretrained", "mkdir", "touch", "hardlink_to", "symlink_to",
    "rename",
}  # fmt: skip


def test_only_the_store_puts_anything_on_the_disk() -> None:
    """Every call that writes a file or makes a name stands in the store or in the list above, with its reason."""
    found: dict[str, list[str]] = defaultdict(list)
    for module in modules():
        for call, name in calls(module):
            if _puts_on_the_disk(call, name):
                found[module.place].append(f"{module.place}:{call.lineno} {name}")
    wrong = [line for place, lines in found.items() if place not in STORE_WRITERS | set(WRITERS)
             for line in lines]  # fmt: skip
    assert not wrong, "\n".join(wrong)
    assert set(WRITERS) <= set(found), f"listed and writing nothing: {set(WRITERS) - set(found)}"


def _puts_on_the_disk(call: ast.Call, name: str) -> bool:
    last = name.rpartition(".")[2]
    method = last if isinstance(call.func, ast.Attribute) else ""
    # a value that is called on the spot has no dotted name: (folder / "x").write_bytes(...)
    if isinstance(call.func, ast.Attribute):
        method = call.func.attr
    if name in WRITING_CALLS or method in WRITING_METHODS:
        return True
    if method == "replace" and len(call.args) == 1 and not call.keywords:
        return True  # of a path: a text's takes two, a record's and a moment's take keywords
    if name == "os.open":
        return any(
            isinstance(node, ast.Attribute)
            and node.attr in {"O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC"}
            for node in ast.walk(call)
        )
    if (name or method).rpartition(".")[2] not in ("open", "fdopen"):
        return False
    modes = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    texts = [one.value for one in modes if isinstance(one, ast.Constant)]
    return any(
        isinstance(text, str) and len(text) < 4 and set(text) & set("wax+") for text in texts
    )


def test_the_list_of_writers_would_see_one(tmp_path: Path) -> None:
    lines = [
        'open(p, "w")', 'p.open("ab")', 'open(p, mode="r+")', "p.write_text(x)", "(a / b).write_bytes(x)",
        "os.open(p, os.O_WRONLY | os.O_CREAT)", "shutil.copyfile(a, b)", "source.replace(place)",
        "p.rename(q)", "save_file(x, p)",
    ]  # fmt: skip
    text = "import os, shutil\nfrom safetensors.torch import save_file\n" + "\n".join(lines)
    module = Module(tmp_path / "x.py", "x", ast.parse(text))
    assert [_puts_on_the_disk(call, name) for call, name in calls(module)] == [True] * len(lines)
    harmless = (
        'open(p)\np.open("rb")\n"a".replace("b", "c")\nreplace(x, a=1)\nat.replace(tzinfo=UTC)'
    )
    module = Module(tmp_path / "x.py", "x", ast.parse(harmless))
    assert not any(_puts_on_the_disk(call, name) for call, name in calls(module))


def test_clock_chance_and_environment_are_read_at_the_edge() -> None:
    wrong = []
    for module in modules():
        if module.place.startswith(EDGES):
            continue
        for line, name in imports(module):
            if name in CHANCE_MODULES:
                wrong.append(f"{module.place}:{line} imports {name}")
        for call, name in calls(module):
            if name in CLOCK_AND_CHANCE or _is_unseeded(call, name):
                wrong.append(f"{module.place}:{call.lineno} calls {name}")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and dotted(node) in ("os.environ", "os.environb"):
                wrong.append(f"{module.place}:{node.lineno} reads the environment")
    assert not wrong, "\n".join(wrong)


def _is_unseeded(call: ast.Call, name: str) -> bool:
    """numpy's global generator, or a new one without a seed."""
    head, _, last = name.rpartition(".")
    if head != "numpy.random":
        return False
    return last not in SEEDED or not (call.args or call.keywords)


def test_no_drawers() -> None:
    drawers = [m.place for m in modules() if set(m.name.split(".")) & DRAWERS]
    assert not drawers
    classes = [
        f"{module.place}:{node.lineno} {node.name}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(CLASS_ENDINGS)
    ]
    assert not classes


def test_nothing_can_run_what_it_reads() -> None:
    """No unpickler, no eval, no shell: docs/decisions and the security promises rest on this."""
    wrong = []
    for module in modules():
        for line, name in imports(module):
            if name.partition(".")[0] in UNPICKLERS:
                wrong.append(f"{module.place}:{line} imports {name}")
        for call, name in calls(module):
            if name in FORBIDDEN_CALLS:
                wrong.append(f"{module.place}:{call.lineno} calls {name}")
            for keyword in call.keywords:
                if keyword.arg in ("shell", "trust_remote_code") and not _is_false(keyword.value):
                    wrong.append(f"{module.place}:{call.lineno} sets {keyword.arg}")
    assert not wrong, "\n".join(wrong)


def _is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_no_error_is_swallowed() -> None:
    """A handler of everything raises again, or hands the error itself to somebody who will."""
    wrong = []
    for module in modules():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = {dotted(node.type)} if node.type is not None else {""}
            if isinstance(node.type, ast.Tuple):
                caught = {dotted(one) for one in node.type.elts}
            if caught & {"", "Exception", "BaseException"} and not _passes_on(node):
                wrong.append(f"{module.place}:{node.lineno} swallows every error")
    assert not wrong, "\n".join(wrong)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    if any(isinstance(node, ast.Raise) for node in inside):
        return True
    handed = [node for node in inside if isinstance(node, ast.Call) for node in node.args]
    return any(isinstance(node, ast.Name) and node.id == handler.name for node in handed)


def test_input_is_checked_with_errors_not_asserts() -> None:
    wrong = [
        f"{module.place}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]
    assert not wrong


def test_signatures_say_what_they_take() -> None:
    """No **kwargs anywhere; no flag that a caller could pass without its name."""
    wrong = []
    for module in modules():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.args.kwarg is not None and module.name:  # the package itself hands calls on
                wrong.append(
                    f"{module.place}:{node.lineno} {node.name} takes **{node.args.kwarg.arg}"
                )
            if module.room == "cli":
                continue  # typer reads options from plain parameters
            for argument in [*node.args.posonlyargs, *node.args.args]:
                if argument.annotation is not None and dotted(argument.annotation) == "bool":
                    wrong.append(f"{module.place}:{node.lineno} {node.name}({argument.arg}: bool)")
    assert not wrong, "\n".join(wrong)


def test_no_block_of_code_stands_twice() -> None:
    seen: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for module in modules():
        numbered = _code_lines(module)
        for start in range(len(numbered) - BLOCK_LINES + 1):
            window = numbered[start : start + BLOCK_LINES]
            seen[tuple(text for _, text in window)].append(f"{module.place}:{window[0][0]}")
    twice = [places for places in seen.values() if len(places) > 1]
    assert not twice, "\n".join(" = ".join(places) for places in twice)


def _code_lines(module: Module) -> list[tuple[int, str]]:
    """Numbered lines that say something: without imports, blank lines, comments, docstrings, lone brackets and
    the lists of arguments (a name and a comma, a name with its type), which calls must repeat."""
    skipped: set[int] = set()
    for node in ast.walk(module.tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_list = isinstance(node, ast.Assign) and dotted(node.targets[0]) == "__all__"
        if (
            is_text
            or is_list
            or isinstance(node, ast.Import | ast.ImportFrom | ast.arg | ast.keyword)
        ):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = module.path.read_text(encoding="utf-8").splitlines()
    return [
        (number, text)
        for number, line in enumerate(lines, start=1)
        if number not in skipped
        and len(text := line.strip()) > 3
        and not text.startswith(("#", "@", ")", "]", "}"))
    ]
