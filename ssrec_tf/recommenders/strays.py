"""What a click says beyond its rating: by item, and by user in a second, small regression.

Who gives 4 to most of what pleases him strays from whoever gives 3, though both mean the
same; so do items that some love and others do not. A click of the history is known by its
rating: what a step of the scale says beyond a straight line is measured on the train rows
(`LabelStatistics.click_beyond_rating`). Strays are small and noisy, so they are regressed
on the loadings alone, without drift, and held to 0 more firmly than ratings to their prior.
"""

from __future__ import annotations

import tensorflow as tf

from ssrec_tf.recommenders.factors import Factors
from ssrec_tf.recommenders.reading import Events, joined, rated_events
from ssrec_tf.recommenders.regression import left_out, observe, posterior_mean

# Prior precisions of a user's own stray and of its slopes, in that of one event's noise.
_OWN, _SLOPES = 6.0, 4.0


def strays_of(factors: Factors, history: Events, rows: tf.Tensor) -> tf.Tensor:
    """Say how clicks on candidates stray.

    Args:
        factors: whose loadings are regressed on.
        history: of [batch, history].
        rows: float32 [batch, targets, members, 2 k + 3 + t], of `Factors.read`.

    Returns:
        In deviations of the clicks' share by rating: float32 [batch, targets, members].
    """
    asked, above, rated = _known(factors, history)
    precision = _precision(asked)
    seen = observe(asked * rated[..., None], above, precision)
    weights = posterior_mean(seen, precision, tf.zeros_like(precision))
    own = factors.own_strays(rows)
    return own + tf.einsum("btmk,bmk->btm", factors.loadings(rows), weights)


def strays_left_out(factors: Factors, history: Events, targets: Events) -> tf.Tensor:
    """Say how each event's click strays, by all but itself; see `Factors.left_out`.

    Returns:
        float32 [batch, history + targets, members].
    """
    every = joined(history, targets)
    asked, above, rated = _known(factors, every)
    precision = _precision(asked)
    seen = observe(asked * rated[..., None], above, precision)
    prior = tf.zeros_like(precision)[None, :]
    found = left_out(seen, precision, prior, asked, above, rated)
    return factors.own_strays(every.rows) + tf.transpose(found, [0, 2, 1])  # [batch, n, members]


def _known(factors: Factors, events: Events) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Loadings, strays above the items' own (0 where there is no rating), and who has one.

    float32 [batch, members, n, 1 + k + t], [batch, members, n], [batch, 1, n].
    """
    rated = rated_events(events)[:, None, :]  # [batch, 1, n]
    asked = tf.transpose(factors.loadings(events.rows), [0, 2, 1, 3])  # [batch, members, n, ...]
    own = tf.transpose(factors.own_strays(events.rows), [0, 2, 1])  # [batch, members, n]
    return asked, tf.where(rated > 0, events.strays[:, None, :] - own, 0.0), rated


def _precision(loadings: tf.Tensor) -> tf.Tensor:
    """Of the prior: float32 [1 + k + t]."""
    return tf.constant([_OWN] + [_SLOPES] * (loadings.shape[-1] - 1))
