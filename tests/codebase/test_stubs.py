"""The stubs of protocols that others defined live beside the packages that define them too, and other languages can
compile what they were made from.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import google.rpc
import grpc_tools
import pytest

# Stands in for tritonclient and tensorflow: it makes protobuf's default pool hold their names. The core's own files
# say the same (tests/rpc/test_foreign_descriptors.py) under other file names.
FOREIGN = """
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, wrappers_pb2

def imported_by_others():
    for name in FILES:
        file = descriptor_pb2.FileDescriptorProto.FromString((STUBS / name).read_bytes())
        descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
"""
OURS = """
from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.tensorflow_serving import model_service_pb2, prediction_service_pb2
"""
