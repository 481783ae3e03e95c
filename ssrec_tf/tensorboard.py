"""What TensorBoard shows beside scalars: filled-in masks, and the item vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from ssrec_tf import storage
from ssrec_tf.batching import Batch
from ssrec_tf.objectives import MaskedToken
from ssrec_tf.recommenders import Indexed
from ssrec_tf.text_table import TextTable

_SAMPLES = 4


def token_name(text: TextTable, token: int) -> str:
    """Write a token out: a word piece, `[RATING=4]`, or `[ITEM 50]`."""
    vocabulary = text.vocabulary
    if token >= vocabulary.first_item_id:
        return f"[ITEM {vocabulary.items[token - vocabulary.first_item_id]}]"
    if token >= vocabulary.first_rating_id:
        return f"[RATING={vocabulary.ratings[token - vocabulary.first_rating_id]:g}]"
    special = {vocabulary.item_id: "[ITEM]", vocabulary.rated_id: "[RATED]"}
    return special.get(token) or vocabulary.words[token]


def filled_masks(objective: MaskedToken, batch: Batch, step: int) -> None:
    """Write a text sample of what the model puts at hidden places, into the default writer."""
    masked = objective.masked(batch, tf.constant([5, 0], tf.int64))
    best = tf.argmax(objective(masked, training=False), axis=-1).numpy()  # [batch, masks]
    lines = []
    for row in range(min(_SAMPLES, len(best))):
        tokens = [token_name(objective.text, int(t)) for t in masked.token_ids[row] if int(t)]
        for slot in np.flatnonzero(masked.mask_weights[row].numpy()):
            truth = token_name(objective.text, int(masked.mask_ids[row, slot]))
            guess = token_name(objective.text, int(best[row, slot]))
            mark = f"**{truth}**" if truth == guess else f"_{guess}_ (was **{truth}**)"
            tokens[int(masked.mask_positions[row, slot])] = mark
        lines.append(" ".join(tokens).replace(" ##", ""))
    tf.summary.text("filled_in_masks", "\n\n".join(lines), step=step)


def item_projector(model: Indexed, folder: Path) -> None:
    """Write the item vectors for TensorBoard's embedding projector.

    Three files: `tensors.tsv`, `metadata.tsv` (id and text) and `projector_config.pbtxt`.
    """
    vectors = tf.convert_to_tensor(model.index()).numpy()[1:, :-1]  # [items, width]
    lines = ["\t".join(f"{value:.5g}" for value in row) for row in vectors]
    labels = [f"{i}\t{t}" for i, t in zip(model.text.item_ids, model.text.item_texts, strict=True)]
    config = (
        'embeddings {\n  tensor_name: "items"\n  tensor_path: "tensors.tsv"\n'
        '  metadata_path: "metadata.tsv"\n}\n'
    )
    storage.atomic_write_text(folder / "tensors.tsv", "\n".join(lines) + "\n")
    storage.atomic_write_text(folder / "metadata.tsv", "\n".join(["item\ttext", *labels]) + "\n")
    storage.atomic_write_text(folder / "projector_config.pbtxt", config)
