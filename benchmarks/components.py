"""Which component of the server a symbol belongs to, as the folders of csrc/maas have it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "csrc" / "maas"

COMPONENT_OF_FOLDER = {
    "net": "sockets",
    "http2": "HTTP/2",
    "rpc": "gRPC",
    "front": "front",
    "wire": "decode",
    "model": "decode",
    "quant": "decode",
    "batching": "queue",
    "exec": "queue",
    "serving": "queue",
    "pack": "pack",
    "gpu": "GPU",
}
_ENCODES = re.compile(r"Encod|Write|Response")
# By the file that the code lies in, where it is not ours.
_BY_LIBRARY = (
    (re.compile(r"kernel|vdso|\.ko"), "kernel"),
    (re.compile(r"onnxruntime"), "run"),
    (re.compile(r"python|numpy|uvloop|cygrpc"), "Python"),
    (re.compile(r"nghttp2"), "HTTP/2"),
    (re.compile(r"libssl|libcrypto"), "TLS"),
    (re.compile(r"libc[.-]|libstdc|ld-linux|libgcc"), "C library"),
)
_C_LIBRARY = re.compile(r"^(operator (new|delete)|malloc|free|realloc|calloc|mem\w+|pthread_\w+|std::)")
_TYPE = re.compile(r"^\s*(?:class|struct)\s+(?:\w+\s+)?(\w+)\b[^;]*$", re.MULTILINE)
_FUNCTION = re.compile(r"^[^\s#/].*?\b(\w+)\(", re.MULTILINE)
_NAMES = re.compile(r"\w+")


class Components:
    """Reads the sources once."""

    def of(self, library: str, symbol: str) -> str:
        """Return the component; `library` is the file that perf names."""
        if "maas::" in symbol:
            return self._of_ours(symbol)
        if symbol.startswith("nghttp2_"):
            return "HTTP/2"
        for pattern, component in _BY_LIBRARY:
            # Our own library has Python's name in its own.
            if "_core." not in library and pattern.search(library):
                return component
        return "C library" if _C_LIBRARY.match(symbol) else "other"

    def _of_ours(self, symbol: str) -> str:
        qualified = symbol.partition("maas::")[2].partition("(")[0] or symbol.rpartition("maas::")[2]
        for name in _NAMES.findall(qualified.replace("(anonymous namespace)::", "")):
            if folder := self._folders.get(name):
                component = COMPONENT_OF_FOLDER[folder]
                return "encode" if component == "decode" and _ENCODES.search(symbol) else component
        # Of an anonymous namespace the parenthesis comes first.
        for name in _NAMES.findall(symbol.partition("maas::")[2]):
            if folder := self._folders.get(name):
                return COMPONENT_OF_FOLDER[folder]
        return "other"

    @cached_property
    def _folders(self) -> Mapping[str, str]:
        """The folder in which a type or function is defined, where it is in one only, or mostly."""
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for folder in COMPONENT_OF_FOLDER:
            for path in (SOURCES / folder).glob("*.*"):
                if path.stem.endswith(("_test", "_testing", "_fuzz", "_bench")):
                    continue
                text = path.read_text()
                names = _TYPE.findall(text) if path.suffix == ".h" else []
                for name in {*names, *_FUNCTION.findall(text)}:
                    seen[name][folder] += 1
        return {name: folders.most_common(1)[0][0] for name, folders in seen.items()}
