"""Stateless draws of many seeds at once: bit for bit what `tf.random` draws for each.

`tf.random.stateless_uniform` takes one seed a call. A batch that is drawn record by record
spends its time on calling; here one call draws for all records.

Reference:
    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10).
"""

from __future__ import annotations

import tensorflow as tf

_ROUNDS = 10
_FACTORS = (0xD2511F53, 0xCD9E8D57)
_STEPS = (0x9E3779B9, 0xBB67AE85)  # what is added to the key after each round
_SEEDING = (0x3EC8F720, 0x02461E29)  # TensorFlow's key, by which a seed is turned into a key


def split(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """Draw `count` new seeds for each, as `stateless_split`: int64 [n, 2] to [n, count, 2]."""
    words = _words(seeds, tf.constant(2 * count * 2))  # [n, 4 * count]
    words = tf.reshape(words, [-1, count, 2, 2])  # [n, count, 2, low and high]
    return tf.bitcast(words[..., 0] + words[..., 1] * 2**32, tf.int64)


def fold_in(seeds: tf.Tensor, data: int) -> tf.Tensor:
    """Mix a small number in, as `stateless_fold_in` does an int32: [n, 2] to int64 [n, 2]."""
    drawn = tf.bitcast(tf.cast(_words(seeds, tf.constant(1))[:, 0], tf.uint32), tf.int32)
    return tf.stack(
        [tf.cast(drawn, tf.int64), tf.fill(tf.shape(drawn), tf.constant(data, tf.int64))], 1
    )


def uniform(seeds: tf.Tensor, count: tf.Tensor | int) -> tf.Tensor:
    """Draw numbers in [0, 1) for each seed: int64 [n, 2] to float32 [n, count]."""
    words = _words(seeds, tf.convert_to_tensor(count))
    # 23 bits behind a one make a number in [1, 2).
    bits = tf.cast(words % 2**23 + 0x3F800000, tf.uint32)
    return tf.bitcast(bits, tf.float32) - 1.0


def integers(seeds: tf.Tensor, low: int, high: tf.Tensor) -> tf.Tensor:
    """Draw one integer for each seed, at least `low` and below `high` int32 [n]: int32 [n]."""
    words = tf.cast(_words(seeds, tf.constant(1))[:, 0], tf.int64)
    return low + tf.cast(words % tf.cast(high - low, tf.int64), tf.int32)


# A function of its own, traced once: the rounds are hundreds of ops.
@tf.function(
    input_signature=[tf.TensorSpec([None, 2], tf.int64), tf.TensorSpec([], tf.int32)],
    autograph=False,
)
def _words(seeds: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """The first `count` words of 32 bits of each seed's stream: uint64 [n, count]."""
    halves = tf.bitcast(seeds, tf.uint32)  # [n, 2, low and high]
    counter = tf.cast(tf.reshape(halves, [-1, 2, 2, 1]), tf.uint64)  # [n, 2, 2, 1]
    # Of the counter's words the even ones are in the first tensor, the odd ones in the second.
    even, odd = tf.unstack(tf.transpose(counter, [2, 1, 0, 3]))  # [2, n, 1] each
    seeding = tf.constant(_SEEDING, tf.uint64)[:, None, None]  # [2, 1, 1]
    even, odd = _philox(even, odd, seeding)
    key = tf.stack([even[0], odd[0]])  # [2, n, 1]
    blocks = tf.cast(tf.range((count + 3) // 4), tf.uint64)  # [blocks]
    blocks += tf.zeros_like(even[0])  # [n, blocks]
    zero = tf.zeros_like(blocks)
    even, odd = _philox(tf.stack([blocks, even[1] + zero]), tf.stack([zero, odd[1] + zero]), key)
    words = tf.stack([even[0], odd[0], even[1], odd[1]], axis=2)  # [n, blocks, 4]
    return tf.reshape(words, [tf.shape(words)[0], -1])[:, :count]  # [n, 4 * blocks], cut


def _philox(even: tf.Tensor, odd: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Encrypt counters of four words of 32 bits: uint64 [2, n, blocks] each, key [2, n, 1]."""
    steps = tf.constant(_STEPS, tf.uint64)[:, None, None]
    numbers = tf.constant(list(range(_ROUNDS)), tf.uint64)[:, None, None, None]
    keys = tf.unstack(_low(key + steps * numbers))  # [2, n, 1] each
    factors = tf.constant(_FACTORS, tf.uint64)[:, None, None]
    for round_key in keys:
        product = factors * even
        even = _xor(_xor(_high(product)[::-1], odd), round_key)
        odd = _low(product)[::-1]
    return even, odd


_xor = tf.bitwise.bitwise_xor


def _low(x: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_and(x, tf.constant(0xFFFFFFFF, tf.uint64))


def _high(x: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.right_shift(x, tf.constant(32, tf.uint64))
