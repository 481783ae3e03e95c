"""Requests that schemathesis makes of the OpenAPI description: no 5xx, answers as described."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core import NotSet

from serving.gateway_schemas import ERRORS, ErrorResponse, ScoreResponse, SimilarResponse
from tests.serving.gateway_world import KEY, ByHand, make_settings, open_client, wait_ready

limits = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory, described):
    made = make_settings(tmp_path_factory.mktemp("openapi"), described)
    with open_client(made, ByHand()) as client:
        yield wait_ready(client)


def encode(body):
    if isinstance(body, NotSet):
        return b"{"
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.slow
def test_what_schemathesis_makes(client):
    api = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) == 7
    statuses = set()

    def check(case):
        content = None
        if case.method == "POST":
            content = encode(case.body)
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        answer = client.request(case.method, case.formatted_path, content=content, headers=headers)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (answer.status_code, answer.text)
        described = case.operation.definition.raw["responses"]
        assert str(answer.status_code) in described
        if answer.status_code != 200:
            ErrorResponse.model_validate(answer.json())
        elif case.path.startswith("/v1/similar"):
            SimilarResponse.model_validate(answer.json())
        elif case.path.startswith("/v1/"):
            ScoreResponse.model_validate(answer.json())

    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            if operation.method.upper() == "GET" and mode.is_negative:
                continue
            limits(given(operation.as_strategy(generation_mode=mode))(check))()
    assert {200, 422} <= statuses


def test_the_description_has_the_limits(client):
    body = client.get("/openapi.json").json()
    schemas = body["components"]["schemas"]
    assert schemas["RankRequest"]["properties"]["k"]["maximum"] == 100
    assert schemas["RankRequest"]["properties"]["candidates"]["maxItems"] == 1000
    for path, methods in body["paths"].items():
        if path.startswith("/v1/"):
            described = set(methods["post"]["responses"])
            assert {str(status) for status in ERRORS} | {"200"} <= described
