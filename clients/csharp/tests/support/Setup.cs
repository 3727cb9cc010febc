using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>The engine and the models of all tests, which are made once.</summary>
    internal static class Setup
    {
        /// <summary>Bounds every wait of the tests. Nothing waits that long unless something is broken.</summary>
        internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

        private static readonly Lazy<string> Temporary = new Lazy<string>(MakeTemporary);
        private static readonly Lazy<Engine> SharedEngine = new Lazy<Engine>(() => new Engine(new EngineOptions { MaxBatch = 1, MaxInFlight = 256 }));
        private static readonly Lazy<string> FittedPackage = new Lazy<string>(Fit);
        private static readonly Lazy<Model> FittedModel = new Lazy<Model>(() => Engine.Load(Package));
        private static readonly Lazy<Found[]> Verdicts = new Lazy<Found[]>(Judge);
        private static int folders;

        /// <summary>An engine that runs each frame alone, so that all numbers are those of a detector.</summary>
        internal static Engine Engine => SharedEngine.Value;

        /// <summary>A package that was fitted to good pictures by <see cref="Trainer"/>.</summary>
        internal static string Package => FittedPackage.Value;

        internal static Model Model => FittedModel.Value;

        /// <summary>What the command finds in <see cref="Pictures.Mixed"/> pictures 0 to 11.</summary>
        internal static Found[] Expected => Verdicts.Value;

        internal static string Repository => Path.GetFullPath(Variable("UFLOW_REPOSITORY", "../.."));

        internal static string Variable(string name, string otherwise)
        {
            string value = Environment.GetEnvironmentVariable(name);
            return string.IsNullOrEmpty(value) ? otherwise : value;
        }

        internal static string Backbone => Path.Combine(Repository, "ffi/tests/c/backbone.onnx");

        /// <summary>A new folder, which is deleted when the tests end.</summary>
        internal static string Folder(string name)
        {
            string made = Path.Combine(Temporary.Value, name + Interlocked.Increment(ref folders));
            Directory.CreateDirectory(made);
            return made;
        }

        private static string MakeTemporary()
        {
            string made = Path.Combine(Path.GetTempPath(), "uflow-csharp-" + Process.GetCurrentProcess().Id);
            Directory.CreateDirectory(made);
            AppDomain.CurrentDomain.ProcessExit += (sender, e) => Directory.Delete(made, true);
            return made;
        }

        internal static FitOptions FitOptions() => new FitOptions("bolt")
        {
            Backbone = Backbone,
            InputWidth = Pictures.Side,
            InputHeight = Pictures.Side,
            Epochs = 2,
            Patience = 2,
            Steps = 2,
            Seed = 1,
        };

        internal static Trainer Trainer(int frames)
        {
            Trainer trainer = Engine.CreateTrainer(FitOptions());
            for (int i = 0; i < frames; i++)
            {
                trainer.Add(Pictures.Rgb(Pictures.Good(i)));
            }
            return trainer;
        }

        private static string Fit()
        {
            string path = Path.Combine(Folder("fitted"), "bolt.uflow");
            using (Trainer trainer = Trainer(16))
            {
                trainer.Fit(path);
            }
            return path;
        }

        private static Found[] Judge()
        {
            Found[] found = Command.Detect(Package, Enumerable.Range(0, 12).Select(i => Pictures.Ppm(Pictures.Mixed(i))).ToArray());
            Assert.That(found.Select(one => one.ToString()).Distinct().Count(), Is.EqualTo(12), "the pictures differ");
            Assert.That(found.Count(one => one.Anomalous), Is.EqualTo(4), "every third picture is bad");
            return found;
        }

        /// <summary>Waits until a condition holds.</summary>
        internal static void Eventually(string what, Func<bool> holds)
        {
            for (Stopwatch clock = Stopwatch.StartNew(); !holds(); Thread.Sleep(5))
            {
                Assert.That(clock.Elapsed, Is.LessThan(Patience), what + " did not happen");
            }
        }

        /// <summary>Runs in a thread of its own, and gives its exception to the caller.</summary>
        internal static Running Start(Action work) => new Running(work);

        internal sealed class Running
        {
            private readonly Thread thread;
            private Exception thrown;

            internal Running(Action work)
            {
                thread = new Thread(() =>
                {
                    try
                    {
                        work();
                    }
                    catch (Exception failure)
                    {
                        thrown = failure;
                    }
                })
                { IsBackground = true };
                thread.Start();
            }

            internal bool Ended => !thread.IsAlive;

            internal Exception Join()
            {
                Assert.That(thread.Join(Patience), Is.True, "the thread does not end");
                return thrown;
            }

            internal void Succeed()
            {
                Exception failure = Join();
                Assert.That(failure, Is.Null, failure == null ? "" : failure.ToString());
            }
        }
    }
}
