"""The page: self-contained, well-formed, everything in it, every text escaped."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ssrec_tf.errors import ConfigError, DataError, StorageError
from ssrec_tf.figures import Figure, Report, Slice
from ssrec_tf.metrics import CalibrationBin
from ssrec_tf.protocol import ProtocolCard
from ssrec_tf.reporting import RecommendationExample, read_report, write_report

EVIL = "<img src=x onerror=alert(1)>&\"'"
CARD = ProtocolCard(
    dataset=EVIL, split="random", split_digest="ab" * 32, split_seed=None, part="test", rows=1234,
    click="as logged", k=5, relevant="every click of the part", ranked_users=2,
    ranked_users_digest="cd",
)  # fmt: skip
SAMPLES = np.zeros(20, np.float32)
BINS = (CalibrationBin(3, 0.2, 0.1), CalibrationBin(4, 0.8, 0.9))


def figures(rmse: float, shift: float) -> dict[str, Figure]:
    return {
        "rmse": Figure(rmse, rmse - 0.1, rmse + 0.1, SAMPLES + np.float32(shift)),
        "auc": Figure(0.8125, 0.7, 0.9, SAMPLES),
        "log_loss": Figure(0.5, 0.4, 0.6, SAMPLES + np.float32(shift)),
        "precision": Figure(0.625, 0.6, 0.7),
        "ndcg@5": Figure(math.nan),
    }


def report() -> Report:
    part = Slice(EVIL, 77, 7, {EVIL: {"rmse": 0.5, "auc": math.nan}, "bias": {"rmse": 0.75}})
    return Report(
        CARD, 20, 0, {EVIL: figures(0.9, 0), "bias": figures(1.0, 0.1)}, (part,),
        {EVIL: BINS, "bias": BINS},
    )  # fmt: skip


CURVES = [
    {"step": step, "phase": phase, "metric": EVIL, "value": 1 / (step + 1)}
    for step in range(3)
    for phase in ("pretraining/train", "pretraining/valid", "train")
]
EXAMPLES = [RecommendationExample(EVIL, [f"rated 5: {EVIL}", "seen: 千"], [(EVIL, 4.5), ("b", 1)])]


class Page(HTMLParser):
    """Collects tags, texts and what is not closed."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)


def written(tmp_path, found=None, **options) -> str:
    path = write_report(tmp_path / "new", found or report(), **options)
    assert path == tmp_path / "new" / "report.html"
    return path.read_text("utf-8")


def test_everything_is_there_and_nothing_is_loaded(tmp_path):
    text = written(
        tmp_path,
        curves=CURVES,
        examples=EXAMPLES,
        card={"size": {"width": 64}, "tags": ["a", EVIL]},
    )
    page = Page(text)
    assert page.open == []
    whole = "\n".join(page.texts)
    wanted = ["Against the baselines", "Learning curves", "Calibration", "Slices", "Protocol"]
    wanted += ["Examples of recommendations", "Model", "0.9000", "0.800 to 1.000", "0.6250"]
    wanted += ["ab" * 32, "size.width", "64", f"a, {EVIL}", "4.500", "seen: 千", "1,234 rows"]
    wanted += ["-0.1000 (-0.1000 to -0.1000) against bias", "split seed", "unknown", "77"]
    for words in wanted:
        assert words in whole, words
    assert len([tag for tag, _ in page.tags if tag == "svg"]) == 3 + 2 + 1
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "base", "object")
        assert not {"src", "href", "onerror", "onclick"} & attributes.keys()
    assert not re.search(r"https?:|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_better_is_green_and_worse_is_red(tmp_path):
    def kinds(text):
        return [kind for kind in ("good", "bad") if f'<span class="{kind}">' in text]

    assert kinds(written(tmp_path)) == ["good"]
    assert kinds(written(tmp_path, model="bias")) == ["bad"]


def test_bare_report_leaves_out_what_it_has_not(tmp_path):
    bare = Report(CARD, 0, 0, {"m": {"auc": Figure(0.7)}})
    page = Page(written(tmp_path, bare))
    assert page.titles == ["Against the baselines", "Protocol"]
    assert "0.7000" in page.texts
    assert "nan" not in " ".join(page.texts)
    alone = Report(CARD, 0, 0, {"m": {"auc": Figure(0.7)}}, calibration={"m": BINS})
    with_slice = replace(alone, slices=(Slice("s", 1, 1, {"m": {"auc": 0.3}}),))
    assert "0.3000" in " ".join(Page(written(tmp_path, with_slice)).texts)


def test_json_comes_back_whole(tmp_path):
    written(tmp_path)
    path = tmp_path / "new" / "report.json"
    assert json.loads(path.read_text("utf-8"))["models"]["bias"]["ndcg@5"]["value"] is None
    assert read_report(path) == report()


def test_faults_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no model 'svd' in the report"):
        write_report(tmp_path, report(), model="svd")
    with pytest.raises(ConfigError, match="give one of none"):
        write_report(tmp_path, replace(report(), models={}))
    with pytest.raises(StorageError, match=r"cannot read .*no such file"):
        read_report(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match=r"broken.json: no JSON"):
        read_report(tmp_path / "broken.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_report(tmp_path / "file", report())
