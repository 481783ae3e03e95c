import pytest

from serving import errors
from serving.canary import CanaryRouter
from serving.gateway_settings import Canary
from tests.serving.gateway_world import ByHand, make_settings, open_client


def router(**changes):
    return CanaryRouter(Canary(share=0.2, least=20, window=100, **changes))


def test_a_share_of_the_users_and_always_the_same_ones():
    made = router()
    labels = {f"u{i}": made.label(f"u{i}") for i in range(5000)}
    assert 0.18 < sum(x == "canary" for x in labels.values()) / 5000 < 0.22
    assert all(router().label(user) == label for user, label in labels.items())
    assert CanaryRouter(Canary()).label("u1") == "stable"


def test_errors_roll_it_back_and_only_another_version_is_tried():
    made = router()
    for _ in range(50):
        assert not made.observe("stable", 0.01, well=True, version=1)
    told = [made.observe("canary", 0.01, well=i % 2 == 0, version=2) for i in range(30)]
    assert told.index(True) == 19  # as soon as it may be judged, and once
    assert sum(told) == 1
    assert made.reason == "errors 0.500, stable 0.000"
    assert {made.label(f"u{i}") for i in range(500)} == {"stable"}
    made.retry(2)
    assert made.stopped
    made.retry(3)
    assert not made.stopped
    assert "canary" in {made.label(f"u{i}") for i in range(500)}


def test_latency_rolls_it_back():
    made = router()
    for i in range(60):
        made.observe("stable", 0.01 + i * 1e-5, well=True, version=1)
    assert not any(made.observe("canary", 0.015, well=True, version=2) for _ in range(60))
    assert any(made.observe("canary", 0.03, well=True, version=2) for _ in range(60))
    # The window holds 0.015 s at first: the 95th percentile rises with each slow one.
    assert made.reason.startswith("p95 0.02")


def test_errors_that_the_stable_one_has_too_are_not_its_own():
    made = router()
    for i in range(60):
        made.observe("stable", 0.01, well=i % 2 == 0, version=1)
        assert not made.observe("canary", 0.01, well=i % 2 == 0, version=2)


class TwoVersions(ByHand):
    """Stable is version 3; the canary, 4, fails when told to."""

    broken = False

    async def predict(self, signature, inputs, *, which=None, timeout=None):
        if self.broken and which is not None and which.label == "canary":
            self.asked.append((signature, inputs, which))
            raise errors.ServingError("broken")
        self.labels = {"stable": 3, "canary": 4}
        return await super().predict(signature, inputs, which=which, timeout=timeout)


@pytest.fixture
def settings(tmp_path, described):
    # Answers take microseconds here: of ten, one that waited for a core is their p95.
    canary = {"share": 0.5, "least": 10, "window": 50, "slower": 1e6}
    return make_settings(tmp_path, described, canary=canary)


def ask(client, user):
    body = {"user": {"id": user}, "candidates": [{"id": "h"}]}
    return client.post("/v1/score", json=body)


def test_the_gateway_sends_a_share_and_takes_it_back(settings):
    model = TwoVersions()
    with open_client(settings, model) as client:
        versions = [ask(client, f"u{i}").json()["model_version"] for i in range(100)]
        assert 30 < versions.count(4) < 70
        assert versions.count(3) + versions.count(4) == 100
        model.broken = True
        answers = [ask(client, f"u{i}") for i in range(100)]
        assert {answer.status_code for answer in answers} == {200}  # the stable one answered
        assert {answer.json()["model_version"] for answer in answers} == {3}
        router = client.gateway.model.router
        assert router.stopped
        assert router.reason.startswith("errors")
        tries = [which for _, _, which in model.asked if which and which.label == "canary"]
        assert len(tries) < 100  # not asked any more once it was judged
