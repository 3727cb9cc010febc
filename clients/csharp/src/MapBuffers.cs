using System;

namespace UFlow
{
    /// <summary>
    /// Memory of the caller's that a call writes maps to, without a copy in between. A memory that is empty asks for nothing. The memory is
    /// pinned during the call; nobody else may use it then.
    /// </summary>
    public sealed class MapBuffers
    {
        /// <summary>Receives the mask: rows without gaps, 1 where log₁₀NFA is below log₁₀ ε, else 0.</summary>
        public Memory<byte> Mask { get; set; }
        /// <summary>The columns of the mask; must be the width of the upright image (<see cref="Image.GetInfo"/>).</summary>
        public int MaskWidth { get; set; }
        /// <summary>The rows of the mask; must be the height of the upright image.</summary>
        public int MaskHeight { get; set; }
        /// <summary>Receives the score map: rows without gaps.</summary>
        public Memory<float> ScoreMap { get; set; }
        /// <summary>Receives the log₁₀NFA map: rows without gaps.</summary>
        public Memory<float> Log10NfaMap { get; set; }
        /// <summary>The columns of both maps; must be <see cref="ModelInfo.InputWidth"/>, or the segmenter's width.</summary>
        public int MapWidth { get; set; }
        /// <summary>The rows of both maps; must be <see cref="ModelInfo.InputHeight"/>, or the segmenter's height.</summary>
        public int MapHeight { get; set; }

        /// <summary>Keeps the memory where it is; nothing for null.</summary>
        internal static PinnedBuffers Pin(MapBuffers buffers) => new PinnedBuffers(buffers);
    }

    /// <summary>Map buffers that do not move until they are disposed.</summary>
    internal sealed unsafe class PinnedBuffers : IDisposable
    {
        private readonly MapBuffers buffers;
        private readonly Pin mask;
        private readonly Pin score;
        private readonly Pin log10Nfa;

        internal PinnedBuffers(MapBuffers buffers)
        {
            this.buffers = buffers;
            if (buffers != null)
            {
                mask = new Pin(buffers.Mask.Pin());
                score = new Pin(buffers.ScoreMap.Pin());
                log10Nfa = new Pin(buffers.Log10NfaMap.Pin());
            }
        }

        internal uflow_buffers Describe()
        {
            var native = new uflow_buffers { struct_size = (UIntPtr)sizeof(uflow_buffers) };
            if (buffers == null)
            {
                return native;
            }
            native.mask = buffers.Mask.IsEmpty ? null : mask.Address;
            native.mask_capacity = (UIntPtr)(uint)buffers.Mask.Length;
            native.mask_width = Native.NotNegative(buffers.MaskWidth, "MaskWidth");
            native.mask_height = Native.NotNegative(buffers.MaskHeight, "MaskHeight");
            native.score_map = buffers.ScoreMap.IsEmpty ? null : (float*)score.Address;
            native.score_map_capacity = (UIntPtr)(uint)buffers.ScoreMap.Length;
            native.log10_nfa_map = buffers.Log10NfaMap.IsEmpty ? null : (float*)log10Nfa.Address;
            native.log10_nfa_map_capacity = (UIntPtr)(uint)buffers.Log10NfaMap.Length;
            native.map_width = Native.NotNegative(buffers.MapWidth, "MapWidth");
            native.map_height = Native.NotNegative(buffers.MapHeight, "MapHeight");
            return native;
        }

        public void Dispose()
        {
            mask?.Dispose();
            score?.Dispose();
            log10Nfa?.Dispose();
        }
    }
}
