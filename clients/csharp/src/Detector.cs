using System;
using System.Collections.Generic;

namespace UFlow
{
    /// <summary>Finds defects in one image after another, in the calling thread.</summary>
    /// <remarks>
    /// One thread at a time: give each thread its own detector (<see cref="BusyException"/> otherwise). The detectors of a model share its
    /// networks. The model may be disposed earlier. Results are those of the command <c>uflow detect</c>, to the bit.
    /// </remarks>
    public sealed unsafe class Detector : IDisposable
    {
        private readonly DetectorHandle handle;

        internal Detector(IntPtr model)
        {
            uflow_detector* made;
            Native.Check(NativeMethods.uflow_detector_new((uflow_model*)model, &made));
            handle = new DetectorHandle(made);
        }

        /// <summary>Finds defects in an image.</summary>
        /// <exception cref="UFlowException">The image, the options or a network failed; see the classes of exceptions.</exception>
        public Detection Detect(Image image, DetectOptions options = null)
        {
            var found = new Detection();
            try
            {
                Detect(image, found, options);
                return found;
            }
            catch
            {
                found.Dispose();
                throw;
            }
        }

        /// <summary>
        /// Finds defects in an image, and replaces the content of a detection, whose memory is reused. On failure the detection does not
        /// change.
        /// </summary>
        /// <param name="image">The image, which is read only during the call.</param>
        /// <param name="into">Receives what was found.</param>
        /// <param name="options">Null: the package's defaults.</param>
        /// <param name="buffers">Receive maps; null: none. See <see cref="MapBuffers"/>.</param>
        /// <exception cref="BufferTooSmallException">A buffer is too small.</exception>
        public void Detect(Image image, Detection into, DetectOptions options = null, MapBuffers buffers = null)
        {
            Require(image, nameof(image));
            Require(into, nameof(into));
            using (var self = new Lease(handle))
            using (Lease with = DetectOptions.Use(options))
            using (Lease result = into.Use())
            using (Pin pin = image.Pin())
            using (PinnedBuffers maps = MapBuffers.Pin(buffers))
            {
                uflow_image native = image.Describe(pin);
                uflow_buffers receiving = maps.Describe();
                Native.Check(NativeMethods.uflow_detector_detect_into(
                    (uflow_detector*)self.Pointer, &native, (uflow_options*)with.Pointer, &receiving, (uflow_result*)result.Pointer));
                into.Refresh(result.Pointer);
            }
        }

        /// <summary>
        /// Finds defects in 1 to 1024 images, which go through the network together. Scores differ from those of single images by at most
        /// 1e-5. If one image fails, the call fails; the message names the image.
        /// </summary>
        public Detection[] DetectBatch(IReadOnlyList<Image> images, DetectOptions options = null)
        {
            Require(images, nameof(images));
            var results = new Detection[images.Count];
            var pins = new Pin[images.Count];
            bool done = false;
            try
            {
                for (int i = 0; i < results.Length; i++)
                {
                    Require(images[i], nameof(images));
                    pins[i] = images[i].Pin();
                    results[i] = new Detection();
                }
                DetectBatch(images, pins, results, options);
                done = true;
                return results;
            }
            finally
            {
                for (int i = 0; i < results.Length; i++)
                {
                    pins[i]?.Dispose();
                    if (!done)
                    {
                        results[i]?.Dispose();
                    }
                }
            }
        }

        private void DetectBatch(IReadOnlyList<Image> images, Pin[] pins, Detection[] results, DetectOptions options)
        {
            int count = results.Length;
            var native = new uflow_image[Math.Max(1, count)];
            var handles = new uflow_result*[Math.Max(1, count)];
            for (int i = 0; i < count; i++)
            {
                native[i] = images[i].Describe(pins[i]);
                // Nobody else knows these results, so nobody disposes them during the call.
                using (Lease result = results[i].Use())
                {
                    handles[i] = (uflow_result*)result.Pointer;
                }
            }
            using (var self = new Lease(handle))
            using (Lease with = DetectOptions.Use(options))
            {
                fixed (uflow_image* first = native)
                fixed (uflow_result** into = handles)
                {
                    Native.Check(NativeMethods.uflow_detector_detect_batch(
                        (uflow_detector*)self.Pointer, first, (UIntPtr)(uint)count, (uflow_options*)with.Pointer, into));
                }
            }
            for (int i = 0; i < count; i++)
            {
                results[i].Refresh((IntPtr)handles[i]);
            }
        }

        /// <summary>The verdict and the score of an image, without regions.</summary>
        public ImageScore Score(Image image, DetectOptions options = null)
        {
            Require(image, nameof(image));
            float score;
            uint anomalous;
            using (var self = new Lease(handle))
            using (Lease with = DetectOptions.Use(options))
            using (Pin pin = image.Pin())
            {
                uflow_image native = image.Describe(pin);
                Native.Check(NativeMethods.uflow_detector_score(
                    (uflow_detector*)self.Pointer, &native, (uflow_options*)with.Pointer, &score, &anomalous));
            }
            return new ImageScore(anomalous != 0, score);
        }

        /// <summary>Frees the detector, after a call of another thread has ended.</summary>
        public void Dispose() => handle.Dispose();

        internal static void Require(object value, string name)
        {
            if (value == null)
            {
                throw new ArgumentNullException(name);
            }
        }
    }
}
