using System;
using System.Collections.Concurrent;
using System.Linq;
using System.Threading;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>The log's handler lives as long as it is set.</summary>
    [TestFixture]
    public class LogTest
    {
        [TearDown]
        public void TurnOff() => Log.TurnOff();

        private static void Load()
        {
            using (Setup.Engine.Load(Setup.Package)) { }
        }

        private static void Collect()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
        }

        [Test]
        public void TheHandlerOutlivesCollections()
        {
            var lines = new ConcurrentQueue<LogLine>();
            Setup.Start(() => Log.SetHandler(LogLevel.Trace, line => lines.Enqueue(line))).Succeed();
            for (int i = 0; i < 5; i++)
            {
                Collect();
                int before = lines.Count;
                Load();
                Assert.That(lines.Count, Is.GreaterThan(before), "collection " + i);
            }
            Assert.That(lines.All(line => line.Level >= LogLevel.Error && line.Level <= LogLevel.Trace && line.Target != "" && line.Message != ""));
            Assert.That(lines.Any(line => line.Target.StartsWith("uflow")));
        }

        [Test]
        public void AnotherHandlerTakesOver()
        {
            int first = 0, second = 0;
            Log.SetHandler(LogLevel.Trace, line => Interlocked.Increment(ref first));
            Load();
            Log.SetHandler(LogLevel.Trace, line => Interlocked.Increment(ref second));
            int before = Volatile.Read(ref first);
            Assert.That(before, Is.GreaterThan(0));
            Collect();
            Load();
            Assert.That(Volatile.Read(ref first), Is.EqualTo(before), "the earlier one is not called again");
            Assert.That(Volatile.Read(ref second), Is.GreaterThan(0));
            Log.TurnOff();
            before = Volatile.Read(ref second);
            Collect();
            Load();
            Assert.That(Volatile.Read(ref second), Is.EqualTo(before));
        }

        [Test]
        public void AHandlerThatThrowsIsCounted()
        {
            int before = Log.HandlerFailures;
            Log.SetHandler(LogLevel.Trace, line => { throw new InvalidOperationException(); });
            Load();
            Assert.That(Log.HandlerFailures, Is.GreaterThan(before));
        }

        [Test]
        public void WhatIsNotALevelIsRefused()
        {
            Assert.That(() => Log.SetHandler(LogLevel.Off, line => { }), Throws.TypeOf<InvalidArgumentException>());
            Assert.That(() => Log.SetHandler((LogLevel)9, line => { }), Throws.TypeOf<InvalidArgumentException>());
            Assert.That(() => Log.SetHandler(LogLevel.Info, null), Throws.TypeOf<ArgumentNullException>());
        }
    }
}
