using System;
using System.Collections.Generic;

namespace UFlow
{
    /// <summary>The latents z of one scale, in the caller's memory.</summary>
    public sealed class Latents
    {
        /// <summary>Latents of a scale. An array converts to the first parameter's type.</summary>
        /// <param name="values">channels × height × width numbers without gaps, channel by channel.</param>
        /// <param name="channels">Channels.</param>
        /// <param name="height">Rows.</param>
        /// <param name="width">Columns.</param>
        public Latents(ReadOnlyMemory<float> values, int channels, int height, int width)
        {
            Values = values;
            Channels = channels;
            Height = height;
            Width = width;
        }

        /// <summary>The numbers, channel by channel.</summary>
        public ReadOnlyMemory<float> Values { get; }
        /// <summary>Channels.</summary>
        public int Channels { get; }
        /// <summary>Rows.</summary>
        public int Height { get; }
        /// <summary>Columns.</summary>
        public int Width { get; }

        internal unsafe uflow_latents Describe(Pin pin) => new uflow_latents
        {
            struct_size = (UIntPtr)sizeof(uflow_latents),
            data = (float*)pin.Address,
            size = (UIntPtr)(uint)Values.Length,
            channels = Native.NotNegative(Channels, nameof(Channels)),
            height = Native.NotNegative(Height, nameof(Height)),
            width = Native.NotNegative(Width, nameof(Width)),
        };
    }

    /// <summary>Segments latents, from any network. It needs no engine and no model.</summary>
    /// <remarks>One thread at a time.</remarks>
    public sealed unsafe class Segmenter : IDisposable
    {
        private readonly SegmenterHandle handle;

        /// <summary>A segmenter whose maps have a size in pixels, 1 to 8192 each; usually the network's input size.</summary>
        public Segmenter(int width, int height)
        {
            Library.CheckVersion();
            uflow_segmenter* made;
            Native.Check(NativeMethods.uflow_segmenter_new(
                Native.NotNegative(width, nameof(width)), Native.NotNegative(height, nameof(height)), &made));
            handle = new SegmenterHandle(made);
        }

        /// <summary>Segments the latents of one image and replaces the content of a detection. On failure the detection does not change.</summary>
        /// <param name="latents">1 to 16 scales, the finest first.</param>
        /// <param name="into">Receives what was found.</param>
        /// <param name="options">ε (default 1), verdict, score threshold, smallest area, bound, count of tests, region of interest and maps.</param>
        /// <param name="imageWidth">The width of the image that regions refer to; with <paramref name="imageHeight"/> 0: the maps' size.</param>
        /// <param name="imageHeight">The height of the image.</param>
        /// <param name="buffers">Receive maps; null: none.</param>
        public void Segment(IReadOnlyList<Latents> latents, Detection into, DetectOptions options = null, int imageWidth = 0, int imageHeight = 0, MapBuffers buffers = null)
        {
            Detector.Require(latents, nameof(latents));
            Detector.Require(into, nameof(into));
            uint width = Native.NotNegative(imageWidth, nameof(imageWidth)), height = Native.NotNegative(imageHeight, nameof(imageHeight));
            var native = new uflow_latents[Math.Max(1, latents.Count)];
            var pins = new Pin[latents.Count];
            try
            {
                for (int i = 0; i < pins.Length; i++)
                {
                    Detector.Require(latents[i], nameof(latents));
                    pins[i] = new Pin(latents[i].Values.Pin());
                    native[i] = latents[i].Describe(pins[i]);
                }
                using (var self = new Lease(handle))
                using (Lease with = DetectOptions.Use(options))
                using (Lease result = into.Use())
                using (PinnedBuffers maps = MapBuffers.Pin(buffers))
                fixed (uflow_latents* first = native)
                {
                    uflow_buffers receiving = maps.Describe();
                    Native.Check(NativeMethods.uflow_segment_latents((uflow_segmenter*)self.Pointer, first, (UIntPtr)(uint)pins.Length,
                        (uflow_options*)with.Pointer, width, height, &receiving, (uflow_result*)result.Pointer));
                    into.Refresh(result.Pointer);
                }
            }
            finally
            {
                foreach (Pin pin in pins)
                {
                    pin?.Dispose();
                }
            }
        }

        /// <summary>Frees the segmenter.</summary>
        public void Dispose() => handle.Dispose();
    }
}
