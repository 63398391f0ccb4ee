"""The keys that sign guest tokens."""

import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jan_media.identity.signing_keys import KEY_FILE, SigningKeys, kept_key

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: PrivateKey, password: bytes | None = None) -> str:
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


def public_pem(key: PrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def test_a_token_is_verified_by_the_published_key_that_it_names() -> None:
    keys = SigningKeys(private_pem(new_key()))
    token = keys.sign({"sub": "someone"})
    header = jwt.get_unverified_header(token)
    published = {key.key_id: key for key in jwt.PyJWKSet.from_dict(keys.jwks()).keys}
    assert header == {"alg": "ES256", "kid": keys.kid, "typ": "JWT"}
    assert jwt.decode(token, published[header["kid"]], ["ES256"]) == {"sub": "someone"}


def test_the_key_id_is_the_thumbprint_of_rfc_7638() -> None:
    keys = SigningKeys(private_pem(new_key()))
    (key,) = keys.jwks()["keys"]
    text = f'{{"crv":"P-256","kty":"EC","x":"{key["x"]}","y":"{key["y"]}"}}'
    digest = hashlib.sha256(text.encode()).digest()
    assert key["kid"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_nothing_private_is_published() -> None:
    keys = SigningKeys(private_pem(new_key()), private_pem(new_key()))
    for key in keys.jwks()["keys"]:
        assert set(key) == {"crv", "kty", "x", "y", "kid", "alg", "use"}


@pytest.mark.parametrize("given_as", [private_pem, public_pem])
def test_the_previous_key_is_published_too(given_as: object) -> None:
    assert callable(given_as)
    old, new = new_key(), new_key()
    before = SigningKeys(private_pem(old))
    after = SigningKeys(private_pem(new), given_as(old))
    assert [key["kid"] for key in after.jwks()["keys"]] == [after.kid, before.kid]
    assert after.kid != before.kid


def test_the_same_key_twice_is_published_once() -> None:
    pem = private_pem(new_key())
    assert len(SigningKeys(pem, pem).jwks()["keys"]) == 1


def test_other_keys_are_refused_without_showing_them() -> None:
    wrong = [
        "",
        "secret",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
        public_pem(new_key()),
        private_pem(new_key(), b"password"),
        private_pem(ec.generate_private_key(ec.SECP384R1())),
        private_pem(rsa.generate_private_key(65537, 2048)),
    ]
    for pem in wrong:
        with pytest.raises(ValueError, match="signing key") as refused:
            SigningKeys(pem)
        assert "c2VjcmV0" not in str(refused.value)
    for pem in (*wrong[1:3], public_pem(ec.generate_private_key(ec.SECP384R1()))):
        with pytest.raises(ValueError, match="signing key"):
            SigningKeys(private_pem(new_key()), pem)


def test_a_key_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "keys"
    first = SigningKeys(kept_key(folder))
    again = SigningKeys(kept_key(folder))
    assert first.kid == again.kid
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.listdir(folder) == [KEY_FILE]


def test_a_broken_key_file_is_an_error_and_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"\xff\0broken")
    with pytest.raises(ValueError, match="signing key"):
        SigningKeys(kept_key(tmp_path))
    assert (tmp_path / KEY_FILE).read_bytes() == b"\xff\0broken"


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from jan_media.identity.signing_keys import SigningKeys, kept_key;"
        "sys.stdin.read(1); print(SigningKeys(kept_key(Path(sys.argv[1]))).kid)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "keys")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    kids = {process.communicate(timeout=60)[0].strip() for process in started}
    assert len(kids) == 1
    assert "" not in kids
    assert os.listdir(tmp_path / "keys") == [KEY_FILE]
    assert json.dumps(SigningKeys(kept_key(tmp_path / "keys")).jwks()).count(kids.pop()) == 1
