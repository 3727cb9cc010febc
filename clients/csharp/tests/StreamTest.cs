using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>Every frame has one result, in order; the stream pushes back; ends are clean.</summary>
    [TestFixture]
    public class StreamTest
    {
        private static readonly byte[][] Mixed = Enumerable.Range(0, 12).Select(Pictures.Mixed).ToArray();

        private static Image Picture(int number) => Pictures.Rgb(Mixed[number % 12]);

        private static FrameStream Open(StreamOptions options = null) => Setup.Model.OpenStream(options);

        private static void Check(StreamResult result, int number)
        {
            Assert.That(result.Frame.Id, Is.EqualTo((ulong)number));
            Assert.That(result.Frame.Timestamp, Is.EqualTo((ulong)number * 10));
            Assert.That(result.Frame.Tag, Is.EqualTo("tag " + number));
            using (Detection found = result.Detection)
            {
                Assert.That(new Found(found).ToString(), Is.EqualTo(Setup.Expected[number % 12].ToString()), "frame " + number);
            }
        }

        private static Frame Numbered(int number) => new Frame((ulong)number, (ulong)number * 10, "tag " + number);

        [Test]
        public void AThousandFramesAreEnumeratedInOrder()
        {
            int number = 0;
            using (FrameStream stream = Open())
            {
                Setup.Running sender = Setup.Start(() =>
                {
                    for (int i = 0; i < 1000; i++)
                    {
                        stream.Submit(Picture(i), Numbered(i));
                    }
                    stream.Complete();
                });
                foreach (StreamResult result in stream.Results())
                {
                    Check(result, number++);
                }
                sender.Succeed();
                Assert.That(stream.Next(), Is.Null, "complete and empty");
                Assert.That(stream.Pending + stream.Calls.Inside, Is.EqualTo(0));
                Assert.That(() => stream.Submit(Picture(0)), Throws.TypeOf<UnavailableException>());
            }
            Assert.That(number, Is.EqualTo(1000));
        }

        [Test]
        public void AThousandFramesReachTheCallbackInOrderAfterTheirRelease()
        {
            var released = new ConcurrentDictionary<ulong, int>();
            var results = new List<StreamResult>();
            var options = new StreamOptions
            {
                Capacity = 16,
                OnReleased = frame => released.AddOrUpdate(frame.Id, 1, (id, times) => times + 1),
                OnResult = result =>
                {
                    Assert.That(released.ContainsKey(result.Frame.Id), "the release comes first");
                    results.Add(result);
                },
            };
            using (FrameStream stream = Open(options))
            {
                for (int i = 0; i < 1000; i++)
                {
                    stream.Submit(Picture(i), Numbered(i));
                }
                stream.Flush(Setup.Patience);
                Assert.That(() => stream.Next(), Throws.TypeOf<InvalidArgumentException>());
            }
            Assert.That(results.Count, Is.EqualTo(1000));
            Assert.That(released.Count, Is.EqualTo(1000));
            Assert.That(released.Values.All(times => times == 1));
            for (int i = 0; i < 1000; i++)
            {
                Check(results[i], i);
            }
        }

        [Test]
        public void AFullStreamPushesBack()
        {
            using (FrameStream stream = Open(new StreamOptions { Capacity = 2 }))
            {
                Assert.That(stream.TrySubmit(Picture(0), Numbered(0)));
                stream.Submit(Picture(1), Numbered(1));
                Assert.That(stream.TrySubmit(Picture(2)), Is.False);
                Assert.That(() => stream.Submit(Picture(2), null, null, TimeSpan.FromMilliseconds(20)), Throws.TypeOf<OverloadedException>());
                using (var source = new CancellationTokenSource(120))
                {
                    Assert.That(() => stream.Submit(Picture(2), null, null, null, source.Token), Throws.InstanceOf<OperationCanceledException>());
                }
                Assert.That(stream.Pending, Is.EqualTo(2));
                Assert.That(stream.Calls.Inside, Is.EqualTo(2), "refused frames are forgotten");
                Setup.Running sender = Setup.Start(() => stream.Submit(Picture(2), Numbered(2)));
                Check(stream.Next(), 0);
                sender.Succeed();
                Check(stream.Next(), 1);
                Check(stream.Next(), 2);
            }
        }

        [Test]
        public void ASlowReceiverSlowsTheSenderDown()
        {
            int number = 0, most = 0;
            FrameStream stream = null;
            var options = new StreamOptions
            {
                Capacity = 3,
                OnResult = result =>
                {
                    most = Math.Max(most, stream.Pending);
                    Thread.Sleep(2);
                    Check(result, number++);
                },
            };
            using (stream = Open(options))
            {
                for (int i = 0; i < 60; i++)
                {
                    stream.Submit(Picture(i), Numbered(i));
                    Assert.That(stream.Calls.Inside, Is.LessThanOrEqualTo(3));
                }
                stream.Flush();
            }
            Assert.That(number, Is.EqualTo(60));
            Assert.That(most, Is.LessThanOrEqualTo(3));
        }

        [Test]
        public void ABadFrameFailsAlone()
        {
            using (FrameStream stream = Open())
            {
                stream.Submit(Picture(0), Numbered(0));
                stream.Submit(Image.FromFile(new byte[] { 80, 54, 10, 57, 57, 57, 57 }), Numbered(1));
                stream.Submit(Picture(2), Numbered(2));
                Check(stream.Next(), 0);
                StreamResult failed = stream.Next();
                Assert.That(failed.Frame.Id, Is.EqualTo(1));
                Assert.That(failed.Error, Is.TypeOf<UndecodableImageException>());
                Assert.That(() => failed.Detection, Throws.TypeOf<UndecodableImageException>());
                Check(stream.Next(), 2);
                // These are refused at once.
                Assert.That(() => stream.Submit(Image.FromPixels(Mixed[0], 64, 64, PixelFormat.Rgb8, 7)), Throws.TypeOf<InvalidImageException>());
                Assert.That(() => stream.Submit(Picture(0), null, new DetectOptions { Epsilon = -1 }), Throws.TypeOf<InvalidArgumentException>());
                Assert.That(() => stream.Submit(null), Throws.TypeOf<ArgumentNullException>());
                stream.Submit(Picture(3), Numbered(3));
                using (var reused = new Detection())
                {
                    Check(stream.Next(reused), 3);
                }
            }
        }

        [Test]
        public void WaitsForResultsEnd()
        {
            using (FrameStream stream = Open())
            {
                Assert.That(() => stream.Next(TimeSpan.FromMilliseconds(10)), Throws.TypeOf<TimedOutException>());
                using (var source = new CancellationTokenSource())
                {
                    Setup.Running receiver = Setup.Start(() => stream.Next(null, source.Token));
                    source.Cancel();
                    Assert.That(receiver.Join(), Is.InstanceOf<OperationCanceledException>());
                }
                stream.Submit(Picture(5), Numbered(5));
                Check(stream.Next(), 5);
            }
        }

        [Test]
        public void AFrameHasATimeLimit()
        {
            using (var engine = new Engine(new EngineOptions { MaxBatch = 1, Workers = 1 }))
            using (Model model = engine.Load(Setup.Package))
            using (FrameStream stream = model.OpenStream(new StreamOptions { Capacity = 8, TimeLimit = TimeSpan.FromMinutes(5) }))
            {
                var large = Image.FromPixels(new byte[1500 * 1500], 1500, 1500, PixelFormat.Gray8);
                var late = new DetectOptions { TimeLimit = TimeSpan.FromMilliseconds(1) };
                for (int i = 0; i < 8; i++)
                {
                    stream.Submit(large, Numbered(i), i < 4 ? null : late);
                }
                for (int i = 0; i < 8; i++)
                {
                    StreamResult result = stream.Next();
                    Assert.That(result.Frame.Id, Is.EqualTo((ulong)i));
                    Assert.That(result.Error, i < 4 ? (NUnit.Framework.Constraints.IResolveConstraint)Is.Null : Is.TypeOf<TimedOutException>());
                }
            }
        }

        [Test]
        public void CancelledFramesAreDeliveredInTurn()
        {
            var gate = new ManualResetEventSlim();
            var results = new ConcurrentQueue<StreamResult>();
            var options = new StreamOptions
            {
                OnResult = result =>
                {
                    results.Enqueue(result);
                    gate.Wait(Setup.Patience);
                },
            };
            using (FrameStream stream = Open(options))
            {
                for (int i = 0; i < 8; i++)
                {
                    stream.Submit(Picture(i), Numbered(i));
                }
                stream.Cancel();
                gate.Set();
                stream.Flush(Setup.Patience);
                Assert.That(results.Select(result => (int)result.Frame.Id), Is.EqualTo(Enumerable.Range(0, 8)));
                Assert.That(results.All(result => result.Error == null || result.Error is CancelledException));
                // The stream goes on.
                stream.Submit(Picture(8), Numbered(8));
                stream.Flush(Setup.Patience);
                Check(results.Last(), 8);
            }
        }

        [Test]
        public void CallbacksMayUseTheStream()
        {
            FrameStream stream = null;
            var number = 0;
            UFlowException flushed = null, full = null;
            var options = new StreamOptions
            {
                Capacity = 1,
                OnResult = result =>
                {
                    number++;
                    flushed = Thrown(() => stream.Flush());
                    using (var source = new CancellationTokenSource())
                    {
                        // It does not wait, with and without a token.
                        full = Thrown(() => stream.Submit(Picture(0), null, null, null, source.Token));
                    }
                },
            };
            using (stream = Open(options))
            {
                stream.Submit(Picture(0));
                stream.Flush(Setup.Patience);
            }
            Assert.That(number, Is.EqualTo(1));
            Assert.That(flushed, Is.TypeOf<BusyException>());
            Assert.That(full, Is.TypeOf<OverloadedException>());
        }

        private static UFlowException Thrown(Action call)
        {
            try
            {
                call();
                return null;
            }
            catch (UFlowException failure)
            {
                return failure;
            }
        }

        [TestCase(true)]
        [TestCase(false)]
        public void ACallbackThatThrowsEndsTheStream(bool inResult)
        {
            int calls = 0;
            Action fail = () =>
            {
                if (Interlocked.Increment(ref calls) == 3)
                {
                    throw new InvalidOperationException("the callback's bug");
                }
            };
            var options = new StreamOptions { OnResult = result => { if (inResult) { fail(); } }, OnReleased = frame => { if (!inResult) { fail(); } } };
            using (FrameStream stream = Open(options))
            {
                Exception thrown = Setup.Start(() =>
                {
                    while (true)
                    {
                        stream.Submit(Picture(0));
                    }
                }).Join();
                Assert.That(thrown, Is.TypeOf<CallbackException>().With.Message.Contains("the callback's bug"));
                Assert.That(thrown.InnerException, Is.TypeOf<InvalidOperationException>());
                Assert.That(() => stream.Flush(Setup.Patience), Throws.TypeOf<CallbackException>());
                Assert.That(stream.Calls.Inside, Is.EqualTo(0), "nothing stays pinned");
            }
        }

        [Test]
        public void StreamsOfOneModelShareTheEngine()
        {
            Setup.Running[] cameras = Enumerable.Range(0, 4).Select(camera => Setup.Start(() =>
            {
                using (FrameStream stream = Open(new StreamOptions { Capacity = 4 }))
                {
                    for (int sent = 0, received = 0; received < 50;)
                    {
                        if (sent < 50 && stream.TrySubmit(Picture(sent), Numbered(sent), camera == 0 ? new DetectOptions { Priority = Priority.High } : null))
                        {
                            sent++;
                            continue;
                        }
                        Check(stream.Next(), received++);
                    }
                }
            })).ToArray();
            foreach (Setup.Running camera in cameras)
            {
                camera.Succeed();
            }
        }
    }
}
