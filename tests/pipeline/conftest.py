"""A run of a small log of one's own."""

import pytest

CONFIG = """
name: small
data:
  interactions: {path: log.csv, columns: {user: u, item: i, rating: r, time: t}}
  items: [{path: films.csv, columns: {item: i, title: title}}]
  rating_scale: [1, 5]
  click_threshold: 4
split: {kind: random, seed: 3, valid: 0.1, test: 0.1}
text: {item_template: "{title}", vocabulary_size: 150}
"""


@pytest.fixture
def small_run(tmp_path):
    """Path of the YAML; beside it 600 interactions of 30 users with 40 films."""
    rows = [f"u{n % 30},f{n * 7 % 40},{1 + n * n % 5},{1000 + n}" for n in range(600)]
    (tmp_path / "log.csv").write_text("\n".join(["u,i,r,t", *rows]) + "\n")
    words = ("Blue", "River", "Night", "Stone", "Garden")
    films = [f"f{n},{words[n % 5]} {words[n * 3 % 4]} {n}" for n in range(40)]
    (tmp_path / "films.csv").write_text("\n".join(["i,title", *films]) + "\n")
    (tmp_path / "small.yaml").write_text(CONFIG)
    return tmp_path / "small.yaml"
