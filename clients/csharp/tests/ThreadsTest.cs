using System;
using System.Linq;
using System.Threading;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>Many threads.</summary>
    [TestFixture]
    public class ThreadsTest
    {
        [Test]
        public void AModelServesManyThreads()
        {
            // One object of options for all of them.
            var options = new DetectOptions { Maps = Maps.Mask };
            Setup.Running[] threads = Enumerable.Range(0, 16).Select(thread => Setup.Start(() =>
            {
                using (Detector detector = Setup.Model.CreateDetector())
                using (var found = new Detection())
                {
                    for (int i = 0; i < 40; i++)
                    {
                        int number = (thread + i) % 12;
                        detector.Detect(Pictures.Rgb(Pictures.Mixed(number)), found, options);
                        Assert.That(new Found(found).ToString(), Is.EqualTo(Setup.Expected[number].ToString()));
                    }
                }
            })).ToArray();
            foreach (Setup.Running thread in threads)
            {
                thread.Succeed();
            }
        }

        [Test]
        public void ADetectorIsForOneThreadAtATime()
        {
            using (Detector detector = Setup.Model.CreateDetector())
            {
                int busy = 0, found = 0;
                Setup.Running[] threads = Enumerable.Range(0, 8).Select(thread => Setup.Start(() =>
                {
                    for (int i = 0; i < 50; i++)
                    {
                        try
                        {
                            detector.Detect(Pictures.Rgb(Pictures.Mixed(0))).Dispose();
                            Interlocked.Increment(ref found);
                        }
                        catch (BusyException)
                        {
                            Interlocked.Increment(ref busy);
                        }
                    }
                })).ToArray();
                foreach (Setup.Running thread in threads)
                {
                    thread.Succeed();
                }
                Assert.That(found, Is.GreaterThan(0));
                Assert.That(busy + found, Is.EqualTo(400), "each call succeeds or says that the detector is busy");
            }
        }

        [Test]
        public void DisposeWaitsForCallsOfOtherThreads()
        {
            for (int round = 0; round < 20; round++)
            {
                Detector detector = Setup.Model.CreateDetector();
                int calls = 0;
                Setup.Running user = Setup.Start(() =>
                {
                    while (true)
                    {
                        detector.Detect(Pictures.Rgb(Pictures.Mixed(1))).Dispose();
                        Interlocked.Increment(ref calls);
                    }
                });
                Setup.Eventually("a call", () => Volatile.Read(ref calls) > 0);
                detector.Dispose();
                Assert.That(user.Join(), Is.TypeOf<ObjectDisposedException>());
            }
        }

        [Test]
        public void SharedOptionsMayChangeBetweenCalls()
        {
            var options = new DetectOptions { Epsilon = 1 };
            bool over = false;
            Setup.Running[] threads = Enumerable.Range(0, 4).Select(thread => Setup.Start(() =>
            {
                using (Detector detector = Setup.Model.CreateDetector())
                {
                    while (!Volatile.Read(ref over))
                    {
                        detector.Score(Pictures.Rgb(Pictures.Mixed(0)), options);
                    }
                }
            })).ToArray();
            for (int i = 1; i < 300; i++)
            {
                // The old options stay until the last call that uses them has returned.
                options.Epsilon = i;
            }
            Volatile.Write(ref over, true);
            foreach (Setup.Running thread in threads)
            {
                thread.Succeed();
            }
        }
    }
}
