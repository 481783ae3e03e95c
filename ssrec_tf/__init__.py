"""Self-supervised recommendation on TensorFlow: behaviour as text, one BERT, one SavedModel.

The files read from the log to the served score: `datasets`, `tables`, `splits`, `rendering`,
`vocabulary`, `tokenization`, `text_table`, `examples`, `batching`, `masking`, `encoders`,
`objectives`, `recommenders`, `training`, `learning`, `evaluation`, `exporting`.
"""

from __future__ import annotations

import os

# tensorflow-recommenders needs Keras 2's API behind `tf.keras`; `import keras` stays Keras 3.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

__version__ = "0.1.0"
