"""Retrieval: the in-batch loss by hand, and a planted conditional that logQ recovers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from ssrec_tf import learning
from ssrec_tf.batching import evaluation_batches
from ssrec_tf.config import (
    EncoderConfig,
    LoopConfig,
    OptimizerConfig,
    SplitConfig,
    TextConfig,
    from_dict,
)
from ssrec_tf.errors import ConfigError
from ssrec_tf.examples import write_examples
from ssrec_tf.exporting import export
from ssrec_tf.scoring import rank_part
from ssrec_tf.splits import make_split
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable
from tests.ssrec_tf.recommenders.test_base import CONFIG, batch_of, build, fitted

SEED = tf.constant([1, 2], tf.int64)


def by_hand(query, vectors, targets, share):
    """Cross-entropy of each target among the batch's, row by row."""
    width = vectors.shape[-1]
    items, rows = targets.reshape(-1), vectors.reshape(-1, width)
    losses = []
    for user in range(len(targets)):
        for place, item in enumerate(targets[user]):
            if item == 0:
                continue
            own = user * targets.shape[1] + place
            logits = []
            for other, candidate in enumerate(items):
                accident = candidate == item and other != own
                if candidate and not accident:
                    correction = 0.0 if share is None else np.log(share[candidate])
                    logits.append(float(query[user] @ rows[other]) - correction)
                if other == own:
                    positive = logits[-1]
            losses.append(np.log(np.sum(np.exp(logits))) - positive)
    return np.mean(losses)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_in_batch_loss_by_hand(world, corrected):
    model = build(world, "retrieval", sampling_correction=corrected)
    rng = np.random.default_rng(0)
    query = rng.normal(size=(2, 5)).astype(np.float32)
    vectors = rng.normal(size=(2, 3, 5)).astype(np.float32)
    targets = np.array([[4, 7, 0], [7, 9, 4]], np.int32)  # 4 and 7 twice: accidental hits
    counts = world.text.item_counts
    share = counts / counts.sum() if corrected else None
    found = model.in_batch_loss(tf.constant(query), tf.constant(vectors), tf.constant(targets))
    assert float(found) == pytest.approx(by_hand(query, vectors, targets, share), rel=1e-5)
    # Whatever stands at the padding is not read.
    vectors[0, 2] = 50.0
    again = model.in_batch_loss(tf.constant(query), tf.constant(vectors), tf.constant(targets))
    assert float(again) == pytest.approx(float(found), rel=1e-6)


def test_the_index_holds_what_training_scored(world):
    model, batch = build(world, "retrieval"), batch_of(world)
    outputs = model.outputs_of(batch, seed=SEED, training=False)
    rows = tf.gather(model.index(), batch["target_items"])
    assert np.abs(rows - outputs.vectors).max() < 1e-6
    lengths = np.linalg.norm(model.index().numpy()[:, :-1], axis=1)
    assert lengths == pytest.approx(np.ones(31), abs=1e-4)
    query = outputs.query.numpy()
    assert np.linalg.norm(query[:, :-1], axis=1) == pytest.approx(np.full(8, 10.0), abs=1e-3)
    # Monitored is the softmax over all unseen items, whatever else is in the batch.
    logits = query.astype(np.float64) @ model.index().numpy().T.astype(np.float64)
    np.put_along_axis(logits, batch["history_items"].numpy(), -np.inf, axis=1)
    log_share = logits - np.log(np.exp(logits[:, 1:]).sum(axis=1, keepdims=True))
    targets = batch["target_items"].numpy()
    wanted = -np.take_along_axis(log_share, targets, axis=1)[targets != 0].mean()
    losses = model.losses_of(batch, seed=SEED, training=False)
    assert float(losses["next_item_loss"]) == pytest.approx(wanted, rel=1e-4)


class SkewedWorld:
    """Two kinds of users, whose next item follows a known, skewed distribution.

    No item has much of it: removing accidental hits would bias the loss of one that has.
    """

    items = 60

    def __init__(self, folder):
        popularity = 1.0 / (np.arange(self.items) + 4.0)
        tilt = np.where(np.arange(self.items) % 2 == 0, 2.0, 0.5)
        self.truth = np.stack([popularity * tilt, popularity / tilt])
        self.truth /= self.truth.sum(axis=1, keepdims=True)  # [kinds, items]
        rng = np.random.default_rng(0)
        rows = [
            (f"u{user:03d}", f"i{item:02d}", user * 100 + event)
            for user in range(120)
            for event, item in enumerate(rng.choice(self.items, 40, p=self.truth[user % 2]))
        ]
        log = pd.DataFrame(rows, columns=["user", "item", "time"]).astype({"time": np.int64})
        ids = [f"i{item:02d}" for item in range(self.items)]
        self.tables = Tables(
            name="skewed",
            interactions=log,
            items=pd.DataFrame({"title": [f"thing {i}" for i in ids]}, index=ids),
            users=pd.DataFrame(index=sorted(log["user"].unique())),
            rating_scale=None,
            click_threshold=None,
        )
        self.split = make_split(self.tables, SplitConfig(kind="leave_one_out", seed=1))
        template = TextConfig(item_template="{title}", vocabulary_size=200)
        self.text = TextTable.build(self.tables, self.split, template)
        self.examples = folder / "examples"
        write_examples(self.tables, self.split, self.examples, max_targets=8, shards=1)

    def divergence(self, folder, corrected):
        """Mean Kullback-Leibler divergence of what is learnt from the planted truth."""
        config = replace(
            CONFIG,
            reading="retrieval",
            loop=LoopConfig(steps=150, batch_size=16, evaluate_every=150, checkpoint_every=150),
            optimizer=OptimizerConfig(learning_rate=0.02, warmup_steps=5, weight_decay=0.0),
            dropout=0.0,
            id_dropout=0.0,
            max_history=32,
            width=16,
            next_item_weight=1.0,
            sampling_correction=corrected,
        )
        encoder = learning.create_encoder(EncoderConfig(dropout=0.0), self.text, seed=1)
        statistics = LabelStatistics.of(self.tables, self.split.train)
        model = learning.make_recommender(encoder, self.text, statistics, config)
        learning.fit(model, self.examples, past_only=False, workdir=folder)
        sizes = learning.batch_config(config, past_only=False)
        found = []
        for batch in evaluation_batches(self.examples, "test", sizes):
            outputs = model.outputs_of(batch, seed=SEED, training=False)
            outputs = outputs._replace(seen=None)  # of the planted, the seen come again
            learnt = model.next_item_log_shares(outputs).numpy()[:, 1:]  # [batch, items]
            truth = self.truth[(batch["user"].numpy() - 1) % 2]
            found += (truth * (np.log(truth) - learnt)).sum(axis=1).tolist()
        return float(np.mean(found))


@pytest.mark.slow
def test_the_correction_recovers_the_planted_conditional(tmp_path):
    world = SkewedWorld(tmp_path)
    corrected = world.divergence(tmp_path / "corrected", True)
    plain = world.divergence(tmp_path / "plain", False)
    popularity = world.truth.mean(axis=0)
    blind = np.mean((world.truth * np.log(world.truth / popularity)).sum(axis=1))
    assert corrected < 0.5 * blind  # who one is, is read
    assert corrected < 0.3 * plain


@pytest.mark.slow
def test_an_implicit_log_is_ranked_and_served(implicit_world, tmp_path):
    world, loop = implicit_world, replace(CONFIG.loop, steps=60, evaluate_every=30)
    model = build(world, "retrieval", next_item_weight=1.0, loop=loop, id_dropout=0.0)
    state = learning.fit(model, world.examples, past_only=True, workdir=tmp_path / "work")
    valid = [row["value"] for row in state.curve if row["metric"] == "next_item_loss"]
    assert state.best == min(valid[1::2])  # the rows of a look: train, valid
    sizes = learning.batch_config(model.config, past_only=True)
    users = world.tables.users.index.to_numpy()
    ranking = rank_part(model, world.examples, "test", sizes, world.tables, world.split, users)
    ranking[np.isneginf(ranking)] = np.nan
    # Users of one kind take items of one kind only.
    kinds = [np.nanmean(ranking[:, kind::2], axis=1) for kind in (0, 1)]  # [users] each
    own = [kinds[u % 2][u] - kinds[1 - u % 2][u] for u in range(40)]
    assert np.mean(np.array(own) > 0) > 0.9
    # Without clicks the click's logit is the retrieval's: `rank` orders as `recommend` does.
    export(model, tmp_path / "saved", max_history=16, card={})
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures
    best = serve["recommend"](
        behaviour=tf.constant(["film number 0. comedy\nfilm number 2. comedy"]), k=tf.constant([6])
    )
    candidates = best["items"].numpy()[:, ::-1]
    ranked = serve["rank"](
        user=tf.constant([""]),
        history=tf.constant([["i00", "i02"]]),
        history_ratings=tf.zeros([1, 2]),
        history_times=tf.zeros([1, 2], tf.int64),
        now=tf.zeros([1], tf.int64),
        candidates=tf.constant(candidates),
    )
    assert ranked["ranking"].numpy().tolist() == [[5, 4, 3, 2, 1, 0]]
    assert not {b"i00", b"i02"} & set(candidates[0].tolist())


@pytest.mark.slow
def test_ratings_and_clicks_are_learnt_beside_it(world, tmp_path):
    share, click, liked = fitted(world, tmp_path, "retrieval")
    assert share < 0.75
    assert click[liked == 1].mean() > click[liked == 0].mean() + 0.2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, r"train\.temperature is 0\.0: give a number of at least 0\.001"),
        ({"reading": "retrieval", "next_item_weight": 0}, r"train\.next_item_weight is 0"),
    ],
)
def test_faults_of_the_configuration(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict({"name": "x", "data": {"dataset": "d"}, "train": values})
