"""The part of GraphQL that wandb speaks: parses a document and answers it from nested dictionaries and functions."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\.\.\.|\$?[A-Za-z_]\w*|-?\d[\d.eE+-]*|[{}()\[\]:!=@|]')
_EXCLUSIVE_TYPES = {"ArtifactSequence", "ArtifactPortfolio"}


@dataclass
class Field:
    """A field or, with a `fragment` (its name or its type condition), a spread."""

    name: str
    alias: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    include: Any = True
    selection: list["Field"] = field(default_factory=list)
    fragment: str = ""


@dataclass
class Variable:
    """The place of a variable in arguments."""

    name: str


class Document:
    """One parsed request: an operation and the fragments that it uses."""

    def __init__(self, source: str):
        self._tokens: list[str] = _TOKEN.findall(re.sub(r"#[^\n]*", "", source).replace(",", " "))
        self._fragments: dict[str, tuple[str, list[Field]]] = {}
        self.kind, self.name, self.defaults = "query", "", dict[str, Any]()
        self._selection: list[Field] = []
        while self._tokens:
            self._definition()

    def execute(self, root: Any, variables: dict[str, Any]) -> dict[str, Any]:
        """The answer: each field is looked up in `root` and called with its arguments where it is a function."""
        return self._select(self._selection, root, {**self.defaults, **variables})

    def _definition(self) -> None:
        if self._tokens[0] == "fragment":
            name, condition = self._tokens[1], self._tokens[3]
            del self._tokens[:4]
            self._fragments[name] = (condition, self._selections())
            return
        if self._tokens[0] != "{":
            self.kind = self._next()
            self.name = self._next() if self._tokens[0] not in "({" else ""
            self._variable_definitions()
        self._selection = self._selections()

    def _variable_definitions(self) -> None:
        if not self._skip("("):
            return
        name = ""
        while not self._skip(")"):
            token = self._next()
            if token.startswith("$"):
                name = token[1:]
            elif token == "=":
                self.defaults[name] = self._value()

    def _selections(self) -> list[Field]:
        self._expect("{")
        found = []
        while not self._skip("}"):
            found.append(self._spread() if self._skip("...") else self._field())
        return found

    def _spread(self) -> Field:
        if self._skip("on"):
            condition = self._next()
            return Field("", fragment=condition, include=self._directive(), selection=self._selections())
        return Field("", fragment=self._next(), include=self._directive())

    def _field(self) -> Field:
        alias = name = self._next()
        if self._skip(":"):
            name = self._next()
        found = Field(name, alias, arguments=self._arguments(), include=self._directive())
        if self._tokens[0] == "{":
            found.selection = self._selections()
        return found

    def _arguments(self) -> dict[str, Any]:
        return self._pairs(")") if self._skip("(") else {}

    def _directive(self) -> Any:
        """What `@include(if: ...)` says; no other directive is in use."""
        if not self._skip("@"):
            return True
        self._expect("include")
        return self._arguments()["if"]

    def _pairs(self, end: str) -> dict[str, Any]:
        pairs = {}
        while not self._skip(end):
            name = self._next()
            self._expect(":")
            pairs[name] = self._value()
        return pairs

    def _value(self) -> Any:
        token = self._next()
        if token == "{":
            return self._pairs("}")
        if token == "[":
            return list(self._values())
        if token.startswith("$"):
            return Variable(token[1:])
        is_name = token[0].isalpha() and token not in ("true", "false", "null")
        return token if is_name else json.loads(token)

    def _values(self) -> Iterator[Any]:
        while not self._skip("]"):
            yield self._value()

    def _next(self) -> str:
        return self._tokens.pop(0)

    def _skip(self, token: str) -> bool:
        return self._tokens[0] == token and bool(self._tokens.pop(0))

    def _expect(self, token: str) -> None:
        assert self._skip(token), f"{token} was expected before {self._tokens[:8]}"

    def _select(self, selection: list[Field], value: Any, variables: dict[str, Any]) -> Any:
        if isinstance(value, list):
            return [self._select(selection, item, variables) for item in value]
        if value is None or not selection:
            return value
        answer: dict[str, Any] = {}
        for found in selection:
            if not _fill(found.include, variables):
                continue
            if found.fragment:
                condition, inner = self._fragments.get(found.fragment, (found.fragment, found.selection))
                if condition not in _EXCLUSIVE_TYPES - {value.get("__typename")}:
                    answer.update(self._select(inner, value, variables))
                continue
            child = value.get(found.name)
            if callable(child):
                child = child(**_fill(found.arguments, variables))
            answer[found.alias] = self._select(found.selection, child, variables)
        return answer


def _fill(value: Any, variables: dict[str, Any]) -> Any:
    """`value` with each variable replaced."""
    if isinstance(value, Variable):
        return variables.get(value.name)
    if isinstance(value, dict):
        return {name: _fill(inner, variables) for name, inner in value.items()}
    return [_fill(inner, variables) for inner in value] if isinstance(value, list) else value
