"""Classify, Regress and MultiInference: the calls that send `tf.train.Example`s.

As TensorFlow Serving answers them with its default settings: a signature is taken by what
goes in and comes out, not by its method's name, which TensorFlow 2 does not write. This
project's own signatures read several tensors, so the server refuses them here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from serving.errors import InvalidArgument, Unimplemented
from serving.servable import DEFAULT_SIGNATURE, Servable

INPUTS, OUTPUTS, CLASSES, SCORES = "inputs", "outputs", "classes", "scores"
_CLASSIFY, _REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def examples_of(body: Any) -> np.ndarray:
    """Serialized examples of an `Input`: object [n] of bytes.

    A context stands before each example's bytes: of features that both name, the example's
    counts.

    Raises:
        InvalidArgument: there is none.
    """
    if body.WhichOneof("kind") == "example_list_with_context":
        listed, context = body.example_list_with_context, body.example_list_with_context.context
        before = context.SerializeToString()
    else:
        listed, before = body.example_list, b""
    if not listed.examples:
        raise InvalidArgument("Input is empty.")
    examples = np.empty(len(listed.examples), dtype=object)
    examples[:] = [before + example.SerializeToString() for example in listed.examples]
    return examples


def classify(servable: Servable, name: str, body: Any) -> Any:
    """A `ClassificationResult`: labels and scores of each class, example by example.

    Args:
        servable: that is asked.
        name: of the signature, "" for the default one.
        body: an `Input`.

    Raises:
        InvalidArgument: the signature is no classification, or its outputs are not of one.
    """
    wanted = _classification(servable, name)
    examples = examples_of(body)
    found = servable.run(name, {INPUTS: examples}, wanted)
    classes, scores = found.get(CLASSES), found.get(SCORES)
    _check_classes(classes, CLASSES, object, "DT_STRING", len(examples))
    _check_classes(scores, SCORES, np.float32, "DT_FLOAT", len(examples))
    widths = [part.shape[1] for part in found.values()]
    if len(set(widths)) > 1:
        raise InvalidArgument(
            f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}"
        )
    result = classification_pb2.ClassificationResult()
    for row in range(len(examples)):
        entry = result.classifications.add()
        for place in range(widths[0]):
            one = entry.classes.add()
            if classes is not None:
                one.label = classes[row, place].decode("utf-8", "replace")
            if scores is not None:
                one.score = scores[row, place]
    return result


def regress(servable: Servable, name: str, body: Any) -> Any:
    """A `RegressionResult`: a value for each example; arguments as of `classify`.

    Raises:
        InvalidArgument: the signature is no regression, or its output is not of one.
    """
    wanted = _regression(servable, name)
    examples = examples_of(body)
    value = servable.run(name, {INPUTS: examples}, wanted)[OUTPUTS]
    if value.ndim != 1 and value.shape[1:] != (1,):
        raise InvalidArgument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{list(value.shape)}"
        )
    if len(value) != len(examples):
        raise InvalidArgument(
            f"Input batch size did not match output batch size: {len(examples)} vs. {len(value)}"
        )
    if value.dtype != np.float32:
        raise InvalidArgument(f"Expected output Tensor of DT_FLOAT.  Got: {value.dtype}")
    result = regression_pb2.RegressionResult()
    for number in value.ravel():
        result.regressions.add().value = number
    return result


def infer(servable: Servable, request: Any) -> Any:
    """A `MultiInferenceResponse`: several signatures of one model on the same examples.

    Raises:
        InvalidArgument: tasks of several models, of one signature, or one that fails.
        Unimplemented: a task of another method.
    """
    response, asked = inference_pb2.MultiInferenceResponse(), set()
    for task in request.tasks:
        spec = task.model_spec
        if spec.name != request.tasks[0].model_spec.name:
            raise InvalidArgument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = spec.signature_name or DEFAULT_SIGNATURE
        if name in asked:
            raise InvalidArgument(f"Duplicate evaluation of signature: {name}")
        asked.add(name)
        if name not in servable.signatures:
            raise InvalidArgument(f"Requested signature not found in model graph: {name}")
        if task.method_name == _CLASSIFY:
            _classification(servable, name)
        elif task.method_name == _REGRESS:
            _regression(servable, name)
        else:
            raise Unimplemented(f"Unsupported signature method_name: {task.method_name}")
    for task in request.tasks:
        entry, name = response.results.add(), task.model_spec.signature_name
        if task.method_name == _CLASSIFY:
            entry.classification_result.CopyFrom(classify(servable, name, request.input))
        else:
            entry.regression_result.CopyFrom(regress(servable, name, request.input))
        fill_spec(entry.model_spec, servable, task.model_spec)
    return response


def fill_spec(spec: Any, servable: Servable, asked: Any) -> None:
    """Say which model, version and signature answered."""
    spec.name = asked.name
    spec.version.value = servable.version
    spec.signature_name = asked.signature_name or DEFAULT_SIGNATURE


def _classification(servable: Servable, name: str) -> list[str]:
    """Outputs of a classification, one or both of `classes` and `scores`."""
    known = _outputs(servable, name, "classification")
    if len(known) not in (1, 2):
        raise InvalidArgument(f"Expected one or two output Tensors, found {len(known)}")
    wanted = [key for key in (CLASSES, SCORES) if key in known]
    if not wanted:
        raise InvalidArgument(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature has: {", ".join(known)}'
        )
    return wanted


def _regression(servable: Servable, name: str) -> list[str]:
    known = _outputs(servable, name, "regression")
    if len(known) != 1:
        raise InvalidArgument("Expected one output Tensor.")
    if OUTPUTS not in known:
        raise InvalidArgument(f"No regression outputs found in SignatureDef: {known}")
    return known


def _outputs(servable: Servable, name: str, kind: str) -> list[str]:
    """Names of a signature's outputs, if it reads examples alone."""
    name = name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise InvalidArgument(f"No signature was found with the name: {name}")
    signature = servable.signatures[name]
    if len(signature.inputs) != 1:
        raise InvalidArgument("Expected one input Tensor.")
    if INPUTS not in signature.inputs:
        raise InvalidArgument(f"No {kind} inputs found in SignatureDef: {list(signature.inputs)}")
    return sorted(signature.outputs)


def _check_classes(value: np.ndarray | None, key: str, dtype: Any, title: str, count: int) -> None:
    """Refuse what is not one row of classes an example."""
    if value is None:
        return
    if value.ndim != 2:
        raise InvalidArgument(
            f"Expected Tensor shape: [batch_size num_classes] but got {list(value.shape)}"
        )
    if value.dtype != dtype:
        raise InvalidArgument(f"Expected {key} Tensor of {title}. Got: {value.dtype}")
    if len(value) != count:
        raise InvalidArgument(f"Expected {key} output batch size of {count}. Got: {len(value)}")
