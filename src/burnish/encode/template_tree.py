"""A template's tree, rewritten: whatever can grow or repeat passes through the environment, which asks what it costs."""

from __future__ import annotations

from typing import Any, cast

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.tests import TESTS
from jinja2.visitor import NodeTransformer

KNOWN_FILTERS = frozenset(
    ["abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "safe", "select", "selectattr", "sort", "string", "title", "tojson", "trim", "unique", "upper"]
)  # fmt: skip
KNOWN_TESTS = frozenset(TESTS) - {"filter", "test", "callable"}
_REFUSED = (
    nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block, nodes.CallBlock, nodes.FilterBlock,
    nodes.ScopedEvalContextModifier, nodes.EvalContextModifier,
)  # fmt: skip


class Unsupported(TemplateError):
    """The template holds a construct that no chat template needs."""


class Generation(Extension):
    """`{% generation %}` marks the assistant's text for trainers that ask the template; here it is a scope."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class Charged(NodeTransformer):
    """Rewrites the tree so that every expression that can grow or repeat passes through the environment."""

    def generic_visit(self, node: nodes.Node, *args: Any) -> nodes.Node:
        if isinstance(node, _REFUSED):
            raise Unsupported(f"line {node.lineno} has a {type(node).__name__}")
        return super().generic_visit(node, *args)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            raise Unsupported(f"line {node.lineno} has a recursive loop")
        self.generic_visit(node)
        node.iter = _through("looped", cast("nodes.Expr", node.iter))
        return node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:
        if node.filter is not None:
            raise Unsupported(f"line {node.lineno} has a set block with a filter")
        return self.generic_visit(node)

    def visit_NSRef(self, node: nodes.NSRef) -> nodes.Node:
        _plain_name(node.attr, node)
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        return _through("called", nodes.ContextReference(), node.node, *_arguments(node))

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        if node.node is None or node.name not in KNOWN_FILTERS:
            raise Unsupported(f"line {node.lineno} has the filter {node.name}")
        self.generic_visit(node)
        name = nodes.Const(node.name)
        return _through("filtered", nodes.ContextReference(), name, node.node, *_arguments(node))

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        if node.name not in KNOWN_TESTS:
            raise Unsupported(f"line {node.lineno} has the test {node.name}")
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
        raise Unsupported(f"line {node.lineno} unpacks arguments")
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
        raise Unsupported(f"line {node.lineno} uses the private name {name[:40]}")
