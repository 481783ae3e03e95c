"""TensorFlow's C library, found in the installed wheel and declared for ctypes.

Nothing here imports TensorFlow's Python. The declarations are those of `tensorflow/c/c_api.h`,
`tf_tensor.h`, `tf_status.h` and `tensorflow/core/platform/ctstring.h` (`TF_TString`).
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

from serving.errors import NotFound, ServingError

TSTRING_BYTES = 24  # sizeof(TF_TString) on 64-bit machines
_P, _I, _S, _T = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t


class Output(ctypes.Structure):
    """`TF_Output`: an operation, and which of its outputs."""

    _fields_ = (("oper", _P), ("index", _I))


class Buffer(ctypes.Structure):
    """`TF_Buffer`."""

    _fields_ = (("data", _P), ("length", _T), ("deallocator", _P))


_OUTPUTS, _BUFFER = ctypes.POINTER(Output), ctypes.POINTER(Buffer)
_PS, _PP = ctypes.POINTER(_S), ctypes.POINTER(_P)
_DIMS = ctypes.POINTER(ctypes.c_int64)
# Name: result, arguments.
_FUNCTIONS = {
    "TF_NewStatus": (_P, []),
    "TF_DeleteStatus": (None, [_P]),
    "TF_GetCode": (_I, [_P]),
    "TF_Message": (_S, [_P]),
    "TF_NewGraph": (_P, []),
    "TF_DeleteGraph": (None, [_P]),
    "TF_NewSessionOptions": (_P, []),
    "TF_DeleteSessionOptions": (None, [_P]),
    "TF_NewBuffer": (_BUFFER, []),
    "TF_DeleteBuffer": (None, [_BUFFER]),
    "TF_GetAllOpList": (_BUFFER, []),
    "TF_LoadSessionFromSavedModel": (_P, [_P, _P, _S, _PS, _I, _P, _BUFFER, _P]),
    "TF_CloseSession": (None, [_P, _P]),
    "TF_DeleteSession": (None, [_P, _P]),
    "TF_GraphOperationByName": (_P, [_P, _S]),
    "TF_SessionRun": (None, [_P, _P, _OUTPUTS, _PP, _I, _OUTPUTS, _PP, _I, _PP, _I, _P, _P]),
    "TF_AllocateTensor": (_P, [_I, _DIMS, _I, _T]),
    "TF_DeleteTensor": (None, [_P]),
    "TF_TensorData": (_P, [_P]),
    "TF_TensorByteSize": (_T, [_P]),
    "TF_TensorType": (_I, [_P]),
    "TF_NumDims": (_I, [_P]),
    "TF_Dim": (ctypes.c_int64, [_P, _I]),
    "TF_StringInit": (None, [_P]),
    "TF_StringCopy": (None, [_P, _S, _T]),
    "TF_StringGetDataPointer": (_P, [_P]),
    "TF_StringGetSize": (_T, [_P]),
    "TF_StringDealloc": (None, [_P]),
}


@cache
def load_library() -> ctypes.CDLL:
    """The library of the installed wheel; its functions are declared.

    Raises:
        NotFound: there is no wheel, or it has no such library.
        ServingError: the library lacks a function.
    """
    spec = importlib.util.find_spec("tensorflow")  # finds the folder, imports nothing
    if spec is None or not spec.origin:
        raise NotFound("tensorflow is not installed; its wheel brings the C library: install it")
    path = Path(spec.origin).parent / "libtensorflow_cc.so.2"
    if not path.is_file():
        raise NotFound(f"{path} is missing; install tensorflow 2.21 for Linux")
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ServingError(f"{path} has no {name}; install tensorflow 2.21") from None
        function.restype, function.argtypes = result, arguments
    return library
