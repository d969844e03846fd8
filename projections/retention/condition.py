"""Conditions on columns, a language that only compares: `outcome in ('SUCCESS', 'TIMEOUT') and cost_nano_usd < 1000`.

    condition  = all { "or" all }          all = term { "and" term }
    term       = "not" term | "(" condition ")" | column test
    test       = ( = != < <= > >= ) value | ["not"] "in" "(" value { "," value } ")" | "is" ["not"] "null"
    value      = 'text' | 12 | -0.5 | true | false

Nulls are as in SQL: a comparison with null is neither true nor false, and only what is true is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Value = str | int | float | bool
Row = Mapping[str, Value | None]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?[0-9]+(?:\.[0-9]+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign><=|>=|!=|=|<|>|\(|\)|,))"
)
COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,  # type: ignore[operator] # both are of the column's type
    "<=": lambda left, right: left <= right,  # type: ignore[operator]
    ">": lambda left, right: left > right,  # type: ignore[operator]
    ">=": lambda left, right: left >= right,  # type: ignore[operator]
}
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false"})
MAX_LENGTH = 2_000
MAX_DEPTH = 32


class ConditionError(ValueError):
    """What is written is no condition, or one on columns that are not there."""


@dataclass(frozen=True, slots=True)
class Compare:
    column: str
    sign: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    column: str


@dataclass(frozen=True, slots=True)
class Not:
    inner: Condition


@dataclass(frozen=True, slots=True)
class Both:
    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Either:
    left: Condition
    right: Condition


Condition = Compare | OneOf | IsNull | Not | Both | Either


def parse(text: str) -> Condition:
    """The condition that is written; ConditionError says at which character it is none."""
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"a condition has at most {MAX_LENGTH} characters")
    return _Parser(text).whole()


def leaves(condition: Condition) -> Iterator[Compare | OneOf | IsNull]:
    """All tests of columns in it."""
    match condition:
        case Both(left, right) | Either(left, right):
            yield from leaves(left)
            yield from leaves(right)
        case Not(inner):
            yield from leaves(inner)
        case Compare() | OneOf() | IsNull():
            yield condition


def holds(condition: Condition, row: Row) -> bool | None:
    """True, False, or None where a null leaves it open."""
    match condition:
        case Compare(column, sign, value):
            found = row[column]
            return None if found is None else COMPARISONS[sign](found, value)
        case OneOf(column, values):
            found = row[column]
            return None if found is None else found in values
        case IsNull(column):
            return row[column] is None
        case Not(inner):
            result = holds(inner, row)
            return None if result is None else not result
        case Both(left, right):
            results = (holds(left, row), holds(right, row))
            return False if False in results else None if None in results else True
        case Either(left, right):
            results = (holds(left, row), holds(right, row))
            return True if True in results else None if None in results else False


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split(text))
        self._at = 0
        self._depth = 0

    def _split(self, text: str) -> Iterator[tuple[str, str, int]]:
        at, end = 0, len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise ConditionError(
                    f"nothing can be made of {text[at:].strip()[:20]!r} at character {at + 1}"
                )
            yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
            at = match.end()

    def whole(self) -> Condition:
        condition = self._either()
        if self._at < len(self._tokens):
            raise self._wrong("`and`, `or` or the end")
        return condition

    def _either(self) -> Condition:
        found = self._both()
        while self._takes("or"):
            found = Either(found, self._both())
        return found

    def _both(self) -> Condition:
        found = self._term()
        while self._takes("and"):
            found = Both(found, self._term())
        return found

    def _term(self) -> Condition:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConditionError(f"a condition is nested at most {MAX_DEPTH} deep")
        try:
            if self._takes("not"):
                return Not(self._term())
            if self._takes("("):
                inner = self._either()
                self._must(")")
                return inner
            return self._test(self._column())
        finally:
            self._depth -= 1

    def _test(self, column: str) -> Condition:
        if self._takes("is"):
            negated = self._takes("not")
            self._must("null")
            return Not(IsNull(column)) if negated else IsNull(column)
        negated = self._takes("not")
        if negated or self._peek() == "in":
            self._must("in")
            found = OneOf(column, self._values())
            return Not(found) if negated else found
        sign = self._peek()
        if sign not in COMPARISONS:
            raise self._wrong(f"one of {' '.join(COMPARISONS)}, `in` or `is`")
        self._at += 1
        return Compare(column, sign, self._value())

    def _values(self) -> tuple[Value, ...]:
        self._must("(")
        values = [self._value()]
        while self._takes(","):
            values.append(self._value())
        self._must(")")
        return tuple(values)

    def _column(self) -> str:
        kind, text = self._token()
        if kind != "word" or text.lower() in _KEYWORDS:
            raise self._wrong("a column")
        self._at += 1
        return text

    def _value(self) -> Value:
        kind, text = self._token()
        self._at += 1
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "word" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        self._at -= 1
        raise self._wrong(
            "a value ('text' in single quotes, a number, true or false; for null write `is null`)"
        )

    def _token(self) -> tuple[str, str]:
        return self._tokens[self._at][:2] if self._at < len(self._tokens) else ("end", "")

    def _peek(self) -> str:
        kind, text = self._token()
        return text.lower() if kind == "word" else text if kind == "sign" else ""

    def _takes(self, wanted: str) -> bool:
        found = self._peek() == wanted
        self._at += found
        return found

    def _must(self, wanted: str) -> None:
        if not self._takes(wanted):
            raise self._wrong(f"`{wanted}`")

    def _wrong(self, expected: str) -> ConditionError:
        if self._at < len(self._tokens):
            _, text, at = self._tokens[self._at]
            return ConditionError(f"{text!r} at character {at + 1} should be {expected}")
        return ConditionError(f"it ends where {expected} should be")
