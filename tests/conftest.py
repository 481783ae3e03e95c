"""What every test needs set before TensorFlow is imported."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "slow: takes seconds; runs by default, skip with -m 'not slow'"
    )
