"""Clients of this server, with numpy in and out.

    with Client("localhost:8001") as client:
        prediction = client.predict("digits", {"image": image}, quantize="int8")
        print(prediction["probabilities"], prediction.receipt)

Every failure is one of the errors of `maas_server.errors`.
"""

from __future__ import annotations

from maas_server.client._aio_client import AsyncClient
from maas_server.client._aio_stream import AsyncPredictStream
from maas_server.client._calls import DEFAULT_TIMEOUT, LOAD_TIMEOUT, PredictOptions
from maas_server.client._channel import DEFAULT_ADDRESS
from maas_server.client._client import Client
from maas_server.client._codec import Prediction, Receipt
from maas_server.client._quantize import Quantize, Quantized
from maas_server.client._stream import PredictStream
from maas_server.client._tensors import BFloat16, TensorLike

__all__ = [
    "DEFAULT_ADDRESS",
    "DEFAULT_TIMEOUT",
    "LOAD_TIMEOUT",
    "AsyncClient",
    "AsyncPredictStream",
    "BFloat16",
    "Client",
    "PredictOptions",
    "PredictStream",
    "Prediction",
    "Quantize",
    "Quantized",
    "Receipt",
    "TensorLike",
]
