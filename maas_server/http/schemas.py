"""The bodies of requests and answers, as OpenAPI describes them."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_ANY: Schema = {}
_PARAMETERS: Schema = {
    "type": "object",
    "additionalProperties": {"type": ["boolean", "number", "string"]},
}
_DATATYPE: Schema = {
    "type": "string",
    "enum": [
        "BOOL",
        *(f"{kind}{bits}" for kind in ("UINT", "INT") for bits in (8, 16, 32, 64)),
        *("FP16", "BF16", "FP32", "FP64", "BYTES"),
    ],
}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer"}}


def _object(required: str = "", /, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": required.split()} if required else schema


def _list(items: Schema, description: str = "") -> Schema:
    schema: Schema = {"type": "array", "items": items}
    return {**schema, "description": description} if description else schema


def _said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


_SIGNATURE_TENSOR = _object("name datatype shape", name=_TEXT, datatype=_DATATYPE, shape=_SHAPE)
_FEATURES: Schema = {
    "type": "object",
    "description": 'A number, a string, {"b64": "..."}, or an array of one of these, for each feature.',
    "additionalProperties": _ANY,
}
_EXAMPLES = _object(
    "examples", signature_name=_TEXT, context=_FEATURES, examples=_list(_FEATURES, "Features by name, per example.")
)
_REGION = _object("name", name=_TEXT, key=_TEXT, offset=_WHOLE, byte_size=_WHOLE)

SCHEMAS: dict[str, Schema] = {
    "Error": _object(
        "error",
        error=_said(_TEXT, "What is wrong."),
        code=_said(_TEXT, "The gRPC status code."),
        reason=_said(_TEXT, "In capitals, for programs."),
        violations=_list(_object("field description", field=_TEXT, description=_TEXT)),
        retry_after_seconds={"type": "number"},
    ),
    "Alive": _object("status", status={"const": "alive"}),
    "Live": _object("live", live=_FLAG),
    "Ready": _object("ready", ready=_FLAG),
    "ModelReady": _object("name ready", name=_TEXT, ready=_FLAG),
    "ModelList": _object("models", models=_list(_TEXT)),
    "ServerMetadata": _object("name version extensions", name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "ModelMetadata": _object(
        "name versions platform inputs outputs",
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(_SIGNATURE_TENSOR),
        outputs=_list(_SIGNATURE_TENSOR),
    ),
    "ModelConfig": _said(_object(), "Triton's ModelConfig, fields by their own names."),
    "Statistics": _object("model_stats", model_stats=_list(_said(_object(), "Triton's ModelStatistics."))),
    "InferenceRequest": _object(
        "inputs",
        id=_TEXT,
        parameters=_said(_PARAMETERS, "binary_data_output, priority, timeout in microseconds, and others."),
        inputs=_list(
            _object(
                "name datatype shape",
                name=_TEXT,
                datatype=_DATATYPE,
                shape=_SHAPE,
                parameters=_said(_PARAMETERS, "binary_data_size: so many bytes behind the JSON are the data."),
                data=_list(_ANY, "Numbers, booleans or strings; nested to the shape, or flat."),
            )
        ),
        outputs=_list(
            _object(
                "name",
                name=_TEXT,
                parameters=_said(_PARAMETERS, "binary_data: behind the JSON. classification: so many best classes."),
            ),
            "All when left out.",
        ),
    ),
    "InferenceResponse": _object(
        "model_name model_version outputs",
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters=_PARAMETERS,
        outputs=_list(
            _object(
                "name datatype shape",
                name=_TEXT,
                datatype=_DATATYPE,
                shape=_SHAPE,
                parameters=_PARAMETERS,
                data=_list(_ANY, "Flat."),
            )
        ),
    ),
    "IndexRequest": _object("", ready=_said(_FLAG, "Only what serves.")),
    "RepositoryIndex": _list(_object("name", name=_TEXT, version=_TEXT, state=_TEXT, reason=_TEXT)),
    "LoadRequest": _object(
        "", parameters=_said(_PARAMETERS, "config: a ModelConfig as JSON text. file:<path>: a file's bytes as base64.")
    ),
    "UnloadRequest": _object("", parameters=_PARAMETERS),
    "SharedMemoryRegion": _object("byte_size", key=_TEXT, offset=_WHOLE, byte_size=_WHOLE),
    "SharedMemoryStatus": _list(_REGION),
    "LogSettings": _said(_PARAMETERS, "log_info, log_warning, log_error, log_verbose_level and others."),
    "TraceSettings": {"type": "object", "additionalProperties": {"type": ["string", "array", "integer", "null"]}},
    "PredictRequest": _object(
        "",
        signature_name=_TEXT,
        instances=_list(_ANY, "Row by row: values, or objects with a value for each input."),
        inputs=_said(_ANY, 'Column by column instead: values, or an object of them. Bytes are {"b64": "..."}.'),
    ),
    "PredictResponse": _object(
        "",
        predictions=_list(_ANY, "For instances: values of the only output, or objects of all."),
        outputs=_said(_ANY, "For inputs: values of the only output, or an object of all."),
    ),
    "ClassifyRequest": _EXAMPLES,
    "ClassifyResponse": _object("results", results=_list(_list(_list(_ANY)), "Label and score of each class.")),
    "RegressRequest": _EXAMPLES,
    "RegressResponse": _object("results", results=_list({"type": "number"})),
    "TensorFlowStatus": _object(
        "model_version_status name ready",
        model_version_status=_list(_object("version state", version=_TEXT, state=_TEXT, status=_object())),
        name=_TEXT,
        ready=_FLAG,
    ),
    "TensorFlowMetadata": _object("model_spec metadata", model_spec=_object(), metadata=_object()),
    "GraphQLRequest": _object("query", query=_TEXT, variables=_object(), operationName=_TEXT),
    "GraphQLResponse": _object("", data=_ANY, errors=_list(_object("message", message=_TEXT))),
}
