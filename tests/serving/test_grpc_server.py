import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import grpc_server
from serving.servable import Servable

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def channel(endpoint):
    with grpc.insecure_channel(f"127.0.0.1:{endpoint.grpc_port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(signature="embed", *, model="toy", version=None, label=None, outputs=(), **inputs):
    body = predict_pb2.PredictRequest()
    body.model_spec.name = model
    body.model_spec.signature_name = signature
    if version is not None:
        body.model_spec.version.value = version
    if label is not None:
        body.model_spec.version_label = label
    body.output_filter.extend(outputs)
    for key, value in inputs.items():
        body.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return body


def arrays(response):
    return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}


def test_predict_and_its_model_spec(stub):
    # The table and the variable by hand: 5 + 0.25 + the 2 bytes of "ab".
    response = stub.Predict(request("", behaviour=["ab"], item=["Toy Story"]), timeout=20)
    assert arrays(response)["rating"].tolist() == [7.25]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("toy", 3, "serving_default")


def test_only_the_outputs_asked_for(stub):
    response = stub.Predict(request("recommend", behaviour=["a"], k=[1], outputs=["items"]))
    assert {key: value.tolist() for key, value in arrays(response).items()} == {
        "items": [[b"Toy Story"]]
    }


def test_bytes_pass_untouched(stub):
    raw = [b"\xff\x00\xfe", b"", b"end\x00"]
    assert arrays(stub.Predict(request("echo", text=raw)))["raw_bytes"].tolist() == raw


def test_an_empty_batch(stub):
    body = request("embed")
    body.inputs["text"].CopyFrom(tf.make_tensor_proto([], dtype=tf.string, shape=[0]))
    assert arrays(stub.Predict(body))["vector"].shape == (0, 2)
    body.model_spec.signature_name = "echo"
    assert arrays(stub.Predict(body))["text"].shape == (0,)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (request(model="other", text=["a"]), "NOT_FOUND", "Servable not found for request: Latest"),
        (request(version=9, text=["a"]), "NOT_FOUND", "Specific(toy, 9)"),
        (request(label="canary", text=["a"]), "INVALID_ARGUMENT", "label: canary"),
        (request("none", text=["a"]), "FAILED_PRECONDITION", 'key "none" not found.'),
        (request(), "INVALID_ARGUMENT", "Missing but required: {text}"),
        (request(text=["a"], more=["b"]), "INVALID_ARGUMENT", "Sent extra: {more}"),
        (request(text=[1.0]), "INVALID_ARGUMENT", "text to be string but it is float32"),
        (request(text=[["a"]]), "INVALID_ARGUMENT", "Tensor text has shape [1, 1]"),
        (request(text=["a"], outputs=["v"]), "INVALID_ARGUMENT", "in the set {vector}"),
        (request(text=["a"], outputs=["vector"] * 2), "INVALID_ARGUMENT", "duplicate output"),
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request("recommend", behaviour=["a"], k=[4]), "INVALID_ARGUMENT", "k is larger than"),
        (request("recommend", behaviour=["a"], k=np.int64(2)), "INVALID_ARGUMENT", "int32"),
    ],
)
def test_refusals(stub, body, code, message):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(body, timeout=20)
    assert caught.value.code().name == code
    assert message in caught.value.details()


def test_a_tensor_that_is_none(stub):
    body = request()
    body.inputs["text"].dtype = 7
    body.inputs["text"].tensor_shape.dim.add(size=3)
    body.inputs["text"].tensor_content = b"x"
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(body, timeout=20)
    assert caught.value.code().name == "INVALID_ARGUMENT"


def test_metadata(stub):
    body = get_model_metadata_pb2.GetModelMetadataRequest()
    body.model_spec.name = "toy"
    body.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(body, timeout=20)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "rank", "embed", "recommend"} <= set(signatures.signature_def)
    k = signatures.signature_def["first"].inputs["k"]
    assert (k.dtype, len(k.tensor_shape.dim)) == (3, 0)  # int32, a scalar
    body.metadata_field.append("weights")
    with pytest.raises(grpc.RpcError, match="weights"):
        stub.GetModelMetadata(body, timeout=20)


def test_status(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    body = get_model_status_pb2.GetModelStatusRequest()
    body.model_spec.name = "toy"
    entry = stub.GetModelStatus(body, timeout=20).model_version_status[0]
    assert (entry.version, entry.State.Name(entry.state)) == (3, "AVAILABLE")
    body.model_spec.version.value = 1
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetModelStatus(body, timeout=20)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "Could not find version 1 of model toy"
    with pytest.raises(grpc.RpcError, match="Missing ModelSpec"):
        stub.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(), timeout=20)


def tensor(dtype, *sizes, **values):
    proto = tf.make_tensor_proto(["a"])
    proto.Clear()
    proto.dtype = dtype
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    for key, value in values.items():
        getattr(proto, key).extend(value)
    return proto


@pytest.mark.parametrize(
    "proto",
    [
        tensor(0, 1, string_val=[b"a"]),
        tensor(99, 1),
        tensor(20, 1),  # a resource
        tensor(7, -1, string_val=[b"a"]),
        tensor(7, 10**12, string_val=[b"a"]),
        tensor(1, 10**9, 10**9, float_val=[1.0]),
    ],
)
def test_a_tensor_that_cannot_be_read(stub, proto):
    # One value may stand for 10**12: a few bytes must not take all memory.
    body = request()
    body.inputs["text"].CopyFrom(proto)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(body, timeout=20)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "\n" not in caught.value.details()


@pytest.mark.usefixtures("inside")
def test_a_fault_of_ours_says_nothing_of_the_inside(stub, monkeypatch):
    def fail(*_):
        raise KeyError("secret/path.py")

    monkeypatch.setattr(Servable, "run", fail)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request(text=["a"]), timeout=20)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details() == "KeyError in the stand-in; report it"


@pytest.mark.usefixtures("inside")
def test_a_taken_port(endpoint):
    assert grpc_server.start(None, f"127.0.0.1:{endpoint.grpc_port}") is None
