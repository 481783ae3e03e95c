"""A pair scored by a factorization: of candidates that were met, and of those known by text alone.

What a user gave to items says how he departs from what is known of them. Of an item that nobody
met less is known: that users choose what is better than its text tells, and that a taste goes
further than the words in which it shows, no level and no loading of it holds. So for such a
candidate the whole history is read by texts alone, too, and regressed on what they tell: what
texts leave out is then in the user's weights, as it is in the answer that is asked for.

Reference:
    Fuller 1987, "Measurement Error Models" (a forecast from what is measured with
        errors is regressed on what is measured, not on what is true).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from ssrec_tf.recommenders.factors import Factors
from ssrec_tf.recommenders.nearby import places_of, told_nearby
from ssrec_tf.recommenders.reading import Events, Items
from ssrec_tf.recommenders.strays import strays_left_out, strays_of

MET, UNMET = 0, 1  # rows of `Factors.shares` and `Factors.sharpness`
Told = tuple[tf.Tensor, tf.Tensor]  # levels and strays, float32 [batch, n, members] each


class FactorReading(NamedTuple):
    """A behaviour, as a factorization reads it.

    Attributes:
        history: items of its events, [batch, history].
        events: the same, by what is known of them.
        moment: int64 [batch], when the newest event was; 0 where none has a time.
        user: int32 [batch, user width], words of the user's text.
    """

    history: Items
    events: Events
    moment: tf.Tensor
    user: tf.Tensor


class FactorHead:
    """Reads behaviours, and says levels and strays of candidates; all weights are of `factors`.

    Args:
        factors: of the items.
        widths: lengths s, c and a of `Items.as_met`.
    """

    def __init__(self, factors: Factors, widths: Sequence[int]) -> None:
        """Keep what is given."""
        self.factors, self._widths = factors, list(widths)

    def read(
        self, history: Items, times: tf.Tensor, user: tf.Tensor, labels: tuple[tf.Tensor, ...]
    ) -> FactorReading:
        """Read behaviours.

        Args:
            history: of [batch, history].
            times: int64 [batch, history], in seconds since 1970, 0 where unknown.
            user: int32 [batch, user width].
            labels: `stars`, `strays` and `mask` of `Events`.
        """
        moment = tf.maximum(tf.reduce_max(times, axis=1), 0)  # no events have none
        waves = self.factors.waves(times, moment[:, None])
        return FactorReading(history, self._events(history, waves, labels), moment, user)

    def score(self, reading: FactorReading, candidates: Items, now: tf.Tensor) -> Told:
        """Say levels and strays of candidates [batch, targets].

        Args:
            reading: of [batch].
            candidates: of [batch, targets].
            now: int64 [batch, targets or 1], when they are met, 0 where that is unknown.
        """
        waves = self.factors.waves(now, reading.moment[:, None])
        met = self._told(reading.user, reading.events, candidates, MET, waves)
        if self.factors.unmet is None:
            return met
        unmet = candidates.speaks == 0  # [batch, targets]
        by_text = tf.cond(
            tf.reduce_any(unmet),
            lambda: self._told(reading.user, self._by_text(reading), candidates, UNMET, waves),
            lambda: met,
        )
        levels, strays = (
            tf.where(unmet[..., None], other, one) for one, other in zip(met, by_text, strict=True)
        )
        return levels, strays

    def left_out(
        self, reading: FactorReading, targets: Items, now: tf.Tensor, labels: tuple[tf.Tensor, ...]
    ) -> tuple[Told, Told]:
        """Say them of the history's events and of targets, in training; see `Factors.left_out`.

        Args:
            reading: of [batch].
            targets: of [batch, targets].
            now: int64 [batch, targets], when they were met.
            labels: `stars`, `strays` and `mask` of `Events`, [batch, targets] each.
        """
        waves = self.factors.waves(now, reading.moment[:, None])
        events = self._events(targets, waves, labels)
        levels = self.factors.left_out(reading.events, events, reading.user)
        strays = strays_left_out(self.factors, reading.events, events)
        cut = tf.shape(reading.events.mask)[1]
        return (levels[:, :cut], strays[:, :cut]), (levels[:, cut:], strays[:, cut:])

    def _events(self, items: Items, waves: tf.Tensor, labels: tuple[tf.Tensor, ...]) -> Events:
        """What users did, or are asked about, [batch, n], by what is known of the items."""
        stars, strays, mask = labels
        places = self._places(items, items.factors, MET)
        return Events(items.factors, places, waves, stars=stars, strays=strays, mask=mask)

    def _by_text(self, reading: FactorReading) -> Events:
        """The events of a history by texts alone; made in the branch that asks for them."""
        rows = reading.history.factors_by_text
        return reading.events._replace(rows=rows, places=self._places(reading.history, rows, UNMET))

    def _places(self, items: Items, rows: tf.Tensor, kind: int) -> tf.Tensor:
        """Where items lie by these rows: [..., members, p], see `nearby`."""
        loadings = self.factors.loadings(rows)[..., 1:]  # without the bias' 1
        companions = tf.split(items.as_met, self._widths, axis=-1)[1]
        return places_of(loadings, companions, items.directions, self.factors.sharpness[kind])

    def _told(
        self, user: tf.Tensor, events: Events, candidates: Items, kind: int, waves: tf.Tensor
    ) -> Told:
        """Levels and strays of candidates, by events that are read as candidates of this kind."""
        factors, rows = self.factors, candidates.factors
        weights = factors.posterior(events, user)
        places = self._places(candidates, rows, kind)
        residuals = factors.residuals(events, weights)
        nearby = told_nearby(events, residuals, places, factors.sharpness[kind])
        levels = factors.score(weights, rows, waves, nearby, factors.shares[kind])
        return levels, strays_of(factors, events, rows)
