import hashlib
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from serving.errors import InvalidArgument, NotFound
from serving.gateway_auth import Buckets, Door, Keys, new_key
from serving.gateway_settings import Access, Jwt
from tests.serving.gateway_world import ByHand, make_settings, open_client

SECRET = "s" * 40


def claims(**changes):
    now = int(time.time())
    made = {"iss": "us", "aud": "ssrec", "sub": "bob@example.com", "exp": now + 60}
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


@pytest.fixture
def door(tmp_path):
    (tmp_path / "jwt").write_text(SECRET)
    pinned = Jwt(algorithm="HS256", key=tmp_path / "jwt", issuer="us", audience="ssrec")
    return Door(Access(jwt=pinned))


def bearer(token):
    return {b"authorization": b"Bearer " + token.encode()}


def test_a_valid_token_gets_in_and_its_subject_is_not_told(door):
    caller = door.find(bearer(jwt.encode(claims(), SECRET, "HS256")))
    assert caller.name.startswith("jwt-")
    assert "bob" not in caller.name


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "them"},
        {"aud": "other"},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"sub": None},
        {"aud": None},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_a_token_with_other_claims_does_not(door, changes):
    assert door.find(bearer(jwt.encode(claims(**changes), SECRET, "HS256"))) is None


def test_the_algorithm_is_pinned(door, tmp_path):
    assert door.find(bearer(jwt.encode(claims(), None, "none"))) is None
    assert door.find(bearer(jwt.encode(claims(), SECRET * 2, "HS512"))) is None
    assert door.find(bearer(jwt.encode(claims(), "x" * 40, "HS256"))) is None
    # The classic confusion: an RSA public key, which everybody has, used as a shared secret.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "pem").write_bytes(public)
    pinned = Jwt(algorithm="RS256", key=tmp_path / "pem", issuer="us", audience="ssrec")
    other = Door(Access(jwt=pinned))
    assert other.find(bearer(jwt.encode(claims(), key, "RS256")))
    import base64
    import hmac as hmac_
    import json

    def part(body):
        return base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=")

    head = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims())
    mac = hmac_.new(public.strip(), head, hashlib.sha256).digest()
    forged = head + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")
    assert other.find(bearer(forged.decode())) is None


@pytest.mark.parametrize("token", ["a.b.c", "..", "x" * 9000, "é.é.é", ""])
def test_what_is_no_token(door, token):
    assert door.find({b"authorization": b"Bearer " + token.encode("latin-1")}) is None
    assert door.find({b"authorization": b"Basic " + token.encode("latin-1")}) is None


def test_keys_are_found_by_their_hash(tmp_path):
    key, line = new_key("shop")
    assert line == f"shop {hashlib.sha256(key.encode()).hexdigest()}"
    (tmp_path / "keys").write_text(f"# who\n{line}  # since May\n\n")
    keys = Keys.load(tmp_path / "keys")
    assert keys.find(key).name == "shop"
    assert keys.find(key + "x") is None
    assert keys.find("") is None
    assert key not in (tmp_path / "keys").read_text()


def test_bad_key_files_and_names(tmp_path):
    (tmp_path / "keys").write_text("shop 1234\n")
    with pytest.raises(InvalidArgument, match="line 1 is not NAME SHA256") as raised:
        Keys.load(tmp_path / "keys")
    assert "1234" not in str(raised.value)
    with pytest.raises(NotFound):
        Keys.load(tmp_path / "none")
    with pytest.raises(InvalidArgument, match="letters, digits"):
        new_key("two words")
    (tmp_path / "jwt").write_text("short")
    pinned = Jwt(algorithm="HS256", key=tmp_path / "jwt", issuer="us", audience="ssrec")
    with pytest.raises(InvalidArgument, match="fewer than 32 bytes"):
        Door(Access(jwt=pinned))


def test_a_bucket_fills_at_its_rate():
    now = [0.0]
    buckets = Buckets(2.0, 3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0  # a bucket of their own
    now[0] = 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") > 0
    now[0] = 1e6
    assert [buckets.take("a") for _ in range(4)][:3] == [0, 0, 0]
    assert buckets.take("a") > 0


def test_nobody_gets_in_unless_named(tmp_path, described):
    settings = make_settings(tmp_path, described)
    bare = settings.model_copy(update={"access": Access()})
    body = {"candidates": [{"id": "h"}]}
    with open_client(bare, ByHand()) as client:
        answer = client.post("/v1/rank", json=body)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    with open_client(settings, ByHand(), key=None) as client:
        for path in ("/v1/rank", "/nowhere", "/metrics"):
            assert client.post(path, json=body).status_code == 401
        wrong = client.post("/v1/rank", json=body, headers={"X-API-Key": "x"})
        assert wrong.status_code == 401


def test_a_key_has_its_rate(tmp_path, described):
    settings = make_settings(tmp_path, described, access={"rate": 0.1, "burst": 2})
    with open_client(settings, ByHand()) as client:
        body = {"candidates": [{"id": "h"}]}
        answers = [client.post("/v1/score", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 10
