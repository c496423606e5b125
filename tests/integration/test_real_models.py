"""Models that people use, served, against ONNX Runtime called directly with each request alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_digits, load_wine

from tests.integration import minilm
from tests.integration.asking import assert_same, from_many_clients, largest_batch, over_a_stream
from tests.integration.packaged import BUCKETS, Repository
from tests.integration.serving import ServeProcess

Array = npt.NDArray[Any]

SEED = 7
RATE, STEP, CONTEXT = 16_000, 512, 64

SENTENCES = (
    "the cat sits on the mat",
    "a small cat lies on a carpet",
    "the stock market fell sharply today",
    "shares lost value on friday",
    "he plays the piano",
    "the war ended",
    "she reads a book about the history of art in europe",
    "they walked along the river until the sun went down behind the hills",
)


def magika_requests() -> list[dict[str, Array]]:
    """The first and last kilobyte of made-up files, as the package would cut them."""
    texts = [
        b'#!/bin/sh\nset -e\nfor file in *.txt; do\n  echo "$file"\ndone\n' * 20,
        b"import os\n\n\ndef main():\n    print(os.getcwd())\n\n\nif __name__ == '__main__':\n    main()\n" * 20,
        b'<!DOCTYPE html>\n<html lang="en">\n<head><title>News</title></head>\n<body>\n'
        + b'<div class="item"><p>It rained <b>again</b>.</p><a href="/more">more</a></div>\n' * 30
        + b"</body>\n</html>\n",
        b"id,name,price\n1,apple,0.5\n2,pear,0.7\n" * 40,
        b'{"name": "value", "list": [1, 2, 3]}\n' * 40,
        b'#include <stdio.h>\nint main(void) { printf("hi"); return 0; }\n' * 20,
    ]
    return [
        {"bytes": np.frombuffer(text[:1024].ljust(1024) + text[-1024:].rjust(1024), np.uint8)[None].astype(np.int32)}
        for text in texts
    ]


def orientation_requests() -> list[dict[str, Array]]:
    random = np.random.default_rng(SEED)
    return [{"x": random.standard_normal((1, 3, 224, 224)).astype(np.float32)} for _ in range(6)]


def tree_requests(features: Array) -> list[dict[str, Array]]:
    # Some callers bring several rows.
    cuts = np.cumsum([1, 3, 1, 1, 2, 5, 1, 1, 1, 4])
    return [{"features": rows.astype(np.float32)} for rows in np.split(features[: cuts[-1]], cuts[:-1])]


@pytest.mark.parametrize(
    ("model", "requests", "tolerance"),
    [
        # Its attention layers sum in another order when rows run together.
        ("magika", magika_requests(), 1e-5),
        ("orientation", orientation_requests(), 1e-6),
        ("digits", tree_requests(load_digits().data), 0),
        ("wine", tree_requests(load_wine().data), 0),
    ],
    ids=["magika", "orientation", "digits", "wine"],
)
def test_callers_at_the_same_time_share_batches_and_get_what_each_would_alone(
    real_server: ServeProcess, real_models: Repository, model: str, requests: list[dict[str, Array]], tolerance: float
) -> None:
    assert real_server.version(model).batching.enabled, real_server.version(model).batching.reason

    unary = from_many_clients(real_server.target, model, requests)
    streamed = over_a_stream(real_server.target, model, requests)

    assert largest_batch(streamed) > max(len(next(iter(request.values()))) for request in requests)
    for request, *answers in zip(requests, unary, streamed, strict=True):
        alone = real_models.run(model, request)
        for answer in answers:
            assert_same(answer.outputs, alone, tolerance)


def test_magika_knows_the_file_types_that_it_is_shown(real_server: ServeProcess) -> None:
    requests = magika_requests()
    answers = from_many_clients(real_server.target, "magika", requests)

    # Six kinds of file, each recognized with confidence as a type of its own.
    kinds = [int(answer["target_label"].argmax()) for answer in answers]
    assert len(set(kinds)) == len(requests)
    assert all(answer["target_label"].max() > 0.5 for answer in answers)


def audio(caller: int, rate: int, seconds: float) -> Array:
    """Something that swells like speech: harmonics of a gliding pitch, bursts of noise, silence between."""
    random = np.random.default_rng((SEED, caller))
    time = np.arange(int(rate * seconds)) / rate
    pitch = np.cumsum(110 + 20 * caller + 30 * np.sin(2 * np.pi * 1.5 * time)) / rate
    voice = sum(np.sin(2 * np.pi * harmonic * pitch) / harmonic for harmonic in range(1, 12))
    loudness = np.clip(np.sin(2 * np.pi * (0.8 + 0.1 * caller) * time), 0, 1)
    samples = 0.2 * loudness * voice + 0.01 * random.standard_normal(len(time))
    return np.asarray(samples, np.float32)


def frames(samples: Array, step: int, context: int) -> list[Array]:
    """Cut into steps, each preceded by the end of the one before."""
    padded = np.concatenate([np.zeros(context, np.float32), samples])
    return [padded[None, start : start + context + step] for start in range(0, len(samples) - step + 1, step)]


def test_voice_detection_carries_the_state_of_many_audio_streams_through_shared_batches(
    real_server: ServeProcess, real_models: Repository
) -> None:
    callers = [frames(audio(caller, RATE, 1.0), STEP, CONTEXT) for caller in range(6)]
    rate = np.array(RATE)
    served = [np.zeros((2, 1, 128), np.float32) for _ in callers]
    direct = [state.copy() for state in served]
    largest = 0

    for step in zip(*callers, strict=True):
        requests = [{"input": frame, "state": state, "sr": rate} for frame, state in zip(step, served, strict=True)]
        answers = over_a_stream(real_server.target, "silero", requests)
        largest = max(largest, largest_batch(answers))
        for caller, (frame, answer) in enumerate(zip(step, answers, strict=True)):
            alone = real_models.run("silero", {"input": frame, "state": direct[caller], "sr": rate})
            assert_same(answer.outputs, alone, 1e-6)
            served[caller], direct[caller] = answer["stateN"], alone["stateN"]

    assert largest > 1


def test_voice_detection_never_mixes_sampling_rates_in_a_batch(
    real_server: ServeProcess, real_models: Repository
) -> None:
    slow, fast = audio(1, 8_000, 0.5), audio(2, RATE, 0.5)
    state = np.zeros((2, 1, 128), np.float32)
    requests = [
        {"input": frame, "state": state, "sr": np.array(rate)}
        for pair in zip(frames(slow, 256, 32)[:4], frames(fast, STEP, CONTEXT)[:4], strict=True)
        for frame, rate in zip(pair, (8_000, RATE), strict=True)
    ]

    for request, answer in zip(requests, over_a_stream(real_server.target, "silero", requests), strict=True):
        assert answer.receipt.batch_size <= 4
        assert_same(answer.outputs, real_models.run("silero", request), 1e-6)


def sentence(real_models: Repository, text: str) -> dict[str, Array]:
    ids = np.array([minilm.tokenize(text, real_models.vocabulary)])
    return {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}


def encoded_alone(real_models: Repository, request: dict[str, Array]) -> dict[str, Array]:
    mask = np.ones_like(request["input_ids"])
    return real_models.run("minilm", request | {"attention_mask": mask})


def test_sentences_of_different_lengths_share_a_batch_and_keep_their_meaning(
    real_server: ServeProcess, real_models: Repository
) -> None:
    requests = [sentence(real_models, text) for text in SENTENCES]
    lengths = {request["input_ids"].shape[1] for request in requests}

    # The mask is left to the server.
    answers = over_a_stream(real_server.target, "minilm", requests)

    assert len(lengths) > 3
    in_first_bucket = sum(request["input_ids"].shape[1] <= BUCKETS[0] for request in requests)
    assert 1 < largest_batch(answers) <= in_first_bucket
    for request, answer in zip(requests, answers, strict=True):
        assert_same(answer.outputs, encoded_alone(real_models, request), 1e-5)
    cats, markets = (
        (answers[0]["embedding"], answers[1]["embedding"]),
        (answers[2]["embedding"], answers[3]["embedding"]),
    )
    assert (cats[0] @ cats[1].T).item() > 0.4
    assert (markets[0] @ markets[1].T).item() > 0.4
    assert (cats[0] @ markets[0].T).item() < 0.2


def test_a_caller_may_bring_its_own_mask(real_server: ServeProcess, real_models: Repository) -> None:
    request = sentence(real_models, SENTENCES[0])
    mask = np.ones_like(request["input_ids"])
    mask[0, -3:] = 0

    (answer,) = over_a_stream(real_server.target, "minilm", [request | {"attention_mask": mask}])

    assert_same(answer.outputs, real_models.run("minilm", request | {"attention_mask": mask}), 1e-5)
    with pytest.raises(AssertionError):
        assert_same(answer.outputs, encoded_alone(real_models, request), 1e-5)


def test_a_dynamically_quantized_model_is_served_without_batching_and_says_why(
    real_server: ServeProcess, real_models: Repository
) -> None:
    random = np.random.default_rng(SEED)
    requests = [{"x": random.standard_normal((1, 64)).astype(np.float32)} for _ in range(16)]

    answers = over_a_stream(real_server.target, "dynamic", requests)

    batching = real_server.version("dynamic").batching
    assert not batching.enabled
    assert "depend" in batching.reason
    assert batching.row_difference > 1e-4
    assert largest_batch(answers) == 1
    for request, answer in zip(requests, answers, strict=True):
        assert_same(answer.outputs, real_models.run("dynamic", request), 0)


def test_every_model_reports_what_was_measured_at_load(real_server: ServeProcess) -> None:
    for model in ("magika", "orientation", "silero", "minilm", "digits", "wine"):
        version = real_server.version(model)
        rows = [point.rows for point in version.curve]
        assert rows, model
        assert rows == sorted(rows)
        assert rows[0] == 1
        assert all(point.seconds > 0 for point in version.curve)
        assert 0 <= version.batching.row_difference < 1e-4
        assert version.digest.startswith("sha256:")
        assert "onnxruntime" in version.runner
