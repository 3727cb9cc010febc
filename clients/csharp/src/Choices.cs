using System;

namespace UFlow
{
    /// <summary>The layout of raw pixels. Formats above 6 but Mono10 to Mono14 are converted, which counts as decoding.</summary>
    public enum PixelFormat : uint
    {
        /// <summary>One byte per pixel.</summary>
        Gray8 = 1,
        /// <summary>One 16-bit number per pixel in the machine's byte order.</summary>
        Gray16 = 2,
        /// <summary>Red, green, blue; one byte each.</summary>
        Rgb8 = 3,
        /// <summary>Blue, green, red; one byte each (the order of OpenCV and GDI).</summary>
        Bgr8 = 4,
        /// <summary>Red, green, blue, alpha; alpha is not used.</summary>
        Rgba8 = 5,
        /// <summary>Blue, green, red, alpha; alpha is not used.</summary>
        Bgra8 = 6,
        /// <summary>Gray, 10 of 16 bits per pixel.</summary>
        Mono10 = 8,
        /// <summary>Gray, 12 of 16 bits.</summary>
        Mono12 = 9,
        /// <summary>Gray, 14 of 16 bits.</summary>
        Mono14 = 10,
        /// <summary>Gray, 10 bits, packed: four pixels in five bytes, the lowest bit first. Each row begins with a byte of its own.</summary>
        Mono10p = 11,
        /// <summary>Gray, 12 bits, packed: two pixels in three bytes, likewise.</summary>
        Mono12p = 12,
        /// <summary>Red, green, blue; one 16-bit number each, with significant bits as for gray. Each sample is rounded to 8 bits.</summary>
        Rgb16 = 13,
        /// <summary>Blue, green, red, likewise.</summary>
        Bgr16 = 14,
        /// <summary>Red, green, blue, alpha, likewise; alpha is not used.</summary>
        Rgba16 = 15,
        /// <summary>Blue, green, red, alpha, likewise; alpha is not used.</summary>
        Bgra16 = 16,
        /// <summary>A plane of red, then one of green, then one of blue; one byte per pixel, all with the same stride.</summary>
        Rgb8Planar = 17,
        /// <summary>Y, U, Y, V for two pixels; ITU-R BT.601, where 16 is black and 235 is white. The width is even.</summary>
        Yuyv = 18,
        /// <summary>U, Y, V, Y for two pixels, likewise.</summary>
        Uyvy = 19,
        /// <summary>A plane of Y, then one of U, V for two by two pixels, likewise. Width and height are even.</summary>
        Nv12 = 20,
        /// <summary>Gray, one 32-bit floating-point number per pixel. The package must have a range.</summary>
        Float32 = 21,
        /// <summary>A Bayer pattern whose first row begins with red, green: 8 bits. Missing colours are the mean of their nearest neighbours.</summary>
        BayerRg8 = 24,
        /// <summary>The same, 10 of 16 bits.</summary>
        BayerRg10 = 25,
        /// <summary>The same, 12 of 16 bits.</summary>
        BayerRg12 = 26,
        /// <summary>The same, 14 of 16 bits.</summary>
        BayerRg14 = 27,
        /// <summary>The same, 16 bits, or significant bits.</summary>
        BayerRg16 = 28,
        /// <summary>The same, 10 bits, packed.</summary>
        BayerRg10p = 29,
        /// <summary>The same, 12 bits, packed.</summary>
        BayerRg12p = 30,
        /// <summary>A Bayer pattern whose first row begins with green, red: 8 bits. Missing colours are the mean of their nearest neighbours.</summary>
        BayerGr8 = 32,
        /// <summary>The same, 10 of 16 bits.</summary>
        BayerGr10 = 33,
        /// <summary>The same, 12 of 16 bits.</summary>
        BayerGr12 = 34,
        /// <summary>The same, 14 of 16 bits.</summary>
        BayerGr14 = 35,
        /// <summary>The same, 16 bits, or significant bits.</summary>
        BayerGr16 = 36,
        /// <summary>The same, 10 bits, packed.</summary>
        BayerGr10p = 37,
        /// <summary>The same, 12 bits, packed.</summary>
        BayerGr12p = 38,
        /// <summary>A Bayer pattern whose first row begins with green, blue: 8 bits. Missing colours are the mean of their nearest neighbours.</summary>
        BayerGb8 = 40,
        /// <summary>The same, 10 of 16 bits.</summary>
        BayerGb10 = 41,
        /// <summary>The same, 12 of 16 bits.</summary>
        BayerGb12 = 42,
        /// <summary>The same, 14 of 16 bits.</summary>
        BayerGb14 = 43,
        /// <summary>The same, 16 bits, or significant bits.</summary>
        BayerGb16 = 44,
        /// <summary>The same, 10 bits, packed.</summary>
        BayerGb10p = 45,
        /// <summary>The same, 12 bits, packed.</summary>
        BayerGb12p = 46,
        /// <summary>A Bayer pattern whose first row begins with blue, green: 8 bits. Missing colours are the mean of their nearest neighbours.</summary>
        BayerBg8 = 48,
        /// <summary>The same, 10 of 16 bits.</summary>
        BayerBg10 = 49,
        /// <summary>The same, 12 of 16 bits.</summary>
        BayerBg12 = 50,
        /// <summary>The same, 14 of 16 bits.</summary>
        BayerBg14 = 51,
        /// <summary>The same, 16 bits, or significant bits.</summary>
        BayerBg16 = 52,
        /// <summary>The same, 10 bits, packed.</summary>
        BayerBg10p = 53,
        /// <summary>The same, 12 bits, packed.</summary>
        BayerBg12p = 54,
    }

    /// <summary>What makes an image anomalous.</summary>
    public enum Verdict : uint
    {
        /// <summary>A region with NFA below ε.</summary>
        Nfa = 1,
        /// <summary>A highest score above the threshold.</summary>
        Score = 2,
        /// <summary>Both.</summary>
        Both = 3,
        /// <summary>At least one of the two.</summary>
        Either = 4,
        /// <summary>A lowest log₁₀NFA that at most the reject rate of good images falls below.</summary>
        Reject = 5,
    }

    /// <summary>The bound of a region's probability if the image is normal.</summary>
    public enum Bound : uint
    {
        /// <summary>Chernoff's bound, the paper's choice.</summary>
        Chernoff = 1,
        /// <summary>The χ² survival function itself.</summary>
        Exact = 2,
    }

    /// <summary>How the number of tests is counted.</summary>
    public enum TestCount : uint
    {
        /// <summary>All sizes of region together, as in the paper.</summary>
        Paper = 1,
        /// <summary>Per size of region. The package must be calibrated.</summary>
        Sized = 2,
    }

    /// <summary>The maps that a detection keeps.</summary>
    [Flags]
    public enum Maps : uint
    {
        /// <summary>Only verdict, figures and regions.</summary>
        None = 0,
        /// <summary>The mask at the image's size.</summary>
        Mask = 1,
        /// <summary>The score map at the network's input size.</summary>
        Score = 2,
        /// <summary>The log₁₀NFA map at the network's input size.</summary>
        Log10Nfa = 4,
        /// <summary>The latents z of every scale.</summary>
        Latents = 8,
    }

    /// <summary>Which frames of streams go first when several wait.</summary>
    public enum Priority : uint
    {
        /// <summary>In the order of arrival, after frames of high priority.</summary>
        Normal = 1,
        /// <summary>Before all frames of normal priority.</summary>
        High = 2,
    }

    /// <summary>How much is logged.</summary>
    public enum LogLevel : uint
    {
        /// <summary>Nothing.</summary>
        Off = 0,
        /// <summary>Errors in the library itself.</summary>
        Error = 1,
        /// <summary>Also possible mistakes in the set-up, and ONNX Runtime's errors.</summary>
        Warning = 2,
        /// <summary>Also general information.</summary>
        Info = 3,
        /// <summary>Also details that help to find a mistake, and ONNX Runtime's warnings.</summary>
        Debug = 4,
        /// <summary>Everything.</summary>
        Trace = 5,
    }

    /// <summary>How good images are augmented before training.</summary>
    public enum Augmentation : uint
    {
        /// <summary>Only the image itself.</summary>
        None = 1,
        /// <summary>Also mirrored left to right.</summary>
        Flip = 2,
        /// <summary>Also rotated by 90, 180 and 270 degrees; only for square inputs.</summary>
        Rotate = 3,
        /// <summary>All eight rotations and mirror images; only for square inputs.</summary>
        All = 4,
        /// <summary>Also 5% brighter and 5% darker.</summary>
        Exposure = 5,
        /// <summary>Also shifted by 4 pixels of the network's input up, down, left and right.</summary>
        Shift = 6,
    }

    /// <summary>The answer of a progress callback.</summary>
    public enum FitControl : uint
    {
        /// <summary>Continue.</summary>
        Continue = 1,
        /// <summary>Stop now and write the best model so far.</summary>
        Stop = 2,
        /// <summary>Stop now and write nothing. An existing package at the path stays.</summary>
        Cancel = 3,
    }

    /// <summary>Why training ended.</summary>
    public enum StopReason : uint
    {
        /// <summary>A reason that this version does not know.</summary>
        Unknown = 0,
        /// <summary>All epochs are done.</summary>
        Finished = 1,
        /// <summary>The likelihood of the held-out images hardly rose for a number of epochs.</summary>
        Patience = 2,
        /// <summary>The progress callback asked for it.</summary>
        Asked = 3,
        /// <summary>A loss was not finite; the model is the best one before that.</summary>
        Diverged = 4,
        /// <summary>The time budget ended; the model is the best one before that.</summary>
        TimeBudget = 5,
    }
}
