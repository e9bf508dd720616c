"""A chat template is a stranger's program: it runs here on a budget of steps and characters, and nowhere else.

The text is parsed by jinja2 and rewritten before it is compiled: every loop, call, filter, test, comparison and
concatenation goes through a function that first asks what it would cost. So the same template and messages are
refused or rendered alike on every machine, however slow, and no clock is read. What no chat template needs
(imports, inheritance, chance, formatting with a width) is refused when the template is compiled.

Source: the environment follows transformers' `apply_chat_template` (trim_blocks, lstrip_blocks, loop controls,
raise_exception, strftime_now, tojson, the generation tag), so that both give the same text.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateError, Undefined, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from burnish.errors import BurnishError, fail

# The longest template among published models' is about 40,000 characters.
MOST_TEMPLATE_CHARACTERS = 200_000
# Reading a template takes time by its words; that one has about 10,000.
_MOST_WORDS = 40_000
# The most characters one rendering may give, whatever was asked: a model's context never holds a tenth of it.
MOST_RENDERED_CHARACTERS = 16_000_000
# Whoever copies a character this often, or takes so many steps for a turn, is no template.
_COPIES = 32
_STEPS_A_TURN = 500
_FREE_STEPS = 20_000
_FREE_CHARACTERS = 500_000
_MOST_NUMBER = 10_000  # of an argument: a width, an indent, an end of range
_MOST_BITS = 512

# What `strftime_now` tells: a date of its own would make a row's tokens depend on the day. It is the one that
# Llama 3's template falls back on.
FIXED_DATE = datetime.datetime(2024, 7, 26)  # noqa: DTZ001 - a calendar date, no moment
_DATE_FORMAT = re.compile(r"(?:%[aAbBcdHIjmMpSUwWxXyYZ%]|[^%]){0,64}")
# A private mark that stands inside texts (encode/marks.py); JSON must not spell it out.
BREAK = "\ufdd0"

_FILTERS = frozenset(
    """abs capitalize count d default dictsort e escape first float indent int items join last length list lower map max
    min reject rejectattr replace reverse safe select selectattr sort string title tojson trim unique upper""".split()
)  # fmt: skip
_TESTS = frozenset(TESTS) - {"filter", "test", "callable"}
_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        """capitalize casefold count endswith find index isalnum isalpha isascii isdigit islower isnumeric isspace
        istitle isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit
        rstrip split splitlines startswith strip swapcase title upper""".split()
    ),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index"}),
}  # fmt: skip
_REFUSED = (
    nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block, nodes.CallBlock, nodes.FilterBlock,
    nodes.ScopedEvalContextModifier, nodes.EvalContextModifier,
)  # fmt: skip


class _Overspent(Exception):  # noqa: N818 - what it says, not what it is
    """The rendering asked for more than its budget. The text says for what."""


class _Unsupported(TemplateError):
    """The template holds a construct that no chat template needs."""


@dataclass(slots=True)
class _Budget:
    steps: int
    characters: int

    def spend(self, *, steps: int = 0, characters: int = 0) -> None:
        self.steps -= steps
        self.characters -= characters
        if self.steps < 0:
            raise _Overspent("takes more steps than its messages can need")
        if self.characters < 0:
            raise _Overspent("makes more text than its messages can need")

    def weigh(self, value: object) -> None:
        """Spend what it takes to write a value out. Shared parts count each time: so they would be written."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                self.spend(characters=len(one))
            elif isinstance(one, Mapping):
                self.spend(steps=len(one))
                waiting += one.keys()
                waiting += one.values()
            elif isinstance(one, list | tuple | set | frozenset):
                self.spend(steps=len(one))
                waiting += one


# Outside a rendering, that is while a template is compiled, hardly anything may be spent.
_BUDGET: ContextVar[_Budget] = ContextVar("budget")


def _budget() -> _Budget:
    try:
        return _BUDGET.get()
    except LookupError:
        return _Budget(_FREE_STEPS, _FREE_CHARACTERS)


class _Generation(Extension):
    """`{% generation %}` marks the assistant's text for trainers that ask the template; here it is a scope."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class _Charged(NodeTransformer):
    """Rewrites the tree so that every expression that can grow or repeat passes through the environment."""

    def generic_visit(self, node: nodes.Node, *args: Any) -> nodes.Node:
        if isinstance(node, _REFUSED):
            raise _Unsupported(f"line {node.lineno} has a {type(node).__name__}")
        return super().generic_visit(node, *args)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            raise _Unsupported(f"line {node.lineno} has a recursive loop")
        self.generic_visit(node)
        node.iter = _through("looped", node.iter)
        return node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:
        if node.filter is not None:
            raise _Unsupported(f"line {node.lineno} has a set block with a filter")
        return self.generic_visit(node)

    def visit_NSRef(self, node: nodes.NSRef) -> nodes.Node:
        _plain_name(node.attr, node)
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        return _through("called", nodes.ContextReference(), node.node, *_arguments(node))

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        if node.node is None or node.name not in _FILTERS:
            raise _Unsupported(f"line {node.lineno} has the filter {node.name}")
        self.generic_visit(node)
        name = nodes.Const(node.name)
        return _through("filtered", nodes.ContextReference(), name, node.node, *_arguments(node))

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        if node.name not in _TESTS:
            raise _Unsupported(f"line {node.lineno} has the test {node.name}")
        self.generic_visit(node)
        name = nodes.Const(node.name)
        return _through("tested", nodes.ContextReference(), name, node.node, *_arguments(node))

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _through("joined", nodes.List(node.nodes))

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _through("sliced", node.node)
        return node


def _through(name: str, *values: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), list(values), [], None, None)


def _weighed(value: nodes.Expr) -> nodes.Expr:
    return value if isinstance(value, nodes.Const) else _through("weighed", value)


def _arguments(node: nodes.Call | nodes.Filter | nodes.Test) -> tuple[nodes.Expr, nodes.Expr]:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise _Unsupported(f"line {node.lineno} unpacks arguments")
    for word in node.kwargs:
        _plain_name(word.key if isinstance(word, nodes.Keyword) else "", node)
    pairs = [
        nodes.Pair(nodes.Const(word.key), word.value)
        for word in node.kwargs
        if isinstance(word, nodes.Keyword)
    ]
    return nodes.List(node.args), nodes.Dict(pairs)


def _plain_name(name: str, node: nodes.Node) -> None:
    if name.startswith("_"):
        raise _Unsupported(f"line {node.lineno} uses the private name {name[:40]}")


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, LoopControlExtension],
            finalize=_finalised,
        )
        self.filters = {
            **{name: FILTERS[name] for name in _FILTERS},
            "tojson": _tojson,  # jinja's own escapes for HTML
        }
        self.tests = {name: TESTS[name] for name in _TESTS}
        self.globals = {
            "range": self.globals["range"],
            "dict": dict,
            "namespace": Namespace,
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _Charged().visit(super()._parse(source, name, filename))

    # jinja joins what blocks, macros and whole templates put out with this
    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        budget, kept = _budget(), []
        for piece in pieces:
            budget.spend(characters=len(piece))
            kept.append(piece)
        return "".join(kept)

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        return not isinstance(obj, type) and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = _budget()
        budget.spend(steps=1)
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | list | tuple) and isinstance(times, int):
                    budget.spend(
                        steps=0 if isinstance(many, str) else len(many) * max(0, times),
                        characters=len(many) * max(0, times) if isinstance(many, str) else 0,
                    )
            if _bits(left) + _bits(right) > _MOST_BITS:
                raise _Overspent("multiplies numbers without end")
        elif operator == "**" and (_bits(left) * max(1, abs(right)) > _MOST_BITS):
            raise _Overspent("raises numbers without end")
        elif operator == "%" and isinstance(left, str):
            if re.search(r"\d{4}|\*", left):
                raise _Overspent("pads text without end")
            budget.weigh(left)
            budget.weigh(right)
        elif operator == "+" and isinstance(left, str | list | tuple):
            _shallow(left)
            _shallow(right)
        return super().call_binop(context, operator, left, right)

    # what rewritten templates call

    def looped(self, items: Any) -> Any:
        """What a loop runs over, paid for before it starts."""
        if isinstance(items, Undefined):
            return items
        kept = items if hasattr(items, "__len__") else _kept(items)
        _budget().spend(steps=1 + len(kept))
        return kept

    def weighed(self, value: Any) -> Any:
        """A side of a comparison."""
        _budget().spend(steps=1)
        _budget().weigh(value)
        return value

    def sliced(self, value: Any) -> Any:
        """What a slice is cut from."""
        _shallow(value)
        return value

    def joined(self, values: Sequence[Any]) -> str:
        """The operator ~."""
        _budget().weigh(list(values))
        return "".join(map(str, values))

    def called(self, context: Context, function: Any, args: list[Any], named: dict[str, Any]) -> Any:
        """A call: of a macro, of a global, or of a harmless method of a text, list or mapping."""
        budget = _budget()
        budget.spend(steps=2)
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if isinstance(function, Macro | Undefined) or function in self.globals.values():
            if function is self.globals["range"]:
                budget.spend(steps=1)
        elif isinstance(owner, LoopContext) and name in ("cycle", "changed"):
            budget.weigh(args)
        else:
            known = next((_METHODS[kind] for kind in _METHODS if isinstance(owner, kind)), frozenset())
            if name not in known:
                raise SecurityError(f"it calls {name or type(function).__name__}")
            _pay(owner, name, args)
        if function in (dict, self.globals["namespace"]):
            budget.weigh(args)
        return context.call(function, *args, **named)

    def filtered(
        self, context: Context, name: str, value: Any, args: list[Any], named: dict[str, Any]
    ) -> Any:
        """A filter."""
        return self.call_filter(name, value, args, named, context, context.eval_ctx)

    def tested(
        self, context: Context, name: str, value: Any, args: list[Any], named: dict[str, Any]
    ) -> Any:
        """A test."""
        return self.call_test(name, value, args, named, context, context.eval_ctx)

    # jinja itself calls these two for map, select and reject

    def call_filter(
        self,
        name: str,
        value: Any,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        context: Context | None = None,
        eval_ctx: nodes.EvalContext | None = None,
    ) -> Any:
        budget = _budget()
        budget.spend(steps=1)
        if name not in ("length", "count", "first", "last", "default", "d", "items"):
            _shallow(value)
        if name in ("string", "tojson", "join", "sort", "unique", "min", "max", "dictsort"):
            value = _kept(value) if isinstance(value, Iterator) else value
            budget.weigh(value)
        given = [*(args or ()), *(kwargs or {}).values()]
        _check_numbers(given)
        if isinstance(value, str) and name in ("replace", "join"):
            _pay(value, name, given)
        elif name == "join":
            budget.spend(characters=len(str(given[0])) * len(value) if given else 0)
        elif name == "indent":
            width = given[0] if given else 4
            wide = len(width) if isinstance(width, str) else int(width)
            budget.spend(characters=wide * (1 + str(value).count("\n")))
        made = super().call_filter(name, value, args, kwargs, context, eval_ctx)
        if isinstance(made, Iterator):  # map, select: paid for as they are used up
            made = _kept(made)
        _shallow(made)
        return made

    def call_test(
        self,
        name: str,
        value: Any,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        context: Context | None = None,
        eval_ctx: nodes.EvalContext | None = None,
    ) -> Any:
        budget = _budget()
        budget.spend(steps=1)
        for one in args or ():
            budget.weigh(one)
            budget.weigh(value)
        return super().call_test(name, value, args, kwargs, context, eval_ctx)


def _shallow(value: Any) -> None:
    if isinstance(value, str):
        _budget().spend(characters=len(value))
    elif hasattr(value, "__len__"):
        _budget().spend(steps=len(value))


def _kept(items: Iterable[Any]) -> list[Any]:
    budget, kept = _budget(), []
    for one in items:
        budget.spend(steps=1)
        kept.append(one)
    return kept


def _pay(owner: Any, name: str, args: Sequence[Any]) -> None:
    """What a method costs: its text and its result, which `replace` and `join` can make much longer."""
    _shallow(owner)
    _check_numbers(args)
    budget = _budget()
    if name == "replace" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
        budget.spend(characters=owner.count(args[0]) * len(args[1]))
    elif name == "join" and args:
        parts = _kept(args[0]) if isinstance(args[0], Iterator) else args[0]
        budget.weigh(parts)
        budget.spend(characters=len(owner) * (len(parts) if hasattr(parts, "__len__") else 0))
    elif name in ("split", "rsplit", "splitlines"):
        budget.spend(steps=1, characters=len(owner))
    for one in args:
        budget.weigh(one)


def _check_numbers(values: Iterable[Any]) -> None:
    if any(isinstance(one, int) and abs(one) > _MOST_NUMBER for one in values):
        raise _Overspent(f"gives a filter or method a number above {_MOST_NUMBER}")


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _finalised(value: Any) -> Any:
    """What `{{ }}` writes out: a list or mapping is paid for before it is spelled."""
    if not isinstance(value, str):
        _budget().weigh(value)
    return value


def _raise_exception(message: object) -> None:
    raise TemplateError(str(message)[:500])


def _strftime_now(format: str) -> str:
    if not isinstance(format, str) or not _DATE_FORMAT.fullmatch(format):
        raise _Overspent("formats a date in a way that no date needs")
    return FIXED_DATE.strftime(format)


def _tojson(
    value: Any,
    ensure_ascii: Any = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: Any = False,
) -> str:
    if indent is not None and len(indent if isinstance(indent, str) else " " * indent) > 16:
        raise _Overspent("indents without end")
    text = json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=bool(sort_keys)
    )
    if ensure_ascii:
        # spelled out here, so that the private mark stays what it is
        text = "".join(
            one if one.isascii() or one == BREAK else json.dumps(one)[1:-1] for one in text
        )
    return text


def compile_template(source: str) -> Template:
    """The template, rewritten and compiled. It is run with `run_template` alone.

    Raises: template-large, template-broken, template-unsupported.
    """
    if len(source) > MOST_TEMPLATE_CHARACTERS:
        raise fail(
            "template-large",
            f"the chat template has {len(source):,} characters",
            expected=f"at most {MOST_TEMPLATE_CHARACTERS:,}",
            fix="check that this is the template the model's publisher meant",
        )
    sandbox = _Sandbox()
    try:
        if any(place >= _MOST_WORDS for place, _ in enumerate(sandbox.lex(source))):
            raise _Unsupported(f"it has more than {_MOST_WORDS:,} words and signs")
        return sandbox.from_string(source)
    except _Unsupported as error:
        raise fail(
            "template-unsupported",
            f"the chat template cannot be used: {error}",
            expected="loops, conditions, macros, and the filters that chat templates use",
            fix="write the template without it, or choose a built-in one by name",
        ) from None
    except TemplateSyntaxError as error:
        raise _broken(f"line {error.lineno}: {error.message}") from None
    except (RecursionError, MemoryError):
        raise _broken("it is nested too deeply") from None
    except Exception as error:
        raise _broken(f"{type(error).__name__}: {str(error)[:160]}") from None


def run_template(template: Template, variables: Mapping[str, Any]) -> str:
    """What a compiled template writes for these variables, plain JSON values.

    Raises: template-limits when it would take more steps or text than such messages can need, template-refused with
    the template's own words when it calls raise_exception, template-broken for any other fault.
    """
    size, turns = _size(variables)
    budget = _Budget(
        _FREE_STEPS + _STEPS_A_TURN * turns + size // 8,
        min(MOST_RENDERED_CHARACTERS, _FREE_CHARACTERS + _COPIES * size),
    )
    token = _BUDGET.set(budget)
    try:
        return template.render(variables)
    except _Overspent as error:
        raise limits(str(error)) from None
    except SecurityError as error:
        raise fail(
            "template-unsupported",
            f"the chat template was stopped: {str(error)[:200]}",
            expected="a template that reads its messages and nothing else",
            fix="choose a built-in template by name",
        ) from None
    except TemplateError as error:
        if type(error) is TemplateError:
            raise fail(
                "template-refused",
                f"the chat template refuses the conversation: {str(error)[:300]}",
                fix="change the turns as it says, or choose a built-in template by name",
            ) from None
        raise _broken(f"{type(error).__name__}: {str(error)[:160]}") from None
    except OverflowError as error:
        raise limits(f"counts without end: {str(error)[:100]}") from None
    except (MemoryError, RecursionError):
        raise limits("calls itself, or fills the memory, without end") from None
    except Exception as error:
        raise _broken(f"{type(error).__name__}: {str(error)[:160]}") from None
    finally:
        _BUDGET.reset(token)


def limits(what: str) -> BurnishError:
    """The error of a template that would not end."""
    return fail(
        "template-limits",
        f"the chat template {what}",
        expected="a text about as long as its messages",
        fix="choose a built-in template by name; this one can stop a server",
    )


def _broken(what: str) -> BurnishError:
    return fail(
        "template-broken",
        f"the chat template does not work: {what}",
        expected="a jinja2 template as transformers' apply_chat_template runs it",
        fix="correct it, or choose a built-in template by name",
    )


def _size(value: object) -> tuple[int, int]:
    """Characters in all texts, and how many mappings hold them."""
    characters, mappings, waiting = 0, 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            characters += len(one)
        elif isinstance(one, Mapping):
            mappings += 1
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
    return characters, mappings
