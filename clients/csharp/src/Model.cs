using System;

namespace UFlow
{
    /// <summary>A loaded model.</summary>
    /// <remarks>Any thread may use it at any time. Its memory is freed with the last of the model, its detectors and its streams.</remarks>
    public sealed unsafe class Model : IDisposable
    {
        private readonly ModelHandle handle;

        internal Model(uflow_model* owned)
        {
            handle = new ModelHandle(owned);
            using (var self = new Lease(handle))
            {
                var model = (uflow_model*)self.Pointer;
                var info = new uflow_model_info { struct_size = (UIntPtr)sizeof(uflow_model_info) };
                Native.Check(NativeMethods.uflow_model_get_info(model, &info));
                Info = new ModelInfo(Native.Text(NativeMethods.uflow_model_name(model)), info);
            }
        }

        /// <summary>The model's name.</summary>
        public string Name => Info.Name;

        /// <summary>The description of the model, from its package.</summary>
        public ModelInfo Info { get; }

        /// <summary>Makes a detector, which finds defects in the calling thread.</summary>
        public Detector CreateDetector()
        {
            using (var self = new Lease(handle))
            {
                return new Detector(self.Pointer);
            }
        }

        /// <summary>Starts a stream, which passes frames through the model without waiting for each.</summary>
        /// <param name="options">Null: the defaults.</param>
        /// <exception cref="OverloadedException">The engine's other streams have left too few places.</exception>
        /// <exception cref="InvalidArgumentException">The capacity is larger than the whole engine's.</exception>
        public FrameStream OpenStream(StreamOptions options = null)
        {
            using (var self = new Lease(handle))
            {
                return new FrameStream(self.Pointer, options ?? new StreamOptions());
            }
        }

        /// <summary>Runs the golden frames of the package, and compares what they give with what was found where the package was made.</summary>
        /// <param name="tolerance">A share of the expected value, or the plain difference for values below 1; 0: the default, 0.001, or 0.05 below fp32.</param>
        /// <returns>The largest difference.</returns>
        /// <exception cref="NetworkException">A frame does not agree. The message names both machines and their versions.</exception>
        /// <exception cref="NotFoundException">The package has no golden frames.</exception>
        public double Verify(double tolerance = 0)
        {
            using (var self = new Lease(handle))
            {
                double difference;
                Native.Check(NativeMethods.uflow_model_verify((uflow_model*)self.Pointer, tolerance, &difference));
                return difference;
            }
        }

        /// <summary>Gives up the model. Detectors and streams that were made from it still work.</summary>
        public void Dispose() => handle.Dispose();
    }

    /// <summary>The description of a model.</summary>
    public sealed unsafe class ModelInfo
    {
        internal ModelInfo(string name, uflow_model_info info)
        {
            Name = name;
            Version = info.version;
            InputWidth = (int)info.input_width;
            InputHeight = (int)info.input_height;
            Scales = (int)info.scales;
            Epsilon = info.epsilon;
            Verdict = (Verdict)info.verdict;
            MinArea = (int)info.min_area;
            FairThreshold = info.fair_threshold;
            ScoreThreshold = info.score_threshold;
            Bound = (Bound)info.bound;
            Tests = (TestCount)info.tests;
            HasRegionOfInterest = info.has_roi != 0;
            CalibrationImages = (int)info.calibration_images;
            Device = Native.Text(info.device);
            FlowSha256 = Native.Text(info.flow_sha256);
            Backbone = Native.Text(info.backbone);
            BackboneSha256 = Native.Text(info.backbone_sha256);
            RejectRate = info.reject_rate;
            GoodImages = (int)info.good_images;
            RejectExtrapolated = info.reject_extrapolated != 0;
            Decision = Native.Text(info.decision);
        }

        /// <summary>The model's name.</summary>
        public string Name { get; }
        /// <summary>The version in its repository; 1 for a model that was loaded from a path.</summary>
        public uint Version { get; }
        /// <summary>Columns of the network's input, and of score and log₁₀NFA maps.</summary>
        public int InputWidth { get; }
        /// <summary>Rows of the network's input, and of score and log₁₀NFA maps.</summary>
        public int InputHeight { get; }
        /// <summary>The number of scales.</summary>
        public int Scales { get; }
        /// <summary>The default ε: the number of false alarms expected per image.</summary>
        public double Epsilon { get; }
        /// <summary>The default verdict.</summary>
        public Verdict Verdict { get; }
        /// <summary>The default smallest region that counts, in pixels of the image.</summary>
        public int MinArea { get; }
        /// <summary>The fair threshold of <see cref="Detection.ScoreMax"/> (paper, §4.1.1); NaN if the package has none.</summary>
        public float FairThreshold { get; }
        /// <summary>The default threshold of <see cref="Detection.ScoreMax"/>; NaN if the package has none: the fair one is used.</summary>
        public float ScoreThreshold { get; }
        /// <summary>The default bound.</summary>
        public Bound Bound { get; }
        /// <summary>The default count of tests.</summary>
        public TestCount Tests { get; }
        /// <summary>Whether the package has a region of interest.</summary>
        public bool HasRegionOfInterest { get; }
        /// <summary>The number of good images that the null hypothesis was calibrated on; 0: <see cref="TestCount.Sized"/> is not possible.</summary>
        public int CalibrationImages { get; }
        /// <summary>The device that the networks run on, e.g. "cpu".</summary>
        public string Device { get; }
        /// <summary>The SHA-256 of the flow, in hexadecimal.</summary>
        public string FlowSha256 { get; }
        /// <summary>The name of the backbone.</summary>
        public string Backbone { get; }
        /// <summary>The SHA-256 of the backbone, in hexadecimal.</summary>
        public string BackboneSha256 { get; }
        /// <summary>The default reject rate; NaN if the package's verdict is another.</summary>
        public double RejectRate { get; }
        /// <summary>The number of good images that reject rates and p-values stand on; 0: the package knows none.</summary>
        public int GoodImages { get; }
        /// <summary>Whether the threshold at the default reject rate is extrapolated, because the good images are too few for it.</summary>
        public bool RejectExtrapolated { get; }
        /// <summary>How the package decides by default, in words; one sentence per line.</summary>
        public string Decision { get; }
    }
}
