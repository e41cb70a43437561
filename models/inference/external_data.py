"""
Refuse ONNX files whose weights lie in other files.

A tensor may name a file, such as ``../../secret``, and onnxruntime and onnx read it relative to the working folder or the
model. Exported networks hold all their weights. The file is parsed here as far as tensors can lie, because the submitting
image has no onnx (field numbers of onnx.proto, onnx 1.23).
"""

from collections.abc import Iterator

_SUBMESSAGES = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {},
}
"""Kind of the message in each field of a message that may hold tensors, by the field's number."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEPTH = 100
"""Nested messages that a reader of protobuf accepts by default."""


def refuse_external_data(content: bytes) -> None:
    """
    Check that a serialized ONNX model holds all its data.

    Raises:
        ValueError: A tensor names another file, also one of a subgraph, or *content* is no ONNX model.
    """
    # Files of onnxruntime's own format carry this mark; they are opened without a look at the protobuf fields.
    if content[4:8] == b"ORTM":
        raise ValueError("it is a file of onnxruntime's own format, not an ONNX model")
    _check(memoryview(content), "model", 0)


def _check(message: memoryview, kind: str, depth: int) -> None:
    if depth > _DEPTH:
        raise ValueError("its graphs are nested too deep")
    inner = _SUBMESSAGES[kind]
    for number, value in _fields(message):
        if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
            raise ValueError("its weights lie in other files; an exported network holds all of them")
        if number in inner and isinstance(value, memoryview):
            _check(value, inner[number], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field; of fixed-size fields, the bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("it is not an ONNX model")
        if size > len(message) - at:
            raise ValueError("it is not a whole ONNX model")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at position *at*, and the position behind it."""
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise ValueError("it is not a whole ONNX model")
