import pytest

from catfish_core.errors import ModelError, ServiceError
from catfish_core.serving import wire


def test_a_message_comes_back_byte_for_byte() -> None:
    head, blobs = {"names": ["ein Fisch 🐟", 'a"b'], "layer": None}, [b"", b"\x00\xff" * 1000, b"end"]
    assert wire.unpack(wire.pack(head, blobs)) == (head, blobs)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x00",
        b"\xff\xff\xff\xff{}",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02{}",
        wire.pack({}, [b"12345"])[:-1],
        wire.pack({}).replace(b"[]", b"[-1]"),
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        wire.unpack(body)


def test_a_fault_arrives_as_the_error_it_was() -> None:
    head, _ = wire.unpack(wire.fault(ModelError("No model.", "Train one.")))
    with pytest.raises(ModelError) as caught:
        wire.raise_fault(head)
    assert (caught.value.what, caught.value.hint) == ("No model.", "Train one.")


@pytest.mark.parametrize("kind", ["OSError", "annotations", "contextmanager", None])
def test_a_fault_of_an_unknown_kind_is_the_services(kind: str | None) -> None:
    with pytest.raises(ServiceError, match="Odd"):
        wire.raise_fault({"error": {"kind": kind, "what": "Odd.", "hint": ""}})


def test_no_fault_is_no_error() -> None:
    wire.raise_fault({"answers": []})


def test_a_proof_needs_the_token() -> None:
    assert wire.proof("token", "nonce") == wire.proof("token", "nonce")
    assert len({wire.proof(t, n) for t in ("token", "other") for n in ("nonce", "other")}) == 4
