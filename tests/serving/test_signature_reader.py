import pytest
from tensorflow.core.protobuf import meta_graph_pb2

from serving.errors import ServingError
from serving.signature_reader import TensorSpec, read_signatures


def meta_graph():
    """Written by protobuf's own classes, which are the oracle."""
    meta = meta_graph_pb2.MetaGraphDef()
    meta.meta_info_def.tags.append("serve")
    node = meta.graph_def.node.add(name="n", op="Const")
    node.attr["f"].f = 1.5  # a field of 32 bits, deep inside
    signature = meta.signature_def["rank"]
    for name, tensor, dtype, sizes in [
        ("user", "rank_user:0", 7, [-1]),
        ("k", "rank_k:0", 3, []),
        ("wide", "rank_wide:1", 1, [-1, 0, 300]),
    ]:
        signature.inputs[name].name = tensor
        signature.inputs[name].dtype = dtype
        signature.inputs[name].tensor_shape.SetInParent()
        for size in sizes:
            signature.inputs[name].tensor_shape.dim.add(size=size)
    signature.outputs["out"].name = "call:12"
    signature.method_name = "tensorflow/serving/predict"
    meta.signature_def["__saved_model_init_op"].outputs["op"].name = "NoOp"
    return meta


def test_reads_what_protobuf_wrote():
    signatures = read_signatures(meta_graph().SerializeToString())
    assert set(signatures) == {"rank"}
    assert signatures["rank"].inputs == {
        "user": TensorSpec("rank_user:0", 7, (-1,)),
        "k": TensorSpec("rank_k:0", 3, ()),
        "wide": TensorSpec("rank_wide:1", 1, (-1, 0, 300)),
    }
    assert signatures["rank"].outputs == {"out": TensorSpec("call:12", 0, ())}


def test_reads_the_fixed_widths():
    # Field 9 as 64 bits and field 10 as 32 bits, before a signature: skipped by their length.
    body = b"\x49" + b"\x01" * 8 + b"\x55" + b"\x02" * 4 + meta_graph().SerializeToString()
    assert set(read_signatures(body)) == {"rank"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x2a\x05ab", "ends within a field"),
        (b"\x80", "ends within a number"),
        (b"\x0b", "wire type 3"),
    ],
)
def test_broken_bytes_are_refused(body, message):
    with pytest.raises(ServingError, match=message):
        read_signatures(body)
