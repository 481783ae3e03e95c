"""The page in headless Chromium, over the W3C WebDriver protocol; skipped where there is none."""

import base64
import os
import re
import shutil
import subprocess
import threading
import time

import httpx2
import pytest
import uvicorn

from serving.catalogue import Catalogue, Entry
from serving.gateway import Gateway
from serving.gateway_page import find_titles, page
from serving.up import free_port
from tests.serving.gateway_world import KEY, ByHand, make_settings, open_client

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def test_the_page_is_off_unless_wanted(tmp_path, described):
    with open_client(make_settings(tmp_path, described), ByHand()) as client:
        assert client.get("/").status_code == 404
        assert client.post("/v1/titles", json={"query": "heat"}).status_code == 404
    with open_client(make_settings(tmp_path, described, page=True), ByHand()) as client:
        assert "What would they like next" in client.get("/").text
        found = client.post("/v1/titles", json={"query": "hea"}).json()["items"]
        assert found == [{"id": "h", "text": "Heat"}]
        without = client.post("/v1/titles", json={"query": "x"}, headers={"X-API-Key": "no"})
        assert without.status_code == 401


def test_the_page_loads_nothing_and_runs_nothing_else():
    html, policy = page()
    assert not re.search(r"https?://|src=|@import|innerHTML|eval\(|onclick=\"", html)
    assert "script-src 'sha256-" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy


def test_titles():
    names = ["Star Wars", "A Star", "Dark star", "Heat"]
    catalogue = Catalogue([Entry(str(i), name) for i, name in enumerate(names)])
    assert [e.text for e in find_titles(catalogue, "STAR")] == ["Star Wars", "A Star", "Dark star"]
    assert [e.text for e in find_titles(catalogue, "wars star")] == ["Star Wars"]
    assert find_titles(catalogue, "  ") == []
    assert len(find_titles(Catalogue([Entry(str(i), "same") for i in range(50)]), "same")) == 20


class Browser:
    """A headless Chromium."""

    def __init__(self, port):
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,900"]
        arguments.append("--disable-dev-shm-usage")
        options = {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        body = {"capabilities": {"alwaysMatch": {"browserName": "chrome", **options}}}
        self._base = (
            "/session/" + self._http.post("/session", json=body).json()["value"]["sessionId"]
        )

    def call(self, path, body=None):
        method = "GET" if body is None else "POST"
        answer = self._http.request(method, self._base + path, json=body).json()["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(answer["message"])
        return answer

    def find(self, css):
        return self.call("/element", {"using": "css selector", "value": css})[ELEMENT]

    def type(self, css, text):
        self.call(f"/element/{self.find(css)}/value", {"text": text})

    def click(self, css):
        self.call(f"/element/{self.find(css)}/click", {})

    def run(self, script):
        return self.call("/execute/sync", {"script": script, "args": []})

    def text(self, css):
        return self.run(f"return document.querySelector({css!r}).innerText")

    def until(self, css, wanted):
        end = time.monotonic() + 30
        while wanted not in (self.run(f"return document.querySelector({css!r})?.innerText") or ""):
            assert time.monotonic() < end, (css, wanted, self.text("body"))
            time.sleep(0.05)

    def close(self):
        self._http.delete(self._base)


@pytest.fixture
def browser():
    if not shutil.which("chromedriver"):
        pytest.skip("no chromedriver; on Debian: apt install chromium-driver")
    port = free_port()
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/status")
            break
        except httpx2.HTTPError:
            time.sleep(0.1)
    made = Browser(port)
    yield made
    made.close()
    driver.terminate()
    driver.wait()


@pytest.fixture
def address(tmp_path, described):
    """Of a gateway with its page; $SSREC_GATEWAY and $SSREC_KEY name one that runs already."""
    if "SSREC_GATEWAY" in os.environ:
        yield os.environ["SSREC_GATEWAY"], os.environ["SSREC_KEY"]
        return
    port = free_port()
    gateway = Gateway(make_settings(tmp_path, described, page=True), ByHand())
    server = uvicorn.Server(uvicorn.Config(gateway, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}", KEY
    server.should_exit = True
    thread.join()


@pytest.mark.slow
def test_a_history_is_clicked_and_answers_change(browser, address, tmp_path):
    url, key = address
    browser.call("/url", {"url": url})
    browser.type("#key", key)
    browser.type("#query", "heat")
    browser.until("#found", "Heat")
    browser.click("#found button")
    browser.until("#history", "Heat")
    browser.until("#recommended", "Toy Story")
    assert "5.15" in browser.text("#recommended")  # 5 + a past item + 5 / 100, by hand
    browser.run(
        "const s = document.querySelector('#history select'); s.value = '1';"
        "s.dispatchEvent(new Event('change'))"
    )
    browser.until("#recommended", "5.11")
    browser.click("#recommended button")
    browser.until("#why", "knowing this item")
    assert "+0.110" in browser.text("#why")
    browser.type("#text", "<img src=x onerror=alert(1)>. New")
    browser.until("#new-score", "3.11")
    browser.until("#why", "part 2")
    assert browser.run("return document.querySelectorAll('img').length") == 0
    (tmp_path / "page.png").write_bytes(base64.b64decode(browser.call("/screenshot")))
    log = browser.call("/se/log", {"type": "browser"})
    severe = [
        row["message"]
        for row in log
        if row["level"] == "SEVERE" and "favicon" not in row["message"]
    ]
    assert severe == []
    browser.run("document.querySelector('#key').value = 'wrong'")
    browser.run("document.querySelector('#key').dispatchEvent(new Event('change'))")
    browser.until("#error", "valid key")
