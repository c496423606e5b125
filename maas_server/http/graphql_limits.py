"""How much one GraphQL request may ask for, counted before anything runs."""

from __future__ import annotations

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, GraphQLError, SelectionSetNode
from graphql.language import OperationDefinitionNode

MAX_TEXT_BYTES = 64 << 10
# Tensors belong into variables, so queries are short.
MAX_TOKENS = 2000
# The query that tools ask for the schema has 15.
MAX_DEPTH = 20
MAX_FIELDS = 500
MAX_PREDICTIONS = 16


class _Cost:
    """What a selection amounts to, with its fragments in place."""

    def __init__(self, fields: int = 0, depth: int = 0, predictions: int = 0) -> None:
        self.fields = fields
        self.depth = depth
        self.predictions = predictions

    def add(self, other: _Cost) -> None:
        self.fields += other.fields
        self.depth = max(self.depth, other.depth)
        self.predictions += other.predictions


def check_cost(document: DocumentNode) -> None:
    """Refuse a document that asks for too much. It has passed GraphQL's own rules, so no fragment contains itself.

    Raises:
        GraphQLError: it asks for too much.
    """
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    known: dict[str, _Cost] = {}

    def of_fragment(name: str) -> _Cost:
        # Once each: fragments that spread fragments double the fields at every step, but not this work.
        if name not in known:
            known[name] = of(fragments[name].selection_set)
        return known[name]

    def of(selections: SelectionSetNode | None) -> _Cost:
        total = _Cost()
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                inner = of(node.selection_set)
                inner.add(_Cost(fields=1, predictions=int(node.name.value == "predict")))
                inner.depth += 1
                total.add(inner)
            elif isinstance(node, FragmentSpreadNode):
                total.add(of_fragment(node.name.value))
            else:
                total.add(of(node.selection_set))  # type: ignore[attr-defined]  # an InlineFragmentNode
        return total

    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            _check(of(operation.selection_set))


def _check(cost: _Cost) -> None:
    for what, got, most in (
        ("fields", cost.fields, MAX_FIELDS),
        ("levels", cost.depth, MAX_DEPTH),
        ("predictions", cost.predictions, MAX_PREDICTIONS),
    ):
        if got > most:
            raise GraphQLError(f"the query asks for {got} {what}; {most} are the most")
