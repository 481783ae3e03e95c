"""Errors of serving, and the exit code or status each one means.

::

    ServingError            3  a fault of ours, or of the server
    ├── InvalidArgument     2  400 / INVALID_ARGUMENT: the request or the command line
    ├── NotFound            2  404 / NOT_FOUND: no such model, version, signature or folder
    ├── Unavailable         3  503 / UNAVAILABLE: nobody answers, or not yet
    └── DeadlineExceeded    3  504 / DEADLINE_EXCEEDED
"""

from __future__ import annotations

import grpc


class ServingError(Exception):
    """Root of the tree."""

    exit_code = 3
    http = 500
    code = grpc.StatusCode.INTERNAL


class InvalidArgument(ServingError):  # noqa: N818 - gRPC's own name
    """The request is not one that the signature takes."""

    exit_code = 2
    http = 400
    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(ServingError):  # noqa: N818 - gRPC's own name
    """No such model, version or folder."""

    exit_code = 2
    http = 404
    code = grpc.StatusCode.NOT_FOUND


class Unavailable(ServingError):  # noqa: N818 - gRPC's own name
    """Nobody answers, or no version is loaded yet."""

    http = 503
    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(ServingError):  # noqa: N818 - gRPC's own name
    """No answer in time."""

    http = 504
    code = grpc.StatusCode.DEADLINE_EXCEEDED


_BY_CODE = {kind.code: kind for kind in (InvalidArgument, NotFound, Unavailable, DeadlineExceeded)}
_BY_HTTP = {kind.http: kind for kind in (InvalidArgument, NotFound, Unavailable, DeadlineExceeded)}


def from_code(code: grpc.StatusCode, message: str) -> ServingError:
    """The error that a gRPC status means."""
    return _BY_CODE.get(code, ServingError)(message)


def from_http(status: int, message: str) -> ServingError:
    """The error that an HTTP status means."""
    return _BY_HTTP.get(status, ServingError)(message)
