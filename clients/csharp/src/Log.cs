using System;
using System.Threading;

namespace UFlow
{
    /// <summary>A line of the library's log.</summary>
    public sealed class LogLine
    {
        internal LogLine(LogLevel level, string target, string message)
        {
            Level = level;
            Target = target;
            Message = message;
        }

        /// <summary>How severe it is.</summary>
        public LogLevel Level { get; }
        /// <summary>The module that the line comes from.</summary>
        public string Target { get; }
        /// <summary>The text.</summary>
        public string Message { get; }
    }

    /// <summary>The library's log, for the whole process. It is off at first.</summary>
    public static unsafe class Log
    {
        private static readonly object Gate = new object();

        /// <summary>The library calls it at any time: the garbage collector must not take it.</summary>
        private static NativeMethods.uflow_log_set_callback_callback_delegate current;
        private static bool watching;
        private static int thrown;

        /// <summary>The number of exceptions that handlers threw. They are dropped, because they must not cross the library.</summary>
        public static int HandlerFailures => Volatile.Read(ref thrown);

        /// <summary>
        /// Sets what receives lines of a level and of more severe levels. When this returns, the earlier handler is not running and is not
        /// called again.
        /// </summary>
        /// <param name="level">Not <see cref="LogLevel.Off"/>.</param>
        /// <param name="handler">Any thread of the library calls it, several at once. It must not call this library.</param>
        public static void SetHandler(LogLevel level, Action<LogLine> handler)
        {
            Detector.Require(handler, nameof(handler));
            Replace(level, (data, number, target, message) =>
            {
                Native.EnterFromLibrary();
                try
                {
                    handler(new LogLine((LogLevel)number, Native.Text(target), Native.Text(message)));
                }
                catch
                {
                    Interlocked.Increment(ref thrown);
                }
            });
        }

        /// <summary>Turns the log off.</summary>
        public static void TurnOff() => Replace(LogLevel.Off, null);

        private static void Replace(LogLevel level, NativeMethods.uflow_log_set_callback_callback_delegate next)
        {
            Library.CheckVersion();
            lock (Gate)
            {
                Native.Check(NativeMethods.uflow_log_set_callback(next, null, (uint)level));
                // Until here the library may have called the earlier one.
                GC.KeepAlive(current);
                current = next;
                if (!watching)
                {
                    // Threads of the library outlive the runtime.
                    watching = true;
                    AppDomain.CurrentDomain.ProcessExit += (sender, e) => TurnOff();
                    AppDomain.CurrentDomain.DomainUnload += (sender, e) => TurnOff();
                }
            }
        }
    }
}
