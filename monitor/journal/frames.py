"""How readings lie in a journal file.

A segment file is a head of 40 bytes and frames one after the other; little-endian throughout. A frame is a head of 48
bytes, a table of runs, and an Arrow IPC record batch message (the schema is always the same and not repeated), filled
up to a multiple of 8 bytes. Runs are pairs int64 (first position, count); a frame without holes has none of them.

Buffers are compressed by LZ4. Measured on frames of 30,000 rows, batch there and back [million rows/s; bytes a row]:
LZ4 30, 70; 8 to 12. Zstandard 15, 27; 5 to 8. Nothing 200, 400; 21. A week of 100,000 devices takes well under 1 GB
either way, and a late reading has its building wait for the reading back.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = [
    "FRAME_HEAD_BYTES",
    "MAGIC",
    "SEGMENT_HEAD_BYTES",
    "FrameError",
    "FrameHead",
    "SegmentHead",
    "StoredRows",
    "check_frame",
    "decode_frame",
    "encode_frame",
]

MAGIC = b"MMfr"
_SEGMENT_MAGIC = b"MMjrnl01"
_FRAME_HEAD = struct.Struct("<4sIIIQQqII")  # magic, crc, length, rows, first, end, received, runs, 0
_SEGMENT_HEAD = struct.Struct("<8sQqqII")  # magic, first, end, rows, 0, crc
FRAME_HEAD_BYTES = _FRAME_HEAD.size
SEGMENT_HEAD_BYTES = _SEGMENT_HEAD.size
_CRC_FROM = 8
"""The CRC-32 is that of the frame's head from here on and of all that follows it."""
_PLAIN_ROWS = 256
"""Smaller frames are not compressed: the codec's own bytes outweigh what it saves."""
_MAX_LENGTH = 0xFFFF_FFFF


class FrameError(Exception):
    """What is wrong with a frame. Whoever knows file and offset makes a JournalError of it."""


class StoredRows(NamedTuple):
    """Readings as they are stored; all arrays of length n. uid: int32[n], the device's number in `DeviceNumbers`."""

    position: NDArray[np.int64]
    uid: NDArray[np.int32]
    quantity: NDArray[np.int8]
    ts_ms: NDArray[np.int64]
    value: NDArray[np.float64]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> StoredRows:
        return StoredRows(self.position[rows], self.uid[rows], self.quantity[rows], self.ts_ms[rows], self.value[rows])

    @classmethod
    def concat(cls, parts: Sequence[StoredRows]) -> StoredRows:
        """Fresh arrays: writeable and aligned whatever the parts are."""
        return cls(
            np.concatenate([part.position for part in parts]),
            np.concatenate([part.uid for part in parts]),
            np.concatenate([part.quantity for part in parts]),
            np.concatenate([part.ts_ms for part in parts]),
            np.concatenate([part.value for part in parts]),
        )


class FrameHead(NamedTuple):
    crc: int
    length: int
    """Bytes after the head."""
    rows: int
    first: int
    """Position of the first row."""
    end: int
    """Position after the last row."""
    received_ms: int
    """When the first of its rows was committed [UTC ms]."""
    runs: int

    @classmethod
    def parse(cls, raw: bytes) -> FrameHead:
        """Raises FrameError if this is no head of a frame."""
        if len(raw) < FRAME_HEAD_BYTES:
            raise FrameError("ends in the middle of a frame's head")
        magic, crc, length, rows, first, end, received_ms, runs, _ = _FRAME_HEAD.unpack_from(raw)
        if magic != MAGIC:
            raise FrameError(f"found {magic!r} where a frame should begin")
        return cls(crc, length, rows, first, end, received_ms, runs)


class SegmentHead(NamedTuple):
    first: int
    """The journal's position at which the segment begins."""
    end: int = -1
    """Of a rewritten segment, where it ends; -1: it was written frame by frame, and ends where the next begins."""
    rows: int = -1
    """Of a rewritten segment, how many rows are left in it."""

    @property
    def is_rewritten(self) -> bool:
        return self.end >= 0

    def pack(self) -> bytes:
        raw = _SEGMENT_HEAD.pack(_SEGMENT_MAGIC, *self, 0, 0)[:-4]
        return raw + struct.pack("<I", zlib.crc32(raw))

    @classmethod
    def parse(cls, raw: bytes) -> SegmentHead:
        """Raises FrameError."""
        if len(raw) < SEGMENT_HEAD_BYTES or raw[: len(_SEGMENT_MAGIC)] != _SEGMENT_MAGIC:
            raise FrameError("is no journal segment of this version")
        _, first, end, rows, _, crc = _SEGMENT_HEAD.unpack_from(raw)
        if zlib.crc32(raw[: SEGMENT_HEAD_BYTES - 4]) != crc:
            raise FrameError("the segment's head is damaged (CRC)")
        return cls(first, end, rows)


def encode_frame(rows: StoredRows, *, end: int, received_ms: int) -> bytes:
    """One frame of at least one row. Positions ascend; `end` is after the last of them."""
    schema, options, schema_bytes = _arrow()
    count = len(rows.uid)
    first = int(rows.position[0])
    runs = np.empty((0, 2), np.int64)
    if end - first != count:
        starts = np.flatnonzero(np.diff(rows.position, prepend=rows.position[0] - 2) != 1)
        runs = np.column_stack((rows.position[starts], np.diff(starts, append=count))).astype(np.int64)
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in rows[1:]], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=options if count >= _PLAIN_ROWS else None) as writer:
        writer.write_batch(batch)
    message = memoryview(sink.getvalue())[schema_bytes:]
    body = b"".join((runs.tobytes(), message, bytes(-len(message) % 8)))
    if len(body) > _MAX_LENGTH:
        raise ValueError(f"{count} rows are too many for one frame")
    head = _FRAME_HEAD.pack(MAGIC, 0, len(body), count, first, end, received_ms, len(runs), 0)
    crc = zlib.crc32(body, zlib.crc32(head[_CRC_FROM:]))
    return b"".join((MAGIC, struct.pack("<I", crc), head[_CRC_FROM:], body))


def check_frame(head: FrameHead, raw_head: bytes, body: bytes) -> None:
    """Raises FrameError if the frame is not whole, or not what was written."""
    if len(body) < head.length:
        raise FrameError(f"ends {head.length - len(body)} bytes before its frame does")
    if zlib.crc32(body, zlib.crc32(raw_head[_CRC_FROM:])) != head.crc:
        raise FrameError("the frame is damaged (CRC)")


def decode_frame(head: FrameHead, body: bytes) -> StoredRows:
    """The rows of a frame that was checked. The columns are views of `body` or of Arrow's memory: read-only.

    Raises FrameError.
    """
    schema, _, _ = _arrow()
    table = np.frombuffer(body, np.int64, 2 * head.runs).reshape(-1, 2)
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(memoryview(body)[table.nbytes :]), schema)
    except (pa.ArrowException, OSError) as error:
        raise FrameError(f"the frame holds no readings of this version: {error}") from error
    if head.runs:
        count = table[:, 1]
        position = np.repeat(table[:, 0] - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))
    else:
        position = np.arange(head.first, head.end, dtype=np.int64)
    if not len(position) == batch.num_rows == head.rows:
        raise FrameError(f"the frame says {head.rows} rows and holds {batch.num_rows} at {len(position)} positions")
    uid, quantity, ts_ms, value = (column.to_numpy(zero_copy_only=True) for column in batch.columns)
    return StoredRows(position, uid, quantity, ts_ms, value)


@cache
def _arrow() -> tuple[pa.Schema, pa.ipc.IpcWriteOptions, int]:
    """Schema, options, and the bytes with which a stream of that schema begins."""
    schema = pa.schema([("uid", pa.int32()), ("quantity", pa.int8()), ("ts_ms", pa.int64()), ("value", pa.float64())])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema):
        pass
    end_of_stream_bytes = 8
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    return schema, options, sink.getvalue().size - end_of_stream_bytes
