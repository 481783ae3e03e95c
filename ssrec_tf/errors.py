"""Every error the project raises on purpose, and the exit code each one means.

::

    SsrecError                 3  a fault of ours
    ├── InputError             2  something the caller can mend
    │   ├── ConfigError           a key or a value of the configuration
    │   ├── DataError             a file, a row or a column of the data
    │   ├── StorageError          a folder that cannot be written, a full disk
    │   ├── NetworkError          a download that cannot be reached
    │   └── VocabularyError       a vocabulary that does not fit the model
    ├── GateError              1  a quality gate said no
    ├── LeakageError           3  the future or the test rows reached training
    ├── NonFiniteError         3  a loss or a gradient became NaN or infinite
    ├── ExportError            3  the SavedModel failed one of its own checks
    └── ProtocolError          3  two figures with different protocol cards compared

A message is one line: what is wrong, the value seen, how to mend it.
"""

from __future__ import annotations


class SsrecError(Exception):
    """Root of the tree; `exit_code` is what a command line returns for it."""

    exit_code = 3


class InputError(SsrecError):
    """Something the caller gave and can mend."""

    exit_code = 2


class ConfigError(InputError):
    """A key or a value of the configuration."""


class DataError(InputError):
    """A file, a row or a column of the data."""


class StorageError(InputError):
    """A path that cannot be read or written."""


class NetworkError(InputError):
    """A download that cannot be reached."""


class VocabularyError(InputError):
    """A vocabulary that does not fit the model or the data."""


class GateError(SsrecError):
    """A quality gate said no."""

    exit_code = 1


class LeakageError(SsrecError):
    """The future or the test rows reached a history, a statistic or a vocabulary."""


class NonFiniteError(SsrecError):
    """A loss or a gradient became NaN or infinite."""


class ExportError(SsrecError):
    """The SavedModel failed one of its own checks."""


class ProtocolError(SsrecError):
    """Two figures whose protocol cards differ were compared."""
