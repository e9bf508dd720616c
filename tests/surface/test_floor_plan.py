"""The house rules that a machine can read: import order, doors, walls, names and forbidden calls.

docs/architecture.md says why; a failure here names the file and the line.
"""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest

from source_tree import PACKAGE, ROOT, Module, calls, dotted, imports, modules

# From left to right: a room may import what stands before it. The last three are the ways in.
ROOMS = (
    "errors", "records", "store", "tasks", "data", "encode", "models", "train", "evaluate", "decide",
    "deploy", "serve", "monitor", "retrain", "lifecycle", "maintain", "forgetting", "examine", "edge", "api", "cli", "__main__",
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
    "deploy/engines": "test_engines",
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
