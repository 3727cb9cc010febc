"""The exceptions. Each kind of error of the engine has its class; the native code chooses it by one table (src/error.rs)."""


class UFlowError(Exception):
    """Every exception of this package. The message says what was wrong, where, and what to do."""


class FrameError(UFlowError, ValueError):
    """The size, type, strides or values of an array do not make an image."""


class DecodeError(UFlowError, ValueError):
    """A file, or its bytes, is not an image of a supported format."""


class LimitError(UFlowError, ValueError):
    """An image or file is larger than the limit."""


class ParameterError(UFlowError, ValueError):
    """An option is not valid, or does not fit the package."""


class LibraryError(UFlowError, RuntimeError):
    """ONNX Runtime was not found, is too old, or cannot be loaded."""


class DeviceError(UFlowError, RuntimeError):
    """The device is missing or cannot be used."""


class NetworkError(UFlowError, RuntimeError):
    """A backbone or flow is damaged or does not fit its package."""


class NonFiniteError(UFlowError, ArithmeticError):
    """A network gave values that are not finite."""


class PackageError(UFlowError, ValueError):
    """A package cannot be read, is not consistent, or has changed files."""


class DataError(UFlowError, ValueError):
    """A data set, or an image of it, cannot be used."""


class TrainingError(UFlowError, RuntimeError):
    """Training cannot start or continue."""


class CancelledError(UFlowError, RuntimeError):
    """The caller cancelled the work."""


class NotFoundError(UFlowError, LookupError):
    """There is no such backbone or model."""


class OverloadedError(UFlowError, RuntimeError):
    """Too much work is in progress. Try again later."""


class TimedOutError(UFlowError, TimeoutError):
    """The work was not done within its time limit."""


class UnavailableError(UFlowError, RuntimeError):
    """What the call needs is not there: not yet, no longer, or not in this process."""


class InternalError(UFlowError, RuntimeError):
    """A bug in U-Flow."""


class FileError(UFlowError, OSError):
    """A file operation failed. `errno` and `filename` say which and why."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""
