namespace UFlow
{
    /// <summary>What kind of thing went wrong: the codes of <c>UFLOW_STATUS_*</c>. They are never renumbered.</summary>
    public enum StatusCode : uint
    {
        /// <summary>Success. No exception has it.</summary>
        Ok = 0,
        /// <summary>A value outside its range, or options that do not fit the model.</summary>
        InvalidArgument = 1,
        /// <summary>An image whose size, stride, format and buffer do not fit together.</summary>
        InvalidImage = 2,
        /// <summary>Encoded bytes that are not an image that the library can read.</summary>
        Undecodable = 3,
        /// <summary>An image or file larger than the configured limit.</summary>
        OverLimit = 4,
        /// <summary>ONNX Runtime's library was not found, is too old, or cannot be loaded.</summary>
        Library = 5,
        /// <summary>The requested device is missing or does not start.</summary>
        Device = 6,
        /// <summary>A network cannot be loaded or run, or does not match its package.</summary>
        Network = 7,
        /// <summary>A network gave values that are not finite.</summary>
        NonFinite = 8,
        /// <summary>A model package is damaged, incomplete or of another format.</summary>
        Package = 9,
        /// <summary>A data file does not have the expected content.</summary>
        Data = 10,
        /// <summary>Training cannot start or continue.</summary>
        Training = 11,
        /// <summary>The caller cancelled the work.</summary>
        Cancelled = 12,
        /// <summary>There is no such model, version, backbone, region, ring or map.</summary>
        NotFound = 13,
        /// <summary>Too much work is in progress; try again when some is done.</summary>
        Overloaded = 14,
        /// <summary>The work was not done within its time limit.</summary>
        TimedOut = 15,
        /// <summary>Closed or shut down.</summary>
        Unavailable = 16,
        /// <summary>A file operation failed.</summary>
        Io = 17,
        /// <summary>A bug in the library.</summary>
        Internal = 18,
        /// <summary>A buffer is too small; the message says how large it must be.</summary>
        BufferTooSmall = 19,
        /// <summary>An object for one thread at a time is in use by another thread; or a callback would wait for itself.</summary>
        Busy = 20,
        /// <summary>An earlier call on the object met a bug. Dispose the object.</summary>
        Poisoned = 21,
        /// <summary>This process was forked from one that had an engine.</summary>
        Forked = 22,
    }
}
