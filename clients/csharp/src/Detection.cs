using System;
using System.Collections.Generic;

namespace UFlow
{
    /// <summary>Receives the pixels of a map: rows without gaps. They are valid during the call.</summary>
    public delegate void MapReader<T>(ReadOnlySpan<T> pixels, int width, int height);

    /// <summary>Receives the latents of a scale: channels × height × width numbers without gaps. They are valid during the call.</summary>
    public delegate void LatentsReader(ReadOnlySpan<float> values, int channels, int height, int width);

    /// <summary>
    /// What was found in an image: verdict, scores, regions, timings, and the maps that the options asked for.
    /// </summary>
    /// <remarks>
    /// Figures and regions are plain values. Maps and outlines stay in the library's memory, which <see cref="Dispose"/> frees; the
    /// garbage collector does so too, but does not know how large it is. One thread at a time. A call that fills a detection again
    /// replaces all of it and reuses the memory.
    /// </remarks>
    public sealed unsafe class Detection : IDisposable
    {
        private readonly ResultHandle handle;
        private uflow_summary summary;
        private Region[] regions;

        /// <summary>An empty detection, for the calls that fill one.</summary>
        public Detection()
        {
            uflow_result* made;
            Native.Check(NativeMethods.uflow_result_new(&made));
            handle = new ResultHandle(made);
        }

        /// <summary>Whether the image is anomalous.</summary>
        public bool Anomalous => summary.anomalous != 0;
        /// <summary>The image score: −log₁₀NFA of the most unusual region. Higher is more anomalous.</summary>
        public float Score => summary.score;
        /// <summary>The paper's image score: the maximum of the score map, 0 to 1. Score thresholds apply to it.</summary>
        public float ScoreMax => summary.score_max;
        /// <summary>The lowest log₁₀NFA of the image.</summary>
        public float Log10NfaMin => summary.log10_nfa_min;
        /// <summary>The share of good images that are at least as unusual; NaN if the package knows no good images that were measured with these options.</summary>
        public double PValue => summary.p_value;
        /// <summary>Whether <see cref="PValue"/> is smaller than the package's good images can tell, and therefore extrapolated.</summary>
        public bool PExtrapolated => summary.p_extrapolated != 0;
        /// <summary>Columns of the image that coordinates refer to.</summary>
        public int Width => (int)summary.width;
        /// <summary>Rows of the image that coordinates refer to.</summary>
        public int Height => (int)summary.height;
        /// <summary>The number of images that went through the network together, this one included.</summary>
        public int BatchSize => (int)summary.batch_size;
        /// <summary>The number of scales whose latents are kept; 0 unless <see cref="Maps.Latents"/> asked for them.</summary>
        public int Scales => (int)summary.latents;
        /// <summary>How long the steps took.</summary>
        public Timings Timings => new Timings(summary);

        /// <summary>The regions, the most significant first.</summary>
        public IReadOnlyList<Region> Regions
        {
            get
            {
                regions = regions ?? ReadRegions();
                return regions;
            }
        }

        private Region[] ReadRegions()
        {
            var found = new Region[checked((int)summary.regions)];
            using (var lease = new Lease(handle))
            {
                for (int i = 0; i < found.Length; i++)
                {
                    var region = new uflow_region { struct_size = (UIntPtr)sizeof(uflow_region) };
                    Native.Check(NativeMethods.uflow_result_get_region((uflow_result*)lease.Pointer, (uint)i, &region));
                    found[i] = new Region(region);
                }
            }
            return found;
        }

        /// <summary>
        /// The corners of a ring of a region's outline. Ring 0 is the outer one and runs clockwise on the screen; the others are holes. The
        /// last corner is joined to the first.
        /// </summary>
        /// <exception cref="NotFoundException">There is no such region or ring.</exception>
        public Point[] GetOutline(int region, int ring = 0)
        {
            uflow_point* points;
            UIntPtr count;
            using (var lease = new Lease(handle))
            {
                uint index = Native.NotNegative(region, nameof(region)), number = Native.NotNegative(ring, nameof(ring));
                Native.Check(NativeMethods.uflow_result_get_outline((uflow_result*)lease.Pointer, index, number, &points, &count));
                var copied = new Point[checked((int)count)];
                for (int i = 0; i < copied.Length; i++)
                {
                    copied[i] = new Point((int)points[i].x, (int)points[i].y);
                }
                return copied;
            }
        }

        /// <summary>The mask at the image's size, not copied: 1 where log₁₀NFA is below log₁₀ ε, else 0.</summary>
        /// <exception cref="NotFoundException">The options did not ask for it.</exception>
        public void ReadMask(MapReader<byte> reader)
        {
            byte* pixels;
            uint width, height;
            using (var lease = new Lease(handle))
            {
                Native.Check(NativeMethods.uflow_result_get_mask((uflow_result*)lease.Pointer, &pixels, &width, &height));
                reader(new ReadOnlySpan<byte>(pixels, checked((int)((ulong)width * height))), (int)width, (int)height);
            }
        }

        /// <summary>The score map at the model's map size, not copied.</summary>
        /// <exception cref="NotFoundException">The options did not ask for it.</exception>
        public void ReadScoreMap(MapReader<float> reader)
        {
            float* pixels;
            uint width, height;
            using (var lease = new Lease(handle))
            {
                Native.Check(NativeMethods.uflow_result_get_score_map((uflow_result*)lease.Pointer, &pixels, &width, &height));
                reader(new ReadOnlySpan<float>(pixels, checked((int)((ulong)width * height))), (int)width, (int)height);
            }
        }

        /// <summary>The log₁₀NFA map at the model's map size, not copied.</summary>
        /// <exception cref="NotFoundException">The options did not ask for it.</exception>
        public void ReadLog10NfaMap(MapReader<float> reader)
        {
            float* pixels;
            uint width, height;
            using (var lease = new Lease(handle))
            {
                Native.Check(NativeMethods.uflow_result_get_log10_nfa_map((uflow_result*)lease.Pointer, &pixels, &width, &height));
                reader(new ReadOnlySpan<float>(pixels, checked((int)((ulong)width * height))), (int)width, (int)height);
            }
        }

        /// <summary>The latents z of a scale, not copied; 0 is the finest.</summary>
        /// <exception cref="NotFoundException">There is no such scale, or the options did not ask for latents.</exception>
        public void ReadLatents(int scale, LatentsReader reader)
        {
            var found = new uflow_latents { struct_size = (UIntPtr)sizeof(uflow_latents) };
            using (var lease = new Lease(handle))
            {
                Native.Check(NativeMethods.uflow_result_get_latents((uflow_result*)lease.Pointer, Native.NotNegative(scale, nameof(scale)), &found));
                reader(new ReadOnlySpan<float>(found.data, checked((int)found.size)), (int)found.channels, (int)found.height, (int)found.width);
            }
        }

        /// <summary>A copy of <see cref="ReadMask"/>.</summary>
        public Map<byte> CopyMask() => Map<byte>.Copy(ReadMask);

        /// <summary>A copy of <see cref="ReadScoreMap"/>.</summary>
        public Map<float> CopyScoreMap() => Map<float>.Copy(ReadScoreMap);

        /// <summary>A copy of <see cref="ReadLog10NfaMap"/>.</summary>
        public Map<float> CopyLog10NfaMap() => Map<float>.Copy(ReadLog10NfaMap);

        /// <summary>Frees the memory. Figures, and regions that were read before, stay.</summary>
        public void Dispose() => handle.Dispose();

        internal Lease Use() => new Lease(handle);

        /// <summary>Reads the figures after a call filled the handle. The caller holds a lease of it.</summary>
        internal void Refresh(IntPtr filled)
        {
            var found = new uflow_summary { struct_size = (UIntPtr)sizeof(uflow_summary) };
            Native.Check(NativeMethods.uflow_result_get_summary((uflow_result*)filled, &found));
            summary = found;
            regions = null;
        }

        /// <summary>A copy of a result that somebody else owns.</summary>
        internal static Detection CopyOf(uflow_result* other)
        {
            var made = new Detection();
            try
            {
                using (Lease lease = made.Use())
                {
                    Native.Check(NativeMethods.uflow_result_copy(other, (uflow_result*)lease.Pointer));
                    made.Refresh(lease.Pointer);
                }
                return made;
            }
            catch
            {
                made.Dispose();
                throw;
            }
        }
    }
}
