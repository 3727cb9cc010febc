using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;

namespace UFlow.Tests
{
    /// <summary>The command <c>uflow</c>, and what it finds in pictures.</summary>
    internal static class Command
    {
        /// <summary>A process that takes longer hangs.</summary>
        private static readonly TimeSpan Longest = TimeSpan.FromMinutes(2);

        internal static string Run(string program, params string[] arguments)
        {
            var start = new ProcessStartInfo(program, string.Join(" ", arguments.Select(argument => "\"" + argument + "\"")))
            {
                UseShellExecute = false,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using (Process process = Process.Start(start))
            {
                var errors = process.StandardError.ReadToEndAsync();
                var output = process.StandardOutput.ReadToEndAsync();
                if (!process.WaitForExit((int)Longest.TotalMilliseconds))
                {
                    process.Kill();
                    throw new TimeoutException(program + " " + start.Arguments + ": did not end in " + Longest + "\n" + output.Result + errors.Result);
                }
                if (process.ExitCode != 0)
                {
                    throw new InvalidOperationException(program + " " + start.Arguments + ": exit code " + process.ExitCode + "\n" + output.Result + errors.Result);
                }
                return output.Result;
            }
        }

        internal static string Uflow(params string[] arguments) => Run(Setup.Variable("UFLOW", "target/debug/uflow"), arguments);

        /// <summary>The verdicts of <c>uflow detect --json</c>, in the order of the files.</summary>
        internal static Found[] Detect(string model, IReadOnlyList<string> files, params string[] options)
        {
            string lines = Uflow(new[] { "detect", "--model", model, "--json" }.Concat(options).Concat(files).ToArray());
            var byPath = new Dictionary<string, Found>();
            foreach (string line in lines.Split(new[] { '\n' }, StringSplitOptions.RemoveEmptyEntries))
            {
                var parsed = (Dictionary<string, object>)Json.Parse(line);
                byPath[(string)parsed["path"]] = new Found(parsed);
            }
            return files.Select(file => byPath[file]).ToArray();
        }

        internal static Found[] Detect(string model, IReadOnlyList<byte[]> files, params string[] options)
        {
            string folder = Setup.Folder("pictures");
            var paths = new List<string>();
            for (int i = 0; i < files.Count; i++)
            {
                paths.Add(Path.Combine(folder, i + ".image"));
                File.WriteAllBytes(paths[i], files[i]);
            }
            return Detect(model, paths, options);
        }
    }

    /// <summary>All that a detection says, as text that names every bit.</summary>
    internal sealed class Found
    {
        private readonly string text;

        internal Found(Dictionary<string, object> line)
        {
            var regions = (List<object>)line["regions"];
            var parts = new List<string> { Head(Json.Single(line["score"]), Json.Single(line["score_max"]), Json.Single(line["log10_nfa_min"]),
                (bool)line["anomalous"], Json.Double(line["p_value"]), (bool)line["p_extrapolated"]) };
            foreach (Dictionary<string, object> region in regions)
            {
                var box = ((List<object>)region["box"]).Cast<string>();
                var centroid = (List<object>)region["centroid"];
                parts.Add(Region(string.Join(" ", box), (string)region["area"], (string)region["scale"], Json.Double(centroid[0]), Json.Double(centroid[1]),
                    Json.Single(region["log10_nfa_min"]), Json.Single(region["score_max"]), Json.Double(region["p_value"])));
                foreach (List<object> ring in (List<object>)region["outline"])
                {
                    parts.Add("    " + string.Join(" ", ring.Cast<List<object>>().Select(corner => corner[0] + "," + corner[1])));
                }
            }
            text = string.Join("\n", parts);
        }

        internal Found(Detection detection)
        {
            var parts = new List<string> { Head(detection.Score, detection.ScoreMax, detection.Log10NfaMin, detection.Anomalous, detection.PValue, detection.PExtrapolated) };
            for (int i = 0; i < detection.Regions.Count; i++)
            {
                Region region = detection.Regions[i];
                parts.Add(Region(region.X + " " + region.Y + " " + region.Width + " " + region.Height, region.Area.ToString(), region.Scale.ToString(),
                    region.CentroidX, region.CentroidY, region.Log10NfaMin, region.ScoreMax, region.PValue));
                for (int ring = 0; ring < region.Rings; ring++)
                {
                    parts.Add("    " + string.Join(" ", detection.GetOutline(i, ring).Select(corner => corner.X + "," + corner.Y)));
                }
            }
            text = string.Join("\n", parts);
        }

        internal bool Anomalous => text.Contains("anomalous True");

        internal bool HasRegions => text.Contains("\n");

        public override string ToString() => text;

        private static string Head(float score, float scoreMax, float log10NfaMin, bool anomalous, double pValue, bool extrapolated) =>
            "score " + Bits(score) + " max " + Bits(scoreMax) + " nfa " + Bits(log10NfaMin) + " anomalous " + anomalous + " p " + Bits(pValue) + " " + extrapolated;

        private static string Region(string box, string area, string scale, double x, double y, float nfa, float score, double pValue) =>
            "  box " + box + " area " + area + " scale " + scale + " centre " + Bits(x) + " " + Bits(y) + " nfa " + Bits(nfa) + " score " + Bits(score) + " p " + Bits(pValue);

        private static string Bits(float value) => BitConverter.ToInt32(BitConverter.GetBytes(value), 0).ToString("x8");

        private static string Bits(double value) => double.IsNaN(value) ? "NaN" : BitConverter.DoubleToInt64Bits(value).ToString("x16");
    }
}
