using System;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>The generated declarations are those of the library, and the public types those of the declarations.</summary>
    [TestFixture]
    public unsafe class DeclarationsTest
    {
        private static readonly Assembly Client = typeof(Engine).Assembly;

        private static Type Native(string name) => Client.GetType("UFlow." + name, true);

        [Test]
        public void LayoutsAndNumbersAreThoseOfTheList()
        {
            string[] lines = File.ReadAllLines(Path.Combine(Setup.Repository, "ffi/abi/layout-64bit.txt"));
            Type[] enumerations = Client.GetTypes().Where(type => type.IsEnum && type.Name.StartsWith("uflow_")).ToArray();
            foreach (string[] line in lines.Select(line => line.Split(' ')))
            {
                string[] names = line[0].Split('.');
                long found;
                if (names.Length == 2)
                {
                    found = (long)Marshal.OffsetOf(Native(names[0]), names[1]);
                }
                else if (names[0].StartsWith("UFLOW_"))
                {
                    Type holder = enumerations.Single(type => Enum.IsDefined(type, names[0]));
                    found = Convert.ToInt64(Enum.Parse(holder, names[0]));
                }
                else
                {
                    Type type = Native(names[0]);
                    found = Marshal.SizeOf(type.IsEnum ? Enum.GetUnderlyingType(type) : type);
                }
                Assert.That(found, Is.EqualTo(long.Parse(line[1])), line[0]);
            }
            Assert.That(lines.Length, Is.GreaterThan(200));
        }

        [Test]
        public void EveryExportIsDeclared()
        {
            string[] exports = File.ReadAllLines(Path.Combine(Setup.Repository, "ffi/abi/symbols.txt")).Select(line => line.Split(' ')[0]).ToArray();
            var declared = typeof(Engine).Assembly.GetType("UFlow.NativeMethods").GetMethods(BindingFlags.Static | BindingFlags.NonPublic);
            Assert.That(declared.Select(method => method.Name), Is.EquivalentTo(exports));
        }

        [TestCase(typeof(StatusCode), "uflow_status_code", "UFLOW_STATUS_", "")]
        [TestCase(typeof(PixelFormat), "uflow_format", "UFLOW_FORMAT_", "Encoded Unknown")]
        [TestCase(typeof(Verdict), "uflow_verdict", "UFLOW_VERDICT_", "Unknown")]
        [TestCase(typeof(Bound), "uflow_bound", "UFLOW_BOUND_", "Unknown")]
        [TestCase(typeof(TestCount), "uflow_tests", "UFLOW_TESTS_", "Unknown")]
        [TestCase(typeof(Maps), "uflow_maps", "UFLOW_MAPS_", "")]
        [TestCase(typeof(Priority), "uflow_priority", "UFLOW_PRIORITY_", "Unknown")]
        [TestCase(typeof(LogLevel), "uflow_log_level", "UFLOW_LOG_LEVEL_", "")]
        [TestCase(typeof(Augmentation), "uflow_augmentation", "UFLOW_AUGMENTATION_", "Unknown")]
        [TestCase(typeof(FitControl), "uflow_control", "UFLOW_CONTROL_", "Unknown")]
        [TestCase(typeof(StopReason), "uflow_stop_reason", "UFLOW_STOP_REASON_", "")]
        public void EnumerationsHaveTheLibrarysNumbers(Type ours, string native, string prefix, string leftOut)
        {
            Type theirs = Native(native);
            var expected = Enum.GetNames(theirs).Select(name => new { Name = Pascal(name.Substring(prefix.Length)), Value = Convert.ToUInt32(Enum.Parse(theirs, name)) })
                .Where(one => !leftOut.Split(' ').Contains(one.Name)).Select(one => one.Name + " " + one.Value);
            var found = Enum.GetNames(ours).Select(name => name + " " + Convert.ToUInt32(Enum.Parse(ours, name)));
            Assert.That(found, Is.EquivalentTo(expected));
        }

        private static string Pascal(string name) =>
            string.Concat(name.Split('_').Select(part => part.Substring(0, 1) + part.Substring(1).ToLowerInvariant()));

        [Test]
        public void EveryCodeHasItsOwnException()
        {
            var codes = Enum.GetValues(typeof(StatusCode)).Cast<StatusCode>().Where(code => code != StatusCode.Ok).ToArray();
            var made = codes.Select(code => UFlowException.Of(code, "why")).ToArray();
            Assert.That(made.Select(exception => exception.Code), Is.EqualTo(codes));
            Assert.That(made.Select(exception => exception.GetType()).Distinct().Count(), Is.EqualTo(codes.Length));
            Assert.That(made.All(exception => exception.GetType() != typeof(UFlowException) && exception.Message == "why"));
            // A code that a newer library adds.
            UFlowException newer = UFlowException.Of((StatusCode)999, "why");
            Assert.That(newer.GetType(), Is.EqualTo(typeof(UFlowException)));
            Assert.That((uint)newer.Code, Is.EqualTo(999));
        }

        [Test]
        public void EngineOptionsHaveTheLibrarysDefaults()
        {
            uflow_engine_options* made;
            UFlow.Native.Check(NativeMethods.uflow_engine_options_new(&made));
            using (var theirs = new EngineOptionsHandle(made))
            using (EngineOptionsHandle ours = new EngineOptions().Build())
            {
                Assert.That(Info(ours), Is.EqualTo(Info(theirs)));
            }
            var changed = new EngineOptions { Device = "cuda:1", Precision = "fp32", OnnxRuntime = "/é", TrustedKeys = "/k", Threads = 3, Workers = 5, MaxBatch = 7, MaxDelayMilliseconds = 1.5, MaxInFlight = 9, MaxPixels = 11, MaxBytes = 13, MaxFrameBytes = 17 << 20, MaxWorkBytes = 19 << 20 };
            using (EngineOptionsHandle ours = changed.Build())
            {
                Assert.That(Info(ours), Is.EqualTo("cuda:1 fp32 /é /k 1.5 11 13 17825792 19922944 3 5 7 9"));
            }
        }

        private static string Info(EngineOptionsHandle options)
        {
            var info = new uflow_engine_options_info { struct_size = (UIntPtr)sizeof(uflow_engine_options_info) };
            using (var lease = new Lease(options))
            {
                UFlow.Native.Check(NativeMethods.uflow_engine_options_get_info((uflow_engine_options*)lease.Pointer, &info));
                return string.Join(" ", UFlow.Native.Text(info.device), UFlow.Native.Text(info.precision), UFlow.Native.Text(info.onnxruntime), UFlow.Native.Text(info.trusted_keys), info.max_delay_ms, info.max_pixels, info.max_bytes,
                    info.max_frame_bytes, info.max_work_bytes, info.threads, info.workers, info.max_batch, info.max_in_flight);
            }
        }

        [Test]
        public void FitOptionsHaveTheLibrarysDefaults()
        {
            uflow_fit_options* made;
            fixed (byte* name = UFlow.Native.Bytes("bolt", "name"))
            {
                UFlow.Native.Check(NativeMethods.uflow_fit_options_new(name, &made));
            }
            using (var theirs = new FitOptionsHandle(made))
            using (FitOptionsHandle ours = new FitOptions("bolt").Build())
            {
                Assert.That(Info(ours), Is.EqualTo(Info(theirs)));
            }
            var changed = new FitOptions("née")
            {
                Backbone = "x.onnx", InputWidth = 48, InputHeight = 32, Augmentation = Augmentation.Flip, Epochs = 5, Patience = 6, BatchSize = 7, LearningRate = 0.5, WeightDecay = 0.25,
                Noise = 0.125, Seed = 12, Memory = 4096, Steps = 3, SignificantBits = 10, FloatLow = 1, FloatHigh = 2, CrossFit = true, GoldenFrames = 4, TimeBudget = TimeSpan.MaxValue,
                Detection = new DetectOptions { Verdict = Verdict.Either, Epsilon = 0.75, ScoreThreshold = 0.5f, MinArea = 8, Bound = Bound.Exact, Tests = TestCount.Paper },
            };
            using (FitOptionsHandle ours = changed.Build())
            {
                Assert.That(Info(ours), Is.EqualTo("née x.onnx 48 32 2 5 6 7 0.5 0.25 0.125 12 4096 3 4 0.75 0.5 8 2 1 0 10 1 2 1 4 NaN Infinity"));
            }
        }

        private static string Info(FitOptionsHandle options)
        {
            var info = new uflow_fit_options_info { struct_size = (UIntPtr)sizeof(uflow_fit_options_info) };
            using (var lease = new Lease(options))
            {
                UFlow.Native.Check(NativeMethods.uflow_fit_options_get_info((uflow_fit_options*)lease.Pointer, &info));
                FormattableString all = $"{UFlow.Native.Text(info.name)} {UFlow.Native.Text(info.backbone)} {info.input_width} {info.input_height} {info.augmentation} {info.epochs} {info.patience} {info.batch} {info.learning_rate} {info.weight_decay} {info.noise} {info.seed} {info.memory} {info.steps} {info.verdict} {info.epsilon} {info.score_threshold} {info.min_area} {info.bound} {info.tests} {info.has_roi} {info.significant_bits} {info.float_low} {info.float_high} {info.cross_fit} {info.golden} {info.reject_rate} {info.time_budget}";
                return FormattableString.Invariant(all);
            }
        }

        [Test]
        public void DetectOptionsReachTheLibrary()
        {
            var options = new DetectOptions
            {
                Epsilon = 0.5, RejectRate = 0.25, Verdict = Verdict.Both, ScoreThreshold = 0.125f, MinArea = 4, Bound = Bound.Exact, Tests = TestCount.Sized, Maps = Maps.Mask | Maps.Latents,
                Priority = Priority.High, TimeLimit = TimeSpan.FromSeconds(1.5), RegionOfInterest = new RegionOfInterest(new byte[] { 1, 0 }, 2, 1),
            };
            Assert.That(Info(options), Is.EqualTo("0.5 0.25 3 0.125 1 4 2 2 9 2 1500 2"));
            // A change is seen by the next call, and null sets nothing.
            options.Epsilon = null;
            options.MinArea = null;
            options.TimeLimit = TimeSpan.FromTicks(1);
            options.RegionOfInterest = RegionOfInterest.WholeImage;
            Assert.That(Info(options), Is.EqualTo("NaN 0.25 3 0.125 0 0 2 2 9 2 1 1"));
            Assert.That(Info(new DetectOptions()), Is.EqualTo("NaN NaN 0 NaN 0 0 0 0 0 1 0 0"));
        }

        private static string Info(DetectOptions options)
        {
            var info = new uflow_options_info { struct_size = (UIntPtr)sizeof(uflow_options_info) };
            using (Lease lease = DetectOptions.Use(options))
            {
                UFlow.Native.Check(NativeMethods.uflow_options_get_info((uflow_options*)lease.Pointer, &info));
                return FormattableString.Invariant($"{info.epsilon} {info.reject_rate} {info.verdict} {info.score_threshold} {info.has_min_area} {info.min_area} {info.bound} {info.tests} {info.maps} {info.priority} {info.time_limit_ms} {info.roi}");
            }
        }

        [Test]
        public void TheLibraryHasTheVersionOfThisAssembly()
        {
            Assert.That(Library.Version, Is.EqualTo(Client.GetName().Version.ToString(3)));
            Assert.That(Library.VersionNumber, Is.EqualTo(1000));
        }
    }
}
