using System;

namespace UFlow
{
    /// <summary>A failure of the library. There is a class for each <see cref="StatusCode"/>; a code that a newer library adds has this class.</summary>
    public class UFlowException : Exception
    {
        internal UFlowException(StatusCode code, string message) : base(message)
        {
            Code = code;
        }

        /// <summary>What kind of thing went wrong.</summary>
        public StatusCode Code { get; }

        /// <summary>The exception of a code.</summary>
        internal static UFlowException Of(StatusCode code, string message)
        {
            switch (code)
            {
                case StatusCode.InvalidArgument: return new InvalidArgumentException(message);
                case StatusCode.InvalidImage: return new InvalidImageException(message);
                case StatusCode.Undecodable: return new UndecodableImageException(message);
                case StatusCode.OverLimit: return new OverLimitException(message);
                case StatusCode.Library: return new RuntimeLibraryException(message);
                case StatusCode.Device: return new DeviceException(message);
                case StatusCode.Network: return new NetworkException(message);
                case StatusCode.NonFinite: return new NonFiniteException(message);
                case StatusCode.Package: return new PackageException(message);
                case StatusCode.Data: return new InvalidDataException(message);
                case StatusCode.Training: return new TrainingException(message);
                case StatusCode.Cancelled: return new CancelledException(message);
                case StatusCode.NotFound: return new NotFoundException(message);
                case StatusCode.Overloaded: return new OverloadedException(message);
                case StatusCode.TimedOut: return new TimedOutException(message);
                case StatusCode.Unavailable: return new UnavailableException(message);
                case StatusCode.Io: return new FileAccessException(message);
                case StatusCode.Internal: return new InternalErrorException(message);
                case StatusCode.BufferTooSmall: return new BufferTooSmallException(message);
                case StatusCode.Busy: return new BusyException(message);
                case StatusCode.Poisoned: return new PoisonedException(message);
                case StatusCode.Forked: return new ForkedException(message);
                default: return new UFlowException(code, message);
            }
        }
    }

    /// <summary>A value outside its range, or options that do not fit the model.</summary>
    public sealed class InvalidArgumentException : UFlowException
    {
        internal InvalidArgumentException(string message) : base(StatusCode.InvalidArgument, message) { }
    }

    /// <summary>An image whose size, stride, format and buffer do not fit together.</summary>
    public sealed class InvalidImageException : UFlowException
    {
        internal InvalidImageException(string message) : base(StatusCode.InvalidImage, message) { }
    }

    /// <summary>Encoded bytes that are not an image that the library can read.</summary>
    public sealed class UndecodableImageException : UFlowException
    {
        internal UndecodableImageException(string message) : base(StatusCode.Undecodable, message) { }
    }

    /// <summary>An image or file larger than the configured limit.</summary>
    public sealed class OverLimitException : UFlowException
    {
        internal OverLimitException(string message) : base(StatusCode.OverLimit, message) { }
    }

    /// <summary>ONNX Runtime's library was not found, is too old, or cannot be loaded.</summary>
    public sealed class RuntimeLibraryException : UFlowException
    {
        internal RuntimeLibraryException(string message) : base(StatusCode.Library, message) { }
    }

    /// <summary>The requested device is missing or does not start.</summary>
    public sealed class DeviceException : UFlowException
    {
        internal DeviceException(string message) : base(StatusCode.Device, message) { }
    }

    /// <summary>A network cannot be loaded or run, or does not match its package.</summary>
    public sealed class NetworkException : UFlowException
    {
        internal NetworkException(string message) : base(StatusCode.Network, message) { }
    }

    /// <summary>A network gave values that are not finite.</summary>
    public sealed class NonFiniteException : UFlowException
    {
        internal NonFiniteException(string message) : base(StatusCode.NonFinite, message) { }
    }

    /// <summary>A model package is damaged, incomplete or of another format.</summary>
    public sealed class PackageException : UFlowException
    {
        internal PackageException(string message) : base(StatusCode.Package, message) { }
    }

    /// <summary>A data file does not have the expected content.</summary>
    public sealed class InvalidDataException : UFlowException
    {
        internal InvalidDataException(string message) : base(StatusCode.Data, message) { }
    }

    /// <summary>Training cannot start or continue.</summary>
    public sealed class TrainingException : UFlowException
    {
        internal TrainingException(string message) : base(StatusCode.Training, message) { }
    }

    /// <summary>The frame was cancelled, by <see cref="FrameStream.Cancel"/> or the end of its stream.</summary>
    public sealed class CancelledException : UFlowException
    {
        internal CancelledException(string message) : base(StatusCode.Cancelled, message) { }
    }

    /// <summary>There is no such model, version, backbone, region, ring or map.</summary>
    public sealed class NotFoundException : UFlowException
    {
        internal NotFoundException(string message) : base(StatusCode.NotFound, message) { }
    }

    /// <summary>Too much work is in progress; try again when some is done.</summary>
    public sealed class OverloadedException : UFlowException
    {
        internal OverloadedException(string message) : base(StatusCode.Overloaded, message) { }
    }

    /// <summary>The work was not done within its time limit.</summary>
    public sealed class TimedOutException : UFlowException
    {
        internal TimedOutException(string message) : base(StatusCode.TimedOut, message) { }
    }

    /// <summary>Closed or shut down.</summary>
    public sealed class UnavailableException : UFlowException
    {
        internal UnavailableException(string message) : base(StatusCode.Unavailable, message) { }
    }

    /// <summary>A file operation failed.</summary>
    public sealed class FileAccessException : UFlowException
    {
        internal FileAccessException(string message) : base(StatusCode.Io, message) { }
    }

    /// <summary>A bug in the library.</summary>
    public sealed class InternalErrorException : UFlowException
    {
        internal InternalErrorException(string message) : base(StatusCode.Internal, message) { }
    }

    /// <summary>A buffer is too small; the message says how large it must be.</summary>
    public sealed class BufferTooSmallException : UFlowException
    {
        internal BufferTooSmallException(string message) : base(StatusCode.BufferTooSmall, message) { }
    }

    /// <summary>An object for one thread at a time is in use by another thread; or a callback would wait for itself.</summary>
    public sealed class BusyException : UFlowException
    {
        internal BusyException(string message) : base(StatusCode.Busy, message) { }
    }

    /// <summary>An earlier call on the object met a bug. Dispose the object.</summary>
    public sealed class PoisonedException : UFlowException
    {
        internal PoisonedException(string message) : base(StatusCode.Poisoned, message) { }
    }

    /// <summary>This process was forked from one that had an engine.</summary>
    public sealed class ForkedException : UFlowException
    {
        internal ForkedException(string message) : base(StatusCode.Forked, message) { }
    }

    /// <summary>
    /// A callback of a stream threw. The stream takes no more frames; the frames inside were cancelled. The callback's exception is the
    /// <see cref="Exception.InnerException"/>.
    /// </summary>
    public sealed class CallbackException : Exception
    {
        internal CallbackException(Exception thrown)
            : base("a callback of the stream threw, and the stream was cancelled: " + thrown.Message, thrown) { }
    }
}
