"""Descriptors of the protocols that others defined: Open Inference Protocol, Triton, TensorFlow Serving.

Their packages (`inference`, `tensorflow`, `tensorflow.serving`) are also what tritonclient, tensorflow and their kin
bring along, and protobuf's default pool takes each name once: whoever imported both would get a TypeError. So our
stubs of these packages live in a pool of their own, and a model's runner may import what it likes. (Not with
protobuf's pure Python implementation, which enters every message class into the default pool.)

A message of this pool is another class than its namesake of the default pool, the well-known types included: fill
`version.value` and `metadata[name].Pack(...)` in place, and give `json_format` and `text_format` this pool where
they take one.
"""

from __future__ import annotations

from google.protobuf import any_pb2, descriptor_pool, message_factory, wrappers_pb2

COMPAT_POOL = descriptor_pool.DescriptorPool()

for _well_known in (any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR):
    COMPAT_POOL.AddSerializedFile(_well_known.serialized_pb)
    # protobuf's pure Python implementation makes no class by itself for a message that fields refer to.
    message_factory.GetMessageClassesForFiles([_well_known.name], COMPAT_POOL)
