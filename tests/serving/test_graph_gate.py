"""Graphs that could do more than score are refused by reading them; none is loaded."""

import shutil

import pytest
import tensorflow as tf

from serving.errors import NotFound, Untrusted
from serving.graph_gate import check_graph


def save(folder, function, *specs):
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    module.run = tf.function(lambda x: {"y": function(x, module)}, input_signature=specs or [TEXT])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.run})
    return folder


TEXT = tf.TensorSpec([None], tf.string, "x")


def test_exports_pass(toy_model, described):
    assert check_graph(toy_model) > 10
    assert check_graph(described / "3") > 10


EVIL = {
    "read": lambda x, m: tf.io.read_file(x[0]),
    "write": lambda x, m: [tf.io.write_file("/tmp/x", x[0]), x][1],
    "glob": lambda x, m: tf.io.matching_files(x),
    "python": lambda x, m: tf.numpy_function(lambda v: v, [x], tf.string),
    "print": lambda x, m: [tf.print(x), x][1],
    "restore": lambda x, m: tf.raw_ops.RestoreV2(
        prefix=x[0], tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0],
    "save": lambda x, m: [
        tf.raw_ops.SaveV2(prefix=x[0], tensor_names=["a"], shape_and_slices=[""], tensors=[1.0]),
        x,
    ][1],
    "dataset": lambda x, m: tf.data.TextLineDataset(x).reduce("", lambda a, b: a + b),
    "hidden": lambda x, m: tf.cond(
        tf.size(x) > 3, lambda: tf.io.read_file("/etc/passwd"), lambda: x[0]
    ),
    "mapped": lambda x, m: tf.map_fn(tf.io.read_file, x),
}


@pytest.mark.parametrize("name", sorted(EVIL))
def test_what_reaches_out_is_refused(name, tmp_path):
    folder = save(tmp_path / "1", EVIL[name])
    with pytest.raises(Untrusted, match=r"saved_model\.pb: "):
        check_graph(folder)


def test_a_table_from_a_file_is_refused(tmp_path):
    (tmp_path / "words").write_text("a\n")
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "words"), tf.string, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        ),
        -1,
    )
    module.run = tf.function(lambda x: {"y": module.table.lookup(x)}, input_signature=[TEXT])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.run})
    with pytest.raises(Untrusted, match="InitializeTableFromTextFile"):
        check_graph(tmp_path / "1")


def test_an_op_that_no_core_library_has(toy_model, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    folder = shutil.copytree(toy_model, tmp_path / "1")
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].graph_def.node.add(name="x", op="NobodysOp")
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(Untrusted, match="may not hold NobodysOp"):
        check_graph(folder)


def test_a_restore_that_writes(toy_model, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    folder = shutil.copytree(toy_model, tmp_path / "1")
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    meta = saved.meta_graphs[0]
    meta.saver_def.restore_op_name = meta.saver_def.save_tensor_name.partition(":")[0]
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(Untrusted, match="restoring may not reach SaveV2"):
        check_graph(folder)


def test_what_is_no_saved_model(tmp_path):
    with pytest.raises(NotFound, match=r"no saved_model\.pb"):
        check_graph(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 50)
    with pytest.raises(Untrusted, match="is no SavedModel"):
        check_graph(tmp_path)
