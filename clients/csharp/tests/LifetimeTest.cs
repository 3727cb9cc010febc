using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>What is not disposed is freed by the garbage collector, in any order; what is disposed waits for its users.</summary>
    [TestFixture]
    public class LifetimeTest
    {
        private static void Collect()
        {
            for (int i = 0; i < 3; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }

        /// <summary>Runs in a thread of its own, so that no stack refers to what it made.</summary>
        private static void Abandon(Action work)
        {
            Setup.Start(() => Deeper(work, 20)).Succeed();
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Deeper(Action work, int depth)
        {
            if (depth > 0)
            {
                Deeper(work, depth - 1);
            }
            else
            {
                work();
            }
        }

        [Test]
        public void ObjectsThatNobodyDisposedAreFreed()
        {
            var gone = new List<WeakReference>();
            Abandon(() =>
            {
                for (int i = 0; i < 3; i++)
                {
                    var engine = new Engine();
                    Model model = engine.Load(Setup.Package);
                    Detector detector = model.CreateDetector();
                    Detection detection = detector.Detect(Pictures.Rgb(Pictures.Good(i)), new DetectOptions { Maps = Maps.Mask });
                    Trainer trainer = engine.CreateTrainer(Setup.FitOptions());
                    trainer.Add(Pictures.Rgb(Pictures.Good(i)));
                    var segmenter = new Segmenter(8, 8);
                    gone.AddRange(new object[] { engine, model, detector, detection, trainer, segmenter }.Select(made => new WeakReference(made)));
                }
            });
            Setup.Eventually("the end of what nobody holds", () =>
            {
                Collect();
                return gone.Count(made => made.IsAlive) < gone.Count / 2;
            });
        }

        [Test]
        public void AStreamThatNobodyHoldsEndsWithItsFramesInside()
        {
            int results = 0, released = 0, submitted = 0;
            var pixels = new List<WeakReference>();
            Abandon(() =>
            {
                for (int s = 0; s < 4; s++)
                {
                    var options = new StreamOptions { Capacity = 8, OnResult = result => { Interlocked.Increment(ref results); Thread.Sleep(50); }, OnReleased = frame => Interlocked.Increment(ref released) };
                    FrameStream stream = Setup.Model.OpenStream(options);
                    for (int i = 0; i < 8; i++)
                    {
                        byte[] made = Pictures.Good(i);
                        pixels.Add(new WeakReference(made));
                        stream.Submit(Pictures.Rgb(made));
                        submitted++;
                    }
                }
            });
            // All were released, with or without a result, and nothing pins them any more.
            Setup.Eventually("the release of all frames", () =>
            {
                Collect();
                return Volatile.Read(ref released) == submitted && pixels.Count(made => made.IsAlive) < submitted / 4;
            });
            Assert.That(Volatile.Read(ref results), Is.LessThan(submitted), "frames were inside");
        }

        [Test]
        public void CollectionsDuringAStreamDoNotHurt()
        {
            // While the only worker reads large frames, small ones wait.
            using (var engine = new Engine(new EngineOptions { MaxBatch = 1, Workers = 1 }))
            using (Model model = engine.Load(Setup.Package))
            using (FrameStream stream = model.OpenStream(new StreamOptions { Capacity = 16 }))
            {
                for (int round = 0; round < 5; round++)
                {
                    // The pixels, options and frames have no other owner than the stream.
                    Abandon(() =>
                    {
                        for (int i = 0; i < 4; i++)
                        {
                            stream.Submit(Image.FromPixels(new byte[1500 * 1500], 1500, 1500, PixelFormat.Gray8));
                        }
                        for (int i = 0; i < 12; i++)
                        {
                            stream.Submit(Pictures.Rgb(Pictures.Mixed(i)), new Frame((ulong)i, 2, new object()), new DetectOptions { MinArea = 0 });
                        }
                    });
                    for (int i = 0; i < 2000; i++)
                    {
                        // Takes the place of what was collected.
                        Assert.That(new byte[Pictures.Side * Pictures.Side * 3].Length, Is.GreaterThan(0));
                        if (i % 500 == 0)
                        {
                            GC.Collect();
                        }
                    }
                    for (int i = -4; i < 12; i++)
                    {
                        using (Detection found = stream.Next().Detection)
                        {
                            Assert.That(i < 0 || new Found(found).ToString() == Setup.Expected[i].ToString(), "frame " + i);
                        }
                    }
                }
            }
        }

        [Test]
        public void TheOrderOfDisposingDoesNotMatter()
        {
            var engine = new Engine();
            Model model = engine.Load(Setup.Package);
            engine.Dispose();
            Detector detector = model.CreateDetector();
            FrameStream stream = model.OpenStream();
            model.Dispose();
            detector.Detect(Pictures.Rgb(Pictures.Good(1))).Dispose();
            stream.Submit(Pictures.Rgb(Pictures.Good(1)));
            Assert.That(stream.Next().Error, Is.Null);
            stream.Dispose();
            detector.Dispose();
        }

        [Test]
        public void DisposeEndsTheWaitsOfOtherThreads()
        {
            FrameStream empty = Setup.Model.OpenStream(), full = Setup.Model.OpenStream(new StreamOptions { Capacity = 1 });
            full.Submit(Pictures.Rgb(Pictures.Good(1)));
            Setup.Running receiver = Setup.Start(() => Assert.That(empty.Next(), Is.Null));
            Setup.Running sender = Setup.Start(() => full.Submit(Pictures.Rgb(Pictures.Good(2))));
            Thread.Sleep(50);
            empty.Dispose();
            full.Dispose();
            // A thread that came late finds the stream disposed.
            Assert.That(receiver.Join(), Is.Null.Or.TypeOf<ObjectDisposedException>());
            Assert.That(sender.Join(), Is.TypeOf<UnavailableException>().Or.TypeOf<ObjectDisposedException>());
        }

        [TestCase(true)]
        [TestCase(false)]
        public void ACallbackMayDisposeItsStream(bool inResult)
        {
            using (var engine = new Engine(new EngineOptions { MaxInFlight = 8 }))
            using (Model model = engine.Load(Setup.Package))
            {
                FrameStream stream = null;
                int after = 0;
                var submitted = new ManualResetEventSlim();
                Action end = () =>
                {
                    // Nobody else uses the stream then, unless this is called by Submit.
                    submitted.Wait(200);
                    stream.Dispose();
                    Assert.That(() => stream.Submit(Pictures.Rgb(Pictures.Good(0))), Throws.TypeOf<ObjectDisposedException>());
                    Interlocked.Increment(ref after);
                };
                var options = new StreamOptions { Capacity = 8, OnResult = result => { if (inResult) { end(); } }, OnReleased = frame => { if (!inResult) { end(); } } };
                stream = model.OpenStream(options);
                stream.Submit(Pictures.Rgb(Pictures.Good(0)));
                submitted.Set();
                Setup.Eventually("the callback", () => Volatile.Read(ref after) > 0);
                Assert.That(() => stream.Submit(Pictures.Rgb(Pictures.Good(0))), Throws.TypeOf<ObjectDisposedException>());
                // The engine has no place for a second one before the first one is gone.
                Setup.Eventually("the end of the stream", () =>
                {
                    try
                    {
                        model.OpenStream(new StreamOptions { Capacity = 8 }).Dispose();
                        return true;
                    }
                    catch (OverloadedException)
                    {
                        return false;
                    }
                });
            }
        }

        [TestCase("streams")]
        [TestCase("finalizers")]
        [TestCase("shutdown")]
        public void AProcessThatDisposesNothingEndsWell(string scenario)
        {
            string child = Path.Combine(Path.GetDirectoryName(new Uri(typeof(LifetimeTest).Assembly.CodeBase).LocalPath), "child.exe");
            for (int i = 0; i < (scenario == "shutdown" ? 1 : 12); i++)
            {
                Assert.That(Command.Run(Setup.Variable("MONO", "mono"), child, scenario, Setup.Package), Is.StringEnding("done\n"), scenario);
            }
        }
    }
}
