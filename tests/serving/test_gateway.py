"""Every route over the application; the model is computed by hand."""

import json

import numpy as np
import pytest

from serving import errors
from tests.serving.gateway_world import ByHand, make_settings, open_client, wait_ready


@pytest.fixture
def model():
    return ByHand()


@pytest.fixture
def settings(tmp_path, described):
    return make_settings(tmp_path, described)


@pytest.fixture
def client(settings, model):
    with open_client(settings, model) as client:
        yield wait_ready(client)


def post(client, route, **body):
    return client.post(f"/v1/{route}", json=body)


def scores(answer):
    return [(item["id"], round(item["rating"], 4)) for item in answer.json()["items"]]


HISTORY = [{"id": "h", "rating": 4.0, "time": 10}, {"text": "something new"}]


def test_score_keeps_the_order_and_takes_ids_and_texts(client, model):
    answer = post(
        client, "score", history=HISTORY, candidates=[{"id": "h"}, {"text": "new"}, {"id": "t"}]
    )
    # By hand: worth + 2 past items + 4 / 100.
    assert scores(answer) == [("h", 4.24), (None, 3.24), ("t", 5.24)]
    body = answer.json()
    assert (body["model_version"], body["user_known"]) == (3, False)
    assert [item["index"] for item in body["items"]] == [0, 1, 2]
    assert body["items"][0]["text"] == "Heat"
    assert body["items"][1]["text"] is None  # what was sent is not repeated
    assert body["items"][0]["click_probability"] == pytest.approx(0.424)
    assert answer.headers["x-request-id"] == body["request_id"]
    _, inputs, _ = model.asked[-1]
    assert inputs["history"].tolist() == [[b"Heat", b"something new"]]
    np.testing.assert_array_equal(inputs["history_ratings"], [[4, 0]])
    assert inputs["history_times"].tolist() == [[10, 0]]


def test_rank_gives_the_best_k_and_where_they_stood(client):
    candidates = [{"id": "h"}, {"text": "new"}, {"id": "t"}]
    answer = post(client, "rank", candidates=candidates, k=2)
    assert scores(answer) == [("t", 5.0), ("h", 4.0)]
    assert [item["index"] for item in answer.json()["items"]] == [2, 0]


def test_a_user_by_id_by_text_and_new(client, model):
    one = [{"id": "h"}]
    known = post(client, "score", user={"id": "u1"}, candidates=one).json()
    assert known["user_known"]
    assert model.asked[-1][1]["user"].tolist() == [b"24, M"]
    new = post(client, "score", user={"id": "nobody"}, candidates=one).json()
    assert not new["user_known"]
    assert model.asked[-1][1]["user"].tolist() == [b""]
    post(client, "score", user={"text": "a\ncook"}, candidates=one)
    assert model.asked[-1][1]["user"].tolist() == [b"a cook"]


def test_why_is_what_is_missing_without(client):
    answer = post(
        client,
        "rank",
        user={"id": "u1"},
        history=HISTORY,
        candidates=[{"id": "t"}, {"text": "a. b"}],
        explain=True,
    )
    known, new = (item["why"] for item in answer.json()["items"])
    # Without the first event 0.1 and 4 / 100 are gone, without the second 0.1.
    for why in (known, new):
        assert [(e["index"], e["id"]) for e in why["events"]] == [(0, "h"), (1, None)]
        assert [e["rating"] for e in why["events"]] == pytest.approx([0.14, 0.1], abs=1e-5)
        # Of "24, M" (5 letters of 1 / 1000), ", M" is left out: 3; "24": "M" is left, so 4.
        fields = {e["field"]: e["rating"] for e in why["user_fields"]}
        assert fields == pytest.approx({"age": 0.004, "gender": 0.003}, abs=1e-5)
    assert known["known"]["rating"] == pytest.approx(2.0, abs=1e-5)  # 5 for a text worth 3
    assert [f["field"] for f in known["item_fields"]] == ["title", "rest"]
    assert [f["rating"] for f in known["item_fields"]] == pytest.approx([0, 0], abs=1e-5)
    assert new["known"] is None
    assert [f["field"] for f in new["item_fields"]] == ["part 1", "part 2"]


def test_explain_is_one_question_to_the_model(client, model):
    model.asked.clear()
    answer = post(client, "explain", history=HISTORY, candidate={"id": "h"})
    assert len([signature for signature, _, _ in model.asked if signature == "rank"]) == 1
    item = answer.json()["items"][0]
    assert item["rating"] == pytest.approx(4.24, abs=1e-5)
    assert item["why"]["known"]["rating"] == pytest.approx(1.0, abs=1e-5)
    assert post(client, "explain", candidate={"id": "h"}).json()["items"][0]["why"]["events"] == []


def test_recommend_names_items_and_scores_them_by_the_same_version(client, model):
    model.asked.clear()
    answer = post(client, "recommend", history=HISTORY, user={"text": "cook"}, now=99, k=2)
    assert [item["id"] for item in answer.json()["items"]] == ["t", "h"]
    assert answer.json()["items"][0]["rating"] == pytest.approx(5.244, abs=1e-4)
    (first, inputs, _), (second, _, which) = model.asked
    assert (first, second, which.version) == ("recommend", "rank", 3)
    lines = "user: cook\nnow: 99\nrated 4 at 10: Heat\nseen: something new"
    assert inputs["behaviour"].tolist() == [lines.encode()]


def test_recommend_never_mixes_versions(client, model):
    inner, calls = model.predict, []

    async def swapping(signature, inputs, **more):
        calls.append(signature)
        outputs = await inner(signature, inputs, **more)
        if calls == ["recommend"]:
            model.version = 4  # the one that answered is gone at once
        return outputs

    model.predict = swapping
    answer = post(client, "recommend", k=1)
    assert answer.status_code == 200
    assert answer.json()["model_version"] == 4
    assert calls == ["recommend", "rank", "recommend", "rank"]


def test_similar_leaves_the_asked_item_out(client):
    answer = post(client, "similar", item={"id": "h"}, k=5)
    found = answer.json()["items"]
    # By hand: (length, a, o) of Heat is (4, 1, 0), of Toy Story (9, 0, 2), of the film (8, 0, 0):
    # standardized, the film is the less unlike of the two.
    assert [item["id"] for item in found] == ["f", "t"]
    vectors = np.array([[4, 1, 0], [9, 0, 2], [8, 0, 0]], float)
    z = (vectors - vectors.mean(0)) / vectors.std(0)
    cosine = z[0] @ z[2] / np.linalg.norm(z[0]) / np.linalg.norm(z[2])
    assert found[0]["similarity"] == pytest.approx(cosine, abs=1e-5)
    new = post(client, "similar", item={"text": "Heat!"}, k=1).json()["items"]
    assert [item["id"] for item in new] == ["h"]


def test_health_ready_and_pages_need_no_key(settings, model):
    with open_client(settings, model, key=None) as client:
        wait_ready(client)
        assert client.get("/health").json() == {"status": "alive"}
        assert client.get("/ready").json() == {"status": "ready", "model_version": 3}
        assert "/v1/explain" in client.get("/openapi.json").json()["paths"]
        page = client.get("/docs")
        assert "POST /v1/rank" in page.text
        assert "<script" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        client.gateway.draining = True
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200


def test_not_ready_until_a_version_answers(settings, model):
    model.failing = errors.NotReady("loading")
    with open_client(settings, model) as client:
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        answer = post(client, "score", candidates=[{"id": "h"}])
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidArgument("secret text"), 400),
        (errors.Overloaded("secret text"), 503),
        (errors.DeadlineExceeded("secret text"), 504),
        (errors.Unavailable("secret text"), 503),
        (errors.FailedPrecondition("secret text"), 404),
        (errors.ServingError("secret text"), 502),
        (RuntimeError("secret text"), 500),
    ],
)
def test_what_the_model_says_stays_inside(client, model, error, status):
    model.failing = error
    answer = post(client, "score", candidates=[{"id": "h"}])
    assert answer.status_code == status
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_an_answer_that_is_not_finite_is_none(client, model, monkeypatch):
    monkeypatch.setattr(model, "_rank", lambda inputs: {"rating": np.array([[np.nan]])})
    assert post(client, "score", candidates=[{"id": "h"}]).status_code == 502


ONE = {"candidates": [{"id": "h"}]}
BAD = [
    ({}, "candidates", 422),
    ({"candidates": []}, "candidates", 422),
    ({"candidates": [{"id": "h"}] * 1001}, "candidates", 422),
    ({"candidates": [{"id": "h", "text": "x"}]}, "candidates[0]", 422),
    ({"candidates": [{}]}, "candidates[0]", 422),
    ({"candidates": ["h"]}, "candidates[0]", 422),
    ({"candidates": [{"id": "h"}, {"id": "zzz"}]}, "candidates[1].id", 422),
    ({"candidates": [{"text": "h"}]}, "candidates[0].text", 422),
    ({"candidates": [{"text": "  \n"}]}, "candidates[0].text", 422),
    ({"candidates": [{"text": "é" * 2049}]}, "candidates[0].text", 422),
    ({"candidates": [{"id": 3}]}, "candidates[0].id", 422),
    ({"candidates": [{"id": "h"}], "k": 101}, "k", 422),
    ({"candidates": [{"id": "h"}], "k": 0}, "k", 422),
    ({"candidates": [{"id": "h"}], "k": True}, "k", 422),
    ({"candidates": [{"id": "h"}], "now": -1}, "now", 422),
    ({"candidates": [{"id": "h"}], "bob@example.com": 1}, "body", 400),
    ({"candidates": [{"id": "h", "bob@example.com": 1}]}, "candidates[0]", 422),
    (
        {"candidates": [{"id": "h"}], "history": [{"id": "h", "rating": "5"}]},
        "history[0].rating",
        422,
    ),
    ({"candidates": [{"id": "h"}], "history": [{"id": "nope"}]}, "history[0].id", 422),
    ({"candidates": [{"id": "h"}], "user": {"id": ""}}, "user.id", 422),
    ([], "body", 400),
]


@pytest.mark.parametrize(("body", "where", "status"), BAD)
def test_bad_input_names_the_field_and_repeats_nothing(client, body, where, status):
    answer = client.post("/v1/rank", json=body)
    assert (answer.status_code, answer.json()["field"]) == (status, where)
    assert "bob" not in answer.text
    assert "zzz" not in answer.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nul", b'{"candidates": [{"id": "h"}], "k": NaN}', b"\xff\xfe", b'"\\ud800"'],
)
def test_what_is_not_json(client, body):
    answer = client.post("/v1/rank", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["field"]


def test_half_a_surrogate_pair(client):
    body = json.dumps({"candidates": [{"text": "\ud83d"}]})
    answer = client.post("/v1/rank", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, "candidates[0].text")


def test_paths_and_methods_that_are_none(client):
    assert client.get("/v1/rank").status_code == 405
    assert client.get("/nowhere").json()["error"] == "no such path"
    assert client.get("/").status_code == 404
