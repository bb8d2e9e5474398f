"""How a question and its answer travel: a line of JSON and the photos behind it, byte for byte.  [no torch]

A message is the length of the JSON as four bytes (big end first), the JSON, then the blobs one after the other.
The JSON's "blobs" lists their lengths. Base64 would cost a third more, and multipart a parser.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from catfish_core import errors
from catfish_core.errors import CatfishError, ServiceError

NONCE = "X-Catfish-Nonce"
MAX_BODY = 256 * 2**20  # bytes of one message; the client sends far less at once
_LENGTH = struct.Struct(">I")

Message = tuple[dict[str, Any], list[bytes]]


def pack(head: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """`head` and `blobs` as one message."""
    text = json.dumps({**head, "blobs": [len(blob) for blob in blobs]}).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *blobs))


def unpack(body: bytes) -> Message:
    """The head and the blobs of a message; raises ValueError for anything that is none."""
    if len(body) < _LENGTH.size:
        raise ValueError("shorter than its own length")
    start = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    head = json.loads(body[_LENGTH.size : start])
    if not isinstance(head, dict) or not isinstance(lengths := head.pop("blobs", None), list):
        raise ValueError("no head")
    blobs = []
    for length in lengths:
        if not isinstance(length, int) or not 0 <= length <= len(body) - start:
            raise ValueError("a blob reaches beyond the end")
        blobs.append(body[start : start + length])
        start += length
    return head, blobs


def fault(error: CatfishError) -> bytes:
    """A message that says what went wrong."""
    return pack({"error": {"kind": type(error).__name__, "what": error.what, "hint": error.hint}})


def raise_fault(head: Mapping[str, Any]) -> None:
    """Raise the error that `head` tells of, of its own class; nothing where it tells of none."""
    if not isinstance(told := head.get("error"), dict):
        return
    kind = getattr(errors, str(told.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, CatfishError)):
        kind = ServiceError
    raise kind(str(told.get("what")), str(told.get("hint", "")))


def proof(token: str, nonce: str) -> str:
    """What only a holder of `token` can answer to `nonce`: shows who listens on a port before anything is sent."""
    return hmac.new(token.encode(), nonce.encode(), hashlib.sha256).hexdigest()
