"""A cross-encoder in PyTorch, as people would serve one: a worker of `bench_inference`.

Run by the environment of `benchmarks/requirements.txt`. Pairs come as token ids, so that
tokenizing, which it would have to do as well, is not counted.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.measuring import serve


class CrossEncoder:
    """One BERT with a score behind, fresh weights."""

    def load(self, layers: int, width: int, words: int) -> dict[str, Any]:
        """Make it; give versions and threads."""
        torch.manual_seed(0)
        sizes: dict[str, Any] = dict(
            vocab_size=words,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            intermediate_size=4 * width,
            num_labels=1,
        )
        self.model: Any = BertForSequenceClassification(BertConfig(**sizes))
        self.model.train(False)
        self.words = words
        return {"PyTorch": torch.__version__, "threads": torch.get_num_threads()}

    def score(self, pairs: int, length: int, bfloat16: bool) -> int:
        """Score a batch of pairs, all of one length; give how many."""
        tokens = torch.randint(1, self.words, [pairs, length])
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            scores = self.model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        if not bool(torch.isfinite(scores).all()):
            raise RuntimeError("a score is not finite")
        return pairs


if __name__ == "__main__":
    encoder = CrossEncoder()
    serve({"load": encoder.load, "score": encoder.score}, measured=["score"])
