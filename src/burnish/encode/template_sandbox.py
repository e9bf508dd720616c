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
from typing import Any

from jinja2 import Template, TemplateError, Undefined, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.ext import LoopControlExtension
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace

from burnish.encode.template_budget import (
    BUDGET,
    FREE_CHARACTERS,
    FREE_STEPS,
    Budget,
    Overspent,
    bits,
    check_numbers,
    kept_list,
    pay_for,
    pay_method,
    spending,
)
from burnish.encode.template_tree import (
    KNOWN_FILTERS,
    KNOWN_TESTS,
    Charged,
    Generation,
    Unsupported,
)
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
_MOST_BITS = 512

# What `strftime_now` tells: a date of its own would make a row's tokens depend on the day. It is the one that
# Llama 3's template falls back on.
FIXED_DATE = datetime.datetime(2024, 7, 26)  # noqa: DTZ001 - a calendar date, no moment
_DATE_FORMAT = re.compile(r"(?:%[aAbBcdHIjmMpSUwWxXyYZ%]|[^%]){0,64}")
# A private mark that stands inside texts (encode/marks.py); JSON must not spell it out.
BREAK = "\ufdd0"

_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        ["capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper"]
    ),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index"}),
}  # fmt: skip


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[Generation, LoopControlExtension],
            finalize=_finalised,
        )
        self.filters = {
            **{name: FILTERS[name] for name in KNOWN_FILTERS},
            "tojson": _tojson,  # jinja's own escapes for HTML
        }
        self.tests = {name: TESTS[name] for name in KNOWN_TESTS}
        self.globals = {
            "range": self.globals["range"],
            "dict": dict,
            "namespace": Namespace,
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return Charged().visit(super()._parse(source, name, filename))

    # jinja joins what blocks, macros and whole templates put out with this
    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        budget, kept = spending(), []
        for piece in pieces:
            budget.spend(characters=len(piece))
            kept.append(piece)
        return "".join(kept)

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        return not isinstance(obj, type) and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = spending()
        budget.spend(steps=1)
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | list | tuple) and isinstance(times, int):
                    budget.spend(
                        steps=0 if isinstance(many, str) else len(many) * max(0, times),
                        characters=len(many) * max(0, times) if isinstance(many, str) else 0,
                    )
            if bits(left) + bits(right) > _MOST_BITS:
                raise Overspent("multiplies numbers without end")
        elif operator == "**" and (bits(left) * max(1, abs(right)) > _MOST_BITS):
            raise Overspent("raises numbers without end")
        elif operator == "%" and isinstance(left, str):
            if re.search(r"\d{4}|\*", left):
                raise Overspent("pads text without end")
            budget.weigh(left)
            budget.weigh(right)
        elif operator == "+" and isinstance(left, str | list | tuple):
            pay_for(left)
            pay_for(right)
        return super().call_binop(context, operator, left, right)

    # what rewritten templates call

    def looped(self, items: Any) -> Any:
        """What a loop runs over, paid for before it starts."""
        if isinstance(items, Undefined):
            return items
        kept = items if hasattr(items, "__len__") else kept_list(items)
        spending().spend(steps=1 + len(kept))
        return kept

    def weighed(self, value: Any) -> Any:
        """A side of a comparison."""
        spending().spend(steps=1)
        spending().weigh(value)
        return value

    def sliced(self, value: Any) -> Any:
        """What a slice is cut from."""
        pay_for(value)
        return value

    def joined(self, values: Sequence[Any]) -> str:
        """The operator ~."""
        spending().weigh(list(values))
        return "".join(map(str, values))

    def called(
        self, context: Context, function: Any, args: list[Any], named: dict[str, Any]
    ) -> Any:
        """A call: of a macro, of a global, or of a harmless method of a text, list or mapping."""
        budget = spending()
        budget.spend(steps=2)
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if isinstance(function, Macro | Undefined) or function in self.globals.values():
            if function is self.globals["range"]:
                budget.spend(steps=1)
        elif isinstance(owner, LoopContext) and name in ("cycle", "changed"):
            budget.weigh(args)
        else:
            known = next(
                (_METHODS[kind] for kind in _METHODS if isinstance(owner, kind)), frozenset()
            )
            if name not in known:
                raise SecurityError(f"it calls {name or type(function).__name__}")
            pay_method(owner, name, args)
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
        budget = spending()
        budget.spend(steps=1)
        if name not in ("length", "count", "first", "last", "default", "d", "items"):
            pay_for(value)
        if name in ("string", "tojson", "join", "sort", "unique", "min", "max", "dictsort"):
            value = kept_list(value) if isinstance(value, Iterator) else value
            budget.weigh(value)
        given = [*(args or ()), *(kwargs or {}).values()]
        check_numbers(given)
        if isinstance(value, str) and name in ("replace", "join"):
            pay_method(value, name, given)
        elif name == "join":
            between = sum(len(one) for one in given if isinstance(one, str))
            budget.spend(characters=between * len(value))
        elif name == "indent":
            wide = sum(len(one) if isinstance(one, str) else 4 + int(one) for one in given)
            budget.spend(characters=(4 + wide) * (1 + str(value).count("\n")))
        made = super().call_filter(name, value, args, kwargs, context, eval_ctx)
        if isinstance(made, Iterator):  # map, select: paid for as they are used up
            made = kept_list(made)
        pay_for(made)
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
        budget = spending()
        budget.spend(steps=1)
        for one in args or ():
            budget.weigh(one)
            budget.weigh(value)
        return super().call_test(name, value, args, kwargs, context, eval_ctx)


def _finalised(value: Any) -> Any:
    """What `{{ }}` writes out: a list or mapping is paid for before it is spelled."""
    if not isinstance(value, str):
        spending().weigh(value)
    return value


def _raise_exception(message: object) -> None:
    raise TemplateError(str(message)[:500])


def _strftime_now(format: str) -> str:
    if not isinstance(format, str) or not _DATE_FORMAT.fullmatch(format):
        raise Overspent("formats a date in a way that no date needs")
    return FIXED_DATE.strftime(format)


def _tojson(
    value: Any,
    ensure_ascii: Any = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: Any = False,
) -> str:
    signs = (indent, *(separators or ()))
    if any(len(one) > 16 if isinstance(one, str) else (one or 0) > 16 for one in signs):
        raise Overspent("spreads JSON without end")
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
            raise Unsupported(f"it has more than {_MOST_WORDS:,} words and signs")
        return sandbox.from_string(source)
    except Unsupported as error:
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
    except Exception as error:  # noqa: BLE001 - a stranger's program fails in any way it likes
        raise _broken(f"{type(error).__name__}: {str(error)[:160]}") from None


def run_template(template: Template, variables: Mapping[str, Any]) -> str:
    """What a compiled template writes for these variables, plain JSON values.

    Raises: template-limits when it would take more steps or text than such messages can need, template-refused with
    the template's own words when it calls raise_exception, template-broken for any other fault.
    """
    size, turns = _size(variables)
    budget = Budget(
        FREE_STEPS + _STEPS_A_TURN * turns + size // 8,
        min(MOST_RENDERED_CHARACTERS, FREE_CHARACTERS + _COPIES * size),
    )
    token = BUDGET.set(budget)
    try:
        return template.render(variables)
    except Overspent as error:
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
    except Exception as error:  # noqa: BLE001 - a stranger's program fails in any way it likes
        raise _broken(f"{type(error).__name__}: {str(error)[:160]}") from None
    finally:
        BUDGET.reset(token)


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
