"""
A lenient GraphQL executor over plain values.

Numerapi declares ``String`` for ``ID``, leaves out commas, and mixes camel and snake case. The real server accepts this and
answers under the names in the query. This executor does the same: graphql-core parses the document, and the selection is
picked from dictionaries.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLError, Undefined, parse, value_from_ast_untyped
from graphql.language import FieldNode, OperationDefinitionNode, SelectionSetNode

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Refused(Exception):
    """The tournament refuses an operation; the answer is a GraphQL error."""


class Arguments(dict[str, Any]):
    """Arguments of a field by snake case name. A missing argument raises ``Refused``."""

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """Refuse the field, as a schema would."""
        raise Refused(f'Argument "{name}" is required but it was not provided.')


Resolve = Callable[[str, Arguments], Any]


def snake(name: str) -> str:
    """Return a GraphQL name in snake case."""
    return _WORD.sub("_", name).lower()


def operations(query: str) -> tuple[str, ...]:
    """Return the top-level fields of a document in snake case; empty when it does not parse."""
    try:
        return tuple(snake(field.name.value) for field in _selected(_operation(query)))
    except GraphQLError:
        return ()


def execute(query: str, variables: Mapping[str, Any], resolve: Resolve) -> dict[str, Any]:
    """
    Answer a GraphQL document.

    Args:
        query: The document.
        variables: By name.
        resolve: From a field in snake case and its arguments to a value; :class:`Refused` becomes an error.
    """
    try:
        operation = _operation(query)
    except GraphQLError as error:
        return {"data": None, "errors": [{"message": error.message, "locations": []}]}
    if not isinstance(variables, Mapping):
        return {"data": None, "errors": [{"message": "Variables must be an object.", "locations": []}]}
    given = {**_defaults(operation), **variables}
    data: dict[str, Any] = {}
    errors = []
    for field in _selected(operation):
        key = field.alias.value if field.alias else field.name.value
        values = ((one.name.value, value_from_ast_untyped(one.value, given)) for one in field.arguments or ())
        # A variable that was never given leaves its argument out.
        arguments = Arguments({snake(name): value for name, value in values if value is not Undefined})
        try:
            data[key] = _project(resolve(snake(field.name.value), arguments), field.selection_set)
        except Refused as refusal:
            data[key] = None
            errors.append({"message": str(refusal), "path": [key], "locations": []})
    return {"data": data, "errors": errors} if errors else {"data": data}


def _operation(query: str) -> OperationDefinitionNode:
    document = parse(query, no_location=True)
    operation = next((one for one in document.definitions if isinstance(one, OperationDefinitionNode)), None)
    if operation is None:
        raise GraphQLError("the document holds no operation")
    return operation


def _selected(operation: OperationDefinitionNode) -> list[FieldNode]:
    return [one for one in operation.selection_set.selections if isinstance(one, FieldNode)]


def _defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    declared = operation.variable_definitions or ()
    return {one.variable.name.value: value_from_ast_untyped(one.default_value) for one in declared if one.default_value}


def _project(value: Any, selection: SelectionSetNode | None) -> Any:  # noqa: ANN401 - JSON
    """Return the selected fields of a value. An unknown field is null, like an empty field on the server."""
    if isinstance(value, list | tuple):
        return [_project(one, selection) for one in value]
    if selection is None or not isinstance(value, Mapping):
        return value
    picked = {}
    for field in selection.selections:
        if isinstance(field, FieldNode):
            key = field.alias.value if field.alias else field.name.value
            picked[key] = _project(value.get(snake(field.name.value)), field.selection_set)
    return picked
