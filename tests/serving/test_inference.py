"""Calls that send examples, over gRPC and REST: values by hand, and every refusal."""

import json
import urllib.error
import urllib.request

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.serving.conftest import served

pytestmark = pytest.mark.conformance
EXAMPLES = tf.TensorSpec([None], tf.string, "inputs")
FEATURES = {
    "stars": tf.io.FixedLenFeature([], tf.float32, 0.0),
    "count": tf.io.FixedLenFeature([], tf.int64, 0),
    "text": tf.io.FixedLenFeature([], tf.string, ""),
}
ROWS = [{"stars": 4.0, "count": 2, "text": "ab"}, {"text": "电影"}, {"stars": 1.5}]
VALUES = [26.0, 6.0, 1.5]  # stars + 10 x count + bytes of the text


class Examples(tf.Module):
    def values(self, inputs):
        read = tf.io.parse_example(inputs, FEATURES)
        length = tf.cast(tf.strings.length(read["text"]), tf.float32)
        return read["stars"] + 10.0 * tf.cast(read["count"], tf.float32) + length

    @tf.function(input_signature=[EXAMPLES])
    def regress(self, inputs):
        return {"outputs": self.values(inputs)}

    @tf.function(input_signature=[EXAMPLES])
    def column(self, inputs):
        return {"outputs": self.values(inputs)[:, None]}

    @tf.function(input_signature=[EXAMPLES])
    def classify(self, inputs):
        good = self.values(inputs) / 100.0
        classes = tf.tile([["bad", "good"]], [tf.size(inputs), 1])
        return {"classes": classes, "scores": tf.stack([1.0 - good, good], axis=1)}

    @tf.function(input_signature=[EXAMPLES])
    def scores_alone(self, inputs):
        return {"scores": self.values(inputs)[:, None]}

    @tf.function(input_signature=[EXAMPLES])
    def one_short(self, inputs):
        return {"outputs": self.values(inputs)[1:]}

    @tf.function(input_signature=[EXAMPLES])
    def numbers(self, inputs):
        return {"outputs": tf.cast(self.values(inputs), tf.int32)}

    @tf.function(input_signature=[EXAMPLES])
    def flat_scores(self, inputs):
        return {"scores": self.values(inputs)}

    @tf.function(input_signature=[EXAMPLES])
    def uneven(self, inputs):
        return {"classes": inputs[:, None], "scores": tf.zeros([tf.size(inputs), 2])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def embed(self, text):
        return {"vector": tf.strings.length(text)}

    @tf.function(input_signature=[EXAMPLES, tf.TensorSpec([None], tf.string, "more")])
    def two(self, inputs, more):
        return {"outputs": tf.strings.length(inputs) + tf.strings.length(more)}


NAMES = (
    *("column", "classify", "scores_alone", "one_short", "numbers", "flat_scores"),
    *("uneven", "embed", "two"),
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A server of the model above."""
    folder, model = tmp_path_factory.mktemp("examples"), Examples()
    signatures = {name: getattr(model, name) for name in NAMES}
    tf.saved_model.save(
        model, str(folder / "7"), signatures={**signatures, "serving_default": model.regress}
    )
    with served(folder) as where:
        yield where


@pytest.fixture(scope="module")
def stub(asked):
    with grpc.insecure_channel(f"127.0.0.1:{asked.grpc_port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def example(row):
    made = tf.train.Example()
    for name, value in row.items():
        kind = {"stars": "float_list", "count": "int64_list", "text": "bytes_list"}[name]
        value = value.encode() if isinstance(value, str) else value
        getattr(made.features.feature[name], kind).value.append(value)
    return made


def request(kind, signature="", rows=ROWS, context=None, model="toy"):
    body = kind()
    body.model_spec.name, body.model_spec.signature_name = model, signature
    listed = body.input.example_list
    if context is not None:
        listed = body.input.example_list_with_context
        listed.context.CopyFrom(example(context))
    listed.examples.extend(example(row) for row in rows)
    return body


def tasks(*named, rows=ROWS):
    body = inference_pb2.MultiInferenceRequest()
    for method, signature in named:
        task = body.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "toy", signature
    body.input.example_list.examples.extend(example(row) for row in rows)
    return body


def post(endpoint, verb, body):
    url = f"http://127.0.0.1:{endpoint.rest_port}/v1/models/toy:{verb}"
    try:
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("signature", ["", "column"])
def test_regress(stub, signature):
    answer = stub.Regress(request(regression_pb2.RegressionRequest, signature), timeout=20)
    assert [entry.value for entry in answer.result.regressions] == VALUES
    spec = answer.model_spec
    assert (spec.name, spec.version.value) == ("toy", 7)
    assert spec.signature_name == (signature or "serving_default")


def test_a_context_is_of_all_examples_and_their_own_features_count(stub):
    body = request(regression_pb2.RegressionRequest, rows=ROWS, context={"stars": 100.0})
    answer = stub.Regress(body, timeout=20)
    assert [entry.value for entry in answer.result.regressions] == [26.0, 106.0, 1.5]


def test_classify(stub):
    body = request(classification_pb2.ClassificationRequest, "classify")
    found = stub.Classify(body, timeout=20).result.classifications
    assert [[one.label for one in entry.classes] for entry in found] == [["bad", "good"]] * 3
    scores = [one.score for entry in found for one in entry.classes]
    assert scores == pytest.approx([0.74, 0.26, 0.94, 0.06, 0.985, 0.015], abs=1e-6)
    body = request(classification_pb2.ClassificationRequest, "scores_alone")
    found = stub.Classify(body, timeout=20).result.classifications
    assert [[(one.label, one.score) for one in e.classes] for e in found] == [
        [("", value)] for value in VALUES
    ]


def test_several_on_the_same_examples(stub):
    body = tasks(("regress", ""), ("classify", "classify"))
    first, second = stub.MultiInference(body, timeout=20).results
    assert [entry.value for entry in first.regression_result.regressions] == VALUES
    assert len(second.classification_result.classifications) == 3
    assert second.model_spec.signature_name == "classify"


@pytest.mark.parametrize(
    ("call", "body", "code", "message"),
    [
        ("Regress", request(regression_pb2.RegressionRequest, rows=[]), 3, "Input is empty"),
        ("Regress", request(regression_pb2.RegressionRequest, "two"), 3, "one input Tensor"),
        ("Regress", request(regression_pb2.RegressionRequest, "embed"), 3, "No regression inputs"),
        ("Regress", request(regression_pb2.RegressionRequest, "classify"), 3, "one output Tensor"),
        ("Regress", request(regression_pb2.RegressionRequest, "scores_alone"), 3, "outputs found"),
        ("Regress", request(regression_pb2.RegressionRequest, "one_short"), 3, "3 vs. 2"),
        ("Regress", request(regression_pb2.RegressionRequest, "numbers"), 3, "of DT_FLOAT"),
        ("Regress", request(regression_pb2.RegressionRequest, "no"), 3, "the name: no"),
        ("Regress", request(regression_pb2.RegressionRequest, model="films"), 5, "films"),
        ("Regress", regression_pb2.RegressionRequest(), 3, "Missing ModelSpec"),
        ("Classify", request(classification_pb2.ClassificationRequest), 3, "at least one of"),
        ("Classify", request(classification_pb2.ClassificationRequest, "two"), 3, "one input"),
        (
            "Classify",
            request(classification_pb2.ClassificationRequest, "flat_scores"),
            3,
            "batch_size num_classes",
        ),
        (
            "Classify",
            request(classification_pb2.ClassificationRequest, "uneven"),
            3,
            "1 vs. 2",
        ),
        ("MultiInference", tasks(("regress", ""), ("regress", "")), 3, "Duplicate"),
        ("MultiInference", tasks(("predict", "")), 12, "Unsupported"),
        ("MultiInference", tasks(("classify", "")), 3, "at least one of"),
        ("MultiInference", tasks(("regress", "no")), 3, "not found in model graph"),
        ("MultiInference", tasks(("regress", ""), rows=[]), 3, "Input is empty"),
        ("MultiInference", tasks(), 3, "no name"),
    ],
)
def test_what_is_refused(stub, call, body, code, message):
    with pytest.raises(grpc.RpcError, match=message) as caught:
        getattr(stub, call)(body, timeout=20)
    assert caught.value.code().value[0] == code


def test_over_rest(asked):
    status, body = post(asked, "regress", {"examples": ROWS})
    assert (status, body) == (200, {"results": VALUES})
    rows = [{"count": True}, {"text": {"b64": "AAE="}}, {"stars": [2.5]}]
    sent = {"signature_name": "column", "context": {"stars": 0.5}, "examples": rows}
    assert post(asked, "regress", sent) == (200, {"results": [10.5, 2.5, 2.5]})
    sent = {"signature_name": "classify", "examples": [{"stars": 50.0}]}
    assert post(asked, "classify", sent) == (200, {"results": [[["bad", 0.5], ["good", 0.5]]]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "examples"),
        ({"examples": {}}, "list/array"),
        ({"examples": []}, "empty"),
        ({"examples": [3]}, "must be JSON object"),
        ({"examples": ROWS, "context": "x"}, "must be JSON object"),
        ({"examples": [{"stars": None}]}, "stars"),
        ({"examples": [{"stars": [[1.0]]}]}, "stars"),
        ({"examples": [{"stars": {"x": 1}}]}, "stars"),
        ({"examples": [{"stars": [1.0, 2]}]}, "stars"),
        ({"examples": [{"count": 2**63}]}, "count"),
        ({"examples": [{"stars": "many"}]}, "stars"),  # the graph's own refusal
        ({"examples": ROWS, "signature_name": "two"}, "one input"),
    ],
)
def test_what_is_refused_over_rest(asked, body, message):
    status, answer = post(asked, "regress", body)
    assert status == 400
    assert message in answer["error"]
