using System;
using System.Diagnostics;
using System.Text;
using System.Threading;

namespace UFlow
{
    /// <summary>What every call of the library needs: failures as exceptions, and UTF-8.</summary>
    internal static unsafe class Native
    {
        /// <summary><c>UFLOW_WAIT_FOREVER</c>.</summary>
        internal const uint WaitForever = uint.MaxValue;

        /// <summary>The longest wait of a call that looks at a <see cref="CancellationToken"/> in between.</summary>
        private const uint Slice = 50;

        private static readonly UTF8Encoding Strict = new UTF8Encoding(false, true);

        /// <summary>Throws the exception of a status that is not NULL, and frees the status.</summary>
        internal static void Check(uflow_status* status)
        {
            if (status != null)
            {
                throw Take(status);
            }
        }

        /// <summary>The exception of a status that is not NULL, which is freed.</summary>
        internal static UFlowException Take(uflow_status* status)
        {
            using (var owner = new StatusHandle(status))
            {
                return Describe(owner.Pointer);
            }
        }

        /// <summary>The exception of a status that is not NULL and that belongs to somebody else.</summary>
        internal static UFlowException Describe(uflow_status* status)
        {
            var code = (StatusCode)NativeMethods.uflow_status_get_code(status);
            return UFlowException.Of(code, Text(NativeMethods.uflow_status_get_message(status)));
        }

        /// <summary>A text that ends with 0.</summary>
        internal static string Text(byte* text)
        {
            if (text == null)
            {
                return "";
            }
            int length = 0;
            while (text[length] != 0)
            {
                length++;
            }
            return Encoding.UTF8.GetString(text, length);
        }

        /// <summary>The content of a text, which is freed.</summary>
        internal static string Take(uflow_text* text)
        {
            using (new TextHandle(text))
            {
                int size = checked((int)NativeMethods.uflow_text_size(text));
                return Encoding.UTF8.GetString(NativeMethods.uflow_text_data(text), size);
            }
        }

        /// <summary>UTF-8 that ends with 0.</summary>
        internal static byte[] Bytes(string text, string name)
        {
            if (text == null)
            {
                throw new ArgumentNullException(name);
            }
            if (text.IndexOf('\0') >= 0)
            {
                throw new ArgumentException("The text has a character of value 0. Remove it.", name);
            }
            try
            {
                return Strict.GetBytes(text + "\0");
            }
            catch (EncoderFallbackException)
            {
                throw new ArgumentException("The text is not valid Unicode: half of a surrogate pair is missing.", name);
            }
        }

        /// <summary>Whether this thread is the program's, or a thread of the library that was seen before.</summary>
        [ThreadStatic]
        private static bool known;

        /// <summary>A thread of the program comes before it calls what may call back in the same thread.</summary>
        internal static void EnterFromProgram() => known = true;

        /// <summary>
        /// A callback begins. At its end Mono waits for threads of the library that called back, as for those that the program started,
        /// unless they are background threads; and they end only with their stream or engine.
        /// </summary>
        internal static void EnterFromLibrary()
        {
            if (!known)
            {
                known = true;
                Thread.CurrentThread.IsBackground = true;
            }
        }

        internal static uint NotNegative(int value, string name)
        {
            if (value < 0)
            {
                throw new ArgumentOutOfRangeException(name, value, name + " must not be negative.");
            }
            return (uint)value;
        }

        internal static ulong NotNegative(long value, string name)
        {
            if (value < 0)
            {
                throw new ArgumentOutOfRangeException(name, value, name + " must not be negative.");
            }
            return (ulong)value;
        }

        /// <summary>Milliseconds, rounded up, so that a short time does not become "not set".</summary>
        internal static uint Milliseconds(TimeSpan time, string name)
        {
            double rounded = Math.Ceiling(time.TotalMilliseconds);
            if (rounded < 0 || rounded >= uint.MaxValue)
            {
                throw new ArgumentOutOfRangeException(name, time, name + " must be from 0 to 49 days.");
            }
            return (uint)rounded;
        }

        /// <summary>A call of the library that waits at most as many milliseconds as it is given.</summary>
        internal delegate UFlowException Waiting(uint milliseconds);

        /// <summary>
        /// Calls until the call succeeds (true), or fails with another code than <paramref name="expired"/> (throws), or the time is over
        /// (false). Null waits as long as necessary.
        /// </summary>
        internal static bool Wait(Waiting call, StatusCode expired, TimeSpan? timeout, CancellationToken token, out UFlowException last)
        {
            uint limit = timeout == null || timeout == Timeout.InfiniteTimeSpan ? WaitForever : Milliseconds(timeout.Value, nameof(timeout));
            var clock = Stopwatch.StartNew();
            while (true)
            {
                token.ThrowIfCancellationRequested();
                uint left = limit;
                if (limit != WaitForever)
                {
                    left = (uint)Math.Max(0, limit - clock.ElapsedMilliseconds);
                }
                // In a callback the library does not wait.
                bool sliced = token.CanBeCanceled && left > Slice && !StreamCalls.InCallback;
                last = call(sliced ? Slice : left);
                if (last == null)
                {
                    return true;
                }
                if (last.Code != expired)
                {
                    throw last;
                }
                if (!sliced)
                {
                    return false;
                }
            }
        }
    }
}
