using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace UFlow
{
    /// <summary>
    /// Owns an opaque handle of the library. The runtime frees what was not disposed, in the finalizer thread. The reference count of
    /// <see cref="SafeHandle"/> keeps a handle alive while a call uses it, also if another thread disposes it meanwhile.
    /// </summary>
    internal abstract class NativeHandle : SafeHandle
    {
        protected NativeHandle(IntPtr owned) : base(IntPtr.Zero, true)
        {
            SetHandle(owned);
        }

        /// <summary>What the user calls it.</summary>
        internal abstract string Name { get; }

        public override bool IsInvalid => handle == IntPtr.Zero;
    }

    /// <summary>A handle that keeps threads of the library alive.</summary>
    internal abstract class WorkingHandle : NativeHandle
    {
        private readonly long number;

        protected WorkingHandle(IntPtr owned) : base(owned)
        {
            number = AtExit.Remember(this);
        }

        /// <summary>Ends the waits of threads that use the handle.</summary>
        internal virtual void Stop() { }

        protected abstract void Free();

        /// <summary>Whether this thread is one that <see cref="Free"/> waits for.</summary>
        protected virtual bool WaitsForThisThread => false;

        protected override bool ReleaseHandle()
        {
            if (WaitsForThisThread)
            {
                ThreadPool.QueueUserWorkItem(FreeNow, this);
            }
            else
            {
                FreeNow(this);
            }
            return true;
        }

        private static void FreeNow(object handle)
        {
            var self = (WorkingHandle)handle;
            self.Free();
            AtExit.Forget(self.number);
        }
    }

    /// <summary>A handle in use by a call. Zero stands for no handle.</summary>
    internal struct Lease : IDisposable
    {
        private readonly NativeHandle handle;

        internal Lease(NativeHandle handle)
        {
            Native.EnterFromProgram();
            this.handle = handle;
            if (handle == null)
            {
                return;
            }
            bool taken = false;
            try
            {
                handle.DangerousAddRef(ref taken);
            }
            catch (ObjectDisposedException)
            {
                throw new ObjectDisposedException(handle.Name, "This " + handle.Name + " was disposed. Make another one.");
            }
        }

        internal IntPtr Pointer => handle == null ? IntPtr.Zero : handle.DangerousGetHandle();

        public void Dispose()
        {
            if (handle != null)
            {
                handle.DangerousRelease();
            }
        }
    }

    internal sealed unsafe class EngineHandle : WorkingHandle
    {
        internal EngineHandle(uflow_engine* owned) : base((IntPtr)owned) { }

        internal override string Name => "Engine";

        protected override void Free()
        {
            NativeMethods.uflow_engine_free((uflow_engine*)handle);
        }
    }

    internal sealed unsafe class ModelHandle : WorkingHandle
    {
        internal ModelHandle(uflow_model* owned) : base((IntPtr)owned) { }

        internal override string Name => "Model";

        protected override void Free()
        {
            NativeMethods.uflow_model_free((uflow_model*)handle);
        }
    }

    internal sealed unsafe class DetectorHandle : WorkingHandle
    {
        internal DetectorHandle(uflow_detector* owned) : base((IntPtr)owned) { }

        internal override string Name => "Detector";

        protected override void Free()
        {
            NativeMethods.uflow_detector_free((uflow_detector*)handle);
        }
    }

    internal sealed unsafe class ResultHandle : NativeHandle
    {
        internal ResultHandle(uflow_result* owned) : base((IntPtr)owned) { }

        internal override string Name => "Detection";

        protected override bool ReleaseHandle()
        {
            NativeMethods.uflow_result_free((uflow_result*)handle);
            return true;
        }
    }

    internal sealed unsafe class OptionsHandle : NativeHandle
    {
        internal OptionsHandle(uflow_options* owned) : base((IntPtr)owned) { }

        internal override string Name => "DetectOptions";

        protected override bool ReleaseHandle()
        {
            NativeMethods.uflow_options_free((uflow_options*)handle);
            return true;
        }
    }

    internal sealed unsafe class EngineOptionsHandle : NativeHandle
    {
        internal EngineOptionsHandle(uflow_engine_options* owned) : base((IntPtr)owned) { }

        internal override string Name => "EngineOptions";

        protected override bool ReleaseHandle()
        {
            NativeMethods.uflow_engine_options_free((uflow_engine_options*)handle);
            return true;
        }
    }

    internal sealed unsafe class StreamOptionsHandle : NativeHandle
    {
        internal StreamOptionsHandle(uflow_stream_options* owned) : base((IntPtr)owned) { }

        internal override string Name => "StreamOptions";

        protected override bool ReleaseHandle()
        {
            NativeMethods.uflow_stream_options_free((uflow_stream_options*)handle);
            return true;
        }
    }

    internal sealed unsafe class FitOptionsHandle : NativeHandle
    {
        internal FitOptionsHandle(uflow_fit_options* owned) : base((IntPtr)owned) { }

        internal override string Name => "FitOptions";

        protected override bool ReleaseHandle()
        {
            NativeMethods.uflow_fit_options_free((uflow_fit_options*)handle);
            return true;
        }
    }

    internal sealed unsafe class TrainerHandle : WorkingHandle
    {
        internal TrainerHandle(uflow_trainer* owned) : base((IntPtr)owned) { }

        internal override string Name => "Trainer";

        protected override void Free()
        {
            NativeMethods.uflow_trainer_free((uflow_trainer*)handle);
        }
    }

    internal sealed unsafe class SegmenterHandle : NativeHandle
    {
        internal SegmenterHandle(uflow_segmenter* owned) : base((IntPtr)owned) { }

        internal override string Name => "Segmenter";

        protected override bool ReleaseHandle()
        {
            NativeMethods.uflow_segmenter_free((uflow_segmenter*)handle);
            return true;
        }
    }

    internal sealed unsafe class TextHandle : NativeHandle
    {
        internal TextHandle(uflow_text* owned) : base((IntPtr)owned) { }

        internal override string Name => "text";

        protected override bool ReleaseHandle()
        {
            NativeMethods.uflow_text_free((uflow_text*)handle);
            return true;
        }
    }

    internal sealed unsafe class StatusHandle : NativeHandle
    {
        internal StatusHandle(uflow_status* owned) : base((IntPtr)owned) { }

        internal override string Name => "status";

        internal uflow_status* Pointer => (uflow_status*)handle;

        protected override bool ReleaseHandle()
        {
            NativeMethods.uflow_status_free((uflow_status*)handle);
            return true;
        }
    }

    /// <summary>
    /// Freeing a stream waits for its callbacks. A callback whose thread gives up the last reference must not wait for itself: then a
    /// thread of the pool frees the stream.
    /// </summary>
    internal sealed unsafe class StreamHandle : WorkingHandle
    {
        private GCHandle calls;

        internal StreamHandle(uflow_stream* owned, GCHandle calls) : base((IntPtr)owned)
        {
            this.calls = calls;
        }

        internal override string Name => "FrameStream";

        /// <summary>The stream takes no more frames, and cancels those inside. These calls do not wait, and only a bug lets them fail.</summary>
        internal override void Stop()
        {
            bool taken = false;
            try
            {
                DangerousAddRef(ref taken);
                NativeMethods.uflow_status_free(NativeMethods.uflow_stream_close((uflow_stream*)handle));
                NativeMethods.uflow_status_free(NativeMethods.uflow_stream_cancel((uflow_stream*)handle));
            }
            catch (ObjectDisposedException)
            {
                // By another thread, a moment ago.
            }
            finally
            {
                if (taken)
                {
                    DangerousRelease();
                }
            }
        }

        protected override bool WaitsForThisThread => StreamCalls.InCallback;

        protected override void Free()
        {
            NativeMethods.uflow_stream_free((uflow_stream*)handle);
            calls.Free();
        }
    }
}
