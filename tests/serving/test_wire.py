"""mTLS to a server that asks for it; certificates are made here."""

import datetime

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serving.errors import InvalidArgument, Unavailable
from serving.retrying import NO_RETRIES
from serving.server_configs import read_ssl, ssl_message, write
from serving.transports import GrpcTransport
from serving.up import Endpoint, free_port, stand_in
from serving.wire import load_credentials

TEXT = {"text": np.array([b"a"], dtype=object)}


class Authority:
    """Signs certificates for localhost."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self.key.public_key(), authority=True)
        self.path = self._write(f"{name}.pem", self.certificate.public_bytes(PEM))

    def issue(self, name):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key.public_key(), authority=False)
        private = key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return (
            self._write(f"{name}.crt", certificate.public_bytes(PEM)),
            self._write(f"{name}.key", private),
        )

    def _sign(self, name, public, *, authority):
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(authority, None), True)
            .sign(self.key, hashes.SHA256())
        )

    def _write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path


PEM = serialization.Encoding.PEM


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "ours")


@pytest.fixture
def port(authority, toy, tmp_path):
    settings = tmp_path / "ssl.config"
    write(settings, ssl_message(*authority.issue("server"), authority.path), secret=True)
    where = Endpoint(free_port(), free_port(), "toy", "stand-in", ssl=settings)
    with stand_in(toy, where):
        yield where.grpc_port


def ask(port, credentials):
    transport = GrpcTransport(
        f"localhost:{port}", "toy", timeout=3.0, retries=NO_RETRIES, credentials=credentials
    )
    try:
        return transport.predict("embed", TEXT)
    finally:
        transport.close()


def test_both_sides_show_who_they_are(authority, port):
    answer = ask(port, load_credentials(authority.path, *authority.issue("gateway")))
    assert answer["vector"].tolist() == [[3.0, 3.25]]


def test_nobody_else_gets_in(authority, port, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "theirs")
    for credentials in (
        None,
        load_credentials(authority.path),
        load_credentials(authority.path, *other.issue("gateway")),
        load_credentials(other.path, *authority.issue("gateway")),
    ):
        with pytest.raises(Unavailable):
            ask(port, credentials)


@pytest.mark.parametrize(
    ("text", "message"), [("x: 1", "is no SSLConfig"), ('server_key: "k"', "lacks server_key or")]
)
def test_settings_that_are_none(tmp_path, text, message):
    (tmp_path / "ssl.config").write_text(text)
    with pytest.raises(InvalidArgument, match=message):
        read_ssl(tmp_path / "ssl.config")
