using System;
using System.IO;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>What is wrong, where, and what to do: each misuse has its exception, and nothing changes.</summary>
    [TestFixture]
    public class ErrorsTest
    {
        private const int Side = Pictures.Side;

        private Detector detector;

        [SetUp]
        public void MakeDetector() => detector = Setup.Model.CreateDetector();

        [TearDown]
        public void DisposeDetector() => detector.Dispose();

        [Test]
        public void AWrongStrideOrSize()
        {
            byte[] pixels = Pictures.Good(1);
            using (Detection found = detector.Detect(Pictures.Rgb(pixels)))
            {
                float before = found.Score;
                Image narrow = Image.FromPixels(pixels, Side, Side, PixelFormat.Rgb8, Side * 3 - 1);
                Assert.That(() => detector.Detect(narrow, found), Throws.TypeOf<InvalidImageException>().With.Message.Contains("stride"));
                Image wide = Image.FromPixels(pixels, Side, Side, PixelFormat.Rgb8, Side * 3 + 1);
                Assert.That(() => detector.Detect(wide, found), Throws.TypeOf<InvalidImageException>().With.Property("Code").EqualTo(StatusCode.InvalidImage));
                Image tall = Image.FromPixels(pixels, Side, Side + 1, PixelFormat.Rgb8);
                Assert.That(() => detector.Detect(tall, found), Throws.TypeOf<InvalidImageException>());
                Image none = Image.FromPixels(pixels, 0, 0, PixelFormat.Rgb8);
                Assert.That(() => detector.Detect(none, found), Throws.TypeOf<InvalidImageException>());
                Image empty = Image.FromPixels(new byte[0], Side, Side, PixelFormat.Rgb8);
                Assert.That(() => detector.Detect(empty, found), Throws.TypeOf<InvalidImageException>());
                Image strange = Image.FromPixels(pixels, Side, Side, (PixelFormat)77);
                Assert.That(() => detector.Detect(strange, found), Throws.InstanceOf<UFlowException>());
                Assert.That(found.Score, Is.EqualTo(before), "on failure the detection does not change");
            }
            Assert.That(() => Image.FromPixels(pixels, -1, Side, PixelFormat.Rgb8), Throws.TypeOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo("width"));
            Assert.That(() => Image.FromPixels(pixels, Side, Side, PixelFormat.Rgb8, -1), Throws.TypeOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo("stride"));
            Assert.That(() => Image.FromPointer(IntPtr.Zero, 1, 1, 1, PixelFormat.Gray8), Throws.TypeOf<ArgumentNullException>());
            Assert.That(() => detector.Detect(null), Throws.TypeOf<ArgumentNullException>().With.Property("ParamName").EqualTo("image"));
        }

        [Test]
        public void AFileThatIsNoImage()
        {
            Image broken = Image.FromFile(new byte[] { 1, 2, 3 });
            Assert.That(() => detector.Detect(broken), Throws.TypeOf<UndecodableImageException>());
            Assert.That(() => broken.GetInfo(), Throws.InstanceOf<UFlowException>());
            Assert.That(() => detector.Detect(Image.FromFile(new byte[0])), Throws.InstanceOf<UFlowException>());
            Assert.That(() => detector.Detect(Image.FromFile(default(ReadOnlyMemory<byte>))), Throws.InstanceOf<UFlowException>());
        }

        [Test]
        public void AnOversizedFrame()
        {
            using (var engine = new Engine(new EngineOptions { MaxPixels = Side * Side - 1, MaxBytes = 4096 }))
            using (Model model = engine.Load(Setup.Package))
            using (Detector small = model.CreateDetector())
            using (FrameStream stream = model.OpenStream())
            {
                Image frame = Pictures.Rgb(Pictures.Good(1));
                Assert.That(() => small.Detect(frame), Throws.TypeOf<OverLimitException>());
                Assert.That(() => stream.Submit(frame), Throws.TypeOf<OverLimitException>());
                Assert.That(() => small.Detect(Image.FromFile(Pictures.Ppm(Pictures.Good(1)))), Throws.TypeOf<OverLimitException>());
                Assert.That(stream.Pending + stream.Calls.Inside, Is.EqualTo(0), "a refused frame is the caller's");
                var fits = Image.FromPixels(Pictures.Good(1), Side, Side - 1, PixelFormat.Rgb8);
                small.Detect(fits).Dispose();
                stream.Submit(fits);
                Assert.That(stream.Next().Error, Is.Null);
            }
        }

        [Test]
        public void WhatWasDisposedSaysSo()
        {
            Image image = Pictures.Rgb(Pictures.Good(1));
            Model model = Setup.Engine.Load(Setup.Package);
            Detector closed = model.CreateDetector();
            FrameStream stream = model.OpenStream();
            Detection detection = closed.Detect(image, new DetectOptions { Maps = Maps.Mask });
            var segmenter = new Segmenter(8, 8);
            Trainer trainer = Setup.Trainer(0);
            var regions = detection.Regions;
            foreach (IDisposable one in new IDisposable[] { model, closed, stream, detection, segmenter, trainer })
            {
                one.Dispose();
                one.Dispose();
            }
            Gone("Model", () => model.CreateDetector());
            Gone("Model", () => model.OpenStream());
            Gone("Detector", () => closed.Detect(image));
            Gone("Detector", () => closed.Score(image));
            Gone("Detector", () => closed.DetectBatch(new[] { image }));
            Gone("FrameStream", () => stream.Submit(image));
            Gone("FrameStream", () => stream.TrySubmit(image));
            Gone("FrameStream", () => stream.Next());
            Gone("FrameStream", () => stream.Flush());
            Gone("FrameStream", () => stream.Complete());
            Gone("FrameStream", () => stream.Cancel());
            Gone("FrameStream", () => Assert.That(stream.Pending, Is.EqualTo(0)));
            Gone("Detection", () => detection.CopyMask());
            Gone("Detection", () => detector.Detect(image, detection));
            Gone("Segmenter", () => segmenter.Segment(new[] { new Latents(new float[4], 1, 2, 2) }, new Detection()));
            Gone("Trainer", () => trainer.Add(image));
            Gone("Trainer", () => trainer.Fit("x"));
            // Figures are plain values.
            Assert.That(detection.Regions, Is.SameAs(regions));
            Assert.That(model.Name, Is.EqualTo("bolt"));
            Assert.That(() => new Engine(null).Dispose(), Throws.Nothing);
        }

        private static void Gone(string name, TestDelegate call)
        {
            Assert.That(call, Throws.TypeOf<ObjectDisposedException>().With.Property("ObjectName").EqualTo(name).And.Message.Contains("was disposed"));
        }

        [Test]
        public void ModelsThatAreNotThere()
        {
            Assert.That(() => Setup.Engine.Load("/does/not/exist"), Throws.TypeOf<PackageException>().With.Message.Contains("/does/not/exist"));
            string root = Setup.Folder("repository");
            Directory.CreateDirectory(Path.Combine(root, "bolt"));
            Assert.That(() => Setup.Engine.Load(root, "née"), Throws.TypeOf<NotFoundException>().With.Message.Contains("née"));
            Assert.That(() => Setup.Engine.Load(null), Throws.TypeOf<ArgumentNullException>());
            Assert.That(() => Setup.Engine.Load("a\0b"), Throws.TypeOf<ArgumentException>().With.Message.Contains("value 0"));
            Assert.That(() => Setup.Engine.Load("\ud800"), Throws.TypeOf<ArgumentException>().With.Message.Contains("surrogate"));
            string damaged = Path.Combine(root, "damaged.uflow");
            File.WriteAllBytes(damaged, new byte[100]);
            Assert.That(() => Setup.Engine.Load(damaged), Throws.TypeOf<PackageException>());
        }

        [Test]
        public void OptionsThatCannotBe()
        {
            Image image = Pictures.Rgb(Pictures.Good(1));
            int number = 0;
            foreach (DetectOptions bad in new[]
            {
                new DetectOptions { Epsilon = 0 }, new DetectOptions { Epsilon = double.NaN }, new DetectOptions { RejectRate = 2 }, new DetectOptions { ScoreThreshold = 1.5f },
                new DetectOptions { Verdict = (Verdict)77 }, new DetectOptions { Maps = (Maps)64 }, new DetectOptions { Priority = Priority.High },
                new DetectOptions { TimeLimit = TimeSpan.FromSeconds(1) }, new DetectOptions { RegionOfInterest = new RegionOfInterest(new byte[4], 2, 2) },
                new DetectOptions { RegionOfInterest = new RegionOfInterest(new byte[] { 1 }, 2, 2) }, new DetectOptions { RegionOfInterest = new RegionOfInterest(Pictures.Good(1), 40, 10) },
            })
            {
                Assert.That(() => detector.Detect(image, bad), Throws.TypeOf<InvalidArgumentException>(), "options " + number++);
            }
            Assert.That(() => detector.Detect(image, new DetectOptions { MinArea = -1 }), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => new Engine(new EngineOptions { MaxBatch = 0 }), Throws.TypeOf<InvalidArgumentException>());
            Assert.That(() => new Engine(new EngineOptions { Device = "quantum" }), Throws.TypeOf<InvalidArgumentException>().With.Message.Contains("quantum"));
            Assert.That(() => Setup.Model.OpenStream(new StreamOptions { Capacity = 100000 }), Throws.TypeOf<InvalidArgumentException>());
            Assert.That(() => Setup.Engine.CreateTrainer(new FitOptions("../x")), Throws.TypeOf<InvalidArgumentException>());
            Assert.That(() => Setup.Engine.CreateTrainer(new FitOptions("x") { InputWidth = 3 }), Throws.TypeOf<ArgumentException>());
        }

        [Test]
        public void ABufferThatIsTooSmall()
        {
            var buffers = new MapBuffers { Mask = new byte[Side * Side - 1], MaskWidth = Side, MaskHeight = Side };
            using (var found = new Detection())
            {
                Assert.That(() => detector.Detect(Pictures.Rgb(Pictures.Good(1)), found, null, buffers), Throws.TypeOf<BufferTooSmallException>().With.Message.Contains("4096"));
                buffers.Mask = new byte[Side * Side];
                detector.Detect(Pictures.Rgb(Pictures.Good(1)), found, null, buffers);
                Assert.That(found.Width, Is.EqualTo(Side));
            }
        }
    }
}
