"""TensorFlow Serving's REST paths: predict, classify, regress, status and metadata."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format

from serving.errors import InvalidArgument, NotFound, ServingError
from serving.grpc_server import model_status, signature_map
from serving.inference import classify, regress
from serving.json_examples import format_classes, format_values, parse_examples
from serving.json_tensors import format_response, parse_request
from serving.servable import Servable
from serving.versions import Versions

MAX_BODY_BYTES = 64 * 1024 * 1024
_PATH = re.compile(
    r"(?i)/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,19})|/labels/(?P<label>[^/:]+))?"
    r"(?::(?P<verb>\w+)|/(?P<metadata>metadata))?"
)


def start(versions: Versions, host: str, port: int) -> ThreadingHTTPServer | None:
    """Start a server in a thread; nothing where the port is taken."""
    handler = type("Handler", (_Handler,), {"versions": versions})
    try:
        server = _Server((host, port), handler)
    except OSError:
        return None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    """One request; every error is `{"error": ...}` with its status."""

    versions: Versions
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Status and metadata."""
        if self.headers.get("Content-Length", "0") != "0":
            self.close_connection = True  # the body is not read: it is no next request
        self._respond(self._get)

    def do_POST(self) -> None:
        """Predict, classify, regress."""
        self._respond(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a request's text must not reach a log."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses (a method, a broken head), as JSON like every error."""
        self.close_connection = True
        self._send(code, json.dumps({"error": message or f"HTTP {code}"}))

    def _respond(self, work: Callable[[], str]) -> None:
        try:
            status, text = 200, work()
        except ServingError as error:
            status, text = error.http, json.dumps({"error": str(error)})
        except OSError:  # the client went away, or is too slow: nobody to answer
            self.close_connection = True
            return
        except Exception as error:  # a fault of ours still gets its answer
            kind = type(error).__name__
            status, text = 500, json.dumps({"error": f"{kind} in the stand-in; report it"})
        try:
            self._send(status, text)
        except OSError:
            self.close_connection = True

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _get(self) -> str:
        match = self._match()
        if match["verb"]:
            raise self._malformed()
        if not match["metadata"]:
            version = int(match["version"]) if match["version"] else None
            status = model_status(self.versions, unquote(match["name"]), version)
            return json.dumps(_plain(status), indent=1)
        servable = self._find(match)
        name = unquote(match["name"])
        spec = {"name": name, "signature_name": "", "version": str(servable.version)}
        body = {"model_spec": spec, "metadata": {"signature_def": _plain(signature_map(servable))}}
        return json.dumps(body, indent=1)

    def _post(self) -> str:
        body = self._body()
        match = self._match()
        if match["verb"] not in ("predict", "classify", "regress"):
            raise self._malformed()
        servable = self._find(match)
        if match["verb"] == "classify":
            name, examples = parse_examples(body)
            return format_classes(classify(servable, name, examples))
        if match["verb"] == "regress":
            name, examples = parse_examples(body)
            return format_values(regress(servable, name, examples))
        name, inputs, in_rows = parse_request(body, servable)
        return format_response(servable.run(name, inputs), in_rows=in_rows)

    def _match(self) -> re.Match[str]:
        path = self.path.partition("?")[0]
        match = _PATH.fullmatch(path)
        if match is None:
            if not path.lower().startswith("/v1/"):
                raise NotFound(f"{path[:200]} is not served; paths begin with /v1/models/")
            if path.lower() == "/v1/models" and self.command == "GET":
                raise InvalidArgument("Missing model name in request.")
            raise self._malformed()
        return match

    def _malformed(self) -> InvalidArgument:
        return InvalidArgument(f"Malformed request: {self.command} {self.path}")

    def _find(self, match: re.Match[str]) -> Servable:
        version = int(match["version"]) if match["version"] else None
        label = unquote(match["label"]) if match["label"] else None
        return self.versions.get(unquote(match["name"]), version, label)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            raise InvalidArgument(
                f"Content-Length is {length[:20] or 'missing'}; send 0 to {MAX_BODY_BYTES} bytes"
            )
        return self.rfile.read(int(length))


def _plain(message: Any) -> dict[str, Any]:
    """A message with its own field names, unset fields included, as TensorFlow Serving writes."""
    plain: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return plain
