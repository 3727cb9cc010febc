using System;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Linq;
using System.Threading;

namespace UFlow
{
    /// <summary>
    /// Frees what a program left when its process ends, on Mono. Mono waits at its end for every thread that once ran managed code, and
    /// threads of the library that called back end only with their stream or engine. Other runtimes do not wait.
    /// </summary>
    internal static class AtExit
    {
        /// <summary>
        /// How long the end of a process waits for handles that another thread frees. Mono aborts threads inside callbacks when it ends;
        /// a stream that a finalizer was freeing would keep its engine and the engine's threads, and Mono would wait for them for ever.
        /// </summary>
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

        private static readonly bool OnMono = Type.GetType("Mono.Runtime") != null;

        /// <summary>Handles that are not freed yet. The references are long: what the collector has found, and no finalizer has freed, is in them.</summary>
        private static readonly ConcurrentDictionary<long, WeakReference<WorkingHandle>> Alive = new ConcurrentDictionary<long, WeakReference<WorkingHandle>>();
        private static long made;

        static AtExit()
        {
            if (OnMono)
            {
                AppDomain.CurrentDomain.ProcessExit += (sender, e) => FreeAll();
            }
        }

        /// <summary>Gives the handle its number.</summary>
        internal static long Remember(WorkingHandle handle)
        {
            long number = Interlocked.Increment(ref made);
            if (OnMono)
            {
                Alive[number] = new WeakReference<WorkingHandle>(handle, trackResurrection: true);
            }
            return number;
        }

        /// <summary>The handle is freed.</summary>
        internal static void Forget(long number)
        {
            WeakReference<WorkingHandle> left;
            Alive.TryRemove(number, out left);
        }

        private static void FreeAll()
        {
            var left = Alive.Values.ToArray();
            foreach (WeakReference<WorkingHandle> one in left)
            {
                WorkingHandle handle;
                if (one.TryGetTarget(out handle))
                {
                    handle.Stop();
                }
            }
            foreach (WeakReference<WorkingHandle> one in left)
            {
                WorkingHandle handle;
                if (one.TryGetTarget(out handle))
                {
                    handle.Dispose();
                }
            }
            var waited = Stopwatch.StartNew();
            while (!Alive.IsEmpty && waited.Elapsed < Patience)
            {
                Thread.Sleep(1);
            }
        }
    }
}
