import shutil
import threading
import time

import numpy as np
import pytest

from serving import versions as module
from serving.client import Client, GrpcTransport, RestTransport
from serving.errors import InvalidArgument, NotFound, Unavailable
from serving.up import Endpoint, free_port, stand_in
from serving.version_folders import list_versions
from serving.versions import Versions

HEAT = {"text": np.array([b"Heat"], dtype=object)}


def until(condition):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def rate(versions):
    """4 of the table, plus the version's variable."""
    return versions.get("toy").run("embed", HEAT)["vector"][0, 1]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.2)


@pytest.fixture
def served(tmp_path, make_toy):
    make_toy(tmp_path / "2", bias=0.5, names=["embed"])
    versions = Versions("toy", tmp_path)
    yield versions, tmp_path
    versions.close()


def test_numbers_only_and_as_numbers(tmp_path):
    for name in ("9", "10", "v11", "12.tmp", "-3", "٣"):
        (tmp_path / name).mkdir()
    assert sorted(list_versions(tmp_path)) == [9, 10]
    assert list_versions(tmp_path / "gone") == []


def test_a_new_version_is_swapped_in_without_a_gap(served, make_toy, tmp_path_factory):
    versions, folder = served
    staged = make_toy(tmp_path_factory.mktemp("staged") / "x", bias=1.0, names=["embed"])
    seen, stop = [], threading.Event()

    def keep_asking():
        while not stop.is_set():
            seen.append(float(rate(versions)))

    asker = threading.Thread(target=keep_asking)
    asker.start()
    try:
        until(lambda: len(seen) > 3)
        staged.rename(folder / "10")  # more than 2 as a number, less as a text
        until(lambda: versions.get("toy").version == 10)
        count = len(seen)
        until(lambda: len(seen) > count + 3)
    finally:
        stop.set()
        asker.join()
    assert set(seen) == {4.5, 5.0}
    assert seen == sorted(seen)  # never back to the old one
    assert asker.is_alive() is False


def test_a_request_under_way_ends_on_the_old_version(served, make_toy):
    versions, folder = served
    old = versions.get("toy")
    make_toy(folder / "3", bias=1.0, names=["embed"])
    until(lambda: versions.get("toy").version == 3)
    assert old.run("embed", HEAT)["vector"][0, 1] == 4.5


def test_a_half_copied_version_is_tried_again(served, make_toy, tmp_path_factory, capfd):
    versions, folder = served
    whole = make_toy(tmp_path_factory.mktemp("staged") / "x", bias=1.0, names=["embed"])
    (folder / "3").mkdir()
    time.sleep(0.6)  # several polls and retries
    assert rate(versions) == 4.5
    error = capfd.readouterr().err
    assert error.count("version 3 is not served") == 1
    shutil.copytree(whole, folder / "3", dirs_exist_ok=True)
    until(lambda: versions.get("toy").version == 3)
    assert rate(versions) == 5.0


def test_a_file_that_goes_while_a_version_is_read_ends_no_watching(tmp_path, make_toy):
    """A writer's temporary file is seen by the gate's listing and gone a moment later."""
    make_toy(tmp_path / "2", bias=0.5, names=["embed"])
    calls = []

    def gate(folder):
        calls.append(folder.name)
        if calls.count("3") == 1:
            (folder / "fingerprint.pb.tmp").lstat()

    versions = Versions("toy", tmp_path, gate=gate)
    try:
        make_toy(tmp_path / "3", bias=1.0, names=["embed"])
        until(lambda: versions.get("toy").version == 3)
        assert calls.count("3") == 2
    finally:
        versions.close()


def test_what_is_not_served(served):
    versions, _ = served
    assert versions.get("toy", 2).version == 2
    with pytest.raises(NotFound, match=r"Latest\(films\)"):
        versions.get("films")
    with pytest.raises(NotFound, match=r"Specific\(toy, 1\)"):
        versions.get("toy", 1)
    with pytest.raises(InvalidArgument, match="label: new"):
        versions.get("toy", label="new")


def test_a_start_without_a_version(tmp_path):
    with pytest.raises(NotFound, match="gone is no folder"):
        Versions("toy", tmp_path / "gone")
    with pytest.raises(NotFound, match="holds no version"):
        Versions("toy", tmp_path)
    (tmp_path / "1").mkdir()
    with pytest.raises(Unavailable, match="cannot be loaded"):
        Versions("toy", tmp_path)


def test_what_is_no_version(tmp_path):
    for name in ("007", "9" * 30):
        (tmp_path / name).mkdir()
    (tmp_path / "8").write_text("a file")
    (tmp_path / "0").mkdir()
    assert list_versions(tmp_path) == [0]


def test_the_older_version_comes_back_when_the_new_one_goes(served, make_toy, tmp_path):
    versions, folder = served
    make_toy(folder / "3", bias=1.0, names=["embed"])
    until(lambda: versions.get("toy").version == 3)
    shutil.rmtree(folder / "3")
    until(lambda: versions.get("toy").version == 2)
    assert rate(versions) == 4.5


def test_a_folder_that_goes_takes_nothing_down(served, monkeypatch):
    versions, folder = served
    shutil.rmtree(folder)
    time.sleep(0.2)
    assert rate(versions) == 4.5

    def gone(_):
        raise FileNotFoundError(folder)

    monkeypatch.setattr(module, "list_versions", gone)
    time.sleep(0.2)
    assert versions._thread.is_alive()


@pytest.mark.parametrize("broken", ["cut", "noise", "empty", "no variables"])
def test_a_broken_new_version_keeps_the_old_one(served, make_toy, broken, capfd):
    versions, folder = served
    new = make_toy(folder.parent / f"{folder.name}-staged", bias=1.0, names=["embed"])
    graph = new / "saved_model.pb"
    if broken == "cut":
        graph.write_bytes(graph.read_bytes()[:2000])
    elif broken == "noise":
        graph.write_bytes(bytes(range(256)) * 20)
    elif broken == "empty":
        graph.write_bytes(b"")
    else:
        shutil.rmtree(new / "variables")
    new.rename(folder / "3")
    said = []

    def told():
        said.append(capfd.readouterr().err)
        return "version 3 is not served: " in "".join(said)

    until(told)
    assert versions.get("toy").version == 2
    assert rate(versions) == 4.5
    assert "Traceback" not in "".join(said)


def test_no_request_fails_over_either_protocol_while_versions_change(
    make_toy, tmp_path, tmp_path_factory
):
    make_toy(tmp_path / "1", bias=1.0, names=["embed"])
    where = Endpoint(free_port(), free_port(), "toy", "stand-in")
    seen, failures, stop = [set(), set()], [], threading.Event()

    def ask(place):
        host = "127.0.0.1"
        grpc, rest = f"{host}:{where.grpc_port}", f"http://{host}:{where.rest_port}"
        client = Client(RestTransport(rest, "toy") if place else GrpcTransport(grpc, "toy"))
        while not stop.is_set():
            try:
                seen[place].add(float(client.embed(["Heat"])[0, 1]))
            except Exception as error:
                failures.append(error)
        client.close()

    with stand_in(tmp_path, where):
        askers = [threading.Thread(target=ask, args=(place,)) for place in (0, 1)]
        for asker in askers:
            asker.start()
        try:
            for version in (2, 3):
                name = f"{version}"
                staged = make_toy(tmp_path_factory.mktemp("staged") / name, bias=float(version))
                staged.rename(tmp_path / name)
                until(lambda v=version: all(4.0 + v in rates for rates in seen))
        finally:
            stop.set()
            for asker in askers:
                asker.join()
    assert failures == []
    assert seen == [{5.0, 6.0, 7.0}] * 2
