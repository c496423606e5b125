"""HTTP that is wrong, broken or hostile, over a plain socket where no client would send it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.http.conftest import MAX_BODY
from tests.server.in_process import InProcessServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

INFER = "/v2/models/scaled/infer"
BODY = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}'


@asynccontextmanager
async def connected(server: InProcessServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.server.http_port, limit=1 << 24)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One HTTP answer: status, headers, body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split()[1]), headers, body


async def exchange(server: InProcessServer, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    async with connected(server) as (reader, writer):
        writer.write(raw)
        return await read_answer(reader)


def post(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST {INFER} HTTP/{version}", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nothing",
        b"[]",
        b"5",
        b'"text"',
        b"null",
        b"\xff\xfe{}",
        b'{"inputs": "\xff"}',
        b"\xef\xbb\xbf{}",
        BODY.decode().encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"inputs":[' + b"1" * 10_000 + b"]}",
        BODY + b"garbage",
    ],
)
async def test_what_is_no_json_object_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(INFER, content=body)
    assert response.status_code == 400, response.text
    assert response.json()["code"] == "INVALID_ARGUMENT"


async def test_any_content_type_will_do(client: httpx.AsyncClient) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain; charset=latin-1", "?"):
        assert (await client.post(INFER, content=BODY, headers={"Content-Type": kind})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", INFER, "POST"),
        ("PUT", INFER, "POST"),
        ("HEAD", INFER, "POST"),
        ("POST", "/v2/health/live", "GET, HEAD"),
        ("DELETE", "/v2/logging", "GET, HEAD, POST"),
        ("OPTIONS", "/metrics", "GET, HEAD"),
        ("NONSENSE", "/v1/models/scaled:predict", "POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v2/",
        "/v2/health",
        "/v2/models/",
        "/v1/models/scaled:explain/",
        "/v3",
        "//v2",
        "/v2/../v2/health/live",
    ],
)
async def test_other_paths_are_not_found(server: InProcessServer, path: str) -> None:
    status, _, body = await exchange(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert status == 404
    assert json.loads(body)["error"]


async def test_a_head_has_no_body(server: InProcessServer) -> None:
    raw = b"HEAD /v2 HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connected(server) as (reader, writer):
        writer.write(raw)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200")
        assert b"content-length: 0" not in head
        assert (await read_answer(reader))[2] == b'{"live":true}'


async def test_pipelined_requests_are_answered_in_order(server: InProcessServer) -> None:
    requests = [
        post(BODY.replace(b'{"inputs', b'{"id":"%d","inputs' % n), f"Content-Length: {len(BODY) + 9}") for n in range(5)
    ]
    async with connected(server) as (reader, writer):
        writer.write(b"".join(requests))
        answers = [await read_answer(reader) for _ in requests]
    assert [json.loads(body)["id"] for _, _, body in answers] == ["0", "1", "2", "3", "4"]


async def test_http_1_0_is_answered_and_closed(server: InProcessServer) -> None:
    async with connected(server) as (reader, writer):
        writer.write(post(BODY, f"Content-Length: {len(BODY)}", version="1.0"))
        status, _, body = await read_answer(reader)
        assert (status, json.loads(body)["model_name"]) == (200, "scaled")
        assert await reader.read() == b""


async def test_a_body_may_come_in_chunks(server: InProcessServer) -> None:
    chunks = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in BODY) + b"0\r\n\r\n"
    status, _, _ = await exchange(server, post(chunks, "Transfer-Encoding: chunked"))
    assert status == 200


async def test_who_expects_it_is_told_to_continue(server: InProcessServer) -> None:
    async with connected(server) as (reader, writer):
        writer.write(post(b"", f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(BODY)
        assert (await read_answer(reader))[0] == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x00\x01\x02\x03\r\n\r\n", 400),
        (b"GET /v2\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: strange\r\n\r\n", 501),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"a" * (2 << 20) + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * (2 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n", 400),
    ],
)
async def test_what_is_no_http_is_refused_and_closed(server: InProcessServer, raw: bytes, status: int) -> None:
    async with connected(server) as (reader, writer):
        writer.write(raw)
        got, headers, body = await read_answer(reader)
        assert got == status
        assert headers["connection"] == "close"
        assert json.loads(body)["error"]
        assert await reader.read() == b""


async def test_a_broken_chunk_ends_the_connection(server: InProcessServer) -> None:
    async with connected(server) as (reader, writer):
        writer.write(post(b"zz\r\nwhat\r\n", "Transfer-Encoding: chunked"))
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("path", ["/v2/models/%ff/ready", "/v2/models/%C3%28"])
async def test_a_path_that_is_no_utf8_is_refused(server: InProcessServer, path: str) -> None:
    status, _, body = await exchange(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (status, json.loads(body)["error"]) == (400, "the path is not UTF-8")


async def test_a_query_with_too_many_fields_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/graphql?" + "&".join(f"a{n}=1" for n in range(100)))).status_code == 400


async def test_a_body_that_announces_too_much_is_refused_at_once(server: InProcessServer) -> None:
    status, headers, body = await exchange(server, post(b"", f"Content-Length: {MAX_BODY + 1}"))
    assert status == 413
    assert headers["connection"] == "close"
    assert str(MAX_BODY) in json.loads(body)["error"]


async def test_chunks_that_grow_too_large_are_refused(server: InProcessServer) -> None:
    async with connected(server) as (reader, writer):
        writer.write(post(b"", "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
        for _ in range(MAX_BODY // (1 << 16) + 2):
            writer.write(chunk)
        assert (await read_answer(reader))[0] == 413


@pytest.mark.parametrize(("name", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_body_that_unpacks_to_too_much_is_refused(
    client: httpx.AsyncClient, name: str, compress: object
) -> None:
    assert callable(compress)
    bomb = compress(b" " * (MAX_BODY * 20))
    response = await client.post(INFER, content=bomb, headers={"Content-Encoding": name})
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", BODY, 400),
        ("gzip", gzip.compress(BODY, mtime=0)[:-9], 400),
        ("gzip", gzip.compress(BODY, mtime=0) + b"more", 400),
        ("gzip", b"", 400),
        ("deflate", gzip.compress(BODY, mtime=0), 400),
        ("br", BODY, 415),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY, mtime=0), mtime=0), 415),
    ],
)
async def test_wrong_encodings_are_refused(client: httpx.AsyncClient, encoding: str, body: bytes, status: int) -> None:
    response = await client.post(INFER, content=body, headers={"Content-Encoding": encoding})
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.parametrize("length", ["0" * 5000 + str(len(BODY) + 1), "0" * 20 + "9" * 30, "9" * 5000])
async def test_a_header_length_of_many_digits_is_refused(client: httpx.AsyncClient, length: str) -> None:
    response = await client.post(INFER, content=BODY, headers={"Inference-Header-Content-Length": length})
    assert response.status_code == 400
    assert f"at most the body's {len(BODY)} bytes" in response.json()["error"]


async def test_a_header_length_may_begin_with_zeros(client: httpx.AsyncClient) -> None:
    headers = {"Inference-Header-Content-Length": "0" * 5000 + str(len(BODY))}
    assert (await client.post(INFER, content=BODY, headers=headers)).status_code == 200


@pytest.mark.parametrize("version", ["0" * 20 + "9" * 30, "9" * 5000, "-1", str(1 << 63)])
async def test_a_version_of_too_many_digits_is_refused(client: httpx.AsyncClient, version: str) -> None:
    response = await client.post(f"/v1/models/scaled/versions/{version}:predict", content=b'{"instances":[[1,2,3,4]]}')
    assert response.status_code == 400
    assert response.json()["violations"][0]["field"] == "version"


async def test_a_shape_of_very_many_dimensions_is_refused_at_once(client: httpx.AsyncClient) -> None:
    body = BODY.replace(b"[1,4]", json.dumps([(1 << 63) - 1] * 20_000).encode())
    response = await client.post(INFER, content=body)
    assert response.status_code == 400
    assert response.json()["error"] == "inputs[0].shape: expected at most 16 dimensions, got 20000"


@pytest.mark.parametrize(("uri", "status"), [("http://x:80/v2", 200), ("HTTPS://x/v2", 200), ("http://x", 404)])
async def test_a_request_may_name_the_whole_uri(server: InProcessServer, uri: str, status: int) -> None:
    assert (await exchange(server, f"GET {uri} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))[0] == status


async def test_after_all_that_it_still_serves(client: httpx.AsyncClient) -> None:
    assert (await client.post(INFER, content=BODY)).json()["outputs"][0]["data"] == [3, 6, 9, 12]
