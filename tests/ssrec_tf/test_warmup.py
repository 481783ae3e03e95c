import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from ssrec_tf.warmup import write_warmup


def test_every_known_signature_has_a_short_and_a_long_request(tmp_path):
    path = tmp_path / "requests"
    names = {"rank": None, "embed": None, "recommend": None, "serving_default": None, "odd": None}
    assert write_warmup(path, names, ["Heat"]) == 8
    requests = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        for record in tf.data.TFRecordDataset(str(path))
    ]
    assert sorted(r.model_spec.signature_name for r in requests) == sorted([*names][:4] * 2)
    ranks = [r for r in requests if r.model_spec.signature_name == "rank"]
    shapes = [tf.make_ndarray(r.inputs["candidates"]).shape for r in ranks]
    assert shapes == [(1, 1), (1, 100)]
    assert tf.make_ndarray(ranks[1].inputs["history"]).shape == (1, 20)
    assert tf.make_ndarray(ranks[1].inputs["now"]).dtype == "int64"


def test_the_same_model_gives_the_same_bytes(tmp_path):
    names = dict.fromkeys(["rank", "recommend"])
    for name in ("a", "b"):
        write_warmup(tmp_path / name, names, ["Heat", "Up"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
