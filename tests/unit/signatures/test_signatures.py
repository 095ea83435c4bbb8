from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.coordinator.documents import DocumentError, SignedEnvelope
from agent.coordinator.signatures import (
    SignatureError,
    TrustedKeys,
    Verifier,
    is_signed_by,
    parse_trusted_keys,
    public_key,
    signed,
    trusted_line,
)
from agent.domain.errors import ConfigError

UNIT = "unit-7f3a"
SEED = bytes(range(32))
OTHER_SEED = bytes(range(1, 33))
KEYS = TrustedKeys({"workshop-1": public_key(SEED), "workshop-2": public_key(OTHER_SEED)})
# RFC 8032, section 7.1, TEST 3.
RFC_SEED = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
RFC_PUBLIC = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
RFC_SIGNATURE = bytes.fromhex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


def job(**other: Any) -> bytes:
    artefact = {"sha256": "a" * 64, "size": 5, "format": "gcode", "url": "https://files.example/x"}
    return json.dumps(
        {"v": 1, "job_id": "j1", "rev": 1, "unit": UNIT, "artefact": artefact, **other}
    ).encode()


def command(**other: Any) -> bytes:
    return json.dumps({"v": 1, "cmd_id": "c1", "command": "pause", **other}).encode()


def sealed(payload: bytes, kid: str = "workshop-1", seed: bytes = SEED) -> bytes:
    return signed(payload, kid, seed).to_json()


def verifier(*, is_required: bool = True, keys: TrustedKeys = KEYS) -> Verifier:
    return Verifier(keys, UNIT, is_required)


def refusal(payload: bytes, *, is_required: bool = True) -> str:
    with pytest.raises(SignatureError) as caught:
        verifier(is_required=is_required).job(payload)
    assert caught.value.remedy
    assert caught.value.claims == {"job_id": "j1", "rev": 1}, "so that the answer can name it"
    return caught.value.code


def test_the_standard_vector() -> None:
    assert public_key(RFC_SEED) == RFC_PUBLIC
    envelope = signed(b"\xaf\x82", "rfc", RFC_SEED)
    assert envelope.sig_bytes() == RFC_SIGNATURE
    assert is_signed_by(RFC_PUBLIC, b"\xaf\x82", RFC_SIGNATURE)


@pytest.mark.parametrize("is_required", [True, False])
@pytest.mark.parametrize(("kid", "seed"), [("workshop-1", SEED), ("workshop-2", OTHER_SEED)])
def test_a_signed_job_is_taken_under_any_trusted_key(is_required: bool, kid: str, seed: bytes) -> None:
    assert verifier(is_required=is_required).job(sealed(job(), kid, seed)).job_id == "j1"


def test_an_unsigned_job_is_taken_only_where_that_is_allowed() -> None:
    assert refusal(job()) == "unsigned"
    assert verifier(is_required=False).job(job()).job_id == "j1"


@pytest.mark.parametrize("is_required", [True, False])
def test_a_signature_that_is_there_must_be_good(is_required: bool) -> None:
    assert refusal(sealed(job(), "stranger"), is_required=is_required) == "unknown_key"
    # The right key under the name of the other one.
    assert refusal(sealed(job(), "workshop-2", SEED), is_required=is_required) == "bad_signature"


def test_a_changed_document_is_refused() -> None:
    envelope = json.loads(sealed(job(copies=1)))
    envelope["payload"] = base64.b64encode(job(copies=100)).decode()
    assert refusal(json.dumps(envelope).encode()) == "bad_signature"


def test_the_bytes_count_not_the_meaning() -> None:
    pretty = json.dumps(json.loads(job()), indent=2).encode()
    assert verifier().job(sealed(pretty)).job_id == "j1"
    envelope = json.loads(sealed(job()))
    envelope["payload"] = base64.b64encode(pretty).decode()
    assert refusal(json.dumps(envelope).encode()) == "bad_signature"


@settings(deadline=None)
@given(st.integers(0, 63), st.integers(0, 7))
def test_no_changed_bit_of_a_signature_passes(byte: int, bit: int) -> None:
    envelope = signed(job(), "workshop-1", SEED)
    forged = bytearray(envelope.sig_bytes())
    forged[byte] ^= 1 << bit
    assert not is_signed_by(public_key(SEED), job(), bytes(forged))


def test_the_document_of_another_unit_is_refused() -> None:
    assert refusal(sealed(job(unit="unit-other"))) == "wrong_unit"
    assert refusal(job(unit="unit-other"), is_required=False) == "wrong_unit"


def test_signed_rubbish_is_malformed_not_followed() -> None:
    with pytest.raises(DocumentError):
        verifier().job(sealed(b"not JSON"))
    with pytest.raises(DocumentError):
        verifier().job(sealed(command(unit=UNIT, expires=1)))
    with pytest.raises(DocumentError):
        verifier().command(sealed(job()))
    # A signed envelope within a signed envelope is no document.
    with pytest.raises(DocumentError):
        verifier().job(sealed(sealed(job())))


@pytest.mark.parametrize("field", ["sig", "payload", "kid"])
@pytest.mark.parametrize("value", [None, 7, "", "###", "QQ==", ["x"]])
def test_malformed_envelopes(field: str, value: object) -> None:
    envelope = json.loads(sealed(job()))
    envelope[field] = value
    with pytest.raises((DocumentError, SignatureError)):
        verifier().job(json.dumps(envelope).encode())


def test_a_signed_command_names_its_unit_and_its_end() -> None:
    good = command(unit=UNIT, expires=10)
    assert verifier().command(sealed(good)).command == "pause"
    for payload in (command(), command(unit=UNIT), command(expires=10)):
        with pytest.raises(SignatureError) as caught:
            verifier().command(sealed(payload))
        assert caught.value.code == "replayable"
    with pytest.raises(SignatureError) as wrong:
        verifier().command(sealed(command(unit="unit-other", expires=10)))
    assert wrong.value.code == "wrong_unit"
    with pytest.raises(SignatureError) as unsigned:
        verifier().command(good)
    assert unsigned.value.code == "unsigned"
    assert verifier(is_required=False).command(command()).cmd_id == "c1"


def test_keys_are_read_from_lines_and_files(tmp_path: Path) -> None:
    lines = [trusted_line("workshop-1", public_key(SEED)), trusted_line("workshop-2", public_key(OTHER_SEED))]
    (tmp_path / "keys").write_text(f"# ours\n\n{lines[1]} the second workshop\n")
    assert parse_trusted_keys([lines[0], str(tmp_path / "keys")]) == KEYS
    assert not parse_trusted_keys([])


@pytest.mark.parametrize(
    "entry",
    [
        "ed25519 only-a-name",
        "ed25519 k AAAA",
        "ed25519 k !!!!",
        f"ed25519 bad/id {base64.b64encode(SEED).decode()}",
        "/does/not/exist",
        "relative-and-missing",
    ],
)
def test_unusable_entries_are_named(entry: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_trusted_keys([entry])
    assert caught.value.code == "bad_trusted_key"


def test_one_id_has_one_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two different keys"):
        parse_trusted_keys([trusted_line("k", public_key(SEED)), trusted_line("k", public_key(OTHER_SEED))])
    (tmp_path / "keys").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError):
        parse_trusted_keys([str(tmp_path / "keys")])


def test_an_envelope_reads_back() -> None:
    envelope = SignedEnvelope.model_validate_json(sealed(job()))
    assert envelope.payload_bytes() == job()


def test_claims_of_rubbish_are_empty() -> None:
    with pytest.raises(SignatureError) as caught:
        verifier().job(sealed(b"no JSON", "stranger"))
    assert caught.value.claims == {}
