"""What a regression leaves of the ratings, passed on between items that lie near each other.

A user's weights are a plane through his ratings: what he gave to an item beyond it, he is
likely to give to those beside that item, too, and a plane cannot bend there. So what is left
of his history's ratings is averaged by how near their items lie to a candidate: in taste, by
the loadings; in company, by who goes together with them; and in what their texts say. It is
a product of the three: films that please alike and are seen by the same people are near.

Nothing here is learnt by gradient. How much of it counts, and how sharply nearness falls,
`settling.settle_shares` finds.

References:
    Nadaraya 1964, "On Estimating Regression" (kernel regression).
    Koren 2008, "Factorization meets the neighborhood" (the two in one model).
"""

from __future__ import annotations

import tensorflow as tf

from ssrec_tf.recommenders.reading import Events, rated_events

# By how many powers of e an item is less near at a right angle than in the same direction, in
# taste, company and text; and how near nothing is, by which an average is shrunk to 0. The
# first is of items that were met; where all are new, company and text say more than taste.
SHARPNESS = ((8.0, 4.0, 1.0, 0.2), (4.0, 8.0, 8.0, 0.03))


def places_of(
    loadings: tf.Tensor, companions: tf.Tensor, directions: tf.Tensor, sharpness: tf.Tensor
) -> tf.Tensor:
    """Say where items lie; a product of two places is the logarithm of their nearness.

    Args:
        loadings: float32 [..., members, k + t], of `Factors.loadings`.
        companions: float32 [..., c], of `Items.as_met`; c may be 0.
        directions: float32 [..., e], of `Items`, of length 1.
        sharpness: float32 [4], one of `SHARPNESS`.

    Returns:
        float32 [..., members, k + t + c + e].
    """
    of_taste, of_company, of_text, _ = tf.unstack(tf.sqrt(sharpness))
    taste = tf.math.l2_normalize(loadings, axis=-1) * of_taste
    company = tf.math.l2_normalize(companions, axis=-1) * of_company
    alike = tf.concat([company, directions * of_text], axis=-1)[..., None, :]
    # [..., 1, c + e] for each member: [..., members, c + e].
    alike = tf.broadcast_to(alike, tf.concat([tf.shape(taste)[:-1], tf.shape(alike)[-1:]], 0))
    return tf.concat([taste, alike], axis=-1)


def told_nearby(
    history: Events, residuals: tf.Tensor, places: tf.Tensor, sharpness: tf.Tensor
) -> tf.Tensor:
    """Average what is left of a history's ratings about each candidate.

    Args:
        history: of [batch, history].
        residuals: float32 [batch, members, history], of `Factors.residuals`.
        places: float32 [batch, targets, members, p], of the candidates.
        sharpness: float32 [4], by which all places were made.

    Returns:
        In deviations, 0 for an empty history: float32 [batch, targets, members].
    """
    near = tf.einsum("btmp,bhmp->btmh", places, history.places)
    near = tf.exp(near - tf.reduce_sum(sharpness[:3]))  # 1 for an item and itself
    near *= rated_events(history)[:, None, None]  # [batch, 1, 1, history]
    told = tf.einsum("btmh,bmh->btm", near, residuals)
    return told / (tf.reduce_sum(near, axis=-1) + sharpness[3])
