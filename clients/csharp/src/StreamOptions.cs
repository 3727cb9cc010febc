using System;

namespace UFlow
{
    /// <summary>How a stream works.</summary>
    public sealed class StreamOptions
    {
        /// <summary>
        /// The most frames in the stream (default 8), from their submission until their result is delivered. Then
        /// <see cref="FrameStream.Submit"/> waits. All streams share <see cref="EngineOptions.MaxInFlight"/>.
        /// </summary>
        public int Capacity { get; set; } = 8;

        /// <summary>
        /// The time limit of each frame, from the moment it has its place; null (the default): none. Then its result is a
        /// <see cref="TimedOutException"/>, which is still delivered in turn.
        /// </summary>
        public TimeSpan? TimeLimit { get; set; }

        /// <summary>
        /// Receives the results, one after another, in order, in a thread of the stream. It may take long; that delays only this stream.
        /// Null (the default): <see cref="FrameStream.Next(TimeSpan?, System.Threading.CancellationToken)"/> and
        /// <see cref="FrameStream.Results"/> give them. If it throws, the stream is cancelled (<see cref="CallbackException"/>).
        /// </summary>
        public Action<StreamResult> OnResult { get; set; }

        /// <summary>
        /// Called once for each frame that was taken, when its pixels are not read any more: the camera may have its buffer back. That is
        /// always before the result, often much earlier, in another thread, for several frames at once and in any order. It must return
        /// at once and wait for nothing. If it throws, the stream is cancelled.
        /// </summary>
        public Action<Frame> OnReleased { get; set; }
    }

    /// <summary>What the caller attaches to an image. It comes back with the release of the image and with its result.</summary>
    public sealed class Frame
    {
        /// <summary>A frame.</summary>
        /// <param name="id">A number of the caller's, e.g. of the part.</param>
        /// <param name="timestamp">A time of the caller's in any unit, e.g. the encoder's count at the trigger.</param>
        /// <param name="tag">Any object of the caller's, e.g. the camera's buffer.</param>
        public Frame(ulong id = 0, ulong timestamp = 0, object tag = null)
        {
            Id = id;
            Timestamp = timestamp;
            Tag = tag;
        }

        /// <summary>A number of the caller's.</summary>
        public ulong Id { get; }
        /// <summary>A time of the caller's.</summary>
        public ulong Timestamp { get; }
        /// <summary>An object of the caller's.</summary>
        public object Tag { get; }
    }

    /// <summary>The result of a frame: a detection, or why there is none.</summary>
    public sealed class StreamResult
    {
        private readonly Detection detection;

        internal StreamResult(Frame frame, Detection detection, UFlowException error)
        {
            Frame = frame;
            this.detection = detection;
            Error = error;
        }

        /// <summary>The frame as it was submitted.</summary>
        public Frame Frame { get; }

        /// <summary>Why this frame failed; null if it did not. Other frames are not affected.</summary>
        public UFlowException Error { get; }

        /// <summary>What was found. It belongs to the receiver.</summary>
        /// <exception cref="UFlowException">The frame failed: this is <see cref="Error"/>.</exception>
        public Detection Detection
        {
            get
            {
                if (Error != null)
                {
                    throw Error;
                }
                return detection;
            }
        }
    }
}
