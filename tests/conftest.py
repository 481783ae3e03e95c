"""What every test needs set before TensorFlow is imported."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Tests run beside one another, on models so small that threads spend their time on waiting.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


def pytest_report_header():
    """What a stand-in answers is never told as what TensorFlow Serving does."""
    return f"model server: {os.environ.get('TF_MODEL_SERVER') or 'the stand-in'}"


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "conformance: asked of the stand-in, or of the server that TF_MODEL_SERVER names"
    )
    config.addinivalue_line(
        "markers", "slow: takes many seconds; `make test` leaves it to `make test-slow`"
    )
