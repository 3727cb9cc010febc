using System;
using System.IO;
using System.Text;

namespace UFlow.Tests
{
    /// <summary>Pictures of a product, 64 × 64 pixels in RGB: good ones, and bad ones with a patch of stripes.</summary>
    internal static class Pictures
    {
        internal const int Side = 64;

        internal static byte[] Good(int seed)
        {
            var pixels = new byte[Side * Side * 3];
            uint state = (uint)seed * 2654435761u + 1;
            for (int i = 0; i < pixels.Length; i++)
            {
                state = state * 1664525u + 1013904223u;
                int x = i / 3 % Side, y = i / 3 / Side;
                pixels[i] = (byte)(90 + x % 8 * 6 + y % 16 * 3 + (state >> 24) % 24);
            }
            return pixels;
        }

        internal static byte[] Bad(int seed)
        {
            byte[] pixels = Good(seed);
            for (int y = 20; y < 40; y++)
            {
                for (int i = 0; i < 16 * 3; i++)
                {
                    pixels[(y * Side + 24) * 3 + i] = (byte)(y % 2 * 255);
                }
            }
            return pixels;
        }

        /// <summary>Good pictures and bad ones in turns.</summary>
        internal static byte[] Mixed(int number) => number % 3 == 1 ? Bad(1000 + number) : Good(1000 + number);

        internal static Image Rgb(byte[] pixels) => Image.FromPixels(pixels, Side, Side, PixelFormat.Rgb8);

        /// <summary>The same pixels in another layout, with gaps between the rows.</summary>
        internal static byte[] Arrange(byte[] rgb, int[] channels, int gap)
        {
            int stride = Side * channels.Length + gap;
            var made = new byte[Side * stride];
            for (int i = 0; i < Side * Side; i++)
            {
                for (int c = 0; c < channels.Length; c++)
                {
                    // 3 is alpha, which is not used.
                    made[i / Side * stride + i % Side * channels.Length + c] = channels[c] == 3 ? (byte)i : rgb[i * 3 + channels[c]];
                }
            }
            return made;
        }

        internal static byte[] Green(byte[] rgb) => Arrange(rgb, new[] { 1 }, 0);

        /// <summary>A PNM file: P5 is gray, P6 is RGB.</summary>
        internal static byte[] Pnm(string magic, byte[] samples)
        {
            byte[] head = Encoding.ASCII.GetBytes(magic + "\n" + Side + " " + Side + "\n255\n");
            var file = new byte[head.Length + samples.Length];
            head.CopyTo(file, 0);
            samples.CopyTo(file, head.Length);
            return file;
        }

        internal static byte[] Ppm(byte[] rgb) => Pnm("P6", rgb);

        /// <summary>12-bit samples.</summary>
        internal static ushort[] Words(byte[] gray) => Array.ConvertAll(gray, value => (ushort)(value * 16 + value % 16));

        /// <summary>A TIFF file of 16-bit gray samples: one strip without compression.</summary>
        internal static byte[] Tiff(ushort[] words)
        {
            var file = new MemoryStream();
            var writer = new BinaryWriter(file);
            int size = words.Length * 2;
            // The directory comes after the strip.
            writer.Write(new[] { (byte)'I', (byte)'I', (byte)42, (byte)0 });
            writer.Write(8 + size);
            foreach (ushort word in words)
            {
                writer.Write(word);
            }
            // Width, height, bits, compression, black is 0, strip, samples, rows of the strip, bytes of the strip.
            var entries = new[] { 256, Side, 257, Side, 258, 16, 259, 1, 262, 1, 273, 8, 277, 1, 278, Side, 279, size };
            writer.Write((ushort)(entries.Length / 2));
            for (int i = 0; i < entries.Length; i += 2)
            {
                writer.Write((ushort)entries[i]);
                writer.Write((ushort)4);
                writer.Write(1);
                writer.Write(entries[i + 1]);
            }
            writer.Write(0);
            return file.ToArray();
        }
    }
}
