"""Everything about bytes: arrays to requests, answers to arrays.

Payloads go out without protobuf, which would copy each of them twice: protobuf writes the small fields, and the data
follows as one more field of the same message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.client._quantize import Array, Quantize, Quantized, QuantizedDtype, quantize
from maas_server.client._tensors import BFloat16, TensorLike, as_array, is_float, pack, size_of, unpack
from maas_server.errors import InternalError, InvalidRequest, Violation

QuantizeLike = QuantizedDtype | Quantize
QuantizeChoice = QuantizeLike | Mapping[str, QuantizeLike] | None

_DATATYPES = {"int8": tensor_pb2.INT8, "uint8": tensor_pb2.UINT8}
_LENGTH_DELIMITED = 2
_LONGEST_TIMEOUT_US = 86_400_000_000
_LOWEST_PRIORITY = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """What happened to a request inside the server."""

    queue_seconds: float
    """From acceptance until its batch was closed."""
    run_seconds: float
    batch_size: int
    """Rows of the batch that it ran in; of the largest, when it took several."""
    batches: int
    predicted_seconds: float = 0.0
    """What was predicted when it was accepted: until the answer was ready. 0: nothing was known."""
    total_seconds: float = 0.0
    """What came true of that."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """An answer: `prediction["name"]` is the output of that name."""

    model: str
    version: int
    request_id: str
    outputs: Mapping[str, Array]
    """Read-only arrays over the received bytes. What the server quantized is here as float32 again."""
    quantized: Mapping[str, Quantized]
    """The outputs that came quantized, as they came."""
    receipt: Receipt

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)


def encode_request(
    model: str,
    inputs: Mapping[str, TensorLike],
    *,
    version: int | None = None,
    label: str | None = None,
    outputs: Sequence[str] | None = None,
    quantize: QuantizeChoice = None,
    quantize_outputs: QuantizeChoice = None,
    priority: int = 0,
) -> bytes:
    """Return a serialized PredictRequest without id and timeout.

    Raises:
        InvalidRequest: the request cannot be put into bytes; the violations name the inputs at fault.
    """
    if version is not None and label is not None:
        raise InvalidRequest("a request names a version or a label, not both")
    if not 0 <= priority <= _LOWEST_PRIORITY:
        text = f"expected 0 to {_LOWEST_PRIORITY}, got {priority}"
        raise InvalidRequest(f"priority: {text}", violations=[Violation("priority", text)])
    head = predict_pb2.PredictRequest(
        model=model,
        outputs=_requested_outputs(outputs, _choices(quantize_outputs, outputs or ())),
        priority=priority,
    )
    if version is not None:
        head.version = version
    elif label is not None:
        head.label = label
    parts: list[bytes | memoryview] = [head.SerializeToString()]
    choices = _choices(quantize, inputs)
    for name, value in inputs.items():
        tensor = _encode_tensor(name, value, choices.get(name))
        parts.append(_field(predict_pb2.PredictRequest.INPUTS_FIELD_NUMBER, size_of(tensor)))
        parts += tensor
    return b"".join(parts)


def encode_address(request_id: str, timeout: float | None = None) -> bytes:
    """Return what to put behind an encoded request to give it an id and a time limit in seconds."""
    timeout_us = 0 if timeout is None else max(1, int(timeout * 1e6))
    if timeout_us > _LONGEST_TIMEOUT_US:
        timeout_us = 0
    return predict_pb2.PredictRequest(id=request_id, timeout_us=timeout_us).SerializeToString()


def join_requests(requests: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a PredictStreamRequest of serialized requests, each in two parts."""
    parts: list[bytes] = []
    for body, tail in requests:
        parts += (_field(predict_pb2.PredictStreamRequest.REQUESTS_FIELD_NUMBER, len(body) + len(tail)), body, tail)
    return b"".join(parts)


def decode_response(data: bytes) -> Prediction:
    """Return the prediction in a serialized PredictResponse.

    Raises:
        InternalError: the server answered something that does not decode.
    """
    try:
        response = predict_pb2.PredictResponse.FromString(data)
    except DecodeError as error:
        raise InternalError("the server's answer does not decode") from error
    return to_prediction(response, response.id)


def to_prediction(response: predict_pb2.PredictResponse, request_id: str) -> Prediction:
    """Return the prediction in `response`.

    Raises:
        InternalError: a tensor's bytes are not what its datatype and shape say.
    """
    outputs: dict[str, Array] = {}
    quantized: dict[str, Quantized] = {}
    for tensor in response.outputs:
        try:
            array = unpack(tensor.datatype, tensor.shape, tensor.data)
            if tensor.HasField("quantization"):
                quantized[tensor.name] = came = _to_quantized(array, tensor.quantization)
                array = came.dequantize()
                array.flags.writeable = False
        except (ValueError, IndexError) as error:
            raise InternalError(f"output {tensor.name} of the answer does not decode: {error}") from error
        outputs[tensor.name] = array
    receipt = response.receipt
    return Prediction(
        model=response.model,
        version=response.version,
        request_id=request_id,
        outputs=outputs,
        quantized=quantized,
        receipt=Receipt(
            receipt.queue_ns / 1e9,
            receipt.run_ns / 1e9,
            receipt.batch_size,
            receipt.batches,
            receipt.predicted_ns / 1e9,
            receipt.total_ns / 1e9,
        ),
    )


def _encode_tensor(name: str, value: TensorLike, how: Quantize | None) -> list[bytes | memoryview]:
    """Return a serialized Tensor in parts."""
    head = tensor_pb2.Tensor(name=name)
    try:
        if isinstance(value, BFloat16):
            array = value.to_float() if how else np.asarray(value.bits, np.uint16)
        elif isinstance(value, Quantized):
            array = _quantized_array(head, value)
        else:
            array = as_array(value)
        if how and is_float(array):
            array = _quantized_array(head, quantize(array, how))
        datatype, data = pack(array)
    except ValueError as error:
        violation = Violation(f"inputs[{name}]", str(error))
        raise InvalidRequest(f"input {name}: {error}", violations=[violation]) from error
    head.datatype = tensor_pb2.BF16 if isinstance(value, BFloat16) and not how else datatype
    head.shape.extend(array.shape)
    return [head.SerializeToString(), _field(tensor_pb2.Tensor.DATA_FIELD_NUMBER, size_of(data)), *data]


def _quantized_array(head: tensor_pb2.Tensor, quantized: Quantized) -> Array:
    head.quantization.scales.extend(quantized.scales.tolist())
    head.quantization.zero_points.extend(quantized.zero_points.tolist())
    if quantized.axis is not None:
        head.quantization.axis = quantized.axis
    return quantized.values


def _to_quantized(array: Array, quantization: tensor_pb2.Quantization) -> Quantized:
    return Quantized(
        values=array,
        scales=np.asarray(quantization.scales, np.float32),
        zero_points=np.asarray(quantization.zero_points, np.int32),
        axis=quantization.axis if quantization.HasField("axis") else None,
    )


def _choices(choice: QuantizeChoice, names: Iterable[str]) -> dict[str, Quantize]:
    if isinstance(choice, Mapping):
        return {name: _to_quantize(how) for name, how in choice.items()}
    names = tuple(names)
    if choice is not None and not names:
        raise InvalidRequest("which outputs to quantize must be said: by outputs=, or by a mapping of names")
    return {} if choice is None else dict.fromkeys(names, _to_quantize(choice))


def _to_quantize(choice: QuantizeLike) -> Quantize:
    how = choice if isinstance(choice, Quantize) else Quantize(choice)
    if how.dtype not in _DATATYPES:
        raise InvalidRequest(f"expected int8 or uint8 to quantize to, got {how.dtype}")
    return how


def _requested_outputs(
    outputs: Sequence[str] | None, choices: Mapping[str, Quantize]
) -> Iterator[predict_pb2.RequestedOutput]:
    for name in choices if outputs is None else outputs:
        requested = predict_pb2.RequestedOutput(name=name)
        if how := choices.get(name):
            requested.quantize.datatype = _DATATYPES[how.dtype]
            if how.axis is not None:
                requested.quantize.axis = how.axis
        yield requested


def _field(number: int, size: int) -> bytes:
    """Return the head of a length-delimited field: its tag and its size."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(size)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
