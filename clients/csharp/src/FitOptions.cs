using System;

namespace UFlow
{
    /// <summary>How a model is fitted. The defaults are those of the command <c>uflow fit</c>; a property that is null has its default.</summary>
    public sealed class FitOptions
    {
        /// <summary>Options for a product of a name: 1 to 128 bytes of UTF-8 without slashes, backslashes and control characters, not beginning with a dot.</summary>
        public FitOptions(string name)
        {
            Detector.Require(name, nameof(name));
            Name = name;
        }

        /// <summary>The product's name.</summary>
        public string Name { get; }
        /// <summary>The backbone: an ONNX file with U-Flow's metadata, or a name that <c>uflow backbone list</c> shows.</summary>
        public string Backbone { get; set; }
        /// <summary>Columns of the network's input; set both or none. Default: as the backbone recommends, in the shape of the first frame.</summary>
        public int? InputWidth { get; set; }
        /// <summary>Rows of the network's input.</summary>
        public int? InputHeight { get; set; }
        /// <summary>How good images are augmented (default: not).</summary>
        public Augmentation? Augmentation { get; set; }
        /// <summary>The most passes over the images (default 200).</summary>
        public int Epochs { get; set; } = 200;
        /// <summary>Training stops after this many passes in which the likelihood of the held-out images hardly rises (default 4).</summary>
        public int Patience { get; set; } = 4;
        /// <summary>The most time that training takes, all flows together (default 120 s). <see cref="TimeSpan.MaxValue"/>: no limit.</summary>
        public TimeSpan? TimeBudget { get; set; }
        /// <summary>Images of one optimiser step (default 8).</summary>
        public int BatchSize { get; set; } = 8;
        /// <summary>Adam's learning rate (default 0.001).</summary>
        public double LearningRate { get; set; } = 0.001;
        /// <summary>Adam's weight decay (default 0.00001).</summary>
        public double WeightDecay { get; set; } = 0.00001;
        /// <summary>The steps of each scale's flow, 0 to 64.</summary>
        public int? Steps { get; set; }
        /// <summary>The noise on the features, in standard deviations of each channel, 0 to 1.</summary>
        public double? Noise { get; set; }
        /// <summary>The seed of everything random.</summary>
        public ulong? Seed { get; set; }
        /// <summary>Bytes of features that are kept in memory.</summary>
        public long? Memory { get; set; }
        /// <summary>The package's defaults for detection.</summary>
        public DetectOptions Detection { get; set; }
        /// <summary>Whether frames that are larger than the network's input are cut into overlapping tiles, so that small defects of large frames are found.</summary>
        public bool Tiles { get; set; }
        /// <summary>Columns that frames are brought to before they are cut, a multiple of the coarsest feature map's stride; set both or none. Default: those of the first frame.</summary>
        public int? TilesWidth { get; set; }
        /// <summary>Rows that frames are brought to before they are cut.</summary>
        public int? TilesHeight { get; set; }
        /// <summary>The least pixels that neighbouring tiles share, at most half of a tile (default 128).</summary>
        public int TileOverlap { get; set; } = 128;
        /// <summary>The significant bits of 16-bit samples, 1 to 16; 0: all 16.</summary>
        public int? SignificantBits { get; set; }
        /// <summary>The value of floating-point samples that is black; set both or none.</summary>
        public float? FloatLow { get; set; }
        /// <summary>The value of floating-point samples that is white.</summary>
        public float? FloatHigh { get; set; }
        /// <summary>Whether the null is calibrated by cross-fitting, which takes about four times as long.</summary>
        public bool CrossFit { get; set; }
        /// <summary>How many good images the package keeps at most as golden frames, for <see cref="Model.Verify"/>: 0 to 16. Default: 3.</summary>
        public int? GoldenFrames { get; set; }

        internal unsafe FitOptionsHandle Build()
        {
            if ((InputWidth == null) != (InputHeight == null))
            {
                throw new ArgumentException("InputWidth and InputHeight belong together. Set both or none.");
            }
            if ((TilesWidth == null) != (TilesHeight == null))
            {
                throw new ArgumentException("TilesWidth and TilesHeight belong together. Set both or none.");
            }
            if (TilesWidth != null && !Tiles)
            {
                throw new ArgumentException("TilesWidth and TilesHeight are for frames in tiles. Set Tiles, or leave them out.");
            }
            if ((FloatLow == null) != (FloatHigh == null))
            {
                throw new ArgumentException("FloatLow and FloatHigh belong together. Set both or none.");
            }
            uflow_fit_options* made;
            fixed (byte* name = Native.Bytes(Name, nameof(Name)))
            {
                Native.Check(NativeMethods.uflow_fit_options_new(name, &made));
            }
            var handle = new FitOptionsHandle(made);
            try
            {
                FillNetwork(made);
                FillTraining(made);
                return handle;
            }
            catch
            {
                handle.Dispose();
                throw;
            }
        }

        private unsafe void FillNetwork(uflow_fit_options* to)
        {
            if (Backbone != null)
            {
                fixed (byte* path = Native.Bytes(Backbone, nameof(Backbone))) { Native.Check(NativeMethods.uflow_fit_options_set_backbone(to, path)); }
            }
            if (InputWidth != null)
            {
                Native.Check(NativeMethods.uflow_fit_options_set_input_size(
                    to, Native.NotNegative(InputWidth.Value, nameof(InputWidth)), Native.NotNegative(InputHeight.Value, nameof(InputHeight))));
            }
            if (Tiles)
            {
                Native.Check(NativeMethods.uflow_fit_options_set_tiles(
                    to, Native.NotNegative(TilesWidth ?? 0, nameof(TilesWidth)), Native.NotNegative(TilesHeight ?? 0, nameof(TilesHeight)),
                    Native.NotNegative(TileOverlap, nameof(TileOverlap))));
            }
            if (SignificantBits != null)
            {
                Native.Check(NativeMethods.uflow_fit_options_set_significant_bits(to, Native.NotNegative(SignificantBits.Value, nameof(SignificantBits))));
            }
            if (FloatLow != null) { Native.Check(NativeMethods.uflow_fit_options_set_float_range(to, FloatLow.Value, FloatHigh.Value)); }
            if (Detection != null)
            {
                using (Lease detection = DetectOptions.Use(Detection))
                {
                    Native.Check(NativeMethods.uflow_fit_options_set_detection(to, (uflow_options*)detection.Pointer));
                }
            }
        }

        private unsafe void FillTraining(uflow_fit_options* to)
        {
            if (Augmentation != null) { Native.Check(NativeMethods.uflow_fit_options_set_augmentation(to, (uint)Augmentation.Value)); }
            Native.Check(NativeMethods.uflow_fit_options_set_epochs(to, Native.NotNegative(Epochs, nameof(Epochs)), Native.NotNegative(Patience, nameof(Patience))));
            Native.Check(NativeMethods.uflow_fit_options_set_optimizer(to, Native.NotNegative(BatchSize, nameof(BatchSize)), LearningRate, WeightDecay));
            if (TimeBudget != null)
            {
                double seconds = TimeBudget == TimeSpan.MaxValue ? double.PositiveInfinity : TimeBudget.Value.TotalSeconds;
                Native.Check(NativeMethods.uflow_fit_options_set_time_budget(to, seconds));
            }
            if (Steps != null) { Native.Check(NativeMethods.uflow_fit_options_set_steps(to, Native.NotNegative(Steps.Value, nameof(Steps)))); }
            if (Noise != null) { Native.Check(NativeMethods.uflow_fit_options_set_noise(to, Noise.Value)); }
            if (Seed != null) { Native.Check(NativeMethods.uflow_fit_options_set_seed(to, Seed.Value)); }
            if (Memory != null) { Native.Check(NativeMethods.uflow_fit_options_set_memory(to, Native.NotNegative(Memory.Value, nameof(Memory)))); }
            Native.Check(NativeMethods.uflow_fit_options_set_cross_fit(to, CrossFit ? 1u : 0u));
            if (GoldenFrames != null) { Native.Check(NativeMethods.uflow_fit_options_set_golden(to, Native.NotNegative(GoldenFrames.Value, nameof(GoldenFrames)))); }
        }
    }
}
