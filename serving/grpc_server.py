"""`PredictionService` and `ModelService` over gRPC, as tensorflow-serving-api defines them."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.apis.classification_pb2 import ClassificationResponse
from tensorflow_serving.apis.regression_pb2 import RegressionResponse

from serving.errors import FailedPrecondition, InvalidArgument, NotFound, ServingError
from serving.inference import classify, fill_spec, infer, regress
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.server_configs import release_of
from serving.versions import Versions

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_WORKERS = 8
_INTERNAL = 13  # of tensorflow.error.Code
_NAMELESS = "ModelSpec has no name specified."


def start(
    versions: Versions, address: str, credentials: grpc.ServerCredentials | None = None
) -> grpc.Server | None:
    """Start a server on `address`, over TLS with `credentials`; nothing where the port is taken."""
    server = grpc.server(
        futures.ThreadPoolExecutor(_WORKERS),
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(versions), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(versions), server)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        if port == 0:
            return None
    except RuntimeError:
        return None
    server.start()
    return server


def _find(versions: Versions, request: Any) -> Servable:
    """The servable of a request's ModelSpec."""
    spec = _spec(request)
    version = spec.version.value if spec.HasField("version") else None
    return versions.get(spec.name, version, spec.version_label or None)


def _spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise InvalidArgument("Missing ModelSpec")
    if not request.model_spec.name:
        raise InvalidArgument(_NAMELESS)
    return request.model_spec


def _answer(context: grpc.ServicerContext, work: Callable[[], Any]) -> Any:
    """Do the work; an error becomes a status with its message."""
    try:
        return work()
    except ServingError as error:
        context.abort(error.code, str(error))
    except Exception as error:  # gRPC would send the exception's own text
        kind = type(error).__name__
        context.abort(grpc.StatusCode.INTERNAL, f"{kind} in the stand-in; report it")


def _array(name: str, proto: Any) -> np.ndarray:
    """A TensorProto as an array.

    One value may stand for a whole tensor, so a few bytes can ask for any amount of memory:
    the size is checked first.
    """
    try:
        shape = [dim.size for dim in proto.tensor_shape.dim]
        width = tf.as_dtype(proto.dtype).size or 8  # of a text, the pointer to it
        if min(shape, default=0) < 0 or math.prod(shape) * width > MAX_MESSAGE_BYTES:
            raise ValueError(f"shape {shape} is negative or larger than a message")
        array: np.ndarray = tf.make_ndarray(proto)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"tensor {name} cannot be read: {error}") from None
    return array


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Everything that is asked of a model."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Run a signature on the request's tensors."""
        return _answer(context, lambda: self._predict(request))

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Say what signatures there are."""
        return _answer(context, lambda: self._metadata(request))

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Classes and scores of examples."""
        return _answer(
            context, lambda: self._on_examples(request, ClassificationResponse(), classify)
        )

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """A value for each example."""
        return _answer(context, lambda: self._on_examples(request, RegressionResponse(), regress))

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Several of the two on the same examples."""
        return _answer(context, lambda: self._infer(request))

    def _on_examples(self, request: Any, response: Any, work: Callable[..., Any]) -> Any:
        servable, spec = _find(self._versions, request), request.model_spec
        response.result.CopyFrom(work(servable, spec.signature_name, request.input))
        fill_spec(response.model_spec, servable, spec)
        return response

    def _infer(self, request: Any) -> Any:
        if not request.tasks:
            raise InvalidArgument(_NAMELESS)
        return infer(_find(self._versions, request.tasks[0]), request)

    def _predict(self, request: Any) -> Any:
        servable = _find(self._versions, request)
        inputs = {name: _array(name, proto) for name, proto in request.inputs.items()}
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in servable.signatures:  # not REST's status, but the real server's, too
            raise FailedPrecondition(f'Serving signature key "{name}" not found.')
        outputs = servable.run(name, inputs, list(request.output_filter))
        response = predict_pb2.PredictResponse()
        fill_spec(response.model_spec, servable, request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    def _metadata(self, request: Any) -> Any:
        if list(request.metadata_field) != ["signature_def"]:
            raise InvalidArgument(
                f"Metadata field {list(request.metadata_field)} is not supported; "
                "ask for signature_def"
            )
        servable = _find(self._versions, request)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = servable.version
        packed = any_pb2.Any()
        packed.Pack(signature_map(servable))
        response.metadata["signature_def"].CopyFrom(packed)
        return response


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Say which versions are available, and which cannot be loaded."""
        return _answer(context, lambda: self._status(request))

    def HandleReloadConfigRequest(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        """Want other versions and labels."""
        return _answer(context, lambda: self._reload(request))

    def _reload(self, request: Any) -> Any:
        release, base_path = release_of(request.config, self._versions.name)
        if base_path and Path(base_path).resolve() != self._versions.folder.resolve():
            raise InvalidArgument(
                f"base_path {base_path} is another folder; the stand-in serves one"
            )
        self._versions.change(release)
        return model_management_pb2.ReloadConfigResponse()

    def _status(self, request: Any) -> Any:
        spec = _spec(request)
        version = spec.version.value if spec.HasField("version") else None
        return model_status(self._versions, spec.name, version)


def signature_map(servable: Servable) -> Any:
    """All signatures as a SignatureDefMap."""
    body = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        body.signature_def[name].CopyFrom(signature)
    return body


def model_status(versions: Versions, name: str, version: int | None) -> Any:
    """A GetModelStatusResponse for what is served; a label changes nothing.

    Raises:
        NotFound: another model or version.
    """
    try:
        versions.get(name, version)
    except NotFound:
        what = "any versions" if version is None else f"version {version}"
        raise NotFound(f"Could not find {what} of model {name}") from None
    response = get_model_status_pb2.GetModelStatusResponse()
    state = get_model_status_pb2.ModelVersionStatus
    for number in versions.available():
        if version in (None, number):
            entry = response.model_version_status.add(version=number, state=state.AVAILABLE)
            entry.status.SetInParent()  # OK, and said so
    for number, why in versions.failures().items():
        if version is None:
            entry = response.model_version_status.add(version=number, state=state.END)
            entry.status.error_code, entry.status.error_message = _INTERNAL, why
    return response
