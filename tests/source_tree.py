"""The source tree read once, as syntax: what the floor-plan tests look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "burnish"


@dataclass(frozen=True, slots=True)
class Module:
    """One source file. `name` is dotted without the package ("data.readers.jsonl"), `tree` its syntax."""

    path: Path
    name: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """The path below the package, as error messages name it."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def room(self) -> str:
        """The room the file is in; files beside the rooms are rooms of their own."""
        return self.name.partition(".")[0]


@cache
def modules() -> tuple[Module, ...]:
    """Every source file of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found.append(Module(path, name, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything the file imports, wherever the import stands in it."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.place}:{node.lineno}: relative import"
            source = node.module or ""
            for alias in node.names:
                inner = PACKAGE.joinpath(*source.split(".")[1:], alias.name)
                is_module = source.startswith("burnish") and (
                    inner.with_suffix(".py").is_file() or inner.is_dir()
                )
                yield node.lineno, f"{source}.{alias.name}" if is_module else source


def dotted(node: ast.AST) -> str:
    """ "torch.load" for the expression torch.load; "" for anything that is no plain dotted name.

    Example:
        >>> dotted(ast.parse("a.b.c(1)", mode="eval").body.func)
        'a.b.c'
    """
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def calls(module: Module) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the dotted name of what is called, names that were imported spelt out in full."""
    known: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            known |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            head, dot, rest = name.partition(".")
            yield node, known.get(head, head) + dot + rest
