"""What GraphQL offers: models, versions, their status and signature, and predictions."""

from __future__ import annotations

from typing import Any, TypeAlias

from graphql import GraphQLResolveInfo, GraphQLSchema, build_schema

from maas_server._core import CoreError
from maas_server.errors import NotFound
from maas_server.front import Front, Protocol, core_error
from maas_server.http.graphql_asked import Asked
from maas_server.http.infer import infer
from maas_server.http.infer_request import build_request
from maas_server.http.infer_response import write_outputs
from maas_server.http.messages import Blob, wrong
from maas_server.http.models import Models
from maas_server.models.registry import ModelView, VersionView
from maas_server.models.runner import TensorInfo
from maas_server.protocols.not_found import triton_error

# Only later releases let it be subscripted.
Info: TypeAlias = "GraphQLResolveInfo[Any]"

_SDL = '''
"""A whole number of up to 64 bits."""
scalar Long
"""Any JSON: numbers, strings, booleans, and arrays of them."""
scalar JSON

type Query {
  "All models, or the one that is named."
  models(name: String): [Model!]!
  "One model; null if there is none of this name."
  model(name: String!): Model
  "Run a model. Without a version the newest one that serves; without outputs all of them."
  predict(model: String!, version: Long, inputs: [TensorInput!]!, outputs: [String!]): Prediction!
}

type Model {
  name: String!
  "The version that answers by default; null: none does."
  defaultVersion: Long
  labels: [Label!]!
  "Why the model cannot be used; empty when it can."
  reason: String!
  "Newest first."
  versions(version: Long): [Version!]!
}

type Label {
  name: String!
  version: Long!
}

enum State { START LOADING AVAILABLE UNLOADING END }

type Version {
  version: Long!
  state: State!
  "Why it ended, or what it waits for."
  reason: String!
  sinceUnixMs: Long!
  digest: String!
  runner: String!
  "Null until it was loaded; so is the batching."
  signature: Signature
  batching: Batching
  counters: Counters!
}

type Signature {
  inputs: [Tensor!]!
  outputs: [Tensor!]!
}

type Tensor {
  name: String!
  datatype: String!
  "-1 for a dimension that may vary."
  shape: [Long!]!
  optional: Boolean!
}

type Batching {
  enabled: Boolean!
  reason: String!
  maxBatchSize: Int!
  maxQueueRows: Int!
  instances: Int!
}

"What a version did since it became AVAILABLE."
type Counters {
  accepted: Long!
  succeeded: Long!
  failed: Long!
  cancelled: Long!
  expired: Long!
  rejected: Long!
  batches: Long!
  rows: Long!
  queuedRows: Long!
  pending: Long!
}

input TensorInput {
  name: String!
  datatype: String!
  shape: [Long!]!
  "Nested to the shape, or flat."
  data: JSON!
}

type Prediction {
  model: String!
  version: Long!
  outputs: [OutputTensor!]!
}

type OutputTensor {
  name: String!
  datatype: String!
  shape: [Long!]!
  "Flat."
  data: JSON!
}
'''


class Resolvers:
    """The root value: its methods are the fields of Query."""

    def __init__(self, front: Front, models: Models) -> None:
        """Nothing is called yet."""
        self._front = front
        self._models = models

    async def models(self, _: Info, name: str = "") -> list[dict[str, Any]]:
        """Resolve `models`."""
        try:
            return [_model(view) for view in await self._models.status(name)]
        except NotFound:
            return []

    async def model(self, info: Info, name: str) -> dict[str, Any] | None:
        """Resolve `model`."""
        found = await self.models(info, name) if name else []
        return found[0] if found else None

    async def predict(
        self,
        info: Info,
        model: str,
        inputs: list[dict[str, Any]],
        version: int | None = None,
        outputs: list[str] | None = None,
    ) -> dict[str, Any]:
        """Resolve `predict`.

        Raises:
            MaasError: refused or failed.
        """
        _check_version(version)
        named = "" if version is None else str(version)
        body = {"inputs": inputs, "outputs": [{"name": name} for name in outputs or ()]}
        raw, _wanted = build_request(model, named, body, memoryview(b""))
        asked: Asked = info.context
        try:
            answer = await infer(self._front, asked.caller, Protocol.MODEL_INFER, raw)
        except CoreError as error:
            raise triton_error(core_error(error), model, named) from None
        large = asked.large
        name, number, told = await large.write(len(answer), write_outputs, Blob(answer), large.max_bytes)
        return {"model": name, "version": number, "outputs": told}


def build() -> GraphQLSchema:
    """Return the schema. Its scalars take any value; what cannot be one is refused where it is used."""
    return build_schema(_SDL)


def _check_version(version: object) -> None:
    if version is not None and type(version) is not int:
        raise wrong("version", "a whole number", version)


def _model(view: ModelView) -> dict[str, Any]:
    def versions(_: Info, version: int | None = None) -> list[dict[str, Any]]:
        _check_version(version)
        return [_version(each) for each in view.versions if version in (None, each.version)]

    return {
        "name": view.name,
        "defaultVersion": view.default_version or None,
        "labels": [{"name": name, "version": version} for name, version in sorted((view.labels or {}).items())],
        "reason": view.reason,
        "versions": versions,
    }


def _version(view: VersionView) -> dict[str, Any]:
    counters = view.counters
    plain = ("accepted", "succeeded", "failed", "cancelled", "expired", "rejected", "batches", "rows", "pending")
    return {
        "version": view.version,
        "state": view.state.name,
        "reason": view.reason,
        "sinceUnixMs": view.since_unix_ms,
        "digest": view.digest,
        "runner": view.runner,
        "signature": view.signature
        and {
            "inputs": list(map(_tensor, view.signature.inputs)),
            "outputs": list(map(_tensor, view.signature.outputs)),
        },
        "batching": view.plan
        and {
            "enabled": view.plan.batching,
            "reason": view.plan.batching_reason,
            "maxBatchSize": view.plan.max_batch_size,
            "maxQueueRows": view.plan.max_queue_rows,
            "instances": view.plan.instances,
        },
        "counters": {name: getattr(counters, name) for name in plain} | {"queuedRows": counters.queued_rows},
    }


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "datatype": info.datatype, "shape": list(info.shape), "optional": info.optional}
