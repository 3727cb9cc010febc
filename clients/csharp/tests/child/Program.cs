using System;
using System.Collections.Generic;
using System.Threading;
using UFlow;

/// <summary>A process that disposes nothing, or shuts the library down: <c>child SCENARIO PACKAGE</c>.</summary>
internal static class Program
{
    private static readonly List<object> Kept = new List<object>();

    private static int Main(string[] arguments)
    {
        Log.SetHandler(LogLevel.Trace, line => { });
        switch (arguments[0])
        {
            case "streams":
                Streams(arguments[1], true);
                break;
            case "finalizers":
                Streams(arguments[1], false);
                GC.Collect();
                break;
            default:
                return Shutdown();
        }
        Console.Write("done\n");
        return 0;
    }

    /// <summary>The process ends while callbacks run.</summary>
    private static void Streams(string package, bool keep)
    {
        var engine = new Engine();
        Model model = engine.Load(package);
        for (int s = 0; s < 3; s++)
        {
            int results = 0;
            FrameStream stream = model.OpenStream(new StreamOptions { OnResult = result => { results++; Thread.Sleep(1); }, OnReleased = frame => { } });
            for (int i = 0; i < 30; i++)
            {
                stream.Submit(Image.FromPixels(new byte[64 * 64 * 3], 64, 64, PixelFormat.Rgb8));
            }
            if (keep)
            {
                Kept.Add(stream);
            }
        }
        Kept.Add(keep ? model.CreateDetector() : null);
    }

    private static int Shutdown()
    {
        var engine = new Engine();
        try
        {
            Library.Shutdown();
            return 2;
        }
        catch (BusyException)
        {
            engine.Dispose();
        }
        Library.Shutdown();
        Library.Shutdown();
        try
        {
            new Engine().Dispose();
            return 3;
        }
        catch (UnavailableException)
        {
            Console.Write("done\n");
            return 0;
        }
    }
}
