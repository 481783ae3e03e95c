"""Which ops a SavedModel may hold; read from its file, before TensorFlow loads it.

A graph is a program. Allowed are TensorFlow's core ops without those that reach files, the
network, Python or the log. Saving and restoring is allowed where a checkpoint needs it: in what
no signature and no initialization reaches.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorflow.core.framework.op_def_pb2 import OpList
from tensorflow.core.protobuf import saved_model_pb2

from serving.c_library import load_library
from serving.errors import NotFound, Untrusted

_DENIED = re.compile(
    r"(?:Eager)?PyFunc(?:Stateless)?|(?:Read|Write|Delete|Rename|Copy|Matching)\w*Files?"
    r"|Print(?:V2)?|Debug\w*|\w*Summary\w*|\w*Dataset\w*|\w*Reader\w*|Rpc\w*|TryRpc"
    r"|_?(?:Host)?(?:Send|Recv)|Collective\w*|Nccl\w*|\w*TPU\w*|\w*Tpu\w*|Xla(?:Host|Send|Recv)\w*"
    r"|InitializeTableFromTextFile(?:V2)?|\w*Iterator\w*|RemoteCall|Abort|\w*Snapshot\w*"
)
_SAVE = frozenset({"Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints", "ShardedFilename"})
_RESTORE = frozenset({"Restore", "RestoreSlice", "RestoreV2", "ShardedFilespec"})
_INIT = ("__saved_model_init_op", "legacy_init_op", "saved_model_main_op")


def check_graph(folder: Path) -> int:
    """Refuse a SavedModel with an op that serving does not need; how many kinds it holds.

    Raises:
        NotFound: there is no SavedModel.
        Untrusted: names the ops, or says that the file is none.
    """
    path = folder / "saved_model.pb"
    if not path.is_file():
        raise NotFound(f"{folder} holds no saved_model.pb; give a version's folder")
    try:
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except Exception:  # protobuf's own error has no name of its own
        raise Untrusted(f"{path} is no SavedModel; publish the version again") from None
    kinds: set[str] = set()
    for meta in saved.meta_graphs:
        graph = _Graph(meta)
        kinds |= graph.kinds
        _refuse(path, "it may not hold", graph.kinds - graph.called - _core_ops())
        _refuse(path, "it may not hold", {op for op in graph.kinds if _DENIED.fullmatch(op)})
        run = graph.reached(graph.signature_nodes())
        _refuse(path, "no signature may reach", run & (_SAVE | _RESTORE))
        restored = graph.reached([meta.saver_def.restore_op_name])
        _refuse(path, "restoring may not reach", restored & {"Save", "SaveV2"})
    return len(kinds)


class _Graph:
    """A MetaGraphDef's nodes and functions by name."""

    def __init__(self, meta: Any) -> None:
        self._meta = meta
        self._nodes = {node.name: node for node in meta.graph_def.node}
        library = meta.graph_def.library
        self._functions = {f.signature.name: f for f in library.function}
        self._gradients = {g.function_name: g.gradient_func for g in library.gradient}
        bodies = [node for f in library.function for node in f.node_def]
        self.kinds = {node.op for node in [*meta.graph_def.node, *bodies]}
        self.called = set(self._functions)

    def signature_nodes(self) -> list[str]:
        """Outputs of every signature; what initializes is run, too."""
        names = []
        for key, signature in self._meta.signature_def.items():
            names += [info.name for info in signature.outputs.values()]
            if key in _INIT:
                names += [info.name for info in signature.inputs.values()]
        for key in _INIT:
            names += list(self._meta.collection_def[key].node_list.value)
        return names

    def reached(self, names: Iterable[str]) -> set[str]:
        """Kinds of all nodes that have to run for these, those in called functions included."""
        kinds: set[str] = set()
        seen, todo = set(), [_node(name) for name in names]
        functions: set[str] = set()
        while todo:
            name = todo.pop()
            node = self._nodes.get(name)
            if node is None or name in seen:
                continue
            seen.add(name)
            kinds.add(node.op)
            todo += [_node(source) for source in node.input]
            functions |= self._calls(node)
        return kinds | self._inside(functions)

    def _inside(self, functions: set[str]) -> set[str]:
        kinds: set[str] = set()
        todo, seen = list(functions), set()
        while todo:
            name = todo.pop()
            if name in seen or name not in self._functions:
                continue
            seen.add(name)
            for node in self._functions[name].node_def:
                kinds.add(node.op)
                todo += self._calls(node)
            if name in self._gradients:
                todo.append(self._gradients[name])
        return kinds

    def _calls(self, node: Any) -> set[str]:
        """Functions that a node names: as its kind, or in an attribute."""
        names = {node.op} & self.called
        for value in node.attr.values():
            names |= {value.func.name} if value.HasField("func") else set()
            names |= {func.name for func in value.list.func}
        return names


def _node(name: str) -> str:
    """`^a` and `a:1` are of node `a`."""
    return name.lstrip("^").partition(":")[0]


def _refuse(path: Path, what: str, ops: Iterable[str]) -> None:
    shown = sorted(ops)
    if shown:
        raise Untrusted(f"{path}: {what} {', '.join(shown[:5])}; export the model with core ops")


def _core_ops() -> frozenset[str]:
    """Ops of the libraries this process has loaded, a server's none but TensorFlow's own."""
    library = load_library()
    buffer = library.TF_GetAllOpList()
    try:
        raw = ctypes.string_at(buffer.contents.data, buffer.contents.length)
    finally:
        library.TF_DeleteBuffer(buffer)
    return frozenset(op.name for op in OpList.FromString(raw).op)
