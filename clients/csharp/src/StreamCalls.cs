using System;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Threading;

namespace UFlow
{
    /// <summary>A frame inside a stream, whose pixels are pinned until they are released.</summary>
    internal sealed class Pending
    {
        private Pin pin;

        internal Pending(Frame frame, Pin pin)
        {
            Frame = frame;
            this.pin = pin;
        }

        internal Frame Frame { get; }

        /// <summary>Once or more often.</summary>
        internal void Release() => Interlocked.Exchange(ref pin, null)?.Dispose();
    }

    /// <summary>
    /// What the library calls for a stream. The native stream has a GC handle of this object, which is freed after the stream. This
    /// object does not know the <see cref="FrameStream"/>, so that a stream that nobody holds can be finalized.
    /// </summary>
    internal sealed unsafe class StreamCalls
    {
        // One delegate of each for the whole process: the library calls them as long as any stream exists.
        internal static readonly NativeMethods.uflow_stream_options_set_result_callback_callback_delegate ResultThunk = OnResult;
        internal static readonly NativeMethods.uflow_stream_options_set_release_callback_callback_delegate ReleaseThunk = OnReleased;

        [ThreadStatic]
        private static int depth;

        private readonly ConcurrentDictionary<long, Pending> inside = new ConcurrentDictionary<long, Pending>();
        private readonly Action<StreamResult> onResult;
        private readonly Action<Frame> onReleased;
        private readonly StreamFailure failure = new StreamFailure();
        private long submitted;

        internal StreamCalls(StreamOptions options)
        {
            onResult = options.OnResult;
            onReleased = options.OnReleased;
        }

        /// <summary>Whether this thread runs a callback of a stream.</summary>
        internal static bool InCallback => depth > 0;

        internal bool HasResultCallback => onResult != null;

        /// <summary>The native stream, for the callbacks. It is set before the first frame.</summary>
        internal IntPtr Stream { get; set; }

        internal StreamFailure Failure => failure;

        /// <summary>The number of frames without a result.</summary>
        internal int Inside => inside.Count;

        /// <summary>Remembers a frame until its result; the token travels in place of a pointer.</summary>
        internal IntPtr Enter(Pending frame)
        {
            long token = Interlocked.Increment(ref submitted);
            inside[token] = frame;
            return new IntPtr(token);
        }

        /// <summary>Forgets a frame whose result came, or that was refused.</summary>
        internal Pending Leave(IntPtr token)
        {
            Pending left;
            inside.TryRemove(token.ToInt64(), out left);
            // Without a release callback the result releases the pixels.
            left.Release();
            return left;
        }

        // No exception may cross the library: the first one ends the stream, and its submitter gets it.

        private static void OnResult(void* userData, uflow_frame* frame, uflow_status* status, uflow_result* result)
        {
            StreamCalls self = Enter(userData);
            try
            {
                self.Deliver((IntPtr)frame->buffer, status, result);
            }
            catch (Exception thrown)
            {
                self.Fail(thrown);
            }
            depth--;
        }

        private static void OnReleased(void* userData, uflow_frame* frame)
        {
            StreamCalls self = Enter(userData);
            try
            {
                self.Release((IntPtr)frame->buffer);
            }
            catch (Exception thrown)
            {
                self.Fail(thrown);
            }
            depth--;
        }

        private static StreamCalls Enter(void* userData)
        {
            Native.EnterFromLibrary();
            depth++;
            return (StreamCalls)GCHandle.FromIntPtr((IntPtr)userData).Target;
        }

        private void Fail(Exception thrown)
        {
            failure.Set(thrown);
            // The stream exists while its callbacks run. These calls do not wait.
            NativeMethods.uflow_status_free(NativeMethods.uflow_stream_close((uflow_stream*)Stream));
            NativeMethods.uflow_status_free(NativeMethods.uflow_stream_cancel((uflow_stream*)Stream));
        }

        private void Deliver(IntPtr token, uflow_status* status, uflow_result* result)
        {
            Frame frame = Leave(token).Frame;
            if (failure.Exists)
            {
                return;
            }
            onResult(status != null
                ? new StreamResult(frame, null, Native.Describe(status))
                : new StreamResult(frame, Detection.CopyOf(result), null));
        }

        private void Release(IntPtr token)
        {
            Pending released;
            if (inside.TryGetValue(token.ToInt64(), out released))
            {
                released.Release();
                onReleased?.Invoke(released.Frame);
            }
        }
    }

    /// <summary>The first exception of a stream's callbacks.</summary>
    internal sealed class StreamFailure
    {
        private Exception first;

        internal bool Exists => Volatile.Read(ref first) != null;

        internal void Set(Exception thrown) => Interlocked.CompareExchange(ref first, thrown, null);

        internal void Throw()
        {
            Exception thrown = Volatile.Read(ref first);
            if (thrown != null)
            {
                throw new CallbackException(thrown);
            }
        }
    }
}
