"""Canary, promotion and the way back, on a running stand-in and in the file alone."""

import time

import numpy as np
import pytest

from serving import versions as versions_module
from serving.__main__ import main
from serving.errors import FailedPrecondition, InvalidArgument, NotFound
from serving.releases import Releases
from serving.server_configs import Release, models_message, read_models, write
from serving.transports import GrpcTransport, RestTransport
from serving.up import Endpoint, free_port, stand_in
from serving.versions import Versions
from serving.wire import Which

HEAT = {"text": np.array([b"Heat"], dtype=object)}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(versions_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(versions_module, "RETRY_SECONDS", 0.2)


@pytest.fixture(scope="module")
def three(tmp_path_factory, make_toy):
    folder = tmp_path_factory.mktemp("three")
    for version in (1, 2, 3):
        make_toy(folder / str(version), bias=float(version), names=["embed"])
    return folder


@pytest.fixture
def served(three, tmp_path):
    config = tmp_path / "models.config"
    write(config, models_message("toy", str(three), Release((1,), {"stable": 1})))
    where = Endpoint(free_port(), free_port(), "toy", "stand-in", config=config)
    with stand_in(three, where):
        address = f"127.0.0.1:{where.grpc_port}"
        transport = GrpcTransport(address, "toy")
        yield Releases(config, three, name="toy", server=address), transport, where
        transport.close()


def ask(transport, which):
    """Bit for bit: the version's variable is in it."""
    return next(iter(transport.predict("embed", HEAT, which=which).values())).tobytes()


def test_a_canary_its_promotion_and_the_way_back(served):
    releases, transport, where = served
    before = ask(transport, Which(label="stable"))
    releases.release(1, canary=3)
    assert ask(transport, Which(label="stable")) == before
    canary = ask(transport, Which(label="canary"))
    assert canary != before
    rest = RestTransport(f"http://127.0.0.1:{where.rest_port}", "toy")
    [row] = rest.predict("embed", HEAT, which=Which(label="canary")).values()
    assert row.tolist() == [[4.0, 7.0]]
    assert releases.release(3).versions == (1, 3)
    assert ask(transport, Which(label="stable")) == canary
    with pytest.raises(InvalidArgument, match="label: canary"):
        transport.predict("embed", HEAT, which=Which(label="canary"))


def test_ten_of_ten_rollbacks_are_quick_and_bit_equal(served):
    releases, transport, _ = served
    good = ask(transport, Which(label="stable"))
    for _ in range(10):
        releases.release(3)
        assert ask(transport, Which(label="stable")) != good
        began = time.monotonic()
        releases.rollback(1)
        assert ask(transport, Which(label="stable")) == good
        assert time.monotonic() - began < 5.0


def test_rollback_drops_the_canary_first_then_goes_to_the_older_one(served):
    releases, transport, _ = served
    releases.release(3, canary=2)
    assert releases.rollback().labels == {"stable": 3}
    assert releases.rollback().labels == {"stable": 2}
    assert transport.predict("embed", HEAT, which=Which(label="stable")).version == 2
    assert releases.rollback().labels == {"stable": 1}
    with pytest.raises(InvalidArgument, match="nothing older than version 1"):
        releases.rollback()
    with pytest.raises(NotFound, match="not version 9"):
        releases.rollback(9)


def test_the_file_alone_is_enough_for_a_server_that_rereads_it(served, three, capsys):
    releases, transport, _ = served
    config = str(releases._config)
    arguments = [str(three), "--config", config, "--name", "toy"]
    assert main(["release", *arguments, "--stable", "2"]) == 0
    assert '"stable": 2' in capsys.readouterr().out
    assert read_models(releases._config, "toy")[0].labels == {"stable": 2}
    until = time.monotonic() + 10
    while transport.predict("embed", HEAT, which=Which(label="stable")).version != 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert main(["rollback", *arguments]) == 0
    assert main(["rollback", *arguments, "--to", "8"]) == 2
    assert "not version 8" in capsys.readouterr().err


def test_a_label_needs_a_version_that_answers(three):
    versions = Versions("toy", three, release=Release((1,), {"stable": 1}))
    try:
        with pytest.raises(FailedPrecondition, match="label: canary: 3"):
            versions.change(Release((1, 3), {"canary": 3}))
        assert versions.get("toy", label="stable").version == 1
        assert versions.available() == [1]
    finally:
        versions.close()


def test_a_broken_file_changes_nothing(three, tmp_path, capfd):
    config = tmp_path / "models.config"
    write(config, models_message("toy", str(three), Release((1,))))
    where = Endpoint(free_port(), free_port(), "toy", "stand-in", config=config)
    with stand_in(three, where):
        config.write_text("oops {")
        time.sleep(0.3)
        transport = GrpcTransport(f"127.0.0.1:{where.grpc_port}", "toy")
        assert transport.predict("embed", HEAT).version == 1
        transport.close()
    assert "the release stays as it is" in capfd.readouterr().err


def test_a_gate_keeps_a_version_out(three, tmp_path, make_toy):
    from serving.errors import Untrusted
    from serving.manifest import new_keys, sign

    new_keys(tmp_path / "private", tmp_path / "public")
    folder = tmp_path / "versions"
    sign(make_toy(folder / "1", bias=1.0, names=["embed"]), tmp_path / "private")
    where = Endpoint(free_port(), free_port(), "toy", "stand-in", key=tmp_path / "public")
    with stand_in(folder, where):
        transport = GrpcTransport(f"127.0.0.1:{where.grpc_port}", "toy")
        make_toy(folder / "2", bias=2.0, names=["embed"])  # nobody signed it
        time.sleep(0.5)
        assert transport.predict("embed", HEAT).version == 1
        sign(folder / "2", tmp_path / "private")
        until = time.monotonic() + 10
        while transport.predict("embed", HEAT).version != 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        transport.close()
    (folder / "2" / "more").write_text("")
    with pytest.raises(Exception, match="not in the manifest"), stand_in(folder, where):
        pass
    assert Untrusted.exit_code == 1
