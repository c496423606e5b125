"""Write the golden messages of TensorFlow Serving's Predict, with protobuf and numpy as the judges.

    python -m tests.golden.make_tensorflow_golden

makes, beside this file, one folder per case, as make_golden.py does:

    tensorflow_predict/<case>/   a PredictRequest: message.bin, and
                                 expect.txtpb   what it means as a maas.v1.PredictRequest, inputs sorted by name, or
                                 error.txt      the field that a refusal names
    tensorflow_response/<case>/  message.bin only: what the encoder must write, byte for byte; the C++ test of the
                                 same name says from what
"""

from __future__ import annotations

import shutil
import struct
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from maas_server._stubs.tensorflow_serving import prediction_service_pb2, tensor_pb2
from tests.golden.make_golden import HERE, block, group, number, varint, write
from tests.golden.tensorflow_reference import as_ours

FLOAT, DOUBLE, INT32, UINT8, INT16, INT8, STRING, INT64, BOOL = 1, 2, 3, 4, 5, 6, 7, 9, 10
BFLOAT16, UINT16, HALF, UINT32, UINT64 = 14, 17, 19, 22, 23

MODEL = block(1, block(1, b"m"))
UNKNOWN = number(100, 5) + block(101, b"later") + group(102, number(1, 2)) + (varint(103 << 3 | 1) + bytes(8))


def floats(*values: float) -> bytes:
    """Encode values as they lie side by side."""
    return struct.pack(f"<{len(values)}f", *values)


def shape(*sizes: int) -> bytes:
    """Encode the field tensor_shape."""
    return block(2, b"".join(block(2, number(1, size)) for size in sizes))


def tensor(dtype: int, sizes: tuple[int, ...], values: bytes = b"") -> bytes:
    """Encode a TensorProto; `values` is the field with its tag."""
    return number(1, dtype) + shape(*sizes) + values


def entry(name: bytes, value: bytes) -> bytes:
    """Encode an entry of `inputs`."""
    return block(2, block(1, name) + block(2, value))


def packed(field: int, *values: int) -> bytes:
    """Encode numbers as varints, packed."""
    return block(field, b"".join(map(varint, values)))


X = tensor(FLOAT, (1, 2), block(5, floats(1.5, -2)))
TINY = MODEL + entry(b"x", X)


def one(dtype: int, sizes: tuple[int, ...], values: bytes = b"") -> bytes:
    """Encode a request with the one input x."""
    return MODEL + entry(b"x", tensor(dtype, sizes, values))


VALID = {
    "tiny": TINY,
    "no_inputs": MODEL,
    "all_fields": block(1, block(1, b"resnet") + block(2, number(1, 7)) + block(3, b"serving_default"))
    + entry(b"x", X)
    + entry(b"y", tensor(INT64, (2,), block(4, bytes(range(16)))))
    + block(3, b"logits")
    + block(3, b"probs")
    + block(5, number(1, 1) + block(2, block(1, b"x") + number(2, 0)) + number(3, 1))
    + block(6, b"client")
    + block(7, number(6, 5)),
    "fields_in_any_order": block(3, b"o") + entry(b"x", X) + MODEL,
    "model_specs_merge": block(1, block(1, b"a") + block(2, number(1, 3)))
    + entry(b"x", X)
    + block(1, block(3, b"serving_default") + block(2, b""))
    + block(1, block(1, b"m")),
    "version_zero_is_none": block(1, block(1, b"m") + block(2, number(1, 0))),
    "version_message_is_empty": block(1, block(1, b"m") + block(2, b"")),
    "versions_merge": block(1, block(1, b"m") + block(2, number(1, 3)) + block(2, number(1, 4) + number(9, 9))),
    "label": block(1, block(1, b"m") + block(4, b"canary")),
    "label_after_version": block(1, block(1, b"m") + block(2, number(1, 3)) + block(4, b"canary")),
    "version_after_label": block(1, block(1, b"m") + block(4, b"canary") + block(2, number(1, 3))),
    "empty_version_after_label": block(1, block(1, b"m") + block(2, number(1, 3)) + block(4, b"c") + block(2, b"")),
    "empty_label_is_none": block(1, block(1, b"m") + block(2, number(1, 3)) + block(4, b"")),
    "last_entry_of_a_name_wins": MODEL
    + entry(b"x", tensor(INT32, (9,), packed(7, 5)))
    + entry(b"y", X)
    + entry(b"x", X),
    "value_before_key": MODEL + block(2, block(2, X) + block(1, b"x")),
    "last_key_wins": MODEL + block(2, block(1, b"a") + block(2, X) + block(1, b"x")),
    "missing_key_is_empty": MODEL + block(2, block(2, X)),
    "values_of_an_entry_merge": MODEL
    + block(
        2,
        block(2, number(1, INT32) + shape(2) + block(5, floats(1)))
        + block(1, b"x")
        + block(2, number(1, FLOAT) + shape(2) + block(5, floats(2)) + (varint(5 << 3 | 5) + floats(3))),
    ),
    "unknown_fields": UNKNOWN
    + block(1, block(1, b"m") + UNKNOWN + block(2, number(1, 1) + UNKNOWN))
    + block(
        2,
        block(1, b"x")
        + block(
            2,
            number(1, FLOAT)
            + block(2, block(2, number(1, 1) + block(2, b"batch") + UNKNOWN) + UNKNOWN + number(3, 0))
            + number(3, 1)
            + UNKNOWN
            + block(5, floats(4)),
        ),
    ),
    "wrong_wire_types_are_unknown": TINY
    + number(1, 5)
    + number(2, 5)
    + (varint(3 << 3 | 5) + bytes(4))
    + MODEL
    + block(1, number(1, 1) + number(2, 9) + number(4, 9))
    + MODEL
    + entry(
        b"y",
        tensor(INT32, (1,), packed(7, 6))
        + (varint(7 << 3 | 5) + bytes(4))
        + number(5, 1)
        + number(4, 1)
        + (varint(8 << 3 | 1) + bytes(8))
        + (varint(1 << 3 | 5) + bytes(4)),
    ),
    "scalar": one(FLOAT, (), block(5, floats(2.5))),
    "scalar_without_a_shape": MODEL + entry(b"x", number(1, DOUBLE) + block(6, struct.pack("<d", 2.5))),
    "no_elements": one(FLOAT, (0, 4)),
    "no_strings": one(STRING, (2, 0)),
    "rank_16": one(INT8, (1,) * 16, packed(7, 3)),
    "content_float": one(FLOAT, (2,), block(4, floats(1, 2))),
    "content_half": one(HALF, (2,), block(4, b"\x00\x3c\x00\x40")),
    "content_bool": one(BOOL, (2,), block(4, b"\x01\x00")),
    "content_bool_that_is_not_0_or_1": one(BOOL, (4,), block(4, b"\x00\xff\x02\x01")),
    "content_string": one(STRING, (3,), block(4, b"\x02\x00\x81\x01" + b"ab" + b"c" * 129)),
    "content_string_of_rank_0": one(STRING, (), block(4, b"\x03abc")),
    "content_of_another_size_is_for_the_signature_to_refuse": one(INT32, (3,), block(4, b"12345")),
    "last_content_wins": one(INT8, (2,), block(4, b"ab") + block(4, b"cd")),
    "values_float": one(FLOAT, (3,), block(5, floats(1, 2, 3))),
    "values_double": one(DOUBLE, (2,), block(6, struct.pack("<2d", 0.1, -1e300))),
    "values_int32": one(INT32, (3,), packed(7, 2**31 - 1, -(2**31), 0)),
    "values_uint8": one(UINT8, (3,), packed(7, 0, 255, 128)),
    "values_uint8_sent_signed": one(UINT8, (2,), packed(7, -1, -128)),
    "values_int8": one(INT8, (3,), packed(7, 127, -128, -1)),
    "values_int8_sent_unsigned": one(INT8, (1,), packed(7, 200)),
    "values_int16": one(INT16, (2,), packed(7, 32767, -32768)),
    "values_uint16": one(UINT16, (2,), packed(7, 65535, 1)),
    "values_half": one(HALF, (2,), packed(13, 0x3C00, 0xFFFF)),
    "values_half_sent_signed": one(HALF, (1,), packed(13, -17408)),
    "values_bfloat16": one(BFLOAT16, (2,), packed(13, 0x3F80, 0xBF80)),
    "values_string": one(STRING, (2, 2), block(8, b"a") + block(8, b"") + block(8, b"\xff\x00") + block(8, b"d" * 200)),
    "values_int64": one(INT64, (3,), packed(10, 2**63 - 1, -(2**63), 1)),
    "values_bool": one(BOOL, (3,), packed(11, 1, 0, 1)),
    "values_bool_that_are_not_0_or_1": one(BOOL, (3,), packed(11, 2, 0, -1)),
    "values_uint32": one(UINT32, (2,), packed(16, 2**32 - 1, 7)),
    "values_uint64": one(UINT64, (2,), packed(17, 2**64 - 1, 7)),
    "values_cut_to_32_bits": one(INT32, (2,), packed(7, 2**32 + 5, 2**40 - 1)),
    "values_in_long_varints": one(INT64, (2,), block(10, b"\x81\x80\x80\x00\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00")),
    "values_unpacked": MODEL
    + entry(b"a", tensor(FLOAT, (2,), varint(5 << 3 | 5) + floats(1) + varint(5 << 3 | 5) + floats(2)))
    + entry(b"b", tensor(DOUBLE, (1,), varint(6 << 3 | 1) + struct.pack("<d", 3)))
    + entry(b"c", tensor(INT32, (2,), number(7, 4) + number(7, -5)))
    + entry(b"d", tensor(BOOL, (1,), number(11, 1)))
    + entry(b"e", tensor(UINT64, (1,), number(17, 6)))
    + entry(b"f", tensor(UINT8, (1,), number(7, 7))),
    "values_packed_and_unpacked": one(
        INT64, (5,), packed(10, 1, 2) + number(10, 3) + block(10, b"") + packed(10, 4) + number(10, 5)
    ),
    "values_packed_twice": one(FLOAT, (3,), block(5, floats(1, 2)) + block(5, floats(3))),
    "last_value_repeats": MODEL
    + entry(b"a", tensor(FLOAT, (2, 2), block(5, floats(1, 2.5))))
    + entry(b"b", tensor(DOUBLE, (3,), block(6, struct.pack("<d", -1))))
    + entry(b"c", tensor(INT32, (4,), packed(7, 258)))
    + entry(b"d", tensor(BOOL, (3,), packed(11, 1)))
    + entry(b"e", tensor(HALF, (3,), packed(13, 0x3C01)))
    + entry(b"f", tensor(STRING, (3,), block(8, b"a") + block(8, b"bc")))
    + entry(b"g", tensor(UINT64, (3,), packed(17, 2**63))),
    "no_value_is_zeros": MODEL
    + entry(b"a", tensor(FLOAT, (2, 2)))
    + entry(b"b", tensor(INT8, (3,)))
    + entry(b"c", tensor(STRING, (2,)))
    + entry(b"d", tensor(BOOL, ())),
    "empty_content_is_no_content": one(FLOAT, (1,), block(4, b"") + block(5, floats(7))),
    "sixty_four_inputs": MODEL + b"".join(entry(b"%d" % index, X) for index in range(64)) + entry(b"5", X),
    "sixty_four_outputs": MODEL + block(3, b"o") * 64,
}

MALFORMED = {
    "malformed_truncated": ("request", TINY + b"\x0a\x05abc"),
    "malformed_field_0": ("request", TINY + b"\x00\x00"),
    "malformed_model_spec": ("model_spec", block(1, block(1, b"m") + b"\x0a\x05a")),
    "malformed_version": ("model_spec.version", block(1, block(1, b"m") + block(2, b"\x08\x80")) + TINY),
    "malformed_entry": ("inputs[1]", TINY + block(2, block(1, b"y") + b"\x12\x05")),
    "malformed_tensor": ("inputs[0]", MODEL + entry(b"x", X + b"\x22\x7f")),
    "malformed_shape": ("inputs[0].tensor_shape.dim[0]", MODEL + entry(b"x", block(2, b"\x12\x09"))),
    "malformed_dim": ("inputs[0].tensor_shape.dim[0]", MODEL + entry(b"x", block(2, block(2, b"\x08\x80")))),
    "malformed_float_val": ("inputs[0].float_val", one(FLOAT, (1,), block(5, b"abc"))),
    "malformed_double_val": ("inputs[0].double_val", one(DOUBLE, (1,), block(6, b"abcd"))),
    "malformed_int64_val": ("inputs[0].int64_val", one(INT64, (1,), block(10, b"\x80"))),
    "malformed_varint_of_11_bytes": ("inputs[0].int_val", one(INT32, (1,), block(7, b"\x80" * 10 + b"\x00"))),
    "malformed_in_an_entry_that_another_replaces": (
        "inputs[0].bool_val",
        MODEL + entry(b"x", tensor(BOOL, (1,), block(11, b"\xff"))) + entry(b"x", X),
    ),
    "malformed_name_not_utf8": ("model_spec.name", block(1, block(1, b"\xff"))),
    "malformed_label_not_utf8": ("model_spec.version_label", block(1, block(1, b"m") + block(4, b"\xc0\xaf"))),
    "malformed_signature_not_utf8": ("model_spec.signature_name", block(1, block(1, b"m") + block(3, b"\xff"))),
    "malformed_key_not_utf8": ("inputs[0].key", MODEL + entry(b"\xed\xa0\x80", X)),
    "malformed_dim_name_not_utf8": (
        "inputs[0].tensor_shape.dim[0].name",
        MODEL + entry(b"x", number(1, FLOAT) + block(2, block(2, block(2, b"\xff")))),
    ),
    "malformed_output_not_utf8": ("output_filter", MODEL + block(3, b"\xff")),
}

REFUSED = {
    "no_model": ("model_spec.name", entry(b"x", X)),
    "negative_version": ("model_spec.version", block(1, block(1, b"m") + block(2, number(1, -1)))),
    "model_of_257_bytes": ("model_spec.name", block(1, block(1, b"m" * 257))),
    "label_of_129_bytes": ("model_spec.version_label", block(1, block(4, b"l" * 129))),
    "key_of_257_bytes": ("inputs[0].key", MODEL + entry(b"k" * 257, X)),
    "output_of_257_bytes": ("output_filter", MODEL + block(3, b"o" * 257)),
    "sixty_five_inputs": ("inputs", MODEL + b"".join(entry(b"%d" % index, X) for index in range(65))),
    "sixty_five_outputs": ("output_filter", MODEL + block(3, b"o") * 65),
    "rank_17": ("inputs[0].tensor_shape.dim", one(INT8, (1,) * 17, packed(7, 3))),
    "missing_value": ("inputs[0].dtype", MODEL + block(2, block(1, b"x"))),
    "dtype_missing": ("inputs[0].dtype", MODEL + entry(b"x", shape(1) + block(5, floats(1)))),
    "dtype_unknown": ("inputs[0].dtype", one(99, (1,))),
    "dtype_negative": ("inputs[0].dtype", one(-1, (1,))),
    "dtype_complex64": ("inputs[0].dtype", one(8, (1,), block(9, floats(1, 2)))),
    "dtype_qint8": ("inputs[0].dtype", one(11, (1,), packed(7, 1))),
    "dtype_resource": ("inputs[0].dtype", one(20, ())),
    "dtype_variant": ("inputs[0].dtype", one(21, ())),
    "dtype_float_ref": ("inputs[0].dtype", one(101, (1,), block(5, floats(1)))),
    "unknown_rank": (
        "inputs[0].tensor_shape.unknown_rank",
        MODEL + entry(b"x", number(1, FLOAT) + block(2, number(3, 1))),
    ),
    "negative_dim": ("inputs[0].tensor_shape.dim[1].size", one(FLOAT, (2, -1), block(5, floats(1)))),
    "over_2_to_40_elements": ("inputs[0].tensor_shape", one(INT8, (2**40, 2), packed(7, 1))),
    "values_of_another_datatype": ("inputs[0].float_val", one(DOUBLE, (1,), block(5, floats(1)))),
    "values_of_two_datatypes": (
        "inputs[0].int_val",
        one(FLOAT, (2,), block(5, floats(1)) + packed(7, 1)),
    ),
    "values_of_a_resource": ("inputs[0].resource_handle_val", one(FLOAT, (1,), block(14, b""))),
    "values_and_content": ("inputs[0].float_val", one(FLOAT, (1,), block(4, floats(1)) + block(5, floats(1)))),
    "strings_and_content": ("inputs[0].string_val", one(STRING, (1,), block(4, b"\x01a") + block(8, b"a"))),
    "more_values_than_elements": ("inputs[0].int_val", one(INT32, (2,), packed(7, 1, 2, 3))),
    "more_strings_than_elements": ("inputs[0].string_val", one(STRING, (0,), block(8, b"a"))),
    "int8_of_256": ("inputs[0].int_val", one(INT8, (1,), packed(7, 256))),
    "uint8_of_minus_129": ("inputs[0].int_val", one(UINT8, (2,), packed(7, 1, -129))),
    "uint16_of_65536": ("inputs[0].int_val", one(UINT16, (1,), packed(7, 65536))),
    "half_of_minus_32769": ("inputs[0].half_val", one(HALF, (1,), packed(13, -32769))),
    "one_value_for_2_to_40_elements": ("inputs[0].float_val", one(FLOAT, (2**40,), block(5, floats(1)))),
    "no_value_for_2_to_30_elements": ("inputs[0].int64_val", one(INT64, (2**30,))),
    "one_string_for_2_to_40_elements": ("inputs[0].string_val", one(STRING, (2**40,), block(8, b""))),
    "values_for_the_rest_of_two_inputs": (
        "inputs[1].double_val",
        MODEL + entry(b"x", tensor(INT8, (2**27,))) + entry(b"y", tensor(DOUBLE, (2**24 + 2,), block(6, bytes(8)))),
    ),
    "content_string_is_short": ("inputs[0].tensor_content", one(STRING, (2,), block(4, b"\x02\x02abc"))),
    "content_string_is_long": ("inputs[0].tensor_content", one(STRING, (2,), block(4, b"\x01\x01abc"))),
    "content_string_without_lengths": ("inputs[0].tensor_content", one(STRING, (3,), block(4, b"\x00\x00"))),
    "content_string_length_is_cut_off": ("inputs[0].tensor_content", one(STRING, (2,), block(4, b"\x00\x80"))),
    "content_string_lengths_lie": (
        "inputs[0].tensor_content",
        one(STRING, (2,), block(4, varint(2**63) + varint(2**63) + b"ab")),
    ),
    "content_string_of_2_to_40": ("inputs[0].tensor_content", one(STRING, (2**40,), block(4, b"\x00"))),
}


def responses() -> dict[str, prediction_service_pb2.PredictResponse]:
    """Return the messages that the encoder's tests rebuild; a map's order is not fixed, so one output each."""
    out = {}

    def add(case: str, name: str, dtype: Any, sizes: tuple[int, ...], **values: Any) -> None:
        response = prediction_service_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = "m", "serving_default"
        response.model_spec.version.value = 300
        result = response.outputs[name]
        result.CopyFrom(tensor_pb2.TensorProto(dtype=dtype, **values))
        result.tensor_shape.SetInParent()
        for size in sizes:
            result.tensor_shape.dim.add(size=size)
        out[case] = response

    add("float", "logits", FLOAT, (2, 150), float_val=[i / 4 for i in range(300)])
    add("double", "y", DOUBLE, (2,), double_val=[0.1, -1e300])
    add("bool", "y", BOOL, (3,), bool_val=[True, False, True])
    add("int8", "y", INT8, (3,), int_val=[-128, 127, 0])
    add("uint8", "y", UINT8, (3,), int_val=[255, 128, 0])
    add("int16", "y", INT16, (2,), int_val=[-32768, 32767])
    add("uint16", "y", UINT16, (2,), int_val=[65535, 1])
    add("int32", "y", INT32, (2,), int_val=[-(2**31), 2**31 - 1])
    add("int64", "y", INT64, (2,), int64_val=[-(2**63), 2**63 - 1])
    add("uint32", "y", UINT32, (2,), uint32_val=[2**32 - 1, 0])
    add("uint64", "y", UINT64, (2,), uint64_val=[2**64 - 1, 5])
    add("half", "y", HALF, (2,), half_val=[0x3C00, 0xFFFF])
    add("bfloat16", "y", BFLOAT16, (1,), half_val=[0x3F80])
    add("string", "y", STRING, (3,), string_val=[b"a", b"", b"\xff" * 200])
    add("scalar", "y", FLOAT, (), float_val=[2.5])
    add("empty", "y", INT64, (0, 4))
    return out


def main() -> None:
    """Write every case anew."""
    for kind in ("tensorflow_predict", "tensorflow_response"):
        shutil.rmtree(HERE / kind, ignore_errors=True)
    parse = prediction_service_pb2.PredictRequest.FromString
    for case, data in VALID.items():
        write("tensorflow_predict", case, data, expect_txtpb=text_format.MessageToString(as_ours(parse(data))))
    for case, (field, data) in MALFORMED.items():
        try:
            parse(data)
        except DecodeError:
            write("tensorflow_predict", case, data, error_txt=field + "\n")
        else:
            raise SystemExit(f"protobuf takes {case}")
    for case, (field, data) in REFUSED.items():
        parse(data)
        write("tensorflow_predict", case, data, error_txt=field + "\n")
    for case, message in responses().items():
        write("tensorflow_response", case, message.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
