using System;
using System.Buffers;
using System.Runtime.InteropServices;

namespace UFlow
{
    /// <summary>
    /// An image in the caller's memory: raw pixels as a camera's driver provides them, or an encoded file. Nothing is copied: the memory
    /// is pinned while a call reads it. A frame of a stream stays pinned until it is released; do not change its bytes before.
    /// </summary>
    /// <remarks>Sizes are not checked here. A call that gets an impossible one throws <see cref="InvalidImageException"/>, which says what does
    /// not fit. An image never changes; any thread may use it.</remarks>
    public sealed class Image
    {
        private const uint Encoding = 7;

        private readonly ReadOnlyMemory<byte> bytes;
        private readonly ushort[] words;
        private readonly IntPtr address;
        private readonly long size;
        private readonly uint width;
        private readonly uint height;
        private readonly uint format;
        private readonly uint stride;
        private readonly uint significantBits;

        private Image(ReadOnlyMemory<byte> bytes, ushort[] words, IntPtr address, long size, int width, int height, uint format, int stride, int bits)
        {
            this.bytes = bytes;
            this.words = words;
            this.address = address;
            this.size = size;
            this.width = Native.NotNegative(width, nameof(width));
            this.height = Native.NotNegative(height, nameof(height));
            this.format = format;
            this.stride = Native.NotNegative(stride, nameof(stride));
            significantBits = Native.NotNegative(bits, "significantBits");
        }

        /// <summary>An encoded file: PNG, JPEG, BMP, TIFF, WebP, GIF or PNM. An array converts to the parameter's type.</summary>
        public static Image FromFile(ReadOnlyMemory<byte> content)
        {
            return new Image(content, null, IntPtr.Zero, content.Length, 0, 0, Encoding, 0, 0);
        }

        /// <summary>Raw pixels. An array converts to the first parameter's type.</summary>
        /// <param name="pixels">At least (height − 1) × stride + width × bytes per pixel bytes.</param>
        /// <param name="width">Pixels per row.</param>
        /// <param name="height">Rows.</param>
        /// <param name="format">The layout of the bytes.</param>
        /// <param name="stride">Bytes from the start of one row to the start of the next; 0: rows without gaps.</param>
        /// <param name="significantBits">Of 16-bit samples, 1 to 16: 0 to 2^bits − 1 is black to white. 0: as the model's package records.</param>
        public static Image FromPixels(ReadOnlyMemory<byte> pixels, int width, int height, PixelFormat format, int stride = 0, int significantBits = 0)
        {
            return new Image(pixels, null, IntPtr.Zero, pixels.Length, width, height, (uint)format, stride, significantBits);
        }

        /// <summary>Raw 16-bit gray pixels. <paramref name="stride"/> is in bytes, as everywhere.</summary>
        /// <param name="pixels">The samples.</param>
        /// <param name="width">Pixels per row.</param>
        /// <param name="height">Rows.</param>
        /// <param name="stride">Bytes from the start of one row to the start of the next; 0: rows without gaps.</param>
        /// <param name="significantBits">1 to 16; 0: as the model's package records.</param>
        public static Image FromGray16(ushort[] pixels, int width, int height, int stride = 0, int significantBits = 0)
        {
            if (pixels == null)
            {
                throw new ArgumentNullException(nameof(pixels));
            }
            return new Image(default(ReadOnlyMemory<byte>), pixels, IntPtr.Zero, 2L * pixels.Length, width, height, (uint)PixelFormat.Gray16, stride, significantBits);
        }

        /// <summary>
        /// Raw pixels in memory that the runtime does not manage, e.g. a buffer of a frame grabber. The caller keeps it valid: during a call,
        /// and until the release of a frame of a stream (<see cref="StreamOptions.OnReleased"/>).
        /// </summary>
        /// <param name="pixels">The first byte of the first row.</param>
        /// <param name="size">The number of bytes that may be read.</param>
        /// <param name="width">Pixels per row.</param>
        /// <param name="height">Rows.</param>
        /// <param name="format">The layout of the bytes.</param>
        /// <param name="stride">Bytes from the start of one row to the start of the next; 0: rows without gaps.</param>
        /// <param name="significantBits">Of 16-bit samples, 1 to 16; 0: as the model's package records.</param>
        public static Image FromPointer(IntPtr pixels, long size, int width, int height, PixelFormat format, int stride = 0, int significantBits = 0)
        {
            if (pixels == IntPtr.Zero)
            {
                throw new ArgumentNullException(nameof(pixels));
            }
            if (size < 0)
            {
                throw new ArgumentOutOfRangeException(nameof(size), size, "size must not be negative.");
            }
            return new Image(default(ReadOnlyMemory<byte>), null, pixels, size, width, height, (uint)format, stride, significantBits);
        }

        /// <summary>
        /// What is known of the image before it is decoded, from its header. The size is the upright one, which is the size of the mask.
        /// </summary>
        /// <exception cref="UFlowException">The image is not valid.</exception>
        public unsafe ImageInfo GetInfo()
        {
            var info = new uflow_image_info { struct_size = (UIntPtr)sizeof(uflow_image_info) };
            Native.EnterFromProgram();
            using (Pin pin = Pin())
            {
                uflow_image native = Describe(pin);
                Native.Check(NativeMethods.uflow_image_get_info(&native, &info));
            }
            return new ImageInfo(info);
        }

        /// <summary>Keeps the bytes where they are until the pin is disposed.</summary>
        internal Pin Pin()
        {
            if (words != null)
            {
                return new Pin(GCHandle.Alloc(words, GCHandleType.Pinned));
            }
            return address != IntPtr.Zero ? new Pin(address) : new Pin(bytes.Pin());
        }

        internal unsafe uflow_image Describe(Pin pin)
        {
            return new uflow_image
            {
                struct_size = (UIntPtr)sizeof(uflow_image),
                // An empty array has no address.
                data = pin.Address == null ? (byte*)1 : pin.Address,
                size = (UIntPtr)(ulong)size,
                stride = (UIntPtr)stride,
                width = width,
                height = height,
                format = format,
                significant_bits = significantBits,
            };
        }
    }

    /// <summary>Bytes that do not move.</summary>
    internal sealed unsafe class Pin : IDisposable
    {
        private MemoryHandle memory;
        private GCHandle array;

        internal Pin(IntPtr address)
        {
            Address = (byte*)address;
        }

        internal Pin(GCHandle array)
        {
            this.array = array;
            Address = (byte*)array.AddrOfPinnedObject();
        }

        internal Pin(MemoryHandle memory)
        {
            this.memory = memory;
            Address = (byte*)memory.Pointer;
        }

        internal byte* Address { get; }

        public void Dispose()
        {
            memory.Dispose();
            if (array.IsAllocated)
            {
                array.Free();
            }
        }
    }

    /// <summary>What is known of an image before it is decoded.</summary>
    public sealed class ImageInfo
    {
        internal ImageInfo(uflow_image_info info)
        {
            Width = (int)info.width;
            Height = (int)info.height;
            Format = (PixelFormat)info.format;
            Bits = (int)info.bits;
            IsFloat = info.is_float != 0;
            Pages = (int)info.pages;
            Orientation = (int)info.orientation;
        }

        /// <summary>Columns of the upright image: the width of its mask.</summary>
        public int Width { get; }
        /// <summary>Rows of the upright image: the height of its mask.</summary>
        public int Height { get; }
        /// <summary>The format of the decoded image.</summary>
        public PixelFormat Format { get; }
        /// <summary>Bits per sample: of the file, or of the format of raw pixels.</summary>
        public int Bits { get; }
        /// <summary>Whether samples are floating-point numbers, which only a package with a range for them can read.</summary>
        public bool IsFloat { get; }
        /// <summary>Pages or frames in the file; a file with more than one is refused.</summary>
        public int Pages { get; }
        /// <summary>The EXIF orientation, 1 to 8; 1 for raw pixels.</summary>
        public int Orientation { get; }
    }
}
