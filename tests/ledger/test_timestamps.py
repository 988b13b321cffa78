"""Time stamps: made by openssl, verified by us, by openssl and by another implementation."""

import subprocess
from hashlib import sha256

import pytest
import rfc3161_client
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from authority import Authority, run
from watchbill.ledger import der, timestamps

DIGEST = sha256(b"a checkpoint").digest()
KEYS = {
    "p256": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "p384": ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "rsa": ("rsa:2048",),
}  # fmt: skip


@pytest.fixture(scope="module", params=KEYS)
def authority(request, tmp_path_factory):
    ess = "sha1" if request.param == "rsa" else "sha256"
    return Authority(tmp_path_factory.mktemp("tsa"), KEYS[request.param], ess)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tsa"))


def roots(authority):
    return x509.load_pem_x509_certificates(authority.root.read_bytes())


def token_of(authority, nonce=7):
    return timestamps.open_response(authority.answer(timestamps.request(DIGEST, nonce)), DIGEST, nonce)


def test_a_token_is_verified_here_and_by_two_others(authority, tmp_path):
    """The same token passes ours, `openssl ts -verify` and rfc3161-client."""
    response = authority.answer(timestamps.request(DIGEST, 1 << 63))
    token = timestamps.open_response(response, DIGEST, 1 << 63)
    stamp = timestamps.verify(token, DIGEST, roots(authority))
    assert stamp.policy == "1.3.6.1.4.1.55555.1"
    assert stamp.nonce == 1 << 63
    (tmp_path / "token").write_bytes(token)
    checked = run(
        "ts",
        "-verify",
        "-digest",
        DIGEST.hex(),
        "-token_in",
        "-in",
        str(tmp_path / "token"),
        "-CAfile",
        str(authority.root),
    )
    assert b"OK" in checked.stdout
    theirs = rfc3161_client.decode_timestamp_response(response)
    assert int(theirs.tst_info.gen_time.timestamp()) == stamp.at // 1_000_000_000
    verifier = rfc3161_client.VerifierBuilder().add_root_certificate(roots(authority)[0]).build()
    assert verifier.verify_message(theirs, b"a checkpoint")


def test_the_request_is_what_openssl_reads(tmp_path):
    """Our DER is taken apart by openssl as it was meant."""
    (tmp_path / "q").write_bytes(timestamps.request(DIGEST, 255))
    text = run("ts", "-query", "-in", str(tmp_path / "q"), "-text").stdout.decode()
    assert "Hash Algorithm: sha256" in text
    assert "Nonce: 0xFF" in text
    assert "Certificate required: yes" in text


def test_another_digest_and_another_root_are_refused(one, tmp_path):
    """A stamp is for one checkpoint, and by an authority that the auditor trusts."""
    token = token_of(one)
    with pytest.raises(ValueError, match="for another checkpoint"):
        timestamps.verify(token, bytes(32), roots(one))
    with pytest.raises(ValueError, match="leads to none of the roots"):
        timestamps.verify(token, DIGEST, roots(Authority(tmp_path / "other")))
    with pytest.raises(ValueError, match="for another request"):
        timestamps.open_response(one.answer(timestamps.request(DIGEST, 8)), DIGEST, 9)


def test_a_certificate_that_is_not_for_time_stamps_is_refused(one):
    """An ordinary certificate of the same authority signs nothing that counts."""
    parsed = timestamps._Token.parse(token_of(one))
    one.sign("web", ["-newkey", "rsa:2048"], "extendedKeyUsage=serverAuth")
    web = x509.load_pem_x509_certificate((one.path / "web.pem").read_bytes())
    with pytest.raises(ValueError, match="not one for time stamps"):
        timestamps._check_chain(web, roots(one), roots(one), parsed.stamp.at)
    with pytest.raises(ValueError, match="was not valid then"):
        timestamps._check_chain(parsed.signer, roots(one), roots(one), parsed.stamp.at + 10**17)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_flipped_bit_of_a_token_passes(one):
    """Wherever it is: in what was stamped, in the signature, in the certificate."""
    token, given_roots = token_of(one), roots(one)
    expected = timestamps.verify(token, DIGEST, given_roots)
    passed = []
    for at in range(0, len(token), 3):
        changed = token[:at] + bytes([token[at] ^ 1 << at % 8]) + token[at + 1 :]
        try:
            assert timestamps.verify(changed, DIGEST, given_roots) == expected
            passed.append(at)
        except ValueError:
            continue
    # What no signature covers: versions, and names of algorithms that are repeated.
    assert len(passed) < 12, passed


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data):
    """The reader raises nothing but ValueError."""
    for read in (der.parse, timestamps.read, lambda given: timestamps.open_response(given, DIGEST, 1)):
        try:
            read(data)
        except (ValueError, IndexError):
            continue


@pytest.mark.parametrize(
    "data", ["30800000", "308101", "3082000100", "1f0101", "300500", "02020001", "0202ff80", "06018"], ids=range(8)
)
def test_what_is_not_der_is_refused(data):
    """Indefinite and long lengths, long tags, padded integers."""
    with pytest.raises(ValueError):
        der.parse(bytes.fromhex(data if len(data) % 2 == 0 else data + "0")).integer()


@pytest.mark.parametrize("dotted", ["1.2.840.113549.1.9.16.1.4", "2.16.840.1.101.3.4.2.1", "2.999.1", "0.9"])
def test_object_identifiers_survive(dotted):
    """Also with arcs of several bytes, and a first arc of 2."""
    assert der.parse(der.encode_oid(dotted)).oid() == dotted


def test_a_refusal_is_told(one):
    """The authority's status and words reach the operator."""
    sha1_request = timestamps.request(DIGEST, 1).replace(
        der.encode_oid("2.16.840.1.101.3.4.2.1"), der.encode_oid("2.16.840.1.101.3.4.2.6")
    )
    try:
        answer = one.answer(sha1_request)
    except subprocess.CalledProcessError:
        answer = (one.path / "reply").read_bytes()
    with pytest.raises(ValueError, match="refused with status 2"):
        timestamps.open_response(answer, DIGEST, 1)
