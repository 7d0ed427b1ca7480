"""Formulas that people write, such as ``b1 / b3`` or ``radius_m > 2e4 and abs(lat) < 60``: checked word by word, computed by numexpr.

Nothing is evaluated as Python. A formula is parsed, refused unless it is made of numbers, the names at hand, operators and the functions
below, and written anew for numexpr with names of our own. Numbers are float64 throughout, so that whole numbers don't overflow.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from .errors import InputError, nearest

FUNCTIONS = {
    **dict.fromkeys(("abs", "sqrt", "exp", "expm1", "log", "log10", "log1p", "floor", "ceil"), 1),
    **dict.fromkeys(("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"), 1),
    "arctan2": 2,
    "where": 3,
}
"""Names and numbers of arguments. Angles are in radians; ``where(condition, a, b)``."""
ARITHMETIC: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.Mod: "%"}
COMPARISONS: dict[type, str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
MOST_LETTERS, MOST_PARTS = 1000, 150
WHOLE = f"numbers, names, + - * / ** %, comparisons, and, or, not, and {', '.join(FUNCTIONS)}"

NUMBER, TRUTH, TEXT = "a number", "true or false", "a text"


@dataclass(frozen=True)
class Formula:
    """A checked formula. ``names`` are the ones that it uses, ``kind`` what it gives: NUMBER or TRUTH."""

    text: str
    names: tuple[str, ...]
    kind: str
    program: str
    texts: tuple[tuple[str, str, bool], ...] = ()
    """Comparisons of a column of texts: name, text, and whether they are to be equal."""

    def __call__(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Float64 or bool of the names' arrays, which have one shape; inf or NaN where there is no result."""
        import numexpr

        given = {f"v{number}": np.asarray(values[name], np.float64) for number, name in enumerate(self._numeric)}
        given |= {f"t{number}": _equal(values[name], text, wanted) for number, (name, text, wanted) in enumerate(self.texts)}
        return np.asarray(numexpr.evaluate(self.program, local_dict=given, global_dict={}, truediv=True))

    @property
    def _numeric(self) -> list[str]:
        return [name for name in self.names if name not in {name for name, *_ in self.texts}]


def parse_formula(text: str, known: Mapping[str, str] | Collection[str], what: str, kind: str | None = None) -> Formula:
    """The formula of a text. ``known``: names, or names and their kinds (NUMBER where only names are given); ``kind``: what it has to give.

    Raises ``InputError``, which names ``what`` the formula is for, the part that isn't understood, and what is.
    """
    kinds = known if isinstance(known, Mapping) else dict.fromkeys(known, NUMBER)
    reader = _Reader(text, kinds, what)
    if len(text) > MOST_LETTERS:
        reader.refuse(f"has {len(text)} letters", f"at most {MOST_LETTERS}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reader.refuse(f"can't be read: {getattr(error, 'msg', error)}", WHOLE)
    if sum(1 for _ in ast.walk(tree)) > 3 * MOST_PARTS:
        reader.refuse("is too long", f"about {MOST_PARTS} names, numbers and operators")
    program, found = reader.read(tree.body)
    if found == TEXT or (kind is not None and found != kind):
        hint = "where(condition, a, b) makes a number" if kind == NUMBER else "a comparison, such as radius_m > 2e4"
        reader.refuse(f"gives {found}", f"{kind or NUMBER}: {hint}")
    if not reader.names:
        reader.refuse("names nothing", f"at least one of {', '.join(list(kinds)[:20])}")
    formula = Formula(text, tuple(reader.names), found, program, tuple(reader.texts))
    try:
        formula({name: np.zeros(1) for name in formula.names})
    except Exception as error:  # noqa: BLE001  # numexpr computes what holds no name at once, by whatever can go wrong with numbers
        reader.refuse(f"can't be computed: {error}", "numbers that can be computed with")
    return formula


class _Reader:
    """Writes a parsed formula anew for numexpr."""

    def __init__(self, text: str, kinds: Mapping[str, str], what: str):
        self.text, self.kinds, self.what = text, kinds, what
        self.names: dict[str, None] = {}
        self.numbers: dict[str, str] = {}
        self.texts: dict[tuple[str, str, bool], str] = {}

    def refuse(self, given: str, valid: str) -> NoReturn:
        raise InputError(f"{self.what}: the formula {self.text[:100]!r} {given}", valid=valid, next_step="correct the formula")

    def read(self, node: ast.expr) -> tuple[str, str]:
        """Program and kind of a part."""
        match node:
            case ast.Constant():
                return self.constant(node.value)
            case ast.Name():
                return self.name(node.id)
            case ast.UnaryOp(op=ast.Not()) | ast.UnaryOp(op=ast.Invert()):
                return f"(~{self.of(TRUTH, node.operand)})", TRUTH
            case ast.UnaryOp():
                return f"({'-' if isinstance(node.op, ast.USub) else '+'}{self.of(NUMBER, node.operand)})", NUMBER
            case ast.BoolOp():
                sign = " & " if isinstance(node.op, ast.And) else " | "
                return f"({sign.join(self.of(TRUTH, one) for one in node.values)})", TRUTH
            case ast.BinOp(op=ast.BitAnd()) | ast.BinOp(op=ast.BitOr()):
                sign = "&" if isinstance(node.op, ast.BitAnd) else "|"
                return f"({self.of(TRUTH, node.left)} {sign} {self.of(TRUTH, node.right)})", TRUTH
            case ast.BinOp() if type(node.op) in ARITHMETIC:
                return f"({self.of(NUMBER, node.left)} {ARITHMETIC[type(node.op)]} {self.of(NUMBER, node.right)})", NUMBER
            case ast.Compare():
                return self.comparison(node)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
                return self.call(name, node.args)
            case ast.Call(func=ast.Name(id=name)):
                self.refuse(f"calls {name}", f"nearest valid: {nearest(name, list(FUNCTIONS))}")
        self.refuse(f"has a part that isn't understood: {ast.unparse(node)[:60]}", WHOLE)

    def of(self, kind: str, node: ast.expr) -> str:
        program, found = self.read(node)
        if found != kind:
            self.refuse(f"has {found}, {ast.unparse(node)[:60]}, where {kind} is wanted", WHOLE)
        return program

    def constant(self, value: object) -> tuple[str, str]:
        if isinstance(value, str):
            return value, TEXT
        if isinstance(value, bool):
            return ("(0.0 == 0.0)" if value else "(0.0 != 0.0)"), TRUTH
        if isinstance(value, (int, float)):
            try:
                number = float(value)
            except OverflowError:
                number = np.inf
            if np.isfinite(number):
                return repr(number), NUMBER
        self.refuse(f"has {str(value)[:30]}", "finite numbers")

    def name(self, name: str) -> tuple[str, str]:
        if name not in self.kinds:
            self.refuse(f"names {name}", f"nearest valid: {nearest(name, list(self.kinds))}")
        self.names[name] = None
        kind = self.kinds[name]
        return (name if kind == TEXT else self.numbers.setdefault(name, f"v{len(self.numbers)}")), kind

    def comparison(self, node: ast.Compare) -> tuple[str, str]:
        sides, parts = [node.left, *node.comparators], []
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            if type(operator) not in COMPARISONS:
                self.refuse(f"compares by {type(operator).__name__}", ", ".join(COMPARISONS.values()))
            (first, kind), (second, other) = self.read(left), self.read(right)
            sign = COMPARISONS[type(operator)]
            if kind != other:
                self.refuse(f"compares {kind} with {other}", "parts of one kind")
            parts.append(self.of_texts(left, first, right, second, sign) if kind == TEXT else f"({first} {sign} {second})")
        return f"({' & '.join(parts)})", TRUTH

    def of_texts(self, left: ast.expr, first: str, right: ast.expr, second: str, sign: str) -> str:
        if sign not in ("==", "!=") or isinstance(left, ast.Name) == isinstance(right, ast.Name):
            self.refuse("compares texts", 'a column of texts with a text, by == or !=, such as state == "fresh"')
        name, text = (first, second) if isinstance(left, ast.Name) else (second, first)
        return self.texts.setdefault((name, text, sign == "=="), f"t{len(self.texts)}")

    def call(self, name: str, arguments: list[ast.expr]) -> tuple[str, str]:
        if len(arguments) != FUNCTIONS[name]:
            self.refuse(f"gives {name} {len(arguments)} argument(s)", f"{FUNCTIONS[name]}")
        kinds = (TRUTH, NUMBER, NUMBER) if name == "where" else (NUMBER,) * len(arguments)
        return f"{name}({', '.join(self.of(kind, one) for kind, one in zip(kinds, arguments, strict=True))})", NUMBER


def _equal(values: np.ndarray, text: str, wanted: bool) -> np.ndarray:
    return (np.asarray(values, object) == text) == wanted
