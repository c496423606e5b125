"""Write the golden messages that the C++ codec is tested against, with protobuf itself as the judge.

    python tests/golden/make_golden.py

makes, beside this file, one folder per case:

    predict/<case>/         a PredictRequest: message.bin, and
                            expect.txtpb   what protobuf reads from it, or
                            error.txt      the field that a refusal names
    predict_stream/<case>/  the same for a PredictStreamRequest
    response/<case>/        message.bin only: what the encoder must write, byte for byte; the C++ test of the
                            same name says from what

`malformed` cases are refused by protobuf too; the other refusals are limits of this service.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PROTO = HERE.parents[1] / "proto"


def compile_protos() -> Any:
    """Return the generated module of maas/v1/predict.proto."""
    includes = [PROTO, Path(grpc_tools.__file__).parent / "_proto", Path(status_pb2.__file__).parents[2]]
    out = tempfile.mkdtemp()
    files = ["maas/v1/tensor.proto", "maas/v1/predict.proto"]
    if protoc.main(["protoc", *(f"-I{path}" for path in includes), f"--python_out={out}", *files]) != 0:
        raise SystemExit("protoc failed")
    sys.path.insert(0, out)
    try:
        return importlib.import_module("maas.v1.predict_pb2")
    finally:
        sys.path.remove(out)
        shutil.rmtree(out)


def varint(value: int) -> bytes:
    """Encode `value` as 64 bits, the shortest way."""
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    """Encode a varint field."""
    return varint(field << 3) + varint(value)


def block(field: int, value: bytes) -> bytes:
    """Encode a length-delimited field."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def group(field: int, value: bytes) -> bytes:
    """Encode a group."""
    return varint(field << 3 | 3) + value + varint(field << 3 | 4)


FLOATS = {0.5: b"\0\0\0\x3f", 0.25: b"\0\0\x80\x3e", 3.0: b"\0\0\x40\x40"}
TENSOR = block(1, b"x") + number(2, 12) + block(3, b"\x01\x02") + block(4, bytes(range(8)))
TINY = block(1, b"r1") + block(2, b"m") + block(5, TENSOR)

VALID = {
    "empty": b"",
    "tiny": TINY,
    "all_fields": block(1, b"request-1")
    + block(2, b"resnet")
    + number(3, 7)
    + block(5, TENSOR)
    + block(
        5,
        block(1, b"image")
        + number(2, 6)
        + block(3, varint(2) + varint(3))
        + block(4, b"\x80\xff\0\1\2\x7f")
        + block(5, block(1, FLOATS[0.5] + FLOATS[0.25]) + block(2, varint(-3) + varint(4)) + number(3, -2)),
    )
    + block(6, block(1, b"logits"))
    + block(
        6, block(1, b"probs") + block(2, number(1, 2) + block(2, FLOATS[3.0]) + block(3, varint(128)) + number(4, 0))
    )
    + number(7, 1_500_000)
    + number(8, 3),
    "fields_in_any_order": number(7, 9) + block(5, TENSOR) + block(2, b"m") + block(1, b"z"),
    "label": block(2, b"m") + block(4, b"canary"),
    "label_after_version": block(2, b"m") + number(3, 4) + block(4, b"canary"),
    "version_after_label": block(2, b"m") + block(4, b"canary") + number(3, 4),
    "version_zero_is_none": block(4, b"canary") + number(3, 0),
    "empty_label_is_none": number(3, 4) + block(4, b""),
    "last_singular_wins": block(1, b"a")
    + block(2, b"m")
    + block(2, b"n")
    + number(7, 5)
    + number(8, 4)
    + block(1, b"b")
    + number(7, 6)
    + number(8, 0),
    "last_singular_of_tensor_wins": block(
        5, TENSOR + block(1, b"y") + number(2, 9) + block(4, b"12") + block(3, b"\x03")
    ),
    "sub_messages_merge": block(
        5,
        block(5, block(1, FLOATS[0.5]) + number(3, 1))
        + block(1, b"q")
        + block(5, block(1, FLOATS[3.0]) + block(2, b"\x07")),
    )
    + block(6, block(2, number(1, 2)) + block(1, b"o") + block(2, block(2, FLOATS[0.25]))),
    "unpacked_numbers": block(
        5,
        number(3, 4) + number(3, 5) + block(5, b"\x0d" + FLOATS[0.5] + b"\x0d" + FLOATS[3.0] + number(2, -1)),
    )
    + block(6, block(2, b"\x15" + FLOATS[0.25] + number(3, 5))),
    "packed_and_unpacked_mix": block(
        5,
        block(3, b"\x01\x02")
        + number(3, 3)
        + block(3, b"")
        + block(3, b"\x04")
        + block(5, block(1, FLOATS[0.5]) + b"\x0d" + FLOATS[3.0] + number(2, 1) + block(2, b"\x02")),
    ),
    "unknown_fields": number(100, 5)
    + TINY
    + block(2000, b"later")
    + (varint(9 << 3 | 1) + bytes(8))
    + (varint(10 << 3 | 5) + bytes(4))
    + group(11, number(1, 2) + group(12, block(1, b"\xff") + group(13, b"")) + number(5, 1))
    + block(5, number(1000, 1) + block(5, block(9, b"?")) + group(7, b"")),
    "wrong_wire_types_are_unknown": TINY
    + number(1, 5)
    + (varint(2 << 3 | 5) + bytes(4))
    + block(3, b"abc")
    + number(4, 1)
    + number(5, 3)
    + group(5, number(1, 1))
    + (varint(7 << 3 | 1) + bytes(8))
    + block(8, b"1")
    + block(5, number(1, 2) + block(2, b"x") + (varint(3 << 3 | 5) + bytes(4)) + number(4, 1) + number(5, 9)),
    "unknown_datatypes": block(5, number(2, 15)) + block(5, number(2, -1)) + block(6, block(2, number(1, 99))),
    "default_output_datatype": block(6, block(2, b"")) + block(6, block(2, number(1, 0))),
    "empty_messages": block(5, b"") + block(6, b"") + block(5, block(5, b"")),
    "numbers_cut_to_32_bits": block(5, number(2, 2**32 + 12) + block(5, block(2, varint(2**32 + 5)) + number(3, 2**33)))
    + number(8, 2**32 + 2),
    "long_varints": b"\x8a\x80\x80\x80\x00"
    b"\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00"
    b"a"
    b"\x18\x81\x80\x80\x80\x80\x80\x80\x80\x80\x7e",
    "extreme_sizes": block(5, block(3, varint(-1) + varint(2**63 - 1) + varint(0))),
    "text_in_utf8": block(1, "grün-模型-🙂".encode())
    + block(2, "\u0000\u007f\u0080\u07ff\u0800\uffff\U0010ffff".encode()),
    "string_tensor": block(5, block(1, b"s") + number(2, 14) + block(3, b"\x02") + block(4, b"\x03\0\0\0abc\0\0\0\0")),
    "groups_100_deep": b"\x7b" * 100 + b"\x7c" * 100,
    "groups_99_deep_in_a_tensor": block(5, b"\x7b" * 99 + b"\x7c" * 99),
    "sixty_four_inputs": block(5, b"") * 64,
    "largest_priority": number(8, 2**32 - 1),
    "rank_16": block(5, block(3, bytes(range(16)))),
}

MALFORMED = {
    "malformed_truncated_length": ("request", TINY + b"\x0a\x05abc"),
    "malformed_no_length": ("request", TINY + b"\x0a"),
    "malformed_huge_length": ("request", b"\x0a\xff\xff\xff\xff\x0f"),
    "malformed_tag_over_32_bits": ("request", b"\x8a\x80\x80\x80\x10\x01a"),
    "malformed_tag_of_6_bytes": ("request", b"\x8a\x80\x80\x80\x80\x00\x01a"),
    "malformed_varint_of_11_bytes": ("request", b"\x18" + b"\x80" * 10 + b"\x00"),
    "malformed_field_0": ("request", b"\x00\x00"),
    "malformed_wire_type_6": ("request", b"\x7e"),
    "malformed_end_group_alone": ("request", b"\x2c"),
    "malformed_group_not_ended": ("request", b"\x7b\x08\x01"),
    "malformed_group_ended_by_another": ("request", b"\x7b\x84\x01"),
    "malformed_groups_101_deep": ("request", b"\x7b" * 101 + b"\x7c" * 101),
    "malformed_groups_100_deep_in_a_tensor": ("inputs[0]", block(5, b"\x7b" * 100 + b"\x7c" * 100)),
    "malformed_second_tensor": ("inputs[1]", block(5, TENSOR) + block(5, b"\x0a\x09x")),
    "malformed_packed_shape": ("inputs[0]", block(5, block(3, b"\x01\x80"))),
    "malformed_packed_scales": ("inputs[0].quantization.scales", block(5, block(5, block(1, b"abc")))),
    "malformed_zero_points": ("outputs[0].quantize", block(6, block(2, block(3, b"\x80")))),
    "malformed_id_not_utf8": ("id", block(1, b"\xed\xa0\x80") + block(1, b"good")),
    "malformed_label_not_utf8": ("label", block(4, b"\xc0\xaf")),
    "malformed_tensor_name_not_utf8": ("inputs[0].name", block(5, block(1, b"\xf4\x90\x80\x80"))),
    "malformed_output_name_not_utf8": ("outputs[1].name", block(6, b"") + block(6, block(1, b"abcdefgh\xff"))),
}

OVER_LIMIT = {
    "rank_17": ("inputs[0].shape", block(5, block(3, bytes(17)))),
    "rank_17_unpacked": ("inputs[1].shape", block(5, TENSOR) + block(5, number(3, 1) * 17)),
    "sixty_five_inputs": ("inputs", block(5, b"") * 65),
    "sixty_five_outputs": ("outputs", block(6, b"") * 65),
    "id_of_257_bytes": ("id", block(1, b"i" * 257)),
    "model_of_257_bytes": ("model", block(2, b"m" * 257)),
    "label_of_129_bytes": ("label", block(4, b"l" * 129)),
    "tensor_name_of_257_bytes": ("inputs[0].name", block(5, block(1, b"n" * 257))),
    "output_name_of_257_bytes": ("outputs[0].name", block(6, block(1, b"n" * 257))),
    "negative_version": ("version", number(3, -1)),
    "negative_timeout": ("timeout_us", number(7, -1)),
    "timeout_over_a_day": ("timeout_us", number(7, 86_400_000_001)),
}


def canonical(request: Any) -> Any:
    """Drop what the decoded view does not tell apart: explicit zeros in the oneof, unknown enum numbers."""
    if not request.version and not request.label:
        request.ClearField("version_choice")
    for tensor in request.inputs:
        if not 0 <= tensor.datatype <= 14:
            tensor.ClearField("datatype")
    for output in request.outputs:
        if output.HasField("quantize"):
            known = 0 <= output.quantize.datatype <= 14
            output.quantize.datatype = (output.quantize.datatype or 6) if known else 0
    return request


def responses(pb: Any) -> dict[str, Any]:
    """Return the messages that the encoder's tests rebuild."""
    full = pb.PredictResponse(id="r1", model="resnet", version=3)
    full.outputs.add(name="logits", datatype=12, shape=[1, 300], data=bytes(i % 251 for i in range(1200)))
    tensor = full.outputs.add(name="probs", datatype=2, shape=[2, 1], data=b"\x07\x09")
    tensor.quantization.scales.extend([0.5, 0.25])
    tensor.quantization.zero_points.extend([128, -1])
    tensor.quantization.axis = 0
    full.outputs.add(name="none", datatype=9, shape=[0, 4])
    full.outputs.add(name="one", datatype=10, data=b"\1\2").quantization.SetInParent()
    full.receipt.queue_ns, full.receipt.run_ns, full.receipt.batch_size, full.receipt.batches = 12345, 2**40, 64, 2
    full.receipt.predicted_ns, full.receipt.total_ns = 300, 2**41
    minimal = pb.PredictResponse()
    minimal.receipt.SetInParent()

    def detail(status: Any, message: Any) -> None:
        status.details.add().Pack(message)

    plain = status_pb2.Status(code=5, message="no such model")
    detail(plain, error_details_pb2.ErrorInfo(reason="NOT_FOUND", domain="maas"))
    bad = status_pb2.Status(code=3, message="inputs[0].shape: expected rank 2, got rank 1")
    detail(bad, error_details_pb2.ErrorInfo(reason="INVALID_REQUEST", domain="maas"))
    bad_request = error_details_pb2.BadRequest()
    bad_request.field_violations.add(field="inputs[0].shape", description="expected rank 2, got rank 1")
    detail(bad, bad_request)
    retry = status_pb2.Status(code=8, message="full \ufffd!")
    detail(retry, error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="maas"))
    retry_info = error_details_pb2.RetryInfo()
    retry_info.retry_delay.seconds, retry_info.retry_delay.nanos = 2, 5
    detail(retry, retry_info)
    stream = pb.PredictStreamResponse()
    stream.answers.add(id="r1", response=full)
    stream.answers.add(response=minimal)
    stream.answers.add(id="r3", error=bad)
    return {
        "full": full,
        "minimal": minimal,
        "status_plain": plain,
        "status_bad_request": bad,
        "status_retry": retry,
        "stream": stream,
    }


def write(kind: str, case: str, message: bytes, **files: str) -> None:
    """Write one case's folder."""
    folder = HERE / kind / case
    folder.mkdir(parents=True)
    (folder / "message.bin").write_bytes(message)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")


def main() -> None:
    """Write every case anew."""
    pb = compile_protos()
    for kind in ("predict", "predict_stream", "response"):
        shutil.rmtree(HERE / kind, ignore_errors=True)
    for case, data in VALID.items():
        text = text_format.MessageToString(canonical(pb.PredictRequest.FromString(data)))
        write("predict", case, data, expect_txtpb=text)
    for case, (field, data) in MALFORMED.items():
        try:
            pb.PredictRequest.FromString(data)
        except DecodeError:
            write("predict", case, data, error_txt=field + "\n")
        else:
            raise SystemExit(f"protobuf takes {case}")
    for case, (field, data) in OVER_LIMIT.items():
        pb.PredictRequest.FromString(data)
        write("predict", case, data, error_txt=field + "\n")
    streams = {
        "none": b"",
        "three": block(1, TINY) + number(9, 1) + block(1, b"") + group(1, b"") + block(1, block(1, b"r3")),
    }
    for case, data in streams.items():
        text = text_format.MessageToString(pb.PredictStreamRequest.FromString(data))
        write("predict_stream", case, data, expect_txtpb=text)
    write("predict_stream", "malformed", block(1, TINY) + b"\x0a\x05", error_txt="request\n")
    for case, message in responses(pb).items():
        write("response", case, message.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
