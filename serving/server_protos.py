"""Messages of TensorFlow Serving's settings that tensorflow-serving-api leaves out.

They are declared with the server's names, numbers and types (`session_bundle_config.proto`,
`monitoring_config.proto`, `ssl_config.proto`), in a pool of their own. The labels of models are in
the package: `model_server_config_pb2`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_PACKAGE = "tensorflow.serving"
_FIELD = descriptor_pb2.FieldDescriptorProto
_INT, _TEXT = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"
# Name -> (number, type); a type with a point is a message, "[...]" is repeated.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "BatchingParameters": {
        "max_batch_size": (1, _INT),
        "batch_timeout_micros": (2, _INT),
        "max_enqueued_batches": (3, _INT),
        "num_batch_threads": (4, _INT),
        "thread_pool_name": (5, _TEXT),
        "allowed_batch_sizes": (6, "[int64]"),
        "pad_variable_length_inputs": (7, "bool"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, f".{_PACKAGE}.PrometheusConfig")},
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
}
_TYPES = {"bool": _FIELD.TYPE_BOOL, "string": _FIELD.TYPE_STRING, "int64": _FIELD.TYPE_INT64}


@cache
def message(name: str) -> Any:
    """The class of `BatchingParameters`, `MonitoringConfig` or `SSLConfig`."""
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/server_protos.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers.name],
    )
    for title, fields in _MESSAGES.items():
        made = file.message_type.add(name=title)
        for field, (number, kind) in fields.items():
            _add(made, field, number, kind)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def _add(made: Any, field: str, number: int, kind: str) -> None:
    repeated, plain = kind.startswith("["), kind.strip("[]")
    added = made.field.add(
        name=field,
        number=number,
        label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
    )
    if plain.startswith("."):
        added.type, added.type_name = _FIELD.TYPE_MESSAGE, plain
    else:
        added.type = _TYPES[plain]
