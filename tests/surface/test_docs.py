"""Documentation under test: what the code can say, the pages say; what the pages name, the code has."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import burnish
from burnish.cli.main import app
from burnish.evaluate.metric import METRICS
from burnish.records.recipe import Recipe
from source_tree import ROOT, dotted, modules

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
STAGES = ["decide", "define", "build", "preprocess", "train", "evaluate", "deploy", "serve"]
KEBAB = re.compile(r"[a-z]+(-[a-z]+)*")
# Keywords that carry a code: of problems and findings, of rejected rows.
CODE_KEYWORDS = {"code", "reason"}
# Functions whose first argument is a code.
CODE_FUNCTIONS = {"fail", "Problem", "Issue", "fault", "note"}


def documented_codes() -> list[str]:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    return re.findall(r"^## (\S+)$", text, flags=re.MULTILINE)


def raised_codes() -> Iterator[tuple[str, str]]:
    """(code, place) of every code that the source gives to an error, a finding or a rejected row."""
    for module in modules():
        constants = {
            dotted(node.targets[0]): node.value
            for node in module.tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            given = [word.value for word in node.keywords if word.arg in CODE_KEYWORDS]
            if dotted(node.func).rpartition(".")[2] in CODE_FUNCTIONS:
                given += node.args[:1]
            for value in given:
                for one in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
                    known = constants.get(dotted(one), one)
                    if isinstance(known, ast.Constant) and isinstance(known.value, str):
                        yield known.value, f"{module.place}:{node.lineno}"


def test_every_error_code_is_explained() -> None:
    known = set(documented_codes())
    missing = sorted({f"{code} ({place})" for code, place in raised_codes() if code not in known})
    assert not missing, "\n".join(missing)


def test_every_explained_code_exists() -> None:
    literals = {
        node.value
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not sorted(set(documented_codes()) - literals)


def test_error_sections_are_sorted_and_stand_once() -> None:
    codes = documented_codes()
    assert codes == sorted(set(codes))
    assert all(KEBAB.fullmatch(code) for code in codes)


def test_no_draft_of_the_errors_is_left_over() -> None:
    """Rooms write drafts named errors.d-ROOM.md; they are merged into errors.md."""
    assert not list(DOCS.glob("errors.d-*"))


def test_every_recipe_field_is_in_the_table_with_its_default() -> None:
    text = (DOCS / "train.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, flags=re.MULTILINE))
    assert set(rows) >= set(Recipe.model_fields)
    for name, field in Recipe.model_fields.items():
        said, default = rows[name].strip("`"), field.default
        same = said == default if isinstance(default, str) else float(said) == default
        assert same, f"{name}: the page says {said}, the code {default}"


def commands() -> list[tuple[str, object]]:
    """("burnish data check", its click command) for every command there is."""
    found: list[tuple[str, object]] = []
    waiting: list[tuple[str, object]] = [("burnish", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop(0)
        inner = getattr(command, "commands", None)
        if inner is None:
            found.append((name, command))
        else:
            waiting += [(f"{name} {word}", one) for word, one in inner.items()]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: str(value)[:30])
def test_every_command_and_option_is_in_the_reference(name: str, command: object) -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section {name}"
    assert f"`{name}" in found[1], "no example"
    for parameter in command.params:  # type: ignore[attr-defined]
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("-"):
                assert f"`{option}`" in found[1], f"{name} {option} is not documented"
    options = {
        option
        for one in command.params  # type: ignore[attr-defined]
        for option in (*one.opts, *one.secondary_opts)
    }
    for said in re.findall(r"^\| (`-.*?) \|", found[1], flags=re.MULTILINE):
        for option in re.findall(r"`(-[-\w]+)`", said):
            assert option in options, (
                f"docs/cli.md gives {name} an option {option} it does not have"
            )


def test_the_reference_has_no_command_that_is_gone() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (burnish .+)$", text, flags=re.MULTILINE)) == {
        n for n, _ in commands()
    }


def test_every_metric_is_defined() -> None:
    text = (DOCS / "evaluate.md").read_text(encoding="utf-8")
    assert not [name for name in METRICS if f"| `{name}` |" not in text]


def test_every_public_name_is_documented() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    assert not [name for name in burnish.__all__ if f"`burnish.{name}" not in text]


def test_every_stage_has_its_page_and_the_index_names_all() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"({page.name}" in index, (
            f"{page.name} is not in the index"
        )
    assert not [stage for stage in STAGES if not (DOCS / f"{stage}.md").is_file()]
    decisions = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in (DOCS / "decisions").glob("0*.md"):
        assert f"({page.name})" in decisions


def test_every_decision_has_its_parts() -> None:
    for page in (DOCS / "decisions").glob("0*.md"):
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:4]} ")
        for part in ("**Context.**", "**Decision.**", "**Consequences.**", "**Kept by**"):
            assert part in text, f"{page.name} has no {part}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = _without_code(page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in _anchors(target), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_pages_name_exist(page: Path) -> None:
    """`tests/...`, `docs/...`, `examples/...` and `src/...` in code quotes are paths of this repository."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|docs|examples|src|benchmarks)/[\w./-]+)`", text)
    assert not sorted({name for name in named if not (ROOT / name).exists()})


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_python_examples_use_names_that_exist() -> None:
    for page in PAGES:
        for block in re.findall(
            r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
        ):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    home = __import__(node.module, fromlist=["_"])
                    assert not [a.name for a in node.names if not hasattr(home, a.name)], page.name
                if isinstance(node, ast.Attribute) and dotted(node.value) == "burnish":
                    assert node.attr in burnish.__all__, f"{page.name}: burnish.{node.attr}"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert ci[-1] == "make test"
    assert re.search(r"^make test\b", (ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE)


def test_the_changelog_has_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_pages_name_no_place_of_the_people_who_wrote_them() -> None:
    for page in [*PAGES, *(ROOT / "examples").glob("*.sh")]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.~-])/(work|home|root|tmp)/", text), page.name
