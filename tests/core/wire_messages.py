"""Messages in every form that protobuf allows: what a client could write, and no library would."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

VARINT, FIXED64, BYTES, START_GROUP, END_GROUP, FIXED32 = range(6)
# A field's occurrences in their order; fields may be mixed with each other, occurrences of one may not be swapped.
Occurrences = list[bytes]

bounded = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def varint(value: int, padding: int = 0) -> bytes:
    """Return a varint, `padding` bytes longer than it need be."""
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(min(padding, 10 - len(out))):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def field(number: int, wire_type: int, value: bytes) -> bytes:
    return varint(number << 3 | wire_type) + value


def block(number: int, value: bytes) -> bytes:
    return field(number, BYTES, varint(len(value)) + value)


UNKNOWN = [
    field(100, VARINT, varint(2**64 - 1)),
    field(101, FIXED64, bytes(8)),
    block(102, b"\x00\xff"),
    field(103, START_GROUP, field(1, VARINT, varint(1)) + field(2, START_GROUP, b"") + field(2, END_GROUP, b""))
    + field(103, END_GROUP, b""),
    field(2**29 - 1, FIXED32, bytes(4)),
    # Numbers that are known, with wire types that are not theirs.
    field(1, FIXED64, bytes(8)),
    field(4, FIXED32, bytes(4)),
    field(5, VARINT, varint(3)),
]

varints = st.builds(varint, st.integers(-(2**63), 2**63 - 1), st.integers(0, 9))
names = st.text(max_size=20).filter(lambda text: len(text.encode()) <= 60)


@st.composite
def mixed(draw: st.DrawFn, fields: Sequence[Occurrences], strange: Sequence[bytes] = UNKNOWN) -> bytes:
    """Return all occurrences, those of different fields in any order, with unknown fields between."""
    unknown = [[draw(st.sampled_from(strange))] for _ in range(draw(st.integers(0, 2)))]
    queues = [list(each) for each in (*fields, *unknown) if each]
    order = draw(st.permutations([index for index, queue in enumerate(queues) for _ in queue]))
    return b"".join(queues[index].pop(0) for index in order)


@st.composite
def last_wins(
    draw: st.DrawFn, encode: Callable[[bytes], bytes], last: bytes, before: st.SearchStrategy[bytes]
) -> Occurrences:
    """Return a singular field that may occur several times, and ends as `last`."""
    return [encode(value) for value in draw(st.lists(before, max_size=2))] + [encode(last)]


def singular(number: int, wire_type: int) -> Callable[[bytes], bytes]:
    return lambda value: block(number, value) if wire_type == BYTES else field(number, wire_type, value)


def text(number: int, value: str) -> st.SearchStrategy[Occurrences]:
    return last_wins(singular(number, BYTES), value.encode(), names.map(str.encode))


@st.composite
def repeated(draw: st.DrawFn, number: int, values: Sequence[bytes], wire_type: int) -> Occurrences:
    """Return numbers packed, one by one, or first so and then so."""
    out, at = [], 0
    while at < len(values):
        count = draw(st.integers(1, len(values) - at))
        if draw(st.booleans()):
            out.append(block(number, b"".join(values[at : at + count])))
        else:
            out += [field(number, wire_type, value) for value in values[at : at + count]]
        at += count
    return out


@st.composite
def sub_messages(draw: st.DrawFn, number: int, fields: Sequence[Occurrences]) -> Occurrences:
    """Return a singular message in one or several pieces, which are merged."""
    pieces = draw(st.integers(1, 3))
    cuts = sorted(draw(st.lists(st.integers(0, len(fields)), min_size=pieces - 1, max_size=pieces - 1)))
    bounds = [0, *cuts, len(fields)]
    return [block(number, draw(mixed(fields[begin:end]))) for begin, end in itertools.pairwise(bounds)]


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """Return a message with a few bytes cut, inserted or replaced."""
    raw = bytearray(draw(messages))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        kind = draw(st.sampled_from(["cut", "insert", "replace"]))
        if kind == "cut":
            del raw[at:]
        else:
            raw[at : at + (kind == "replace")] = draw(st.binary(min_size=1, max_size=2))
    return bytes(raw)
