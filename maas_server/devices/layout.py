"""The structures of csrc/maas/gpu/device_api.h and segment.h, for ctypes.

Fields have the headers' names and order; a test compiles the headers and compares sizes and offsets.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char, c_float, c_int, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64
from enum import IntEnum
from typing import Any, ClassVar

API_VERSION = 1
SEGMENT_LOOPS = 4
TILE_ELEMENTS = 4096

Fields = list[tuple[str, Any]]


class DeviceCode(IntEnum):
    """MaasDeviceCode: what every function of the table returns."""

    OK = 0
    NO_MEMORY = 1
    NOT_READY = 2
    INVALID = 3
    LOST = 4
    FAILED = 5


class SegmentKind(IntEnum):
    """MaasSegmentKind: what happens to each element."""

    COPY = 0
    FILL = 1
    DEQUANTIZE = 2
    QUANTIZE = 3
    CAST = 4


class MaasDeviceInfo(ctypes.Structure):
    """What a device is, and how much of its memory is free."""

    _fields_: ClassVar[Fields] = [
        ("name", c_char * 256),
        ("bus_id", c_char * 32),
        ("compute_major", c_int32),
        ("compute_minor", c_int32),
        ("multiprocessors", c_int32),
        ("total_bytes", c_uint64),
        ("free_bytes", c_uint64),
    ]


class MaasSegmentLoop(ctypes.Structure):
    """One loop around a segment's run; strides count elements."""

    _fields_: ClassVar[Fields] = [
        ("extent", c_uint32),
        ("axis", c_uint32),
        ("src_stride", c_int64),
        ("dst_stride", c_int64),
    ]


class MaasSegment(ctypes.Structure):
    """One box of elements that a kernel moves."""

    _fields_: ClassVar[Fields] = [
        ("src", c_uint64),
        ("dst", c_uint64),
        ("value", c_uint64),
        ("elements", c_uint64),
        ("tiles_before", c_uint32),
        ("scales", c_uint32),
        ("zero_points", c_uint32),
        ("run", c_uint32),
        ("kind", c_uint8),
        ("from", c_uint8),
        ("to", c_uint8),
        ("size", c_uint8),
        ("axis_run", c_uint8),
        ("loop_count", c_uint8),
        ("unused", c_uint8 * 2),
        ("loops", MaasSegmentLoop * SEGMENT_LOOPS),
    ]


# `void*`, and the two handles, whose insides are the device's own.
_Address = ctypes.c_void_p
_Stream = ctypes.c_void_p
_Event = ctypes.c_void_p


def _function(*arguments: Any) -> Any:
    """Return the type of a function of the table: it returns a DeviceCode. Calls leave the GIL to others."""
    return ctypes.CFUNCTYPE(c_int, *arguments)


class MaasDeviceApi(ctypes.Structure):
    """The table of functions."""

    _fields_: ClassVar[Fields] = [
        ("version", c_uint32),
        ("size", c_uint32),
        ("count", _function(POINTER(c_int32))),
        ("info", _function(c_int32, POINTER(MaasDeviceInfo))),
        # A `const char*`, as an address: ctypes cannot keep alive what a callback returns as one.
        ("message", ctypes.CFUNCTYPE(_Address)),
        ("allocate_pinned", _function(c_int32, c_size_t, POINTER(_Address))),
        ("free_pinned", _function(c_int32, _Address)),
        ("allocate", _function(c_int32, c_size_t, POINTER(_Address))),
        ("release", _function(c_int32, _Address)),
        ("make_stream", _function(c_int32, c_int32, POINTER(_Stream))),
        ("free_stream", _function(c_int32, _Stream)),
        ("native_stream", _function(c_int32, _Stream, POINTER(c_uint64))),
        ("make_event", _function(c_int32, c_int32, POINTER(_Event))),
        ("free_event", _function(c_int32, _Event)),
        ("record", _function(c_int32, _Event, _Stream)),
        ("wait", _function(c_int32, _Stream, _Event)),
        ("query", _function(c_int32, _Event)),
        ("synchronize", _function(c_int32, _Event)),
        ("elapsed", _function(c_int32, _Event, _Event, POINTER(c_float))),
        ("upload", _function(c_int32, _Stream, _Address, _Address, c_size_t)),
        ("download", _function(c_int32, _Stream, _Address, _Address, c_size_t)),
        ("copy", _function(c_int32, _Stream, _Address, _Address, c_size_t)),
        ("clear", _function(c_int32, _Stream, _Address, c_size_t)),
        ("move", _function(c_int32, _Stream, _Address, c_uint32, c_uint32, _Address, _Address, _Address)),
    ]
