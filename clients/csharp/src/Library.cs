using System;

namespace UFlow
{
    /// <summary>The loaded library, libuflow.</summary>
    public static unsafe class Library
    {
        /// <summary>The version of the library that this assembly was written for.</summary>
        private const uint Written = 1000;

        /// <summary>The version of the loaded library, e.g. "0.1.0".</summary>
        public static string Version => Native.Text(NativeMethods.uflow_version());

        /// <summary>The version as a number: 1,000,000 × major + 1,000 × minor + patch.</summary>
        public static int VersionNumber => (int)NativeMethods.uflow_version_number();

        /// <summary>
        /// Ends ONNX Runtime and its thread pool, which otherwise sleep until the process ends. This is final: no engine can be made
        /// after it.
        /// </summary>
        /// <exception cref="BusyException">An engine, model, detector, trainer or stream exists.</exception>
        public static void Shutdown() => Native.Check(NativeMethods.uflow_shutdown());

        /// <summary>Structs grow at their end within a major version; a library of another one cannot be used.</summary>
        internal static void CheckVersion()
        {
            Native.EnterFromProgram();
            uint loaded;
            try
            {
                loaded = NativeMethods.uflow_version_number();
            }
            catch (DllNotFoundException missing)
            {
                throw new DllNotFoundException("libuflow was not found. Install the package UFlow with its native libraries, or put the folder of "
                    + "libuflow.so into LD_LIBRARY_PATH before the program starts. " + missing.Message, missing);
            }
            if (loaded / 1000000 != Written / 1000000 || loaded < Written)
            {
                throw new NotSupportedException("The loaded libuflow has version " + Version + ". This assembly needs version "
                    + Written / 1000000 + "." + Written / 1000 % 1000 + "." + Written % 1000 + " or a newer one of the same major version.");
            }
        }
    }
}
