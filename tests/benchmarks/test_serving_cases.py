"""Every part of every good request, replaced by odd values: refused by name, or answered."""

import json
import time

import pytest

from benchmarks.serving_cases import GOOD, broken
from serving.gateway import Gateway
from tests.serving.gateway_world import KEY, ByHand, make_settings, open_client, wait_ready


def translated(body):
    """The benchmark's ids in the catalogue of these tests."""
    text = json.dumps(body)
    for mine, other in (("i0", "h"), ("i1", "t")):
        text = text.replace(f'"{mine}"', f'"{other}"')
    return text.encode()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    assets = tmp_path_factory.mktemp("described") / "3" / "assets.extra"
    assets.mkdir(parents=True)
    rows = [{"id": "h", "text": "Heat"}, {"id": "t", "text": "Toy Story"}]
    (assets / "catalogue.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = make_settings(tmp_path_factory.mktemp("bad"), assets.parents[1])
    with open_client(settings, ByHand(), raise_errors=True) as client:
        assert isinstance(client.gateway, Gateway)
        yield wait_ready(client)


def test_there_are_enough_cases_and_no_two_alike():
    cases = [(route, json.dumps(body)) for route, good in GOOD.items() for body in broken(good)]
    assert len(cases) >= 400
    assert len(set(cases)) > 0.9 * len(cases)


@pytest.mark.parametrize("route", sorted(GOOD))
def test_no_case_is_a_fault(client, route):
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    assert client.post(f"/v1/{route}", content=translated(GOOD[route]), headers=headers).is_success
    for body in broken(GOOD[route]):
        content = translated(body)
        began = time.perf_counter()
        answer = client.post(f"/v1/{route}", content=content, headers=headers)
        assert time.perf_counter() - began < 5.0, content[:200]  # 1 s where nothing else runs
        assert answer.status_code < 500, (content[:200], answer.text)
        if answer.status_code != 200:
            said = answer.json()
            assert said["field"], (content[:200], said)
            assert "Traceback" not in answer.text
