"""The SavedModel: core ops, the scores of Keras three ways, new items by text, hostile strings."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.batching import Batcher, BatchingParameters
from serving.servable import Servable
from ssrec_tf import exporting, learning
from ssrec_tf.config import EncoderConfig, FactorConfig, LoopConfig, OptimizerConfig, TrainConfig
from ssrec_tf.errors import ExportError
from ssrec_tf.exporting import check_ops, check_scores, export, with_odd_pairs
from ssrec_tf.retrieval_index import brute_force, top_unseen
from ssrec_tf.scoring import render_pairs, score_rows
from ssrec_tf.statistics import LabelStatistics

CONFIG = TrainConfig(
    loop=LoopConfig(steps=30, batch_size=8, evaluate_every=15, checkpoint_every=15, seed=2),
    optimizer=OptimizerConfig(learning_rate=5e-3, warmup_steps=5),
    max_history=16,
    max_targets=8,
    width=32,
    joint_length=96,
    pair_head="neural",
)


RANK = {
    "user": [""],
    "history": [["i00"]],
    "history_ratings": [[1.0]],
    "history_times": [[0]],
    "now": [0],
    "candidates": [["i01"]],
}


class Exported:
    """A trained model and its SavedModel."""

    def __init__(self, world, folder, reading, tuning="full", **changes):
        config = replace(CONFIG, reading=reading, **changes)
        encoder = learning.create_encoder(EncoderConfig(tuning=tuning), world.text, seed=1)
        statistics = LabelStatistics.of(world.tables, world.split.train)
        self.world = world
        self.model = learning.make_recommender(encoder, world.text, statistics, config)
        learning.fit(self.model, world.examples, past_only=False, workdir=folder / "work")
        if config.pair_head == "factorization":
            self.model.items.factors.shares.assign(
                [[0.9, 1.0, 1.1, 0.8], [0.7, 1.0, 0.9, 0.5]]
            )  # each part counts
        self.folder = folder / "saved_model"
        self.graph = export(self.model, self.folder, max_history=16, card={"name": "planted"})
        self.serve = tf.saved_model.load(str(self.folder)).signatures

    def rows(self, count=50):
        world, rows = self.world, self.world.split.valid
        sizes = learning.batch_config(CONFIG, past_only=False)
        rating, click = score_rows(self.model, world.examples, "valid", sizes, rows)
        behaviours, items = render_pairs(world.text, world.tables, world.split, rows[:count])
        return behaviours, items, {"rating": rating[:count], "click_probability": click[:count]}

    def check_served(self, behaviours, items, expected):
        served = self.serve["serving_default"](
            behaviour=tf.constant(behaviours), item=tf.constant(items)
        )
        for name, values in expected.items():
            assert served[name].numpy() == pytest.approx(values, abs=1e-5)


@pytest.fixture(scope="module")
def exported(world, tmp_path_factory):
    return Exported(world, tmp_path_factory.mktemp("two"), "two_level")


@pytest.fixture(scope="module")
def joint(world, tmp_path_factory):
    loop = replace(CONFIG.loop, steps=8, evaluate_every=8, checkpoint_every=8)  # slow ones
    return Exported(world, tmp_path_factory.mktemp("joint"), "joint", loop=loop)


@pytest.fixture(scope="module")
def retrieval(world, tmp_path_factory):
    return Exported(world, tmp_path_factory.mktemp("retrieval"), "retrieval")


@pytest.fixture(scope="module", params=["factorization", "both"])
def factorized(world, tmp_path_factory, request):
    sizes = FactorConfig(width=4, precision=3.0, behaviour_width=4, text_width=2)
    loop = replace(CONFIG.loop, steps=20, evaluate_every=20, checkpoint_every=20)
    changes = {"pair_head": request.param, "factors": sizes, "loop": loop}
    return Exported(world, tmp_path_factory.mktemp("factors"), "two_level", **changes)


@pytest.mark.slow
def test_moments_are_served_as_keras_reads_them(factorized):
    behaviours, items, expected = factorized.rows()
    if factorized.model.config.pair_head == "both":  # also as others load it, which takes its time
        assert max(check_scores(factorized.folder, behaviours, items, expected).values()) < 1e-5
    factorized.check_served(behaviours, items, expected)


def test_a_bad_mood_is_served_while_it_lasts(factorized):
    def rating(behaviour):
        out = factorized.serve["serving_default"](
            behaviour=tf.constant([behaviour]), item=tf.constant(["film number 2. comedy"])
        )
        return float(out["rating"][0])

    event = "rated 1 at 881250949: film number 0. comedy"
    soon, late = (rating(f"now: {now}\n{event}") for now in (881_251_000, 900_000_000))
    assert soon < late - 0.01
    assert soon < rating(event) - 0.01  # nothing is known of the moment, nor of the mood
    event = "rated 1: film number 0. comedy"
    assert rating(f"now: 881251000\n{event}") == rating(event)
    request = {**RANK, "history_times": [[881_250_949]], "now": [881_251_000]}
    request["candidates"] = [["i02"]]
    types = dict.fromkeys(("history_times", "now"), tf.int64)
    tensors = {name: tf.constant(value, types.get(name)) for name, value in request.items()}
    ranked = factorized.serve["rank"](**tensors)["rating"].numpy()
    assert ranked == pytest.approx(soon, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exported", "joint", "retrieval"])
def test_raw_strings_score_as_keras_does_from_references(name, request):
    model = request.getfixturevalue(name)
    behaviours, items, expected = model.rows()
    assert np.ptp(expected["rating"]) > 0.01  # what is compared hangs on the texts
    rows = with_odd_pairs(model.graph, behaviours, items, expected)
    assert len(rows[0]) == len(rows[1]) == len(rows[2]["rating"]) > len(items) + 32
    assert (rows[0].count(""), rows[1].count("")) == (1, 2)
    worst = check_scores(model.folder, *rows)
    assert set(worst) == {"function", "one_by_one", "session"}
    assert max(worst.values()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "adapter", "prefix"])
def test_a_tuned_encoder_is_exported_as_it_was_trained(world, tuning, tmp_path):
    loop = replace(CONFIG.loop, steps=2, evaluate_every=2, checkpoint_every=2)
    # Of all readings the soonest compiled.
    model = Exported(world, tmp_path, "retrieval", tuning, encoder_steps=2, loop=loop)
    untuned = learning.create_encoder(EncoderConfig(tuning=tuning), world.text, seed=1)
    tuned = model.model.encoder
    assert np.array_equal(tuned.token_table, untuned.token_table)
    moved = [
        not np.array_equal(one, other)
        for one, other in zip(tuned.variables, untuned.variables, strict=True)
    ]
    assert any(moved)
    behaviours, items, expected = model.rows(10)
    model.check_served(behaviours, items, expected)


@pytest.mark.parametrize("drifted", [None, "function", "one_by_one", "session"])
def test_a_drift_of_any_way_is_noticed(tmp_path, monkeypatch, drifted):
    """What the ways answer is planted; that they answer truly is asked of models elsewhere."""
    expected = {"rating": np.full(70, 3.0), "click_probability": np.full(70, 0.5)}

    def answers(arguments, _):
        for way in ("function", "one_by_one", "session"):
            rows = 64 if way == "one_by_one" else 70
            answer = {name: values[:rows].copy() for name, values in expected.items()}
            answer["rating"][-1] += 0.01 if way == drifted else 1e-6
            np.savez(Path(arguments[-1]) / f"{way}.npz", **answer)

    monkeypatch.setattr(exporting, "_clean_process", answers)
    if drifted is None:
        worst = check_scores(tmp_path, ["a"] * 70, ["b"] * 70, expected)
        assert list(worst.values()) == pytest.approx([1e-6 / 3] * 3, rel=1e-3)
        return
    with pytest.raises(ExportError, match=f"scores by {drifted} differ from Keras by 3.33e-03"):
        check_scores(tmp_path, ["a"] * 70, ["b"] * 70, expected)


def test_hostile_and_odd_strings_have_finite_scores_in_the_scale(exported):
    odd = ["", " ", "\x00", "[MASK] [SEP] [ITEM]", "🎬" * 50, "z" * 50_000, "عربي", "\n\n"]
    out = exported.serve["serving_default"](
        behaviour=tf.constant([f"user: {x}\nrated 9: {x}\n{x}" for x in odd]),
        item=tf.constant(odd),
    )
    rating, click = out["rating"].numpy(), out["click_probability"].numpy()
    assert np.isfinite(rating).all()
    assert ((rating >= 1) & (rating <= 5)).all()
    assert ((click > 0) & (click < 1)).all()


def test_a_new_item_is_scored_by_its_text(exported):
    history = "\n".join(f"rated 5: film number {i}. comedy" for i in (0, 2, 4))
    out = exported.serve["serving_default"](
        behaviour=tf.constant([history] * 2),
        item=tf.constant(["film number 77. comedy", "film number 77. horror"]),
    )
    rating = out["rating"].numpy()
    assert rating[0] != rating[1]


def test_rank_takes_ids_and_texts_alike(exported):
    def ask(history, candidates):
        return exported.serve["rank"](
            user=tf.constant([""]),
            history=tf.constant([history]),
            history_ratings=tf.constant([[5.0, 1.0, 0.0]]),
            history_times=tf.constant([[7, 9, 0]], tf.int64),
            now=tf.constant([11], tf.int64),
            candidates=tf.constant([candidates]),
        )

    by_id = ask(["i00", "i01", ""], ["i02", "i03", "i05", ""])
    by_text = ask(
        ["film number 0. comedy", "film number 1. horror", ""],
        [*(f"film number {i}. {'comedy' if i % 2 == 0 else 'horror'}" for i in (2, 3, 5)), ""],
    )
    for name in ("rating", "click_probability"):
        assert np.allclose(by_id[name], by_text[name], atol=1e-6)
    ranking = by_id["ranking"].numpy()[0]
    assert sorted(ranking) == [0, 1, 2, 3]
    assert ranking[-1] == 3  # padding comes last
    click = by_id["click_probability"].numpy()[0]
    assert click[ranking[:3]].tolist() == sorted(click[:3], reverse=True)


def check_no_width(serve):
    """A history of no events is one of padding only."""
    times = dict.fromkeys(("history_times", "now"), tf.int64)
    one = {key: tf.constant(value, times.get(key)) for key, value in RANK.items()}
    one["history"] = tf.constant([[""]])
    none = {key: value[:, :0] if key.startswith("history") else value for key, value in one.items()}
    assert serve(**none)["rating"].numpy() == pytest.approx(serve(**one)["rating"].numpy())


def test_rank_takes_a_history_of_no_width(exported):
    check_no_width(exported.serve["rank"])


def test_a_factorization_takes_a_history_of_no_width(factorized):
    check_no_width(factorized.serve["rank"])


def test_recommend_leaves_out_what_was_seen(exported):
    seen = [f"film number {i}. comedy" for i in range(0, 10, 2)]
    behaviour = "\n".join(f"rated 5: {text}" for text in seen)
    out = exported.serve["recommend"](behaviour=tf.constant([behaviour, ""]), k=tf.constant([5, 5]))
    items = [[item.decode() for item in row] for row in out["items"].numpy()]
    assert all(len(set(row)) == 5 for row in items)
    assert not {f"i{i:02d}" for i in range(0, 10, 2)} & set(items[0])
    scores = out["scores"].numpy()
    assert (np.diff(scores, axis=1) <= 0).all()
    # The same by hand: all items by query and index.
    everything = exported.serve["recommend"](
        behaviour=tf.constant([behaviour]), k=tf.constant([99])
    )
    assert everything["items"].shape == (1, 30)
    assert np.isneginf(everything["scores"].numpy()[0, -5:]).all()


def test_who_asks_for_fewer_gets_fewer(exported):
    ask = exported.serve["recommend"]
    both = ask(behaviour=tf.constant(["", "seen: film number 1. horror"]), k=tf.constant([2, 4]))
    assert both["items"].shape == (2, 4)
    assert both["items"].numpy()[0, 2:].tolist() == [b"", b""]
    assert np.isneginf(both["scores"].numpy()[0, 2:]).all()
    alone = ask(behaviour=tf.constant([""]), k=tf.constant([2]))
    assert both["items"].numpy()[0, :2].tolist() == alone["items"].numpy()[0].tolist()
    assert (both["items"].numpy()[1] != b"").all()


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("serving_default", {"behaviour": ["a"], "item": ["b", "c"]}, "behaviour and item must"),
        ("recommend", {"behaviour": ["a"], "k": [0]}, "k must be at least 1"),
        ("recommend", {"behaviour": ["a"], "k": [1, 2]}, "behaviour and k must"),
        ("rank", {"history_ratings": [[1.0, 2.0]]}, "history and history_ratings must"),
        ("rank", {"history_times": [[1, 2]]}, "history and history_times must"),
        ("rank", {"now": [1, 2]}, "user and now must"),
    ],
)
def test_inputs_that_do_not_belong_together_are_refused(exported, signature, inputs, message):
    if signature == "rank":
        inputs = {**RANK, **inputs}
    times = dict.fromkeys(("history_times", "now"), tf.int64)
    tensors = {name: tf.constant(value, times.get(name)) for name, value in inputs.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        exported.serve[signature](**tensors)


def test_a_batching_server_loads_it_and_gives_each_his_own(exported):
    # Its warm-up requests are batched, too: one that cannot be would keep the version out.
    batcher = Batcher(BatchingParameters(8, 20_000, num_batch_threads=1, allowed_batch_sizes=(8,)))
    servable = Servable(exported.folder, 1, batcher)
    behaviours = [f"rated {1 + i % 5}: film number {i}. horror" for i in range(12)]

    def ask(place):
        behaviour = np.array([behaviours[place].encode()], object)
        item = np.array([b"film number 3. horror"], object)
        score = servable.run("serving_default", {"behaviour": behaviour, "item": item})
        k = np.array([1 + place % 3], np.int32)
        return score["rating"], servable.run("recommend", {"behaviour": behaviour, "k": k})

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(ask, range(len(behaviours))))
    batcher.close()
    servable.close()
    for place, (rating, best) in enumerate(found):
        behaviour, k = tf.constant([behaviours[place]]), 1 + place % 3
        item = tf.constant(["film number 3. horror"])
        alone = exported.serve["serving_default"](behaviour=behaviour, item=item)["rating"]
        assert rating == pytest.approx(alone.numpy(), abs=1e-5)
        alone = exported.serve["recommend"](behaviour=behaviour, k=tf.constant([k]))
        assert best["items"][0, :k].tolist() == alone["items"].numpy()[0].tolist()
        assert set(best["items"][0, k:]) <= {b""}


def test_embed_gives_a_vector_a_text(exported):
    vectors = exported.serve["embed"](text=tf.constant(["film number 1. horror", "", "new"]))
    assert vectors["vector"].shape == (3, 128)
    stored = exported.model.items.stored.numpy()[2]
    assert vectors["vector"].numpy()[0] == pytest.approx(stored, abs=1e-5)


def test_assets_and_card(exported):
    extra = exported.folder / "assets.extra"
    card = json.loads((extra / "model_card.json").read_text())
    assert card["name"] == "planted"
    assert set(card["signatures"]) == {"serving_default", "rank", "embed", "recommend"}
    assert card["signatures"]["rank"]["inputs"]["candidates"] == "string (None, None)"
    assert json.loads((extra / "statistics.json").read_text())["high"] == 5.0
    assert (extra / "vocabulary" / "items.txt").read_text().startswith("i00\n")


def test_weights_are_written_once(exported):
    size = sum(path.stat().st_size for path in exported.folder.rglob("variables*"))
    weights = sum(v.numpy().nbytes for v in exported.model.variables)
    assert size < 1.2 * weights


def test_ops_are_tensorflows_own(exported):
    ops = check_ops(exported.folder)
    assert {"LookupTableFindV2", "UnicodeDecode", "MatMul"} <= ops
    assert not [op for op in ops if "Text" in op or "Wordpiece" in op]


def test_a_foreign_op_is_refused(exported, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(exported.folder, tmp_path / "m")
    path = tmp_path / "m" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].graph_def.node.add(name="x", op="FastBertNormalize")
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(ExportError, match="FastBertNormalize"):
        check_ops(tmp_path / "m")


def test_search_leaves_out_seen_positions_by_hand():
    index = brute_force(tf.constant([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
    queries = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    seen = tf.constant([[1, -1], [-1, -1]])
    scores, places = top_unseen(index, queries, seen, tf.constant(2), 4)
    assert places.numpy()[0].tolist() == [2, 0]
    assert scores.numpy()[0].tolist() == [2.0, 1.0]
    assert places.numpy()[1, 0] == 3
    scores, _ = top_unseen(index, queries, seen, tf.constant(9), 4)
    assert scores.shape == (2, 4)
    assert np.isneginf(scores.numpy()[0, -1])


@pytest.mark.slow
def test_warm_up_requests_run_on_every_signature(exported):
    from tensorflow_serving.apis import prediction_log_pb2

    path = exported.folder / "assets.extra" / "tf_serving_warmup_requests"
    asked = set()
    for record in tf.data.TFRecordDataset(str(path)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        tensors = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        assert exported.serve[request.model_spec.signature_name](**tensors)
        asked.add(request.model_spec.signature_name)
    assert asked == set(exported.serve)
