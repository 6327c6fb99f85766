"""Collect user-facing texts from Python source, by its syntax tree.

A text is any string that reads as prose, wherever it is: in an error, an option, a table of sentences, a return
value. Left out are patterns, SQL, log events, checks (`assert`) and docstrings, except those that users see: of
click commands, and of operations and types of the OpenAPI description. The context of a text is the call that it
is an argument of, the name that it is assigned to, or the function that returns it.
"""

import ast
from collections.abc import Iterator

from tests.texts.prose import is_label, is_prose, one_line

_NOT_SHOWN = {
    *("compile", "CheckConstraint", "text", "cast", "execute", "scalar", "DDL", "sha256"),
    *("startswith", "endswith", "removeprefix", "removesuffix"),
}
"""Calls whose strings are patterns, SQL or compared with something."""
_FAILURE_RULES = {"_user": 3, "_infra": 3}
"""The rules of known failures: which argument is the message; the others are patterns."""


def python_texts(source: str) -> list[str]:
    """Return the texts of a module as `context: text`, in the order of the source, each once."""
    collector = _Collector()
    collector.visit(ast.parse(source))
    return list(dict.fromkeys(collector.texts))


class _Collector(ast.NodeVisitor):
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.context: list[str] = []

    def within(self, context: str, nodes: Iterator[ast.AST] | list[ast.AST]) -> None:
        self.context.append(context)
        for node in nodes:
            self.visit(node)
        self.context.pop()

    def add(self, text: str) -> None:
        if is_prose(text) or (is_label(text) and self.context[-1] in {"label", "State"}):
            context = next((name for name in reversed(self.context) if name != "label"), "module")
            self.texts.append(f"{context}: {one_line(text)}")

    def add_docstring(self, node: ast.FunctionDef | ast.ClassDef, context: str) -> None:
        if documented := ast.get_docstring(node):
            self.texts.append(f"{context}: {one_line(documented)}")

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.within(node.name, [*node.decorator_list, *_body(node)])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        decorators = {_name(d.func) for d in node.decorator_list if isinstance(d, ast.Call)}
        if {"command", "group"} & decorators:
            self.add_docstring(node, f"{node.name} --help")
        elif "operation" in decorators:
            self.add_docstring(node, f"{node.name} operation")
        for decorator in node.decorator_list:
            self.visit(decorator)
        self.within(node.name, _body(node))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(_name(base) == "TypedDict" for base in node.bases):
            self.add_docstring(node, f"{node.name} type")
        self.within(node.name, _body(node))

    def visit_Module(self, node: ast.Module) -> None:
        self.within("module", _body(node))

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if name in _NOT_SHOWN:
            return
        if name in _FAILURE_RULES:
            self.within(name, node.args[_FAILURE_RULES[name] :])
            return
        self.visit(node.func)
        options = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if name in {"option", "argument"} and options:
            name = options[0]
        elif name.endswith(("join", "append", "format", "replace", "split", "echo", "Markup")):
            name = ""
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        self.within(name or self.context[-1], arguments)

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        self.within(_name(target) or self.context[-1], [node.value])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        described = [node.annotation, *([node.value] if node.value is not None else [])]
        self.within(_name(node.target) or self.context[-1], described)

    def visit_Dict(self, node: ast.Dict) -> None:
        for value in node.values:
            self.within("label", [value])

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_Compare(self, node: ast.Compare) -> None:
        pass

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.add(node.value)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        joined = _concatenated(node)
        if joined is None:
            self.generic_visit(node)
        else:
            self.add(joined)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.add(_readable(node))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) -> list[ast.AST]:
    """Return the statements of a definition without those that are strings: docstrings."""
    return [
        statement
        for statement in node.body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]


def _concatenated(node: ast.expr) -> str | None:
    """Return the text of strings that are added up; None for any other sum."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return _readable(node)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            parts = [_concatenated(left), _concatenated(right)]
            if any(part is not None for part in parts):
                return "".join(
                    part if part is not None else f"{{{_name(side)}}}"
                    for part, side in zip(parts, (left, right), strict=True)
                )
    return None


def _readable(node: ast.expr) -> str:
    """Return a string with its placeholders as {name}."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_readable(value) for value in values)
        case ast.FormattedValue(value=value):
            return f"{{{_name(value)}}}"
    return ""


def _name(node: ast.AST) -> str:
    """Return the word that names an expression best: its attribute, argument, function or variable."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=ast.Attribute(value=value, attr="strip" | "rstrip" | "removesuffix" | "lower")):
            return _name(value)
        case ast.Call(func=function, args=arguments):
            return _first_name([*arguments[:1], function])
    return _first_name(list(ast.iter_child_nodes(node)))


def _first_name(nodes: list[ast.AST]) -> str:
    return next((name for name in map(_name, nodes) if name), "")
