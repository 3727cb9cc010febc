using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Threading;

namespace UFlow
{
    /// <summary>
    /// Passes frames through a model without waiting for each: their work overlaps, and they share batches with frames of the engine's
    /// other streams. Each frame has exactly one result, and results come in the order of submission.
    /// </summary>
    /// <remarks>
    /// Any thread may use it at any time. The model and the engine may be disposed earlier. The garbage collector frees a stream that
    /// nobody holds, callbacks or not: keep it in a field, and dispose it.
    /// </remarks>
    public sealed unsafe class FrameStream : IDisposable
    {
        private readonly StreamHandle handle;
        private readonly StreamCalls calls;

        internal FrameStream(IntPtr model, StreamOptions options)
        {
            calls = new StreamCalls(options);
            GCHandle known = GCHandle.Alloc(calls);
            try
            {
                uflow_stream* made;
                using (StreamOptionsHandle built = Build(options, (void*)GCHandle.ToIntPtr(known)))
                using (var with = new Lease(built))
                {
                    Native.Check(NativeMethods.uflow_stream_new((uflow_model*)model, (uflow_stream_options*)with.Pointer, &made));
                }
                calls.Stream = (IntPtr)made;
                handle = new StreamHandle(made, known);
            }
            catch
            {
                known.Free();
                throw;
            }
        }

        private StreamOptionsHandle Build(StreamOptions options, void* userData)
        {
            uflow_stream_options* made;
            Native.Check(NativeMethods.uflow_stream_options_new(&made));
            var owner = new StreamOptionsHandle(made);
            try
            {
                Native.Check(NativeMethods.uflow_stream_options_set_capacity(made, Native.NotNegative(options.Capacity, nameof(options.Capacity))));
                if (options.TimeLimit != null)
                {
                    uint limit = Native.Milliseconds(options.TimeLimit.Value, nameof(options.TimeLimit));
                    Native.Check(NativeMethods.uflow_stream_options_set_time_limit(made, limit));
                }
                if (calls.HasResultCallback)
                {
                    Native.Check(NativeMethods.uflow_stream_options_set_result_callback(made, StreamCalls.ResultThunk, userData));
                }
                Native.Check(NativeMethods.uflow_stream_options_set_release_callback(made, StreamCalls.ReleaseThunk, userData));
                return owner;
            }
            catch
            {
                owner.Dispose();
                throw;
            }
        }

        internal StreamCalls Calls => calls;

        /// <summary>The number of frames in the stream: submitted, and the result not delivered yet.</summary>
        public int Pending
        {
            get
            {
                using (var self = new Lease(handle))
                {
                    return (int)NativeMethods.uflow_stream_pending((uflow_stream*)self.Pointer);
                }
            }
        }

        /// <summary>
        /// Submits a frame and returns without waiting for its result. If the stream is full, waits for a place. In the result callback it
        /// does not wait.
        /// </summary>
        /// <param name="image">Its bytes are pinned and must not change until the frame is released.</param>
        /// <param name="frame">Comes back with the release and with the result; null: an empty one.</param>
        /// <param name="options">Null: the package's defaults.</param>
        /// <param name="timeout">How long to wait for a place; null: as long as necessary.</param>
        /// <param name="token">Ends the wait for a place.</param>
        /// <exception cref="OverloadedException">The stream is still full. The frame was not taken.</exception>
        /// <exception cref="InvalidImageException">The image is not valid. The frame was not taken.</exception>
        /// <exception cref="UnavailableException">After <see cref="Complete"/>, or while another thread disposes the stream.</exception>
        /// <exception cref="CallbackException">A callback threw.</exception>
        public void Submit(Image image, Frame frame = null, DetectOptions options = null, TimeSpan? timeout = null, CancellationToken token = default(CancellationToken))
        {
            UFlowException full;
            if (!TrySubmit(image, frame, options, timeout, token, out full))
            {
                throw full;
            }
        }

        /// <summary>As <see cref="Submit"/>, but returns false at once if the stream is full.</summary>
        public bool TrySubmit(Image image, Frame frame = null, DetectOptions options = null)
        {
            UFlowException full;
            return TrySubmit(image, frame, options, TimeSpan.Zero, CancellationToken.None, out full);
        }

        private bool TrySubmit(Image image, Frame frame, DetectOptions options, TimeSpan? timeout, CancellationToken token, out UFlowException full)
        {
            Detector.Require(image, nameof(image));
            calls.Failure.Throw();
            using (var self = new Lease(handle))
            using (Lease with = DetectOptions.Use(options))
            {
                Pin pin = image.Pin();
                uflow_image native = image.Describe(pin);
                var pending = new Pending(frame ?? new Frame(), pin);
                var attached = new uflow_frame { struct_size = (UIntPtr)sizeof(uflow_frame), id = pending.Frame.Id, timestamp = pending.Frame.Timestamp };
                IntPtr place = calls.Enter(pending);
                attached.buffer = (void*)place;
                bool taken = false;
                try
                {
                    var stream = self.Pointer;
                    var chosen = with.Pointer;
                    taken = Native.Wait(new Submission(stream, native, chosen, attached).Try, StatusCode.Overloaded, timeout, token, out full);
                    return taken;
                }
                catch (UnavailableException)
                {
                    calls.Failure.Throw();
                    throw;
                }
                finally
                {
                    if (!taken)
                    {
                        calls.Leave(place);
                    }
                }
            }
        }

        /// <summary>The arguments of a submission, which may take several tries.</summary>
        private sealed class Submission
        {
            private readonly IntPtr stream;
            private readonly IntPtr options;
            private readonly uflow_image image;
            private readonly uflow_frame frame;

            internal Submission(IntPtr stream, uflow_image image, IntPtr options, uflow_frame frame)
            {
                this.stream = stream;
                this.image = image;
                this.options = options;
                this.frame = frame;
            }

            internal UFlowException Try(uint milliseconds)
            {
                uflow_image sent = image;
                uflow_frame attached = frame;
                uflow_status* status = NativeMethods.uflow_stream_submit(
                    (uflow_stream*)stream, &sent, (uflow_options*)options, &attached, milliseconds);
                return status == null ? null : Native.Take(status);
            }
        }

        /// <summary>
        /// Waits for the next result and returns it; null after <see cref="Complete"/> and the last result. An empty stream is waited for.
        /// </summary>
        /// <param name="timeout">How long to wait; null: as long as necessary.</param>
        /// <param name="token">Ends the wait; no result is lost.</param>
        /// <exception cref="TimedOutException">No frame was finished in time.</exception>
        /// <exception cref="InvalidArgumentException">The stream has a result callback.</exception>
        public StreamResult Next(TimeSpan? timeout = null, CancellationToken token = default(CancellationToken))
        {
            var into = new Detection();
            StreamResult result = null;
            try
            {
                result = Next(into, timeout, token);
                return result;
            }
            finally
            {
                if (result == null || result.Error != null)
                {
                    into.Dispose();
                }
            }
        }

        /// <summary>As <see cref="Next(TimeSpan?, CancellationToken)"/>, but fills a detection, whose memory is reused.</summary>
        public StreamResult Next(Detection into, TimeSpan? timeout = null, CancellationToken token = default(CancellationToken))
        {
            Detector.Require(into, nameof(into));
            calls.Failure.Throw();
            using (var self = new Lease(handle))
            using (Lease result = into.Use())
            {
                var wait = new NextResult(self.Pointer, result.Pointer);
                try
                {
                    UFlowException late;
                    if (!Native.Wait(wait.Try, StatusCode.TimedOut, timeout, token, out late))
                    {
                        throw late;
                    }
                }
                catch (NotFoundException)
                {
                    // Closed and empty.
                    return null;
                }
                Frame frame = calls.Leave(wait.Place).Frame;
                if (wait.Failure != null)
                {
                    return new StreamResult(frame, null, wait.Failure);
                }
                into.Refresh(result.Pointer);
                return new StreamResult(frame, into, null);
            }
        }

        /// <summary>A wait for a result, which may take several tries.</summary>
        private sealed class NextResult
        {
            private readonly IntPtr stream;
            private readonly IntPtr result;

            internal NextResult(IntPtr stream, IntPtr result)
            {
                this.stream = stream;
                this.result = result;
            }

            internal IntPtr Place { get; private set; }

            /// <summary>Why the frame failed, if it did.</summary>
            internal UFlowException Failure { get; private set; }

            internal UFlowException Try(uint milliseconds)
            {
                var frame = new uflow_frame { struct_size = (UIntPtr)sizeof(uflow_frame) };
                uflow_status* failed = null;
                uflow_status* status = NativeMethods.uflow_stream_next(
                    (uflow_stream*)stream, milliseconds, &frame, (uflow_result*)result, &failed);
                if (status != null)
                {
                    return Native.Take(status);
                }
                Place = (IntPtr)frame.buffer;
                Failure = failed == null ? null : Native.Take(failed);
                return null;
            }
        }

        /// <summary>
        /// All results until the stream is complete and empty, waiting for each: for a thread that does nothing else. Each result's detection
        /// belongs to the receiver.
        /// </summary>
        public IEnumerable<StreamResult> Results(CancellationToken token = default(CancellationToken))
        {
            for (StreamResult result = Next(null, token); result != null; result = Next(null, token))
            {
                yield return result;
            }
        }

        /// <summary>
        /// Waits until every frame that was submitted before is finished: its callback has returned or, without a callback, its result is
        /// ready for <see cref="Next(TimeSpan?, CancellationToken)"/>.
        /// </summary>
        /// <exception cref="TimedOutException">Not all were finished in time.</exception>
        /// <exception cref="BusyException">The stream's result callback calls this.</exception>
        /// <exception cref="CallbackException">A callback threw.</exception>
        public void Flush(TimeSpan? timeout = null, CancellationToken token = default(CancellationToken))
        {
            using (var self = new Lease(handle))
            {
                IntPtr stream = self.Pointer;
                UFlowException late;
                if (!Native.Wait(milliseconds => FlushOnce(stream, milliseconds), StatusCode.TimedOut, timeout, token, out late))
                {
                    throw late;
                }
            }
            calls.Failure.Throw();
        }

        private static UFlowException FlushOnce(IntPtr stream, uint milliseconds)
        {
            uflow_status* status = NativeMethods.uflow_stream_flush((uflow_stream*)stream, milliseconds);
            return status == null ? null : Native.Take(status);
        }

        /// <summary>
        /// Says that no frame follows. Frames inside are finished and delivered as usual. Threads that wait in <see cref="Submit"/> get an
        /// <see cref="UnavailableException"/>. It does not wait.
        /// </summary>
        public void Complete()
        {
            using (var self = new Lease(handle))
            {
                Native.Check(NativeMethods.uflow_stream_close((uflow_stream*)self.Pointer));
            }
        }

        /// <summary>
        /// Cancels the frames that are inside; later ones are not affected. Their results come in turn, as a <see cref="CancelledException"/>
        /// if they were not finished. It does not wait.
        /// </summary>
        public void Cancel()
        {
            using (var self = new Lease(handle))
            {
                Native.Check(NativeMethods.uflow_stream_cancel((uflow_stream*)self.Pointer));
            }
        }

        /// <summary>
        /// Ends the stream. Unfinished frames are cancelled: their pixels are released and their results are dropped. Call
        /// <see cref="Flush"/> first to wait for them. When this returns, no callback is running or is called again, unless a callback
        /// called this, or another thread is inside a method of this stream: then the stream ends when they return. Do not hold a lock
        /// that a callback takes.
        /// </summary>
        public void Dispose()
        {
            if (handle.IsClosed)
            {
                return;
            }
            // A thread that waits in Submit or Next holds the native stream.
            Native.EnterFromProgram();
            handle.Stop();
            handle.Dispose();
        }
    }
}
