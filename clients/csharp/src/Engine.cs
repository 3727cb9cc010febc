using System;

namespace UFlow
{
    /// <summary>ONNX Runtime on a device, and the backbones of the loaded models. Models that name the same backbone share one.</summary>
    /// <remarks>
    /// Any thread may use it at any time. Make one for the whole program. Its models, detectors, streams and trainers may be disposed
    /// earlier or later.
    /// </remarks>
    public sealed unsafe class Engine : IDisposable
    {
        private readonly EngineHandle handle;

        /// <summary>Starts an engine.</summary>
        /// <param name="options">Null: the defaults.</param>
        /// <exception cref="RuntimeLibraryException">ONNX Runtime was not found; the message lists every place that was searched.</exception>
        /// <exception cref="DeviceException">The device does not have the precision.</exception>
        /// <exception cref="UnavailableException">After <see cref="Library.Shutdown"/>.</exception>
        public Engine(EngineOptions options = null)
        {
            Library.CheckVersion();
            uflow_engine* made;
            using (EngineOptionsHandle built = options?.Build())
            using (var with = new Lease(built))
            {
                Native.Check(NativeMethods.uflow_engine_new((uflow_engine_options*)with.Pointer, &made));
            }
            handle = new EngineHandle(made);
        }

        /// <summary>Loads a model package, a folder or a <c>.uflow</c> file, and warms it up.</summary>
        /// <exception cref="PackageException">The package is missing or damaged.</exception>
        public Model Load(string path)
        {
            uflow_model* made;
            using (var self = new Lease(handle))
            {
                fixed (byte* text = Native.Bytes(path, nameof(path)))
                {
                    Native.Check(NativeMethods.uflow_engine_load((uflow_engine*)self.Pointer, text, &made));
                }
            }
            return new Model(made);
        }

        /// <summary>Loads a model from a repository, <c>root/name/version/uflow.json</c>, as <c>uflow serve</c> uses it.</summary>
        /// <param name="root">The repository's folder.</param>
        /// <param name="name">The model's name.</param>
        /// <param name="version">0: the highest.</param>
        /// <exception cref="NotFoundException">There is no such model or version.</exception>
        public Model Load(string root, string name, uint version = 0)
        {
            uflow_model* made;
            using (var self = new Lease(handle))
            {
                fixed (byte* folder = Native.Bytes(root, nameof(root)))
                fixed (byte* text = Native.Bytes(name, nameof(name)))
                {
                    Native.Check(NativeMethods.uflow_engine_load_version((uflow_engine*)self.Pointer, folder, text, version, &made));
                }
            }
            return new Model(made);
        }

        /// <summary>Makes a trainer, which fits a model to good frames.</summary>
        /// <exception cref="NotFoundException">There is no such backbone; the message says where it was searched.</exception>
        public Trainer CreateTrainer(FitOptions options)
        {
            Detector.Require(options, nameof(options));
            using (var self = new Lease(handle))
            {
                return new Trainer(self.Pointer, options);
            }
        }

        /// <summary>The engine's metrics in Prometheus' text format.</summary>
        public string GetMetrics()
        {
            uflow_text* text;
            using (var self = new Lease(handle))
            {
                Native.Check(NativeMethods.uflow_engine_metrics((uflow_engine*)self.Pointer, &text));
            }
            return Native.Take(text);
        }

        /// <summary>Gives up the engine. What was made from it still works.</summary>
        public void Dispose() => handle.Dispose();
    }

    /// <summary>How an engine is set up. A property that is null has its default.</summary>
    public sealed class EngineOptions
    {
        /// <summary>"cpu" (the default), "openvino", "cuda", "cuda:N", "tensorrt" or "tensorrt:N". A missing device is an error when a model is loaded.</summary>
        public string Device { get; set; }
        /// <summary>"fp32" (the default); "bf16" on openvino; "bf16" and "fp16" on tensorrt.</summary>
        public string Precision { get; set; }
        /// <summary>ONNX Runtime's library or its folder. Default: the variable UFLOW_ONNXRUNTIME, then the places in <c>uflow.h</c>, first the folder of libuflow.</summary>
        public string OnnxRuntime { get; set; }
        /// <summary>A PEM file of the ed25519 public keys that packages must be signed by; null: every package is accepted.</summary>
        public string TrustedKeys { get; set; }
        /// <summary>Threads of each network; 0 (the default): one pool for all networks.</summary>
        public int? Threads { get; set; }
        /// <summary>Threads that decode, resize and segment frames of streams, 1 to 1024. Default: the CPU quota of the process.</summary>
        public int? Workers { get; set; }
        /// <summary>The most frames of streams in a batch, 1 to 1024 (default 8). Give streams a capacity of two batches.</summary>
        public int MaxBatch { get; set; } = 8;
        /// <summary>The longest time in milliseconds that a batch waits for frames that are being prepared (default 2).</summary>
        public double MaxDelayMilliseconds { get; set; } = 2;
        /// <summary>The most frames of streams inside the engine, 1 to 1048576 (default 64).</summary>
        public int? MaxInFlight { get; set; }
        /// <summary>The most pixels of an image (default 268,435,456).</summary>
        public long MaxPixels { get; set; } = 268435456;
        /// <summary>The most bytes of an encoded image, and of the memory for decoding it (default 512 MiB).</summary>
        public long MaxBytes { get; set; } = 512L << 20;
        /// <summary>The most bytes of the frames of streams inside the engine (default 1 GiB).</summary>
        public long MaxFrameBytes { get; set; } = 1L << 30;
        /// <summary>The most bytes that the workers need in addition (default 1 GiB).</summary>
        public long MaxWorkBytes { get; set; } = 1L << 30;

        internal unsafe EngineOptionsHandle Build()
        {
            uflow_engine_options* made;
            Native.Check(NativeMethods.uflow_engine_options_new(&made));
            var handle = new EngineOptionsHandle(made);
            try
            {
                Fill(made);
                return handle;
            }
            catch
            {
                handle.Dispose();
                throw;
            }
        }

        private unsafe void Fill(uflow_engine_options* to)
        {
            if (Device != null)
            {
                fixed (byte* text = Native.Bytes(Device, nameof(Device))) { Native.Check(NativeMethods.uflow_engine_options_set_device(to, text)); }
            }
            if (Precision != null)
            {
                fixed (byte* text = Native.Bytes(Precision, nameof(Precision))) { Native.Check(NativeMethods.uflow_engine_options_set_precision(to, text)); }
            }
            if (OnnxRuntime != null)
            {
                fixed (byte* text = Native.Bytes(OnnxRuntime, nameof(OnnxRuntime))) { Native.Check(NativeMethods.uflow_engine_options_set_onnxruntime(to, text)); }
            }
            if (TrustedKeys != null)
            {
                fixed (byte* text = Native.Bytes(TrustedKeys, nameof(TrustedKeys))) { Native.Check(NativeMethods.uflow_engine_options_set_trusted_keys(to, text)); }
            }
            if (Threads != null) { Native.Check(NativeMethods.uflow_engine_options_set_threads(to, Native.NotNegative(Threads.Value, nameof(Threads)))); }
            if (Workers != null) { Native.Check(NativeMethods.uflow_engine_options_set_workers(to, Native.NotNegative(Workers.Value, nameof(Workers)))); }
            if (MaxInFlight != null) { Native.Check(NativeMethods.uflow_engine_options_set_max_in_flight(to, Native.NotNegative(MaxInFlight.Value, nameof(MaxInFlight)))); }
            Native.Check(NativeMethods.uflow_engine_options_set_batching(to, Native.NotNegative(MaxBatch, nameof(MaxBatch)), MaxDelayMilliseconds));
            Native.Check(NativeMethods.uflow_engine_options_set_limits(to, Native.NotNegative(MaxPixels, nameof(MaxPixels)), Native.NotNegative(MaxBytes, nameof(MaxBytes))));
            Native.Check(NativeMethods.uflow_engine_options_set_memory(to, Native.NotNegative(MaxFrameBytes, nameof(MaxFrameBytes)), Native.NotNegative(MaxWorkBytes, nameof(MaxWorkBytes))));
        }
    }
}
