using System;

namespace UFlow
{
    /// <summary>One region, in pixels of the image.</summary>
    public struct Region
    {
        internal Region(uflow_region region)
        {
            X = (int)region.x;
            Y = (int)region.y;
            Width = (int)region.width;
            Height = (int)region.height;
            Area = (int)region.area;
            Scale = (int)region.scale;
            CentroidX = region.centroid_x;
            CentroidY = region.centroid_y;
            Log10NfaMin = region.log10_nfa_min;
            ScoreMax = region.score_max;
            Rings = (int)region.rings;
            PValue = region.p_value;
        }

        /// <summary>Left column of its bounding box.</summary>
        public int X { get; }
        /// <summary>Top row of its bounding box.</summary>
        public int Y { get; }
        /// <summary>Columns of its bounding box.</summary>
        public int Width { get; }
        /// <summary>Rows of its bounding box.</summary>
        public int Height { get; }
        /// <summary>The number of its pixels.</summary>
        public int Area { get; }
        /// <summary>The scale (0 is the finest) with the strongest evidence at the lowest log₁₀NFA.</summary>
        public int Scale { get; }
        /// <summary>The mean column of its pixels' centres.</summary>
        public double CentroidX { get; }
        /// <summary>The mean row of its pixels' centres.</summary>
        public double CentroidY { get; }
        /// <summary>Its lowest log₁₀NFA.</summary>
        public float Log10NfaMin { get; }
        /// <summary>Its highest anomaly score.</summary>
        public float ScoreMax { get; }
        /// <summary>The number of rings of its outline: the outer one, then one for each hole.</summary>
        public int Rings { get; }
        /// <summary>The share of good images that have a region at least as unusual; NaN where the detection's is.</summary>
        public double PValue { get; }
    }

    /// <summary>A corner of an outline. Corners lie between pixels: x goes from 0 to the width, y from 0 to the height.</summary>
    public struct Point
    {
        internal Point(int x, int y)
        {
            X = x;
            Y = y;
        }

        /// <summary>Columns from the left edge.</summary>
        public int X { get; }
        /// <summary>Rows from the top edge.</summary>
        public int Y { get; }
    }

    /// <summary>How long the steps of a detection took, in milliseconds.</summary>
    public struct Timings
    {
        internal Timings(uflow_summary summary)
        {
            Decode = summary.decode_ms;
            Queue = summary.queue_ms;
            Preprocess = summary.preprocess_ms;
            Network = summary.network_ms;
            Segmentation = summary.segmentation_ms;
        }

        /// <summary>Decoding; 0 for raw pixels.</summary>
        public double Decode { get; }
        /// <summary>Waiting for a processor and for the network; 0 except for frames of a stream.</summary>
        public double Queue { get; }
        /// <summary>Resizing and normalisation.</summary>
        public double Preprocess { get; }
        /// <summary>Backbone and flow, of the whole batch.</summary>
        public double Network { get; }
        /// <summary>Maps, mask and regions.</summary>
        public double Segmentation { get; }
    }

    /// <summary>The verdict on an image, and its score, without regions.</summary>
    public struct ImageScore
    {
        internal ImageScore(bool anomalous, float score)
        {
            Anomalous = anomalous;
            Score = score;
        }

        /// <summary>Whether the image is anomalous.</summary>
        public bool Anomalous { get; }
        /// <summary>The image score: −log₁₀NFA of the most unusual region.</summary>
        public float Score { get; }
    }

    /// <summary>A copy of a map: rows without gaps.</summary>
    public sealed class Map<T>
    {
        private Map(T[] pixels, int width, int height)
        {
            Pixels = pixels;
            Width = width;
            Height = height;
        }

        /// <summary>All pixels, row by row.</summary>
        public T[] Pixels { get; }
        /// <summary>Columns.</summary>
        public int Width { get; }
        /// <summary>Rows.</summary>
        public int Height { get; }

        /// <summary>The pixel in a column and a row.</summary>
        public T this[int x, int y]
        {
            get
            {
                if ((uint)x >= (uint)Width || (uint)y >= (uint)Height)
                {
                    throw new ArgumentOutOfRangeException(nameof(x), "(" + x + ", " + y + ") is outside the map of " + Width + " × " + Height + " pixels.");
                }
                return Pixels[y * Width + x];
            }
        }

        internal static Map<T> Copy(Action<MapReader<T>> read)
        {
            Map<T> made = null;
            read((pixels, width, height) => made = new Map<T>(pixels.ToArray(), width, height));
            return made;
        }
    }
}
