import json
import math

import numpy as np
import pytest

from serving.drift import Drift, Expected, load_expected, psi
from serving.errors import InvalidArgument, NotFound
from tests.serving.gateway_world import ByHand, make_settings, open_client, wait_ready


def test_psi_by_hand():
    assert psi(np.array([5.0, 5.0]), np.array([0.5, 0.5])) == 0
    by_hand = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert psi(np.array([80.0, 20.0]), np.array([0.5, 0.5])) == pytest.approx(by_hand)
    assert math.isfinite(psi(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_values_fall_into_their_bins():
    drift = Drift({"x": Expected(np.array([1.0, 2.0]), np.array([0.25, 0.25, 0.5]))}, 100)
    assert drift.report() == {}
    for value in [0.5] * 25 + [1.0] * 25 + [2.0] * 25 + [9.0] * 25:
        drift.see("x", value)
        drift.see("unheard of", value)
    assert drift.report() == {"x": pytest.approx(0.0)}
    for _ in range(100):
        drift.see("x", 0.0)
    assert drift.report()["x"] > 1.0  # the newest window only


def test_files_that_are_not_as_exported(tmp_path):
    path = tmp_path / "traffic.json"
    with pytest.raises(NotFound):
        load_expected(path)
    for body in ("[]", "{}", '{"features": {"x": {"edges": [1], "shares": [1]}}}', "x"):
        path.write_text(body)
        with pytest.raises(InvalidArgument, match=r"traffic\.json"):
            load_expected(path)


def write_traffic(described, tmp_path):
    shares = {
        "history_length": {"edges": [1, 2, 4, 8], "shares": [0.1, 0.2, 0.3, 0.3, 0.1]},
        "rating": {"edges": [0.5, 2.5, 4.5], "shares": [0.0, 0.3, 0.5, 0.2]},
        "unknown": {"edges": [0.5], "shares": [1.0, 0.0]},
        "text_length": {"edges": [5], "shares": [0.6, 0.4]},
    }
    import shutil

    folder = tmp_path / "versions"
    shutil.copytree(described, folder)
    (folder / "3/assets.extra/traffic.json").write_text(json.dumps({"features": shares}))
    return folder


def request(rng, *, long=False, unknown=0.0):
    count = int(rng.choice([0, 1, 2, 4, 8], p=[0.1, 0.2, 0.3, 0.3, 0.1]))
    count += 6 * long
    events = [
        {
            "id": str(rng.choice(["h", "t"], p=[0.6, 0.4])),
            "rating": float(rng.choice([1, 3, 5], p=[0.3, 0.5, 0.2])),
        }
        for _ in range(count)
    ]
    candidate = {"text": "an odd one"} if rng.random() < unknown else {"id": "h"}
    return {"history": events, "candidates": [candidate]}


def test_a_shift_is_told_and_a_replay_is_not(tmp_path, described):
    rng = np.random.default_rng(3)
    folder = write_traffic(described, tmp_path)
    settings = make_settings(
        tmp_path, described, model={"folder": folder}, seen={"drift_window": 400}
    )
    with open_client(settings, ByHand()) as client:
        wait_ready(client)
        for _ in range(600):
            assert client.post("/v1/score", json=request(rng)).status_code == 200
        report = client.gateway.service.report_drift()
        assert set(report) == {"history_length", "rating", "unknown", "text_length"}
        assert max(report.values()) < 0.1
        for _ in range(400):
            client.post("/v1/score", json=request(rng, long=True, unknown=0.2))
        shifted = client.gateway.service.report_drift()
        assert shifted["history_length"] > 0.2
        assert shifted["unknown"] > 0.2
        assert shifted["rating"] < 0.1
        shown = client.gateway.metrics.drift.labels("unknown")._value.get()
        assert shown == pytest.approx(shifted["unknown"])
