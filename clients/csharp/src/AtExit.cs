using System;
using System.Collections.Concurrent;
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
        private static readonly bool OnMono = Type.GetType("Mono.Runtime") != null;
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
                Alive[number] = new WeakReference<WorkingHandle>(handle);
            }
            return number;
        }

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
        }
    }
}
