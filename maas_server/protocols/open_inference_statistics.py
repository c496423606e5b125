"""Triton's statistics of a version, from its counters."""

from __future__ import annotations

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.models.host import Counters
from maas_server.models.registry import VersionView


def model_statistics(name: str, view: VersionView) -> pb.ModelStatistics:
    """Return the statistics of a version since it became AVAILABLE.

    There is no response cache, and no version that answers a request more than once, so what Triton counts of those
    is empty.
    """
    counters = view.counters
    return pb.ModelStatistics(
        name=name,
        version=str(view.version),
        last_inference=counters.last_unix_ms,
        inference_count=counters.rows,
        execution_count=counters.batches,
        inference_stats=_inference(counters),
        batch_stats=[
            pb.InferBatchStatistics(
                batch_size=size.rows,
                compute_input=_duration(size.batches, size.pack_ns),
                compute_infer=_duration(size.batches, size.run_ns),
                compute_output=_duration(size.batches, size.answer_ns),
            )
            for size in counters.batch_sizes
        ],
    )


def _inference(counters: Counters) -> pb.InferStatistics:
    done = counters.succeeded
    return pb.InferStatistics(
        success=_duration(done, counters.succeeded_ns),
        fail=_duration(
            counters.failed + counters.cancelled + counters.expired + counters.rejected,
            # What was rejected took no time.
            counters.failed_ns + counters.cancelled_ns + counters.expired_ns,
        ),
        queue=_duration(done, counters.queue_ns),
        compute_input=_duration(done, counters.requests_pack_ns),
        compute_infer=_duration(done, counters.requests_run_ns),
        compute_output=_duration(done, counters.requests_answer_ns),
        cache_hit=_duration(0, 0),
        cache_miss=_duration(0, 0),
    )


def _duration(count: int, ns: int) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=ns)
