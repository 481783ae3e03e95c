"""Errors of serving, and the exit code or status each one means.

::

    ServingError            3  a fault of ours, or of the server
    ├── InvalidArgument     2  400 / INVALID_ARGUMENT: the request or the command line
    ├── FailedPrecondition  2  400 / FAILED_PRECONDITION: gRPC's answer to an unknown signature
    ├── NotFound            2  404 / NOT_FOUND: no such model, version, signature or folder
    ├── Unimplemented       2  501 / UNIMPLEMENTED: a call that this server does not have
    ├── Untrusted           1  a version is not what was signed, or holds what it may not
    ├── CheckFailed         1  `serving check` said no
    ├── Overloaded          3  429 / RESOURCE_EXHAUSTED: too much at once; later is better
    ├── Unavailable         3  503 / UNAVAILABLE: nobody answers
    │   └── NotReady        3  503: a server answers, but no version is loaded yet
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


class FailedPrecondition(ServingError):  # noqa: N818 - gRPC's own name
    """The model has no such signature."""

    exit_code = 2
    http = 400  # as TensorFlow Serving maps it
    code = grpc.StatusCode.FAILED_PRECONDITION


class Unimplemented(ServingError):  # noqa: N818 - gRPC's own name
    """The server has no such call."""

    exit_code = 2
    http = 501
    code = grpc.StatusCode.UNIMPLEMENTED


class CheckFailed(ServingError):  # noqa: N818 - reads as what happened
    """A served model refused a request, or two ways of asking gave two answers."""

    exit_code = 1


class Untrusted(ServingError):  # noqa: N818 - reads as what it is
    """A version is not what was signed, or its graph could do more than score."""

    exit_code = 1


class NotFound(ServingError):  # noqa: N818 - gRPC's own name
    """No such model, version or folder."""

    exit_code = 2
    http = 404
    code = grpc.StatusCode.NOT_FOUND


class Overloaded(ServingError):  # noqa: N818 - reads as what happened
    """Somebody's limit is reached; the same request may pass later."""

    http = 429
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(ServingError):  # noqa: N818 - gRPC's own name
    """Nobody answers, or no version is loaded yet."""

    http = 503
    code = grpc.StatusCode.UNAVAILABLE


class NotReady(Unavailable):
    """A server answers, but has no version that could."""


class DeadlineExceeded(ServingError):  # noqa: N818 - gRPC's own name
    """No answer in time."""

    http = 504
    code = grpc.StatusCode.DEADLINE_EXCEEDED


_KINDS: tuple[type[ServingError], ...] = (
    InvalidArgument,
    FailedPrecondition,
    Unimplemented,
    NotFound,
    Overloaded,
    Unavailable,
    DeadlineExceeded,
)
_BY_CODE = {kind.code: kind for kind in _KINDS}
_BY_HTTP = {kind.http: kind for kind in reversed(_KINDS)}  # 400 is InvalidArgument


def from_code(code: grpc.StatusCode, message: str) -> ServingError:
    """The error that a gRPC status means."""
    return _BY_CODE.get(code, ServingError)(message)


def from_http(status: int, message: str) -> ServingError:
    """The error that an HTTP status means."""
    return _BY_HTTP.get(status, ServingError)(message)
