using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>Models are fitted, with progress, and training can be ended.</summary>
    [TestFixture]
    public class TrainerTest
    {
        private string path;

        [SetUp]
        public void MakeFolder() => path = Path.Combine(Setup.Folder("fit"), "née.uflow");

        [Test]
        public void AModelIsFittedAndFindsDefects()
        {
            var seen = new List<FitProgress>();
            using (Trainer trainer = Setup.Trainer(12))
            {
                trainer.Add(Pictures.Rgb(Pictures.Good(3)));
                Assert.That(trainer.Frames, Is.EqualTo(12), "a duplicate is left out");
                int caller = Thread.CurrentThread.ManagedThreadId;
                Training training = trainer.Fit(path, now =>
                {
                    Assert.That(Thread.CurrentThread.ManagedThreadId, Is.EqualTo(caller));
                    seen.Add(now);
                    return FitControl.Continue;
                });
                Assert.That(training.Images + training.HeldOut, Is.EqualTo(12));
                Assert.That(training.Epochs, Is.EqualTo(2));
                Assert.That(training.StopReason, Is.EqualTo(StopReason.Finished).Or.EqualTo(StopReason.Patience));
                Assert.That(training.Elapsed, Is.GreaterThan(TimeSpan.Zero));
                Assert.That(training.Warnings.Any(warning => warning.Contains("frame 12 (as frame 3)")), string.Join("\n", training.Warnings));
            }
            Assert.That(seen[0].Epoch, Is.EqualTo(0));
            Assert.That(double.IsNaN(seen[0].Loss) && !double.IsNaN(seen[0].HeldOutNll));
            Assert.That(seen.Last().Epoch, Is.EqualTo(2));
            Assert.That(seen.All(now => now.Epochs == 2 && now.Batch <= now.Batches && now.Fold < now.Folds));
            using (Model model = Setup.Engine.Load(path))
            using (Detector detector = model.CreateDetector())
            {
                Assert.That(detector.Score(Pictures.Rgb(Pictures.Bad(99))).Score, Is.GreaterThan(detector.Score(Pictures.Rgb(Pictures.Good(99))).Score));
            }
        }

        [Test]
        public void FramesThatLookDefectiveAreLeftOutOnDemand()
        {
            using (Trainer trainer = Setup.Trainer(24))
            {
                Assert.That(trainer.DropDoubtful(3), Is.Empty, "good frames stay");
                trainer.Add(Pictures.Rgb(Pictures.Bad(99)));
                IReadOnlyList<string> dropped = trainer.DropDoubtful(3);
                Assert.That(dropped.Count, Is.EqualTo(1));
                Assert.That(dropped[0].StartsWith("frame 24: log10 NFA -", StringComparison.Ordinal), dropped[0]);
                Assert.That(trainer.Frames, Is.EqualTo(24));
                Assert.That(() => trainer.DropDoubtful(-1), Throws.TypeOf<ArgumentOutOfRangeException>());
            }
        }

        [Test]
        public void TheCallbackStopsOrCancels()
        {
            using (Trainer trainer = Setup.Trainer(12))
            {
                int calls = 0;
                Assert.That(() => trainer.Fit(path, now => ++calls == 3 ? FitControl.Cancel : FitControl.Continue), Throws.TypeOf<CancelledException>());
                Assert.That(calls, Is.EqualTo(3));
                Assert.That(File.Exists(path), Is.False, "nothing was written");
                calls = 0;
                Training training = trainer.Fit(path, now => ++calls == 3 ? FitControl.Stop : FitControl.Continue);
                Assert.That(training.StopReason, Is.EqualTo(StopReason.Asked));
                Assert.That(File.Exists(path));
            }
        }

        [Test]
        public void ATokenCancels()
        {
            using (Trainer trainer = Setup.Trainer(12))
            using (var source = new CancellationTokenSource())
            {
                int calls = 0;
                Func<FitProgress, FitControl> cancel = now =>
                {
                    if (++calls == 2)
                    {
                        source.Cancel();
                    }
                    return FitControl.Continue;
                };
                Assert.That(() => trainer.Fit(path, cancel, source.Token), Throws.TypeOf<OperationCanceledException>().With.Property("CancellationToken").EqualTo(source.Token));
                Assert.That(calls, Is.EqualTo(2));
                Assert.That(() => trainer.Fit(path, null, source.Token), Throws.InstanceOf<OperationCanceledException>());
                Assert.That(File.Exists(path), Is.False);
                // The frames are kept.
                Assert.That(trainer.Frames, Is.EqualTo(12));
                trainer.Fit(path);
                Assert.That(File.Exists(path));
            }
        }

        private sealed class Report : IProgress<FitProgress>
        {
            private readonly Action<FitProgress> action;

            internal Report(Action<FitProgress> action)
            {
                this.action = action;
            }

            void IProgress<FitProgress>.Report(FitProgress value) => action(value);
        }

        [Test]
        public void ATaskFitsAndIsCancelled()
        {
            using (Trainer trainer = Setup.Trainer(12))
            using (var source = new CancellationTokenSource())
            {
                var cancelled = trainer.FitAsync(path, new Report(now => source.Cancel()), source.Token);
                Assert.That(() => cancelled.Wait(Setup.Patience), Throws.TypeOf<AggregateException>());
                Assert.That(cancelled.IsCanceled, cancelled.Status.ToString());
                int reports = 0;
                var fitted = trainer.FitAsync(path, new Report(now => Interlocked.Increment(ref reports)));
                Assert.That(fitted.Wait(Setup.Patience));
                Assert.That(fitted.Result.Epochs, Is.EqualTo(2));
                Assert.That(reports, Is.GreaterThan(2));
            }
        }

        [Test]
        public void AnExceptionOfTheCallbackLeavesFit()
        {
            using (Trainer trainer = Setup.Trainer(12))
            {
                Assert.That(() => trainer.Fit(path, now => { throw new InvalidOperationException("the callback's bug"); }),
                    Throws.TypeOf<InvalidOperationException>().With.Message.EqualTo("the callback's bug"));
                Assert.That(File.Exists(path), Is.False);
            }
        }

        [Test]
        public void TheTrainerIsBusyMeanwhile()
        {
            using (Trainer trainer = Setup.Trainer(12))
            {
                Exception busy = null;
                long frames = -1;
                trainer.Fit(path, now =>
                {
                    frames = trainer.Frames;
                    busy = Setup.Start(() => trainer.Add(Pictures.Rgb(Pictures.Good(50)))).Join();
                    return FitControl.Stop;
                });
                Assert.That(busy, Is.TypeOf<BusyException>());
                Assert.That(frames, Is.EqualTo(0));
                Assert.That(trainer.Frames, Is.EqualTo(12));
            }
        }

        [Test]
        public void WhatCannotBeFittedSaysWhy()
        {
            using (Trainer trainer = Setup.Trainer(7))
            {
                Assert.That(() => trainer.Fit(path), Throws.TypeOf<TrainingException>().With.Message.Contains("7 good images are too few"));
                Assert.That(() => trainer.Fit(null), Throws.TypeOf<ArgumentNullException>());
                Assert.That(() => trainer.Add(Image.FromPixels(new byte[8], 3, 3, PixelFormat.Gray8)), Throws.TypeOf<InvalidImageException>());
                Assert.That(trainer.Frames, Is.EqualTo(7));
            }
            FitOptions options = Setup.FitOptions();
            options.Backbone = "does-not-exist";
            Assert.That(() => Setup.Engine.CreateTrainer(options), Throws.TypeOf<NotFoundException>().With.Message.Contains("does-not-exist"));
        }
    }
}
