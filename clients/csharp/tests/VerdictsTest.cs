using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using NUnit.Framework;

namespace UFlow.Tests
{
    /// <summary>Detections are those of the command <c>uflow detect --json</c>, to the bit.</summary>
    [TestFixture]
    public class VerdictsTest
    {
        private Detector detector;

        [SetUp]
        public void MakeDetector() => detector = Setup.Model.CreateDetector();

        [TearDown]
        public void DisposeDetector() => detector.Dispose();

        private string Detect(Image image, DetectOptions options = null)
        {
            using (Detection detection = detector.Detect(image, options))
            {
                return new Found(detection).ToString();
            }
        }

        [Test]
        public void FilesAndPixels()
        {
            for (int i = 0; i < 12; i++)
            {
                string expected = Setup.Expected[i].ToString();
                Assert.That(Detect(Image.FromFile(Pictures.Ppm(Pictures.Mixed(i)))), Is.EqualTo(expected), "file " + i);
                Assert.That(Detect(Pictures.Rgb(Pictures.Mixed(i))), Is.EqualTo(expected), "pixels " + i);
            }
        }

        [Test]
        public void ThisMachineAgreesWithTheOneThatMadeThePackage()
        {
            using (Model model = Setup.Engine.Load(RealModels(), "cloth"))
            {
                Assert.That(model.Verify(), Is.InRange(0, 1e-3));
                Assert.Throws<InvalidArgumentException>(() => model.Verify(-1));
            }
        }

        [Test]
        public void ARealProductOnItsBackbone()
        {
            string models = RealModels();
            string[] files = Directory.GetFiles(Path.Combine(models, "D/data/woven_cloth/test"), "*.png", SearchOption.AllDirectories);
            Array.Sort(files, StringComparer.Ordinal);
            files = files.Where((file, i) => i % Math.Max(1, files.Length / 10) == 0).ToArray();
            Found[] expected = Command.Detect(Path.Combine(models, "cloth/1"), files);
            Assert.That(expected.Any(one => one.HasRegions) && expected.Any(one => !one.Anomalous), "good pictures and bad ones");
            using (Model model = Setup.Engine.Load(models, "cloth"))
            using (Detector cloth = model.CreateDetector())
            using (var detection = new Detection())
            {
                Assert.That(model.Name + " " + model.Info.Version, Is.EqualTo("cloth 1"));
                for (int i = 0; i < files.Length; i++)
                {
                    cloth.Detect(Image.FromFile(File.ReadAllBytes(files[i])), detection);
                    Assert.That(new Found(detection).ToString(), Is.EqualTo(expected[i].ToString()), files[i]);
                }
            }
        }

        /// <summary>The model that the tests of all clients share.</summary>
        private static string RealModels()
        {
            string folder = Setup.Variable("UFLOW_TEST_MODELS", Path.Combine(Setup.Repository, "clients/csharp/build/models"));
            Directory.CreateDirectory(folder);
            string pictures = Path.Combine(folder, "D"), model = Path.Combine(folder, "cloth/1");
            if (!Directory.Exists(pictures))
            {
                string made = pictures + "." + System.Diagnostics.Process.GetCurrentProcess().Id;
                Command.Uflow("demo", "--data-only", "--out", made, "--products", "woven-cloth", "--train", "60");
                Directory.Move(made, pictures);
            }
            if (!File.Exists(Path.Combine(model, "uflow.json")))
            {
                Command.Uflow("fit", "--good", Path.Combine(pictures, "data/woven_cloth/train/good"), "--out", model, "--name", "cloth", "--epochs", "3",
                    "--input-size", "96", "--json", "--backbone", Path.Combine(Setup.Repository, "assets/photonet.onnx"));
            }
            return folder;
        }

        [Test]
        public void EveryLayoutOfThePixels()
        {
            byte[] rgb = Pictures.Mixed(1);
            string expected = Setup.Expected[1].ToString();
            int side = Pictures.Side;
            var layouts = new Dictionary<PixelFormat, int[]>
            {
                { PixelFormat.Rgb8, new[] { 0, 1, 2 } }, { PixelFormat.Bgr8, new[] { 2, 1, 0 } },
                { PixelFormat.Rgba8, new[] { 0, 1, 2, 3 } }, { PixelFormat.Bgra8, new[] { 2, 1, 0, 3 } },
            };
            foreach (var layout in layouts)
            {
                foreach (int gap in new[] { 0, 1, 37 })
                {
                    byte[] arranged = Pictures.Arrange(rgb, layout.Value, gap);
                    int stride = side * layout.Value.Length + gap;
                    Assert.That(Detect(Image.FromPixels(arranged, side, side, layout.Key, stride)), Is.EqualTo(expected), layout.Key + " " + gap);
                    // A part of a larger array, and memory of somebody else; the last row has no gap.
                    var larger = new byte[arranged.Length + 5];
                    arranged.CopyTo(larger, 3);
                    var part = new ReadOnlyMemory<byte>(larger, 3, arranged.Length - gap);
                    Assert.That(Detect(Image.FromPixels(part, side, side, layout.Key, stride)), Is.EqualTo(expected), "part");
                    IntPtr foreign = Marshal.AllocHGlobal(arranged.Length);
                    Marshal.Copy(arranged, 0, foreign, arranged.Length);
                    Assert.That(Detect(Image.FromPointer(foreign, arranged.Length, side, side, layout.Key, stride)), Is.EqualTo(expected), "pointer");
                    Marshal.FreeHGlobal(foreign);
                }
            }
        }

        [Test]
        public void GrayOfEightAndSixteenBits()
        {
            byte[] gray = Pictures.Green(Pictures.Mixed(4));
            ushort[] words = Pictures.Words(gray);
            int side = Pictures.Side;
            Found[] expected = Command.Detect(Setup.Package, new[] { Pictures.Pnm("P5", gray), Pictures.Tiff(words) });
            Found twelve = Command.Detect(Setup.Package, new[] { Pictures.Tiff(words) }, "--bits", "12")[0];
            Assert.That(twelve.ToString(), Is.Not.EqualTo(expected[1].ToString()));
            Assert.That(Detect(Image.FromPixels(gray, side, side, PixelFormat.Gray8)), Is.EqualTo(expected[0].ToString()));
            Assert.That(Detect(Image.FromGray16(words, side, side)), Is.EqualTo(expected[1].ToString()));
            Assert.That(Detect(Image.FromGray16(words, side, side, 0, 12)), Is.EqualTo(twelve.ToString()));
            byte[] bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<ushort>(words)).ToArray();
            Assert.That(Detect(Image.FromPixels(bytes, side, side, PixelFormat.Gray16, side * 2, 12)), Is.EqualTo(twelve.ToString()));
        }

        [Test]
        public void OptionsAreThoseOfTheCommand()
        {
            byte[][] files = { Pictures.Ppm(Pictures.Mixed(1)) };
            string plain = Setup.Expected[1].ToString();
            var cases = new Dictionary<DetectOptions, string[]>
            {
                { new DetectOptions { Epsilon = 1e-3, Verdict = Verdict.Nfa }, new[] { "--epsilon", "0.001", "--verdict", "nfa" } },
                { new DetectOptions { MinArea = 5000 }, new[] { "--min-area", "5000" } },
                { new DetectOptions { Verdict = Verdict.Score, ScoreThreshold = 1 }, new[] { "--verdict", "score", "--score-threshold", "1" } },
            };
            foreach (var one in cases)
            {
                Found expected = Command.Detect(Setup.Package, files, one.Value)[0];
                Assert.That(Detect(Image.FromFile(files[0]), one.Key), Is.EqualTo(expected.ToString()), string.Join(" ", one.Value));
            }
            // The defect lies outside this region of interest.
            var mask = new byte[Pictures.Side * Pictures.Side];
            for (int i = 0; i < mask.Length / 4; i++)
            {
                mask[i] = 255;
            }
            var inside = new DetectOptions { RegionOfInterest = new RegionOfInterest(mask, Pictures.Side, Pictures.Side) };
            Assert.That(Detect(Image.FromFile(files[0]), inside), Is.Not.EqualTo(plain));
            inside.RegionOfInterest = RegionOfInterest.WholeImage;
            Assert.That(Detect(Image.FromFile(files[0]), inside), Is.EqualTo(plain));
        }

        [Test]
        public void ScoresAndBatches()
        {
            Image[] images = Enumerable.Range(0, 12).Select(i => Pictures.Rgb(Pictures.Mixed(i))).ToArray();
            Detection[] batch = detector.DetectBatch(images);
            for (int i = 0; i < images.Length; i++)
            {
                using (batch[i])
                using (Detection alone = detector.Detect(images[i]))
                {
                    ImageScore score = detector.Score(images[i]);
                    Assert.That(score.Score, Is.EqualTo(alone.Score));
                    Assert.That(score.Anomalous, Is.EqualTo(alone.Anomalous));
                    Assert.That(batch[i].BatchSize, Is.EqualTo(12));
                    Assert.That(batch[i].ScoreMax, Is.EqualTo(alone.ScoreMax).Within(1e-5));
                    Assert.That(batch[i].Anomalous, Is.EqualTo(alone.Anomalous));
                }
            }
            Assert.That(() => detector.DetectBatch(new Image[0]), Throws.TypeOf<InvalidArgumentException>());
            images[3] = Image.FromFile(new byte[] { 1, 2, 3 });
            Assert.That(() => detector.DetectBatch(images), Throws.TypeOf<UndecodableImageException>().With.Message.Contains("images[3]"));
        }

        [Test]
        public void MapsAreReadCopiedAndWrittenToTheCallersMemory()
        {
            Image image = Pictures.Rgb(Pictures.Mixed(1));
            int side = Pictures.Side;
            using (Detection detection = detector.Detect(image, new DetectOptions { Maps = Maps.Mask | Maps.Score | Maps.Log10Nfa }))
            using (var plain = new Detection())
            {
                var buffers = new MapBuffers
                {
                    Mask = new byte[side * side + 1], MaskWidth = side, MaskHeight = side, MapWidth = side, MapHeight = side,
                    ScoreMap = new float[side * side], Log10NfaMap = new float[side * side],
                };
                detector.Detect(image, plain, null, buffers);
                Assert.That(new Found(plain).ToString(), Is.EqualTo(Setup.Expected[1].ToString()));
                Map<byte> mask = detection.CopyMask();
                Assert.That(mask.Width + " " + mask.Height, Is.EqualTo(side + " " + side));
                Assert.That(mask.Pixels, Is.EqualTo(buffers.Mask.Slice(0, side * side).ToArray()));
                Assert.That(detection.CopyScoreMap().Pixels, Is.EqualTo(buffers.ScoreMap.ToArray()));
                Assert.That(detection.CopyLog10NfaMap().Pixels, Is.EqualTo(buffers.Log10NfaMap.ToArray()));
                Assert.That(detection.CopyScoreMap().Pixels.Max(), Is.EqualTo(detection.ScoreMax));
                int area = 0;
                detection.ReadMask((pixels, width, height) =>
                {
                    foreach (byte pixel in pixels)
                    {
                        area += pixel;
                    }
                });
                Assert.That(area, Is.EqualTo(mask.Pixels.Sum(pixel => pixel)).And.GreaterThan(0));
                Region first = detection.Regions[0];
                Assert.That(mask[first.X, first.Y], Is.LessThanOrEqualTo(1));
                Assert.That(() => mask[side, 0], Throws.TypeOf<ArgumentOutOfRangeException>());
                Assert.That(() => plain.CopyMask(), Throws.TypeOf<NotFoundException>());
                Assert.That(() => detection.GetOutline(detection.Regions.Count), Throws.TypeOf<NotFoundException>());
            }
        }

        [Test]
        public void LatentsAreSegmentedAsTheModelDoes()
        {
            // Without the package's calibration, the paper's count of tests is the same in both.
            var options = new DetectOptions { Maps = Maps.Latents, Verdict = Verdict.Nfa, Tests = TestCount.Paper, Epsilon = 1 };
            using (Detection detection = detector.Detect(Pictures.Rgb(Pictures.Mixed(1)), options))
            using (var segmenter = new Segmenter(Pictures.Side, Pictures.Side))
            using (var segmented = new Detection())
            {
                var latents = new List<Latents>();
                for (int scale = 0; scale < detection.Scales; scale++)
                {
                    detection.ReadLatents(scale, (values, channels, height, width) => latents.Add(new Latents(values.ToArray(), channels, height, width)));
                }
                Assert.That(latents.Count, Is.EqualTo(Setup.Model.Info.Scales));
                segmenter.Segment(latents, segmented, new DetectOptions { Verdict = Verdict.Nfa, Tests = TestCount.Paper, Epsilon = 1 });
                Assert.That(segmented.Log10NfaMin, Is.EqualTo(detection.Log10NfaMin));
                Assert.That(segmented.Regions.Count, Is.EqualTo(detection.Regions.Count).And.GreaterThan(0));
                Assert.That(() => segmenter.Segment(new Latents[0], segmented), Throws.TypeOf<InvalidArgumentException>());
            }
        }

        [Test]
        public void TheModelDescribesItself()
        {
            ModelInfo info = Setup.Model.Info;
            Assert.That(info.Name + " " + info.Version + " " + info.InputWidth + " " + info.InputHeight + " " + info.Device, Is.EqualTo("bolt 1 64 64 cpu"));
            Assert.That(info.FlowSha256 + info.BackboneSha256, Is.StringMatching("^[0-9a-f]{128}$"));
            Assert.That(info.Decision, Is.Not.Empty);
            Assert.That(Setup.Engine.GetMetrics(), Is.StringContaining("uflow_"));
            ImageInfo file = Image.FromFile(Pictures.Ppm(Pictures.Good(0))).GetInfo();
            Assert.That(file.Width + " " + file.Height + " " + file.Format + " " + file.Bits + " " + file.Pages, Is.EqualTo("64 64 Rgb8 8 1"));
        }
    }
}
