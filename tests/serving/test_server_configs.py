"""Settings that TensorFlow Serving reads: parsed by its own messages."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.__main__ import main
from serving.errors import InvalidArgument, NotFound
from serving.server_configs import (
    Release,
    atomic_write,
    batching_message,
    models_message,
    monitoring_message,
    read_models,
    ssl_message,
    write,
)
from serving.server_protos import message


def test_models_config_by_the_servers_own_message(tmp_path):
    path = tmp_path / "models.config"
    release = Release((4, 3), {"stable": 3, "canary": 4})
    write(path, models_message("ssrec", "/models/ssrec", release))
    body = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    [model] = body.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (
        "ssrec",
        "/models/ssrec",
        "tensorflow",
    )
    assert list(model.model_version_policy.specific.versions) == [3, 4]
    assert dict(model.version_labels) == {"stable": 3, "canary": 4}
    assert read_models(path, "ssrec") == (Release((3, 4), release.labels), "/models/ssrec")
    latest = models_message("ssrec", "/x", Release()).model_config_list.config[0]
    assert not latest.HasField("model_version_policy")


def test_files_that_are_none(tmp_path):
    path = tmp_path / "models.config"
    with pytest.raises(NotFound):
        read_models(path, "ssrec")
    path.write_text("model_config_list { oops")
    with pytest.raises(InvalidArgument, match=r"models\.config is no ModelServerConfig"):
        read_models(path, "ssrec")
    path.write_text("")
    with pytest.raises(NotFound, match=r"name \[\], not ssrec"):
        read_models(path, "ssrec")
    with pytest.raises(InvalidArgument, match="load it, too"):
        Release((3,), {"stable": 4})


# As tensorflow/serving documents its files; written by hand, not by this project.
BATCHING = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 1000000 }
num_batch_threads { value: 8 }
allowed_batch_sizes: 8
allowed_batch_sizes: 64
pad_variable_length_inputs: true
thread_pool_name { value: "pool" }
"""
MONITORING = 'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }'
SSL = 'server_key: "k"\nserver_cert: "c"\ncustom_ca: "a"\nclient_verify: false\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [("BatchingParameters", BATCHING), ("MonitoringConfig", MONITORING), ("SSLConfig", SSL)],
)
def test_documented_files_are_read(name, text):
    body = text_format.Parse(text, message(name)())
    again = text_format.Parse(text_format.MessageToString(body), message(name)())
    assert again == body
    assert body.DESCRIPTOR.full_name == f"tensorflow.serving.{name}"
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text + "\nunheard_of: 1", message(name)())


def test_batching_keeps_the_servers_rules():
    body = batching_message([1, 4, 16], 2)
    assert body.max_batch_size.value == body.allowed_batch_sizes[-1] == 16
    assert not body.pad_variable_length_inputs  # it would repeat the first event of a history
    for sizes, threads in (([], 1), ([4, 1], 1), ([0, 1], 1), ([1, 1], 1), ([1], 0)):
        with pytest.raises(InvalidArgument, match="must increase"):
            batching_message(sizes, threads)


def test_the_command_writes_all_of_them(tmp_path, capsys):
    pem = tmp_path / "x.pem"
    pem.write_text("PEM")
    files = [f"--{name}={pem}" for name in ("certificate", "key", "ca")]
    out = tmp_path / "out"
    assert main(["configs", str(out), "--stable", "3", "--canary", "4", *files]) == 0
    assert "ssl.config" in capsys.readouterr().out
    names = sorted(path.name for path in out.iterdir())
    assert names == ["batching.config", "models.config", "monitoring.config", "ssl.config"]
    assert (out / "ssl.config").stat().st_mode & 0o077 == 0
    ssl = text_format.Parse((out / "ssl.config").read_text(), message("SSLConfig")())
    assert (ssl.server_key, ssl.client_verify) == ("PEM", True)
    assert main(["configs", str(out), "--batch-sizes", "a"]) == 2
    assert main(["configs", str(pem / "x")]) == 2
    assert "cannot be made" in capsys.readouterr().err
    with pytest.raises(NotFound):
        ssl_message(pem, pem, tmp_path / "none")
    assert monitoring_message().prometheus_config.enable


def test_writing_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="cannot be written"):
        atomic_write(tmp_path / "file" / "x", b"")
