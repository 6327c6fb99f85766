"""Describe the HTTP API as OpenAPI 3.1: from the routes, the docstrings of the views, and the types of their JSON.

`@operation` on a view states its parameters and responses; `describe` collects them from the application's
routes. So paths, methods and fields have one source each, and what does not exist cannot be described.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Literal, NamedTuple, TypeVar

from flask import Flask
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

_JSON = "application/json"
_REFERENCE = "#/components/schemas/"

V = TypeVar("V", bound=Callable[..., Any])


class ErrorDetails(TypedDict):
    """What went wrong: a code for programs and a message for people."""

    code: str
    message: str


class ErrorJson(TypedDict):
    """An error."""

    error: ErrorDetails


@dataclass(frozen=True)
class Operation:
    """What a view takes and returns."""

    responses: Mapping[int, Any]
    """By status: the type of a JSON response, or the media types of a text response."""
    errors: tuple[int, ...] = ()
    """The statuses of an ErrorJson."""
    path: Any = None
    """The path parameters, as a TypedDict whose name ends with Path."""
    query: Any = None
    """The query parameters, as a TypedDict whose name ends with Query."""
    body: Any = None
    """The type of the JSON request body."""
    methods: tuple[str, ...] = ()
    """The methods to describe, if not every method of the route."""
    is_public: bool = False
    """Whether it needs no authentication."""

    def types(self) -> Iterator[Any]:
        """Yield every type whose schema the description needs."""
        yield from (shape for shape in self.responses.values() if not _is_text(shape))
        yield from (shape for shape in (self.path, self.query, self.body) if shape is not None)


def operation(stated: Operation) -> Callable[[V], V]:
    """Return a decorator that states what a view takes and returns; its docstring is the description."""

    def attach(view: V) -> V:
        view.__openapi__ = stated  # type: ignore[attr-defined]
        return view

    return attach


class Route(NamedTuple):
    """A described route, with its methods in lower case."""

    endpoint: str
    path: str
    methods: list[str]
    view: Callable[..., Any]
    stated: Operation


def routes(app: Flask) -> Iterator[Route]:
    """Yield the described routes of an application."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        stated = getattr(view, "__openapi__", None)
        if stated is not None:
            methods = stated.methods or (rule.methods or set()) - {"HEAD", "OPTIONS"}
            path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
            yield Route(rule.endpoint, path, sorted(method.lower() for method in methods), view, stated)


def describe(app: Flask, *, base: str, version: str, security: Mapping[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI document of an application; its paths are relative to `base`, which ends with a slash."""
    described = list(routes(app))
    schemas = _Schemas({one for route in described for one in route.stated.types()} | {ErrorJson})
    paths: dict[str, dict[str, Any]] = {}
    for route in described:
        item = paths.setdefault(f"/{route.path.removeprefix(base)}", {})
        for method in route.methods:
            item[method] = _operation(route, schemas, is_secured=bool(security))
    return {
        "openapi": "3.1.0",
        "info": {"title": "repo2hub", "version": version},
        "servers": [{"url": base.rstrip("/") or "/"}],
        "security": [{name: []} for name in security],
        "paths": paths,
        "components": {"schemas": schemas.definitions, "securitySchemes": dict(security)},
    }


def _operation(route: Route, schemas: "_Schemas", *, is_secured: bool) -> dict[str, Any]:
    stated = route.stated
    summary, _, description = cleandoc(route.view.__doc__ or "").partition("\n\n")
    statuses = dict.fromkeys(stated.errors, ErrorJson) | dict(stated.responses)
    answer: dict[str, Any] = {
        "operationId": route.endpoint.replace(".", "_"),
        "summary": summary.replace("`", ""),
        "parameters": [
            *_parameters("path", stated.path, schemas),
            *_parameters("query", stated.query, schemas),
        ],
        "responses": {
            str(status): _response(status, statuses[status], schemas) for status in sorted(statuses)
        },
    }
    if description:
        answer["description"] = description
    if stated.body is not None:
        answer["requestBody"] = {"required": True, "content": {_JSON: {"schema": schemas.of(stated.body)}}}
    if stated.is_public and is_secured:
        answer["security"] = []
    return answer


def _parameters(place: str, shape: Any, schemas: "_Schemas") -> Iterator[dict[str, Any]]:
    for name, schema in schemas.fields(shape).items() if shape is not None else ():
        parameter = {"name": name, "in": place, "required": place == "path", "schema": schema}
        yield parameter | ({"description": schema["description"]} if "description" in schema else {})


def _response(status: int, shape: Any, schemas: "_Schemas") -> dict[str, Any]:
    if _is_text(shape):
        # The schema of an event stream would be that of a single event, which OpenAPI 3.1 cannot express.
        text = {"schema": {"type": "string"}}
        content = {media_type: text if media_type == "text/plain" else {} for media_type in shape}
    else:
        content = {_JSON: {"schema": schemas.of(shape)}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _is_text(shape: Any) -> bool:
    return isinstance(shape, tuple)


class _SchemaGenerator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave out titles: they repeat the names of the fields."""
        return False


class _Schemas:
    """The schemas of types; `definitions` has those that others refer to."""

    def __init__(self, types: set[Any]) -> None:
        inputs: list[tuple[Any, Literal["serialization"], TypeAdapter[Any]]] = [
            (one, "serialization", TypeAdapter(one)) for one in sorted(types, key=str)
        ]
        found, rest = TypeAdapter.json_schemas(
            inputs, ref_template=f"{_REFERENCE}{{model}}", schema_generator=_SchemaGenerator
        )
        self._found = {one: schema for (one, _), schema in found.items()}
        self.definitions: dict[str, Any] = rest["$defs"]
        # The fields of a path and a query are parameters, and these types no definitions.
        self._parameters = {
            name: self.definitions.pop(name)["properties"]
            for name in list(self.definitions)
            if name.endswith(("Path", "Query"))
        }

    def of(self, shape: Any) -> dict[str, Any]:
        """Return the schema of a type."""
        return self._found[shape]

    def fields(self, shape: Any) -> dict[str, dict[str, Any]]:
        """Return the schemas of a path's or a query's fields."""
        found: dict[str, dict[str, Any]] = self._parameters[shape.__name__]
        return found
