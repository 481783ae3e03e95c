"""REST as TensorFlow Serving speaks it: raw bytes in, JSON out, never a Python trace."""

import http.client
import json
import math
import socket

import numpy as np
import pytest

from serving import rest_server
from serving.errors import ServingError

pytestmark = pytest.mark.conformance

MODEL = "/v1/models/toy"


@pytest.fixture
def call(endpoint):
    """Send one request; give the status and the answer's JSON."""

    def send(path, body=None, *, method=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", endpoint.rest_port, timeout=20)
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        connection.request(method, path, raw, headers or {})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        assert response.headers["Content-Type"] == "application/json"
        assert "Traceback" not in text
        assert '.py"' not in text
        return response.status, json.loads(text)

    return send


@pytest.fixture
def predict(call):
    return lambda body, where=MODEL: call(f"{where}:predict", body)


def raw_exchange(port, request):
    """What the server sends back to these bytes until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer.decode()


def test_columns(predict):
    # Heat is 4 in the toy's table, an unknown item 3; the variable adds 0.25, a letter adds 1.
    status, body = predict({"inputs": {"behaviour": ["", "ab"], "item": ["Heat", "x"]}})
    assert status == 200
    assert list(body) == ["outputs"]
    assert set(body["outputs"]) == {"rating", "click_probability"}
    assert body["outputs"]["rating"] == [4.25, 5.25]


def test_rows(predict):
    rows = [{"behaviour": "", "item": "Heat"}, {"behaviour": "a", "item": "Toy Story"}]
    status, body = predict({"signature_name": "serving_default", "instances": rows})
    assert status == 200
    assert list(body) == ["predictions"]
    assert [set(row) for row in body["predictions"]] == [{"rating", "click_probability"}] * 2
    assert [row["rating"] for row in body["predictions"]] == [4.25, 6.25]


def test_a_single_input_and_a_single_output_stand_without_names(predict):
    vectors = [[4.0, 4.25], [3.0, 3.25]]
    assert predict({"signature_name": "embed", "inputs": ["Heat", "?"]}) == (
        200,
        {"outputs": vectors},
    )
    named = {"signature_name": "embed", "inputs": {"text": ["Heat", "?"]}}
    assert predict(named) == (200, {"outputs": vectors})
    assert predict({"signature_name": "embed", "instances": ["Heat", "?"]}) == (
        200,
        {"predictions": vectors},
    )


def test_matrices_and_versions(predict):
    inputs = {
        "user": ["u"],
        "history": [["Heat", ""]],
        "history_ratings": [[2, 0.5]],
        "history_times": [[0, 0]],
        "now": [0],
        "candidates": [["x", "Toy Story", "Heat"]],
    }
    body = {"signature_name": "rank", "inputs": inputs}
    status, answer = predict(body, f"{MODEL}/versions/3")
    assert status == 200
    assert answer["outputs"]["rating"] == [[5.75, 7.75, 6.75]]
    assert answer["outputs"]["ranking"] == [[1, 2, 0]]


def test_a_scalar_goes_in_columns_only(predict):
    columns = {"text": ["a", "b", "c"], "k": 2}
    status, body = predict({"signature_name": "first", "inputs": columns})
    assert (status, body) == (200, {"outputs": ["a", "b"]})
    rows = [{"text": "", "k": 2}]
    status, body = predict({"signature_name": "first", "instances": rows})
    assert status == 400
    assert "k has shape [1], expected ()" in body["error"]


def test_base64_in_and_out(predict):
    # Outputs named *_bytes are base64; others are text, what is no UTF-8 being replaced.
    body = {"signature_name": "echo", "inputs": {"text": [{"b64": "/w=="}, "é"]}}
    status, answer = predict(body)
    assert status == 200
    assert answer["outputs"]["raw_bytes"] == [{"b64": "/w=="}, {"b64": "w6k="}]
    assert answer["outputs"]["text"][0] == "\ufffd"
    rows = {"signature_name": "echo", "instances": [{"b64": "YQ=="}]}
    assert predict(rows)[1]["predictions"] == [{"raw_bytes": {"b64": "YQ=="}, "text": "A"}]


def test_a_float_is_written_in_its_own_shortest_form(predict):
    # 3 + 0.25 + the rating: as a float64 it would be 3.3499999046325684.
    inputs = {
        "user": ["u"],
        "history": [[""]],
        "history_ratings": [[0.1]],
        "history_times": [[0]],
        "now": [0],
        "candidates": [["x"]],
    }
    status, body = predict({"signature_name": "rank", "inputs": inputs})
    assert (status, body["outputs"]["rating"]) == (200, [[3.35]])


def test_nan_goes_in_and_out(predict):
    inputs = {
        "user": ["u"],
        "history": [[""]],
        "history_ratings": [[math.nan]],
        "history_times": [[0]],
        "now": [0],
        "candidates": [["x"]],
    }
    status, body = predict({"signature_name": "rank", "inputs": inputs})
    assert status == 200
    assert math.isnan(body["outputs"]["rating"][0][0])


PAIR = {"behaviour": [""], "item": [""]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error"),
        (b"{", "JSON Parse error"),
        (b"\xff\xfe", "JSON Parse error"),
        (b"[" * 100_000, "JSON Parse error"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", "JSON Parse error"),
        ([], "must be an object"),
        ({}, 'Missing "instances" or "inputs"'),
        ({"instances": [{}], "inputs": {}}, 'Missing "instances" or "inputs"'),
        ({"signature_name": 3, "inputs": PAIR}, "signature_name must be a string"),
        ({"signature_name": "no", "inputs": PAIR}, 'name: "no" not found'),
        ({"inputs": {"item": [""]}}, "Missing named input: behaviour in 'inputs' object."),
        ({"inputs": {}}, "Missing named input"),
        ({"instances": [{"behaviour": "", "item": "", "colour": ""}]}, "equal to: behaviour,item"),
        ({"instances": [{"item": ""}]}, "equal to: behaviour,item"),
        ({"inputs": ["a"]}, "must be an object with the keys ['behaviour', 'item']"),
        ({"instances": []}, "at least one row"),
        ({"instances": "a"}, "at least one row"),
        ({"instances": ["a"]}, "rows must be objects with the keys"),
        ({"instances": [{"behaviour": "", "item": ""}, {"item": ""}]}, "element: 1"),
        ({"inputs": {**PAIR, "item": [3]}}, "item is not string: 3 is not a string"),
        ({"inputs": {**PAIR, "item": [None]}}, "null is not a string"),
        ({"inputs": {**PAIR, "item": [{"a": 1}]}}, "an object is not a string"),
        ({"inputs": {**PAIR, "item": [{"b64": "?"}]}}, "b64"),
        ({"inputs": {**PAIR, "item": [{"b64": "é"}]}}, "b64"),
        ({"inputs": {**PAIR, "item": [["a"]]}}, "item has shape [1, 1], expected (None,)"),
        ({"inputs": {**PAIR, "item": "a"}}, "item has shape []"),
        ({"inputs": {**PAIR, "item": [["a"], []]}}, "lists of unequal length"),
        ({"inputs": {**PAIR, "item": [["a"], "a"]}}, "lists of unequal length"),
        ({"inputs": {**PAIR, "item": ["a", ["a"]]}}, "lists of unequal length"),
        ({"inputs": {"behaviour": ["", ""], "item": ["a"] * 3}}, "ncompatible shapes"),
    ],
)
def test_a_wrong_body_is_named(predict, body, message):
    status, answer = predict(body)
    assert status == 400
    assert message in answer["error"]
    assert list(answer) == ["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("depth", [100, 400, 900])
def test_deep_nesting_is_refused_where_json_still_reads_it(predict, depth):
    raw = b'{"inputs": {"behaviour": [""], "item": ' + b"[" * depth + b"]" * depth + b"}}"
    status, answer = predict(raw)
    assert status == 400
    assert "nested deeper" in answer["error"] or "JSON Parse error" in answer["error"]


@pytest.mark.parametrize(
    ("k", "message"),
    [
        ("2", "is not a number"),
        (True, "is not a number"),
        (1.5, "1.5 is not an integer"),
        (2**31, "outside"),
        (-(10**400), "outside"),
        ([[1], [2, 3]], "lists of unequal length"),
        (9, "k is larger than 3"),
    ],
)
def test_a_number_is_refused_rather_than_changed(predict, k, message):
    # 2**31 cut to an int32 would be a negative k.
    inputs = {"text": [""], "k": k}
    status, answer = predict({"signature_name": "first", "inputs": inputs})
    assert status == 400
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("given", "got"), [(1435774380, 1435774336.0), (1e39, math.inf), (-1e39, -math.inf)]
)
def test_a_float_is_rounded(predict, given, got):
    # FloatTensorWithPrecisionLoss and FloatTensorThatExceedsMaxReturnsInf of the real server's
    # tests; 1435774380 lies between the float32s 1435774336 and 1435774464.
    inputs = {
        "user": ["u"],
        "history": [[""]],
        "history_ratings": [[given]],
        "history_times": [[0]],
        "now": [0],
        "candidates": [["x"]],
    }
    status, answer = predict({"signature_name": "rank", "inputs": inputs})
    assert status == 200
    assert np.float32(answer["outputs"]["rating"]) == np.float32(got)


def test_a_number_beyond_every_float_is_refused(predict):
    inputs = {
        "user": ["u"],
        "history": [[""]],
        "history_ratings": [[10**400]],
        "history_times": [[0]],
        "now": [0],
        "candidates": [["x"]],
    }
    status, answer = predict({"signature_name": "rank", "inputs": inputs})
    assert status == 400
    assert "history_ratings is not float32" in answer["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/other:predict", 404),
        (f"{MODEL}/versions/9:predict", 404),
        (f"{MODEL}/labels/stable:predict", 400),
        (f"{MODEL}/versions/{'9' * 30}:predict", 400),
        (f"{MODEL}/versions/{'9' * 5000}:predict", 400),
        (f"{MODEL}/versions/x:predict", 400),
        (f"{MODEL}:train", 400),
        (f"{MODEL}:classify", 400),
        (f"{MODEL}:regress", 400),
        (MODEL, 400),
    ],
)
def test_post_elsewhere(call, path, status):
    got, body = call(path, {"inputs": PAIR})
    assert got == status
    assert body["error"]


def test_a_column_too_many_is_ignored(predict):
    # FillTensorMapFromInputsMap reads the signature's names only.
    status, body = predict({"inputs": {**PAIR, "colour": [1]}})
    assert (status, body["outputs"]["rating"]) == (200, [3.25])


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/V1/Models/t%6Fy", 200, None),
        ("/v1/MODELS/toy/Versions/3/METADATA", 200, None),
        ("/v1/models/TOY", 404, "Could not find any versions of model TOY"),
        (f"{MODEL}/versions/2", 404, "Could not find version 2 of model toy"),
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/", 400, "Malformed request: GET /v1/models/"),
        ("/v2/models/toy", 404, "/v2/models/toy is not served; paths begin with /v1/models/"),
    ],
)
def test_get_paths(call, path, status, error):
    got, body = call(path)
    assert (got, body.get("error")) == (status, error)


def test_get_of_predict_is_malformed(call):
    status, body = call(f"{MODEL}:predict")
    assert status == 400
    assert body["error"] == f"Malformed request: GET {MODEL}:predict"


def test_status(call):
    # The form of TensorFlow Serving's own documentation: snake case, and OK said aloud.
    assert call(MODEL) == (
        200,
        {
            "model_version_status": [
                {
                    "version": "3",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        },
    )
    assert call(f"{MODEL}/versions/3?x=1")[0] == 200
    assert call(f"{MODEL}/versions/2")[0] == 404
    assert call("/v1/models/other")[0] == 404
    assert call(f"{MODEL}/labels/new")[0] == 200  # GetModelStatusImpl looks at the version only
    assert call(f"{MODEL}/labels/new/metadata")[0] == 400


def test_metadata(call):
    status, body = call(f"{MODEL}/metadata")
    assert status == 200
    assert body["model_spec"] == {"name": "toy", "signature_name": "", "version": "3"}
    assert list(body["metadata"]["signature_def"]) == ["signature_def"]
    signatures = body["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "rank", "embed", "recommend"} <= set(signatures)
    item = signatures["serving_default"]["inputs"]["item"]
    assert item["dtype"] == "DT_STRING"
    assert [dim["size"] for dim in item["tensor_shape"]["dim"]] == ["-1"]
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_in_json(call, method):
    status, body = call(MODEL, method=method)
    assert 400 <= status < 600
    assert method in body["error"]


@pytest.mark.parametrize("length", ["abc", "-1", "\xb2", "1" * 5000, "999999999", "1, 2", None])
def test_a_bad_content_length(endpoint, length):
    head = f"POST {MODEL}:predict HTTP/1.1\r\nHost: x\r\n"
    head += "" if length is None else f"Content-Length: {length}\r\n"
    answer = raw_exchange(endpoint.rest_port, head.encode("latin-1") + b"\r\n{}")
    assert answer.startswith("HTTP/1.1 400 ")
    assert "Content-Length is " in answer
    assert answer.count("HTTP/1.1") == 1  # the rest is not read as a second request
    assert "Traceback" not in answer


def test_a_body_of_get_is_no_second_request(endpoint):
    inner = f"GET {MODEL} HTTP/1.1\r\n\r\n"
    request = f"GET {MODEL} HTTP/1.1\r\nContent-Length: {len(inner)}\r\n\r\n{inner}"
    answer = raw_exchange(endpoint.rest_port, request.encode())
    assert answer.count("HTTP/1.1 200") == 1


def test_a_client_that_leaves_hurts_nobody(endpoint, call, capfd):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", endpoint.rest_port)) as connection:
            connection.sendall(
                f"POST {MODEL}:predict HTTP/1.1\r\nContent-Length: 50\r\n\r\n{{".encode()
            )
    assert call(MODEL)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_broken_head_is_answered_in_json(endpoint):
    answer = raw_exchange(endpoint.rest_port, b"NONSENSE\r\n\r\n")
    assert '{"error": ' in answer
    assert "<html" not in answer.lower()


def test_a_connection_is_kept(endpoint):
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.rest_port, timeout=20)
    for path in (MODEL, "/v1/models/other", MODEL):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert not response.will_close
    connection.close()


def test_many_at_once(predict, in_threads):
    def work(place):
        status, body = predict({"inputs": {"behaviour": ["a" * place], "item": ["Heat"]}})
        assert (status, body["outputs"]["rating"]) == (200, [4.25 + place])

    assert in_threads(work, 24) == []


@pytest.mark.parametrize("error", [KeyError("secret/path.py"), MemoryError("secret")])
@pytest.mark.usefixtures("inside")
def test_a_fault_of_ours_says_nothing_of_the_inside(predict, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(rest_server, "parse_request", fail)
    status, body = predict({"inputs": PAIR})
    assert status == 500
    assert "secret" not in body["error"]


@pytest.mark.usefixtures("inside")
def test_a_failing_graph_is_500(predict, monkeypatch):
    def fail(*_):
        raise ServingError("the graph failed")

    monkeypatch.setattr(rest_server, "parse_request", fail)
    assert predict({"inputs": PAIR}) == (500, {"error": "the graph failed"})


@pytest.mark.usefixtures("inside")
def test_a_taken_port(endpoint):
    assert rest_server.start(None, "127.0.0.1", endpoint.rest_port) is None


def test_head_has_no_body(endpoint):
    answer = raw_exchange(endpoint.rest_port, f"HEAD {MODEL} HTTP/1.1\r\n\r\n".encode())
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 501")
    assert body == ""
