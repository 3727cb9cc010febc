using System;

namespace UFlow
{
    /// <summary>
    /// The options of a detection, where they differ from the package's defaults. A property that is null keeps the default. Errors in
    /// values are found by the call that uses the options.
    /// </summary>
    /// <remarks>Any number of threads may use the same options, as long as none changes them. Keep options with a region of interest: its mask
    /// is given to the library once, with the first call after a change.</remarks>
    public sealed class DetectOptions
    {
        private readonly object gate = new object();
        private OptionsHandle built;
        private double? epsilon;
        private double? rejectRate;
        private Verdict? verdict;
        private float? scoreThreshold;
        private int? minArea;
        private Bound? bound;
        private TestCount? tests;
        private Maps maps;
        private Priority priority = Priority.Normal;
        private TimeSpan? timeLimit;
        private RegionOfInterest roi;

        /// <summary>ε, the number of false alarms expected per image, above 0.</summary>
        public double? Epsilon { get { return epsilon; } set { Set(ref epsilon, value); } }

        /// <summary>The share of good images that may be rejected, above 0 and below 1. Without a verdict it also means <see cref="UFlow.Verdict.Reject"/>.</summary>
        public double? RejectRate { get { return rejectRate; } set { Set(ref rejectRate, value); } }

        /// <summary>What makes an image anomalous.</summary>
        public Verdict? Verdict { get { return verdict; } set { Set(ref verdict, value); } }

        /// <summary>The threshold of <see cref="Detection.ScoreMax"/>, 0 to 1, for verdicts that use it.</summary>
        public float? ScoreThreshold { get { return scoreThreshold; } set { Set(ref scoreThreshold, value); } }

        /// <summary>The smallest region that counts, in pixels of the image.</summary>
        public int? MinArea { get { return minArea; } set { Set(ref minArea, value); } }

        /// <summary>The bound of a region's probability.</summary>
        public Bound? Bound { get { return bound; } set { Set(ref bound, value); } }

        /// <summary>How the number of tests is counted.</summary>
        public TestCount? Tests { get { return tests; } set { Set(ref tests, value); } }

        /// <summary>The maps that the detection keeps.</summary>
        public Maps Maps { get { return maps; } set { Set(ref maps, value); } }

        /// <summary>The priority of a frame of a stream. Other calls refuse high priority.</summary>
        public Priority Priority { get { return priority; } set { Set(ref priority, value); } }

        /// <summary>The time limit of a frame of a stream, in place of <see cref="StreamOptions.TimeLimit"/>. Other calls refuse one.</summary>
        public TimeSpan? TimeLimit { get { return timeLimit; } set { Set(ref timeLimit, value); } }

        /// <summary>The region of interest, in place of the package's own.</summary>
        public RegionOfInterest RegionOfInterest { get { return roi; } set { Set(ref roi, value); } }

        private void Set<T>(ref T field, T value)
        {
            lock (gate)
            {
                field = value;
                // A call that uses the old options has a reference of its own.
                built?.Dispose();
                built = null;
            }
        }

        /// <summary>The options in use by a call; none of <paramref name="options"/> is null.</summary>
        internal static Lease Use(DetectOptions options)
        {
            if (options == null)
            {
                return new Lease(null);
            }
            lock (options.gate)
            {
                options.built = options.built ?? options.Build();
                return new Lease(options.built);
            }
        }

        private unsafe OptionsHandle Build()
        {
            uflow_options* made;
            Native.Check(NativeMethods.uflow_options_new(&made));
            var handle = new OptionsHandle(made);
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

        private unsafe void Fill(uflow_options* to)
        {
            if (epsilon != null) { Native.Check(NativeMethods.uflow_options_set_epsilon(to, epsilon.Value)); }
            if (rejectRate != null) { Native.Check(NativeMethods.uflow_options_set_reject_rate(to, rejectRate.Value)); }
            if (verdict != null) { Native.Check(NativeMethods.uflow_options_set_verdict(to, (uint)verdict.Value)); }
            if (scoreThreshold != null) { Native.Check(NativeMethods.uflow_options_set_score_threshold(to, scoreThreshold.Value)); }
            if (minArea != null) { Native.Check(NativeMethods.uflow_options_set_min_area(to, Native.NotNegative(minArea.Value, nameof(MinArea)))); }
            if (bound != null) { Native.Check(NativeMethods.uflow_options_set_bound(to, (uint)bound.Value)); }
            if (tests != null) { Native.Check(NativeMethods.uflow_options_set_tests(to, (uint)tests.Value)); }
            if (timeLimit != null) { Native.Check(NativeMethods.uflow_options_set_time_limit(to, Native.Milliseconds(timeLimit.Value, nameof(TimeLimit)))); }
            Native.Check(NativeMethods.uflow_options_set_maps(to, (uint)maps));
            Native.Check(NativeMethods.uflow_options_set_priority(to, (uint)priority));
            roi?.Apply(to);
        }
    }

    /// <summary>Which part of an image counts.</summary>
    public sealed class RegionOfInterest
    {
        private readonly ReadOnlyMemory<byte> mask;
        private readonly uint width;
        private readonly uint height;
        private readonly uint stride;

        private RegionOfInterest() { }

        /// <summary>
        /// A mask: pixels with a byte other than 0 count. It is scaled to each image, and must have the image's aspect ratio, or exactly the
        /// size of the network's input.
        /// </summary>
        /// <param name="mask">Rows of bytes; they are copied by the first call that uses the options.</param>
        /// <param name="width">Columns.</param>
        /// <param name="height">Rows.</param>
        /// <param name="stride">Bytes from the start of one row to the start of the next; 0: rows without gaps.</param>
        public RegionOfInterest(ReadOnlyMemory<byte> mask, int width, int height, int stride = 0)
        {
            this.mask = mask;
            this.width = Native.NotNegative(width, nameof(width));
            this.height = Native.NotNegative(height, nameof(height));
            this.stride = Native.NotNegative(stride, nameof(stride));
        }

        /// <summary>The whole image, also if the package has a region of interest.</summary>
        public static RegionOfInterest WholeImage { get; } = new RegionOfInterest();

        internal unsafe void Apply(uflow_options* to)
        {
            if (this == WholeImage)
            {
                Native.Check(NativeMethods.uflow_options_clear_roi(to));
                return;
            }
            using (var pin = new Pin(mask.Pin()))
            {
                // An empty array has no address.
                byte* data = pin.Address == null ? (byte*)1 : pin.Address;
                Native.Check(NativeMethods.uflow_options_set_roi(to, data, (UIntPtr)(uint)mask.Length, width, height, (UIntPtr)stride));
            }
        }
    }
}
