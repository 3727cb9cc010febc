/*
 * libuflow 0.1.0: finds defects in images after learning from good images only.
 *
 * Conventions, which hold for every function:
 *
 * - Handles are opaque. A handle from a `_new`, `_load` or similar function belongs to the caller, who frees it with the type's `_free`;
 * `_free` accepts NULL.
 * - A function that can fail returns a `uflow_status *`: NULL is success, code 0. It writes its outputs only on success.
 * - Plain structs begin with `struct_size`, so that they can grow. The library neither reads nor writes fields beyond the caller's size;
 * a field that is set and that the library does not know is an error.
 * - Enumerations are 32 bits wide and only ever grow. 0 means that a value was not set, except for status codes, where 0 is success.
 * - A program built with an older header of the same major version works with a newer library.
 * - No panic crosses into C: every export goes through a guard. A handle for one thread at a time in which a panic occurred answers
 * `UFLOW_STATUS_POISONED` from then on. Running out of memory ends the process.
 * - Pointers are checked for NULL and alignment, sizes for overflow. The caller guarantees that the memory behind them is valid.
 * - The library prints nothing; `uflow_log_set_callback` receives its log.
 * - A process that is forked after an engine was made cannot use the library: every function that can fail answers
 * `UFLOW_STATUS_FORKED`, and freeing an engine or what belongs to one does nothing. `exec`, or fork before the first engine is made.
 * - No function may be called from a signal handler.
 *
 * Made by cbindgen from ffi/; do not edit.
 */

#ifndef UFLOW_H
#define UFLOW_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header; uflow_version() is the library's. */
#define UFLOW_VERSION "0.1.0"
#define UFLOW_VERSION_MAJOR 0
#define UFLOW_VERSION_MINOR 1
#define UFLOW_VERSION_PATCH 0
#define UFLOW_VERSION_NUMBER 1000

/* Ignoring a status is a mistake. */
#if defined(__cplusplus) && __cplusplus >= 201703L
#define UFLOW_MUST_USE [[nodiscard]]
#elif defined(__GNUC__)
#define UFLOW_MUST_USE __attribute__((warn_unused_result))
#else
#define UFLOW_MUST_USE
#endif

/**
 * A time-out that never passes: wait as long as necessary.
 */
#define UFLOW_WAIT_FOREVER UINT32_MAX

/**
 * What kind of thing went wrong. 0 is success. Later versions add codes at the end and never renumber them.
 */
enum uflow_status_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Success: the code of NULL. No status object has it.
   */
  UFLOW_STATUS_OK = 0,
  /**
   * A NULL or misaligned pointer, a wrong struct_size, a text that is not UTF-8, or a value outside its range.
   */
  UFLOW_STATUS_INVALID_ARGUMENT = 1,
  /**
   * An image whose size, stride, format and buffer do not fit together.
   */
  UFLOW_STATUS_INVALID_IMAGE = 2,
  /**
   * Encoded bytes that are not an image that this library can read.
   */
  UFLOW_STATUS_UNDECODABLE = 3,
  /**
   * An image or file larger than the configured limit.
   */
  UFLOW_STATUS_OVER_LIMIT = 4,
  /**
   * ONNX Runtime's library was not found, is too old, or cannot be loaded.
   */
  UFLOW_STATUS_LIBRARY = 5,
  /**
   * The requested device is missing or does not start.
   */
  UFLOW_STATUS_DEVICE = 6,
  /**
   * A network cannot be loaded or run, or does not match its package.
   */
  UFLOW_STATUS_NETWORK = 7,
  /**
   * A network gave values that are not finite.
   */
  UFLOW_STATUS_NON_FINITE = 8,
  /**
   * A model package is damaged, incomplete or of another format.
   */
  UFLOW_STATUS_PACKAGE = 9,
  /**
   * A data file does not have the expected content.
   */
  UFLOW_STATUS_DATA = 10,
  /**
   * Training cannot start or continue.
   */
  UFLOW_STATUS_TRAINING = 11,
  /**
   * The caller cancelled the work.
   */
  UFLOW_STATUS_CANCELLED = 12,
  /**
   * There is no such model, version, backbone, region, ring or map; or a closed stream is empty.
   */
  UFLOW_STATUS_NOT_FOUND = 13,
  /**
   * Too much work is in progress; try again when some is done.
   */
  UFLOW_STATUS_OVERLOADED = 14,
  /**
   * The work was not done within its time limit.
   */
  UFLOW_STATUS_TIMED_OUT = 15,
  /**
   * Closed or shut down.
   */
  UFLOW_STATUS_UNAVAILABLE = 16,
  /**
   * A file operation failed.
   */
  UFLOW_STATUS_IO = 17,
  /**
   * A bug in the library. If the handle is for one thread at a time, its later calls give `UFLOW_STATUS_POISONED`.
   */
  UFLOW_STATUS_INTERNAL = 18,
  /**
   * A buffer of the caller's is too small; the message says how large it must be.
   */
  UFLOW_STATUS_BUFFER_TOO_SMALL = 19,
  /**
   * A handle for one thread at a time is in use by another thread; or the caller would wait for itself.
   */
  UFLOW_STATUS_BUSY = 20,
  /**
   * An earlier call on the handle met a bug. Free the handle.
   */
  UFLOW_STATUS_POISONED = 21,
  /**
   * This process was forked from one that had an engine. Call `exec`, or fork before the first engine is made.
   */
  UFLOW_STATUS_FORKED = 22,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_status_code uflow_status_code;
#else
typedef uint32_t uflow_status_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The layout of an image's bytes. The names are those of GenICam's Pixel Format Naming Convention where it has one; `GRAY8` and `GRAY16` are its
 * Mono8 and Mono16. Numbers of 16 and 32 bits are in the machine's byte order. Formats 1 to 6 and MONO10 to MONO14 are used where they lie. The others
 * are converted, which counts as decoding: packed and floating-point gray to GRAY16, all others to RGB8.
 */
enum uflow_format
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set: an error.
   */
  UFLOW_FORMAT_UNKNOWN = 0,
  /**
   * One byte per pixel.
   */
  UFLOW_FORMAT_GRAY8 = 1,
  /**
   * One 16-bit number per pixel in the machine's byte order; no alignment is needed. `significant_bits` of
   * `uflow_image` says which range is black to white, e.g. 12 for 0 to 4095.
   */
  UFLOW_FORMAT_GRAY16 = 2,
  /**
   * Red, green, blue; one byte each.
   */
  UFLOW_FORMAT_RGB8 = 3,
  /**
   * Blue, green, red; one byte each (OpenCV's order).
   */
  UFLOW_FORMAT_BGR8 = 4,
  /**
   * Red, green, blue, alpha; alpha is not used.
   */
  UFLOW_FORMAT_RGBA8 = 5,
  /**
   * Blue, green, red, alpha; alpha is not used.
   */
  UFLOW_FORMAT_BGRA8 = 6,
  /**
   * A PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file. Width, height and stride are not read. The image is turned upright as its EXIF data says, so
   * that its width and height may be the file's, exchanged: `uflow_image_get_info` gives the upright size.
   */
  UFLOW_FORMAT_ENCODED = 7,
  /**
   * Gray, 10 of 16 bits per pixel.
   */
  UFLOW_FORMAT_MONO10 = 8,
  /**
   * Gray, 12 of 16 bits.
   */
  UFLOW_FORMAT_MONO12 = 9,
  /**
   * Gray, 14 of 16 bits.
   */
  UFLOW_FORMAT_MONO14 = 10,
  /**
   * Gray, 10 bits, packed: four pixels in five bytes, the lowest bit first. Each row begins with a byte of its own.
   */
  UFLOW_FORMAT_MONO10P = 11,
  /**
   * Gray, 12 bits, packed: two pixels in three bytes, likewise.
   */
  UFLOW_FORMAT_MONO12P = 12,
  /**
   * Red, green, blue; one 16-bit number each, with `significant_bits` as for gray. Each sample is rounded to 8 bits.
   */
  UFLOW_FORMAT_RGB16 = 13,
  /**
   * Blue, green, red, likewise.
   */
  UFLOW_FORMAT_BGR16 = 14,
  /**
   * Red, green, blue, alpha, likewise; alpha is not used.
   */
  UFLOW_FORMAT_RGBA16 = 15,
  /**
   * Blue, green, red, alpha, likewise; alpha is not used.
   */
  UFLOW_FORMAT_BGRA16 = 16,
  /**
   * A plane of red, then one of green, then one of blue; one byte per pixel, all with the same stride.
   */
  UFLOW_FORMAT_RGB8_PLANAR = 17,
  /**
   * Y, U, Y, V for two pixels; ITU-R BT.601, where 16 is black and 235 is white. The width is even.
   */
  UFLOW_FORMAT_YUYV = 18,
  /**
   * U, Y, V, Y for two pixels, likewise.
   */
  UFLOW_FORMAT_UYVY = 19,
  /**
   * A plane of Y, then one of U, V for two by two pixels, likewise. Width and height are even.
   */
  UFLOW_FORMAT_NV12 = 20,
  /**
   * Gray, one 32-bit floating-point number per pixel. The package must have a range (`uflow_fit_options_set_float_range`).
   */
  UFLOW_FORMAT_FLOAT32 = 21,
  /**
   * A Bayer pattern whose first row begins with red, green: 8 bits. Missing colours are the mean of their nearest neighbours.
   */
  UFLOW_FORMAT_BAYER_RG8 = 24,
  /**
   * The same, 10 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_RG10 = 25,
  /**
   * The same, 12 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_RG12 = 26,
  /**
   * The same, 14 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_RG14 = 27,
  /**
   * The same, 16 bits, or `significant_bits`.
   */
  UFLOW_FORMAT_BAYER_RG16 = 28,
  /**
   * The same, 10 bits, packed.
   */
  UFLOW_FORMAT_BAYER_RG10P = 29,
  /**
   * The same, 12 bits, packed.
   */
  UFLOW_FORMAT_BAYER_RG12P = 30,
  /**
   * A Bayer pattern whose first row begins with green, red: 8 bits. Missing colours are the mean of their nearest neighbours.
   */
  UFLOW_FORMAT_BAYER_GR8 = 32,
  /**
   * The same, 10 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_GR10 = 33,
  /**
   * The same, 12 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_GR12 = 34,
  /**
   * The same, 14 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_GR14 = 35,
  /**
   * The same, 16 bits, or `significant_bits`.
   */
  UFLOW_FORMAT_BAYER_GR16 = 36,
  /**
   * The same, 10 bits, packed.
   */
  UFLOW_FORMAT_BAYER_GR10P = 37,
  /**
   * The same, 12 bits, packed.
   */
  UFLOW_FORMAT_BAYER_GR12P = 38,
  /**
   * A Bayer pattern whose first row begins with green, blue: 8 bits. Missing colours are the mean of their nearest neighbours.
   */
  UFLOW_FORMAT_BAYER_GB8 = 40,
  /**
   * The same, 10 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_GB10 = 41,
  /**
   * The same, 12 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_GB12 = 42,
  /**
   * The same, 14 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_GB14 = 43,
  /**
   * The same, 16 bits, or `significant_bits`.
   */
  UFLOW_FORMAT_BAYER_GB16 = 44,
  /**
   * The same, 10 bits, packed.
   */
  UFLOW_FORMAT_BAYER_GB10P = 45,
  /**
   * The same, 12 bits, packed.
   */
  UFLOW_FORMAT_BAYER_GB12P = 46,
  /**
   * A Bayer pattern whose first row begins with blue, green: 8 bits. Missing colours are the mean of their nearest neighbours.
   */
  UFLOW_FORMAT_BAYER_BG8 = 48,
  /**
   * The same, 10 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_BG10 = 49,
  /**
   * The same, 12 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_BG12 = 50,
  /**
   * The same, 14 of 16 bits.
   */
  UFLOW_FORMAT_BAYER_BG14 = 51,
  /**
   * The same, 16 bits, or `significant_bits`.
   */
  UFLOW_FORMAT_BAYER_BG16 = 52,
  /**
   * The same, 10 bits, packed.
   */
  UFLOW_FORMAT_BAYER_BG10P = 53,
  /**
   * The same, 12 bits, packed.
   */
  UFLOW_FORMAT_BAYER_BG12P = 54,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_format uflow_format;
#else
typedef uint32_t uflow_format;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What makes an image anomalous.
 */
enum uflow_verdict
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set. Setting it is an error.
   */
  UFLOW_VERDICT_UNKNOWN = 0,
  /**
   * A region with NFA < ε.
   */
  UFLOW_VERDICT_NFA = 1,
  /**
   * A `score_max` above the threshold.
   */
  UFLOW_VERDICT_SCORE = 2,
  /**
   * Both.
   */
  UFLOW_VERDICT_BOTH = 3,
  /**
   * At least one of the two.
   */
  UFLOW_VERDICT_EITHER = 4,
  /**
   * A lowest log₁₀NFA that at most the reject rate of good images falls below.
   */
  UFLOW_VERDICT_REJECT = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_verdict uflow_verdict;
#else
typedef uint32_t uflow_verdict;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The bound of a region's probability if the image is normal.
 */
enum uflow_bound
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set. Setting it is an error.
   */
  UFLOW_BOUND_UNKNOWN = 0,
  /**
   * Chernoff's bound, the paper's choice.
   */
  UFLOW_BOUND_CHERNOFF = 1,
  /**
   * The χ² survival function itself.
   */
  UFLOW_BOUND_EXACT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_bound uflow_bound;
#else
typedef uint32_t uflow_bound;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How the number of tests is counted.
 */
enum uflow_tests
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set. Setting it is an error.
   */
  UFLOW_TESTS_UNKNOWN = 0,
  /**
   * All sizes of region together, as in the paper.
   */
  UFLOW_TESTS_PAPER = 1,
  /**
   * Per size of region, with the null hypothesis that was calibrated on good images. The package must be calibrated.
   */
  UFLOW_TESTS_SIZED = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_tests uflow_tests;
#else
typedef uint32_t uflow_tests;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The maps that a result keeps; add them up.
 */
enum uflow_maps
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * None: only verdict, figures and regions.
   */
  UFLOW_MAPS_NONE = 0,
  /**
   * The mask at the image's size.
   */
  UFLOW_MAPS_MASK = 1,
  /**
   * The score map at the model's map size.
   */
  UFLOW_MAPS_SCORE = 2,
  /**
   * The log₁₀NFA map at the model's map size.
   */
  UFLOW_MAPS_LOG10_NFA = 4,
  /**
   * The latents z of every scale.
   */
  UFLOW_MAPS_LATENTS = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_maps uflow_maps;
#else
typedef uint32_t uflow_maps;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which part of an image counts.
 */
enum uflow_roi
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set: the package's region of interest, if it has one.
   */
  UFLOW_ROI_PACKAGE = 0,
  /**
   * The whole image (`uflow_options_clear_roi`).
   */
  UFLOW_ROI_WHOLE_IMAGE = 1,
  /**
   * A mask (`uflow_options_set_roi`).
   */
  UFLOW_ROI_MASK = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_roi uflow_roi;
#else
typedef uint32_t uflow_roi;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which frames go first when several wait.
 */
enum uflow_priority
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set. Setting it is an error.
   */
  UFLOW_PRIORITY_UNKNOWN = 0,
  /**
   * In the order of arrival, after frames of high priority.
   */
  UFLOW_PRIORITY_NORMAL = 1,
  /**
   * Before all frames of normal priority.
   */
  UFLOW_PRIORITY_HIGH = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_priority uflow_priority;
#else
typedef uint32_t uflow_priority;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How much is logged.
 */
enum uflow_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Nothing; only without a callback.
   */
  UFLOW_LOG_LEVEL_OFF = 0,
  /**
   * Errors in the library itself.
   */
  UFLOW_LOG_LEVEL_ERROR = 1,
  /**
   * Also possible mistakes in the set-up, and ONNX Runtime's errors.
   */
  UFLOW_LOG_LEVEL_WARNING = 2,
  /**
   * Also general information.
   */
  UFLOW_LOG_LEVEL_INFO = 3,
  /**
   * Also details that help to find a mistake, and ONNX Runtime's warnings.
   */
  UFLOW_LOG_LEVEL_DEBUG = 4,
  /**
   * Everything.
   */
  UFLOW_LOG_LEVEL_TRACE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_log_level uflow_log_level;
#else
typedef uint32_t uflow_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How good images are augmented before training.
 */
enum uflow_augmentation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set. Setting it is an error.
   */
  UFLOW_AUGMENTATION_UNKNOWN = 0,
  /**
   * Only the image itself.
   */
  UFLOW_AUGMENTATION_NONE = 1,
  /**
   * Also mirrored left to right.
   */
  UFLOW_AUGMENTATION_FLIP = 2,
  /**
   * Also rotated by 90, 180 and 270 degrees; only for square inputs.
   */
  UFLOW_AUGMENTATION_ROTATE = 3,
  /**
   * All eight rotations and mirror images; only for square inputs.
   */
  UFLOW_AUGMENTATION_ALL = 4,
  /**
   * Also 5% brighter and 5% darker.
   */
  UFLOW_AUGMENTATION_EXPOSURE = 5,
  /**
   * Also shifted by 4 pixels of the network's input up, down, left and right.
   */
  UFLOW_AUGMENTATION_SHIFT = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_augmentation uflow_augmentation;
#else
typedef uint32_t uflow_augmentation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The answer of a progress callback.
 */
enum uflow_control
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set: training is cancelled, as by `UFLOW_CONTROL_CANCEL`.
   */
  UFLOW_CONTROL_UNKNOWN = 0,
  /**
   * Continue.
   */
  UFLOW_CONTROL_CONTINUE = 1,
  /**
   * Stop now and write the best model so far. While `fold` is above 0 the model itself is complete; its null then uses only the images
   * of the flows that are finished, and `uflow_trainer_warnings` tells their number.
   */
  UFLOW_CONTROL_STOP = 2,
  /**
   * Stop now and write nothing, even if the model is complete. An existing package at the path stays.
   */
  UFLOW_CONTROL_CANCEL = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_control uflow_control;
#else
typedef uint32_t uflow_control;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why training ended.
 */
enum uflow_stop_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * A reason that this version of the header does not know.
   */
  UFLOW_STOP_REASON_UNKNOWN = 0,
  /**
   * All epochs are done.
   */
  UFLOW_STOP_REASON_FINISHED = 1,
  /**
   * The likelihood of the held-out images hardly rose for a number of epochs.
   */
  UFLOW_STOP_REASON_PATIENCE = 2,
  /**
   * The progress callback asked for it.
   */
  UFLOW_STOP_REASON_ASKED = 3,
  /**
   * A loss was not finite; the model is the best one before that.
   */
  UFLOW_STOP_REASON_DIVERGED = 4,
  /**
   * The time budget ended; the model is the best one before that.
   */
  UFLOW_STOP_REASON_TIME_BUDGET = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_stop_reason uflow_stop_reason;
#else
typedef uint32_t uflow_stop_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Finds defects in one image after another. The work is done in the calling thread, before the call returns.
 *
 * The caller owns a detector and frees it with `uflow_detector_free`. One thread at a time: give each thread its own. The detectors of
 * one model share its networks, which take their images in turn. Results are the same as those of the `uflow` command, to the bit.
 */
typedef struct uflow_detector uflow_detector;

/**
 * ONNX Runtime on a device, and the backbones of the loaded models. Models that name the same backbone share one.
 *
 * The caller owns an engine and frees it with `uflow_engine_free`. Any thread may use it at any time. It has worker threads for
 * asynchronous frames (`uflow_engine_options_set_workers`), and one thread for each backbone. They sleep when there is no work, and end
 * with the engine or the last of its models and streams, whichever is freed last. The networks of all engines share ONNX Runtime's
 * thread pool (unless `uflow_engine_options_set_threads` gives each its own), which `uflow_shutdown` ends.
 */
typedef struct uflow_engine uflow_engine;

/**
 * How an engine is set up. Options that are not set have their defaults.
 *
 * The caller owns them and frees them with `uflow_engine_options_free`; one thread at a time. An engine copies what it needs.
 */
typedef struct uflow_engine_options uflow_engine_options;

/**
 * How a model is fitted. Options that are not set have the defaults of `uflow fit`.
 *
 * The caller owns them and frees them with `uflow_fit_options_free`; one thread at a time. A trainer copies what it needs.
 */
typedef struct uflow_fit_options uflow_fit_options;

/**
 * A loaded model.
 *
 * The caller owns it and frees it with `uflow_model_free`. Any thread may use it at any time. Its memory is freed with the last of
 * its handle, its detectors and its streams.
 */
typedef struct uflow_model uflow_model;

/**
 * The options of one call, where they differ from the package's defaults. An option that is not set keeps the package's default.
 *
 * The caller owns them and frees them with `uflow_options_free`. Any thread may use them at any time: a call copies them when it starts.
 */
typedef struct uflow_options uflow_options;

/**
 * What was found in an image: verdict, score, regions, timings, and the maps that the options asked for.
 *
 * The caller owns a result and frees it with `uflow_result_free`; one thread at a time. A call that fills it replaces its contents and
 * reuses its memory: use one result for many images.
 */
typedef struct uflow_result uflow_result;

/**
 * Segments the latents of one image after another, from any network. It needs no engine and no model.
 *
 * The caller owns a segmenter and frees it with `uflow_segmenter_free`; one thread at a time.
 */
typedef struct uflow_segmenter uflow_segmenter;

/**
 * A failure: its code, and a message that says what was wrong, where, and what to do. NULL is success, so
 * `if (status) { ... }` handles a failure.
 *
 * The caller owns a status and frees it with `uflow_status_free`. It never changes: any thread may read it.
 */
typedef struct uflow_status uflow_status;

/**
 * Passes frames through a model without waiting for each: their work overlaps, and they share batches with frames of the engine's
 * other streams. Each frame has exactly one result, and results come in the order in which frames were submitted.
 *
 * What the caller attaches to a frame (`uflow_frame`) comes back twice: when its pixels are released, and with its result. The
 * release comes first, often much earlier, and from another thread.
 *
 * With a result callback, a thread of the stream calls it, for one frame at a time. The callback may take long; that delays only this
 * stream. Without one, `uflow_stream_next` gives the results. The release callback must return at once. Callbacks must not throw or
 * `longjmp`. They may call any function, except where a function says otherwise. A frame that is alone in its batch has the same
 * numbers as with a detector, to the bit; in a batch, scores differ by at most 1e-5.
 *
 * The caller owns a stream and frees it with `uflow_stream_free`. Any thread may use it at any time.
 */
typedef struct uflow_stream uflow_stream;

/**
 * How a stream works. Options that are not set have their defaults.
 *
 * The caller owns them and frees them with `uflow_stream_options_free`; one thread at a time. A stream copies what it needs.
 */
typedef struct uflow_stream_options uflow_stream_options;

/**
 * A text from the library. The caller owns it and frees it with `uflow_text_free`; any thread may read it.
 */
typedef struct uflow_text uflow_text;

/**
 * Collects good frames and fits a model to them.
 *
 * The caller owns a trainer and frees it with `uflow_trainer_free`; one thread at a time. It has its own backbone, and keeps the features
 * of the frames, not the frames.
 */
typedef struct uflow_trainer uflow_trainer;

/**
 * An image in the caller's memory. It is lent during a call or, to a stream, until its release. Begin with `UFLOW_IMAGE_INIT`.
 */
typedef struct uflow_image {
  /**
   * sizeof(uflow_image).
   */
  size_t struct_size;
  /**
   * The first byte of the first row, or of the file.
   */
  const uint8_t *data;
  /**
   * The number of bytes: at least (rows − 1) × stride + the bytes of a row, where the rows of all planes count.
   */
  size_t size;
  /**
   * Bytes from the start of one row to the start of the next; 0: rows without gaps.
   */
  size_t stride;
  /**
   * Pixels per row, at least 1.
   */
  uint32_t width;
  /**
   * Rows, at least 1.
   */
  uint32_t height;
  /**
   * A `uflow_format`.
   */
  uint32_t format;
  /**
   * Significant bits of 16-bit samples, 1 to 16: 0 to 2^bits − 1 is black to white. 0: the number that the model's package records,
   * else 16. Formats of other samples, and those that say their bits themselves, ignore it.
   */
  uint32_t significant_bits;
} uflow_image;

/**
 * Memory of the caller's that a call writes maps to. A pointer that is NULL asks for nothing. Begin with `UFLOW_BUFFERS_INIT`.
 */
typedef struct uflow_buffers {
  /**
   * sizeof(uflow_buffers).
   */
  size_t struct_size;
  /**
   * Receives the mask: mask_height rows of mask_width bytes without gaps, 1 where log₁₀NFA < log₁₀ ε, else 0.
   */
  uint8_t *mask;
  /**
   * The number of bytes that `mask` has room for.
   */
  size_t mask_capacity;
  /**
   * The columns of the mask; must be the image's width. An encoded image is turned upright before, as its EXIF data says:
   * `uflow_image_get_info` gives its upright width and height.
   */
  uint32_t mask_width;
  /**
   * The rows of the mask; must be the image's height.
   */
  uint32_t mask_height;
  /**
   * Receives the score map: input_height × input_width numbers without gaps.
   */
  float *score_map;
  /**
   * The number of values that `score_map` has room for.
   */
  size_t score_map_capacity;
  /**
   * Receives the log₁₀NFA map: input_height × input_width numbers without gaps.
   */
  float *log10_nfa_map;
  /**
   * The number of values that `log10_nfa_map` has room for.
   */
  size_t log10_nfa_map_capacity;
  /**
   * The columns of both maps; must be the input_width of `uflow_model_info`, or the segmenter's width.
   */
  uint32_t map_width;
  /**
   * The rows of both maps; must be the input_height of `uflow_model_info`, or the segmenter's height.
   */
  uint32_t map_height;
} uflow_buffers;

/**
 * The options of an engine. Begin with `UFLOW_ENGINE_OPTIONS_INFO_INIT`.
 */
typedef struct uflow_engine_options_info {
  /**
   * sizeof(uflow_engine_options_info).
   */
  size_t struct_size;
  /**
   * The device, e.g. "cpu".
   */
  const char *device;
  /**
   * The precision, e.g. "fp32".
   */
  const char *precision;
  /**
   * ONNX Runtime's library or its folder; "" if not set.
   */
  const char *onnxruntime;
  /**
   * The longest time in milliseconds that a batch waits for more frames.
   */
  double max_delay_ms;
  /**
   * The most pixels of an image.
   */
  uint64_t max_pixels;
  /**
   * The most bytes of an encoded image, and of the memory for decoding it.
   */
  uint64_t max_bytes;
  /**
   * The most bytes of the asynchronous frames inside the engine.
   */
  uint64_t max_frame_bytes;
  /**
   * The most bytes that the worker threads need in addition.
   */
  uint64_t max_work_bytes;
  /**
   * Threads of each network; 0: one pool for all networks.
   */
  uint32_t threads;
  /**
   * Worker threads for asynchronous frames.
   */
  uint32_t workers;
  /**
   * The most asynchronous frames in a batch.
   */
  uint32_t max_batch;
  /**
   * The most asynchronous frames inside the engine.
   */
  uint32_t max_in_flight;
  /**
   * The file of trusted keys; "" if packages need no signature.
   */
  const char *trusted_keys;
} uflow_engine_options_info;

/**
 * The options of a fit. Begin with `UFLOW_FIT_OPTIONS_INFO_INIT`.
 */
typedef struct uflow_fit_options_info {
  /**
   * sizeof(uflow_fit_options_info).
   */
  size_t struct_size;
  /**
   * The product's name.
   */
  const char *name;
  /**
   * The backbone's file or name; "" for the default.
   */
  const char *backbone;
  /**
   * Columns of the network's input; 0: in the shape of the first frame (uflow_fit_options_set_input_size).
   */
  uint32_t input_width;
  /**
   * Rows of the network's input; 0: in the shape of the first frame.
   */
  uint32_t input_height;
  /**
   * A `uflow_augmentation`.
   */
  uint32_t augmentation;
  /**
   * The most passes over the images.
   */
  uint32_t epochs;
  /**
   * Training stops after this many passes in which the likelihood of the held-out images hardly rises.
   */
  uint32_t patience;
  /**
   * Images of one optimiser step.
   */
  uint32_t batch;
  /**
   * Adam's learning rate.
   */
  double learning_rate;
  /**
   * Adam's weight decay.
   */
  double weight_decay;
  /**
   * The noise on the features, in standard deviations of each channel.
   */
  double noise;
  /**
   * The seed of everything random.
   */
  uint64_t seed;
  /**
   * Bytes of features that are kept in memory.
   */
  uint64_t memory;
  /**
   * The steps of each stage of the flow.
   */
  uint32_t steps;
  /**
   * The package's verdict, a `uflow_verdict`.
   */
  uint32_t verdict;
  /**
   * The package's ε.
   */
  double epsilon;
  /**
   * The package's score threshold; NaN if not set.
   */
  float score_threshold;
  /**
   * The package's smallest region that counts, in pixels of the image.
   */
  uint32_t min_area;
  /**
   * The package's bound, a `uflow_bound`.
   */
  uint32_t bound;
  /**
   * The package's count of tests, a `uflow_tests`.
   */
  uint32_t tests;
  /**
   * 1 if the package gets a region of interest, else 0.
   */
  uint32_t has_roi;
  /**
   * The significant bits of 16-bit samples; 0: all 16.
   */
  uint32_t significant_bits;
  /**
   * The value of floating-point samples that is black; NaN if no range is set.
   */
  float float_low;
  /**
   * The value of floating-point samples that is white; NaN if no range is set.
   */
  float float_high;
  /**
   * 1 if the null is cross-fitted, else 0.
   */
  uint32_t cross_fit;
  /**
   * The most good images that the package keeps as golden frames.
   */
  uint32_t golden;
  /**
   * The package's reject rate; NaN if its verdict is another.
   */
  double reject_rate;
  /**
   * The most seconds that training takes, all flows together; infinity without a limit.
   */
  double time_budget;
  /**
   * 1 if frames are cut into tiles (uflow_fit_options_set_tiles), else 0.
   */
  uint32_t tiles;
  /**
   * Columns that frames are brought to before they are cut; 0: those of the first frame.
   */
  uint32_t tiles_width;
  /**
   * Rows that frames are brought to before they are cut; 0: those of the first frame.
   */
  uint32_t tiles_height;
  /**
   * The least pixels that neighbouring tiles share.
   */
  uint32_t tile_overlap;
} uflow_fit_options_info;

/**
 * What is known of an image without decoding it. Begin with `UFLOW_IMAGE_INFO_INIT`.
 */
typedef struct uflow_image_info {
  /**
   * sizeof(uflow_image_info).
   */
  size_t struct_size;
  /**
   * Columns of the upright image: the width of its mask.
   */
  uint32_t width;
  /**
   * Rows of the upright image: the height of its mask.
   */
  uint32_t height;
  /**
   * The `uflow_format` of the decoded image.
   */
  uint32_t format;
  /**
   * Bits per sample: of the file, or of the format of raw pixels.
   */
  uint32_t bits;
  /**
   * 1 if the samples are floating-point numbers, which only a package with a range for them
   * can read (`uflow_fit_options_set_float_range`); else 0.
   */
  uint32_t is_float;
  /**
   * Pages or frames in the file; a file with more than one is refused.
   */
  uint32_t pages;
  /**
   * The EXIF orientation, 1 to 8. From 5 on, width and height of the file are exchanged. 1 for raw pixels.
   */
  uint32_t orientation;
  /**
   * 0.
   */
  uint32_t reserved;
} uflow_image_info;

/**
 * Receives a line of the log: `user_data` as it was set, a `uflow_log_level`, the module that the line comes from, and the message. Both
 * texts are UTF-8, end with 0, and are valid during the call.
 */
typedef void (*uflow_log_callback)(void *user_data,
                                   uint32_t level,
                                   const char *target,
                                   const char *message);

/**
 * The description of a model, from its package. Begin with `UFLOW_MODEL_INFO_INIT`.
 */
typedef struct uflow_model_info {
  /**
   * sizeof(uflow_model_info).
   */
  size_t struct_size;
  /**
   * The version in its repository; 1 for a model that was loaded from a path.
   */
  uint32_t version;
  /**
   * Columns of score and log₁₀NFA maps, and of the network's input unless the model cuts frames into tiles.
   */
  uint32_t input_width;
  /**
   * Rows of score and log₁₀NFA maps, and of the network's input unless the model cuts frames into tiles.
   */
  uint32_t input_height;
  /**
   * The number of scales.
   */
  uint32_t scales;
  /**
   * The default ε: the number of false alarms expected per image.
   */
  double epsilon;
  /**
   * The default verdict, a `uflow_verdict`.
   */
  uint32_t verdict;
  /**
   * The default smallest region that counts, in pixels of the image.
   */
  uint32_t min_area;
  /**
   * The fair threshold of `score_max` (paper, §4.1.1), from the good training images; NaN if the package has none.
   */
  float fair_threshold;
  /**
   * The default threshold of `score_max`, for verdicts that use it; NaN if the package has none: the fair one is used.
   */
  float score_threshold;
  /**
   * The default bound, a `uflow_bound`.
   */
  uint32_t bound;
  /**
   * The default count of tests, a `uflow_tests`.
   */
  uint32_t tests;
  /**
   * 1 if the package has a region of interest, else 0.
   */
  uint32_t has_roi;
  /**
   * The number of good images that the null hypothesis was calibrated on; 0: the package is not calibrated, and
   * `UFLOW_TESTS_SIZED` is not possible.
   */
  uint32_t calibration_images;
  /**
   * The device that the networks run on, e.g. "cpu". This and the texts below are valid until the model is freed.
   */
  const char *device;
  /**
   * The SHA-256 of the flow, in hexadecimal.
   */
  const char *flow_sha256;
  /**
   * The name of the backbone.
   */
  const char *backbone;
  /**
   * The SHA-256 of the backbone, in hexadecimal. Models of one engine with the same backbone share it in memory.
   */
  const char *backbone_sha256;
  /**
   * The default reject rate; NaN if the package's verdict is another.
   */
  double reject_rate;
  /**
   * The number of good images that reject rates and p-values stand on; 0: the package knows none.
   */
  uint32_t good_images;
  /**
   * 1 if the threshold at the default reject rate is extrapolated, because the good images are too few for it.
   */
  uint32_t reject_extrapolated;
  /**
   * How the package decides by default, in words; one sentence per line.
   */
  const char *decision;
} uflow_model_info;

/**
 * The options that are set. Begin with `UFLOW_OPTIONS_INFO_INIT`.
 */
typedef struct uflow_options_info {
  /**
   * sizeof(uflow_options_info).
   */
  size_t struct_size;
  /**
   * ε; NaN if not set.
   */
  double epsilon;
  /**
   * The threshold of `score_max`; NaN if not set.
   */
  float score_threshold;
  /**
   * A `uflow_verdict`; 0 if not set.
   */
  uint32_t verdict;
  /**
   * A `uflow_bound`; 0 if not set.
   */
  uint32_t bound;
  /**
   * A `uflow_tests`; 0 if not set.
   */
  uint32_t tests;
  /**
   * 1 if `min_area` is set, else 0.
   */
  uint32_t has_min_area;
  /**
   * The smallest region that counts, in pixels of the image.
   */
  uint32_t min_area;
  /**
   * A sum of `uflow_maps`.
   */
  uint32_t maps;
  /**
   * A `uflow_priority`.
   */
  uint32_t priority;
  /**
   * The time limit in milliseconds; 0 if not set.
   */
  uint32_t time_limit_ms;
  /**
   * A `uflow_roi`.
   */
  uint32_t roi;
  /**
   * The reject rate; NaN if not set.
   */
  double reject_rate;
} uflow_options_info;

/**
 * The verdict and the figures of a result. Begin with `UFLOW_SUMMARY_INIT`.
 */
typedef struct uflow_summary {
  /**
   * sizeof(uflow_summary).
   */
  size_t struct_size;
  /**
   * 1 if the image is anomalous, else 0.
   */
  uint32_t anomalous;
  /**
   * The image score: −log₁₀NFA of the most unusual region. Higher is more anomalous, without an upper limit.
   */
  float score;
  /**
   * The lowest log₁₀NFA of the image. If it is below log₁₀ ε (with `UFLOW_VERDICT_REJECT`: if the image is anomalous), the mask
   * has at least one pixel, whatever the size of the image.
   */
  float log10_nfa_min;
  /**
   * The number of regions.
   */
  uint32_t regions;
  /**
   * Columns of the image that coordinates refer to.
   */
  uint32_t width;
  /**
   * Rows of the image that coordinates refer to.
   */
  uint32_t height;
  /**
   * Milliseconds for decoding; 0 for raw images.
   */
  double decode_ms;
  /**
   * Milliseconds of waiting for a processor and for the network; 0 except for frames of a stream.
   */
  double queue_ms;
  /**
   * Milliseconds for resizing and normalisation.
   */
  double preprocess_ms;
  /**
   * Milliseconds for backbone and flow, of the whole batch.
   */
  double network_ms;
  /**
   * Milliseconds for maps, mask and regions.
   */
  double segmentation_ms;
  /**
   * The number of images that went through the network together, this one included.
   */
  uint32_t batch_size;
  /**
   * The number of scales whose latents the result has; 0 unless `UFLOW_MAPS_LATENTS` asked for them.
   */
  uint32_t latents;
  /**
   * The share of good images that are at least as unusual, above 0 and at most 1; NaN if the package knows no good images that
   * were measured with these options. With `UFLOW_VERDICT_REJECT` an image is anomalous exactly if this is at most the reject
   * rate, unless every region is smaller than the smallest area.
   */
  double p_value;
  /**
   * 1 if `p_value` is smaller than the package's good images can tell, below 1/(n + 1) for n images; it is then extrapolated.
   */
  uint32_t p_extrapolated;
  /**
   * The paper's image score: the maximum of the score map, in [0, 1]. Score thresholds apply to it.
   */
  float score_max;
} uflow_summary;

/**
 * One region, in pixels of the image. Begin with `UFLOW_REGION_INIT`.
 */
typedef struct uflow_region {
  /**
   * sizeof(uflow_region).
   */
  size_t struct_size;
  /**
   * Left column of its bounding box.
   */
  uint32_t x;
  /**
   * Top row of its bounding box.
   */
  uint32_t y;
  /**
   * Columns of its bounding box.
   */
  uint32_t width;
  /**
   * Rows of its bounding box.
   */
  uint32_t height;
  /**
   * The number of its pixels.
   */
  uint32_t area;
  /**
   * The scale (0 is the finest) with the strongest evidence at the lowest log₁₀NFA.
   */
  uint32_t scale;
  /**
   * Centroid: the mean column of its pixels' centres.
   */
  double centroid_x;
  /**
   * Centroid: the mean row of its pixels' centres.
   */
  double centroid_y;
  /**
   * Its lowest log₁₀NFA.
   */
  float log10_nfa_min;
  /**
   * Its highest anomaly score.
   */
  float score_max;
  /**
   * The number of rings of its outline: the outer one, then one for each hole.
   */
  uint32_t rings;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The share of good images that have a region at least as unusual; NaN where the summary's is.
   */
  double p_value;
} uflow_region;

/**
 * A corner of an outline, in pixels of the image. Corners lie between pixels: x goes from 0 to the width, y from 0 to the height.
 */
typedef struct uflow_point {
  /**
   * Columns from the left edge.
   */
  uint32_t x;
  /**
   * Rows from the top edge.
   */
  uint32_t y;
} uflow_point;

/**
 * The latents z of one scale, in the caller's memory. Begin with `UFLOW_LATENTS_INIT`.
 */
typedef struct uflow_latents {
  /**
   * sizeof(uflow_latents).
   */
  size_t struct_size;
  /**
   * channels × height × width numbers without gaps, channel by channel.
   */
  const float *data;
  /**
   * The number of values that `data` points to.
   */
  size_t size;
  /**
   * Channels C.
   */
  uint32_t channels;
  /**
   * Rows H.
   */
  uint32_t height;
  /**
   * Columns W.
   */
  uint32_t width;
  /**
   * 0.
   */
  uint32_t reserved;
} uflow_latents;

/**
 * What the caller attaches to a frame. It comes back unchanged with the frame's release and with its result. Begin with
 * `UFLOW_FRAME_INIT`.
 *
 * Identify a part by `id` or `timestamp`, which travel with the frame. Do not read the part's number through `buffer` when the
 * result comes: the buffer was released earlier, and may hold a later frame by then.
 */
typedef struct uflow_frame {
  /**
   * sizeof(uflow_frame).
   */
  size_t struct_size;
  /**
   * A number of the caller's, e.g. of the part or of its place on the conveyor.
   */
  uint64_t id;
  /**
   * A time of the caller's, in any unit, e.g. the encoder's count at the trigger.
   */
  uint64_t timestamp;
  /**
   * A pointer of the caller's, e.g. to the camera's buffer. The library does not read what it points to.
   */
  void *buffer;
} uflow_frame;

/**
 * Called with a frame's result: `user_data` as it was set, and what the caller attached to the frame. On success `status` is NULL and
 * `result` has the detection; on failure `status` says why and `result` is NULL. All belong to the stream and are valid during the
 * call; `uflow_result_copy` keeps a result.
 */
typedef void (*uflow_result_callback)(void *user_data,
                                      const struct uflow_frame *frame,
                                      const struct uflow_status *status,
                                      const struct uflow_result *result);

/**
 * Called when a frame's pixels are not read any more: `user_data` as it was set, and what the caller attached to the frame.
 * `frame` is valid during the call.
 */
typedef void (*uflow_release_callback)(void *user_data, const struct uflow_frame *frame);

/**
 * The options of a stream. Begin with `UFLOW_STREAM_OPTIONS_INFO_INIT`.
 */
typedef struct uflow_stream_options_info {
  /**
   * sizeof(uflow_stream_options_info).
   */
  size_t struct_size;
  /**
   * The maximum number of frames in the stream.
   */
  uint32_t capacity;
  /**
   * The time limit of each frame in milliseconds; 0: none.
   */
  uint32_t time_limit_ms;
  /**
   * Receives the results; NULL: `uflow_stream_next` gives them.
   */
  uflow_result_callback result_callback;
  /**
   * The result callback's `user_data`.
   */
  void *result_user_data;
  /**
   * Called when a frame is released, or NULL.
   */
  uflow_release_callback release_callback;
  /**
   * The release callback's `user_data`.
   */
  void *release_user_data;
} uflow_stream_options_info;

/**
 * The progress of training.
 */
typedef struct uflow_progress {
  /**
   * sizeof(uflow_progress) in the library; a caller with an older header reads the fields it knows.
   */
  size_t struct_size;
  /**
   * Epoch, from 1; 0 before the first.
   */
  uint32_t epoch;
  /**
   * The most epochs.
   */
  uint32_t epochs;
  /**
   * Optimiser steps done in this epoch.
   */
  uint32_t batch;
  /**
   * Optimiser steps of an epoch.
   */
  uint32_t batches;
  /**
   * Mean training loss of this epoch so far, in nats per feature value; NaN before the first.
   */
  double loss;
  /**
   * Adam's learning rate in the last step.
   */
  double learning_rate;
  /**
   * Seconds since training began.
   */
  double seconds;
  /**
   * After each epoch, and before the first: the negative log-likelihood of the held-out images, in nats per value. NaN within an epoch.
   */
  double held_out_nll;
  /**
   * At the same times: the mean of z² on the held-out images, of the scale where it is farthest from 1. White latents have 1. NaN
   * within an epoch.
   */
  double latent_variance;
  /**
   * The number of the flow that is being trained: 0 is the model's own, later ones calibrate its null (cross-fitting).
   */
  uint32_t fold;
  /**
   * The number of flows; 1 without cross-fitting.
   */
  uint32_t folds;
} uflow_progress;

/**
 * Called before the first epoch, and after every optimiser step and every epoch, with `user_data` as it was given and the progress.
 * Returns a `uflow_control`. The thread that called `uflow_trainer_fit` calls it. It must not throw or `longjmp`.
 */
typedef uint32_t (*uflow_progress_callback)(void *user_data, const struct uflow_progress *progress);

/**
 * The outcome of training. Begin with `UFLOW_TRAINING_INIT`.
 */
typedef struct uflow_training {
  /**
   * sizeof(uflow_training).
   */
  size_t struct_size;
  /**
   * The number of images that the flow was trained on.
   */
  uint32_t images;
  /**
   * The number of images that were held out to monitor training.
   */
  uint32_t held_out;
  /**
   * The number of epochs that were started.
   */
  uint32_t epochs;
  /**
   * The epoch whose model was written; 0: the model before training.
   */
  uint32_t best_epoch;
  /**
   * A `uflow_stop_reason`.
   */
  uint32_t stop_reason;
  /**
   * The fair threshold of `score_max` (paper, §4.1.1).
   */
  float fair_threshold;
  /**
   * Negative log-likelihood of the held-out images, in nats per value.
   */
  double held_out_nll;
  /**
   * The mean of z² on the held-out images, of the scale where it is farthest from 1. Outside 0.8 to 1.25 the model's numbers of false
   * alarms are not reliable.
   */
  double latent_variance;
  /**
   * The duration in seconds.
   */
  double seconds;
  /**
   * The number of good images that the model's null was calibrated on; 0 if it is not calibrated.
   */
  uint32_t null_images;
  /**
   * The planned number: more than `null_images` if cross-fitting was stopped or failed.
   */
  uint32_t null_images_planned;
} uflow_training;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a detector. The caller owns `*detector` and frees it with `uflow_detector_free`; `model` may be freed earlier.
 *
 * `model` is NULL (an error) or a model that was not freed; `detector` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_new(const struct uflow_model *model,
                                        struct uflow_detector **detector);

/**
 * Frees a detector. NULL is allowed.
 *
 * `detector` is NULL or a detector that was not freed and that no other thread is using.
 */
void uflow_detector_free(struct uflow_detector *detector);

/**
 * Finds defects in an image and fills `result`. `options` may be NULL for the package's defaults. The image is read only during the
 * call.
 *
 * Fails with `UFLOW_STATUS_INVALID_IMAGE`, `UFLOW_STATUS_UNDECODABLE` or `UFLOW_STATUS_OVER_LIMIT` for an invalid image,
 * `UFLOW_STATUS_INVALID_ARGUMENT` for options that do not fit the model, `UFLOW_STATUS_NETWORK` or `UFLOW_STATUS_NON_FINITE` if a network
 * fails. On failure `result` does not change.
 *
 * `detector`, `image` and `result` are NULL (an error) or valid; the bytes that `image` points to are there and do not change
 * during the call.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_detect(struct uflow_detector *detector,
                                           const struct uflow_image *image,
                                           const struct uflow_options *options,
                                           struct uflow_result *result);

/**
 * As `uflow_detector_detect`, and also writes maps to the caller's `buffers` (may be NULL). For raw images of one size and one region
 * of interest, after the first images, this allocates no memory apart from ONNX Runtime's own run.
 * `UFLOW_STATUS_BUFFER_TOO_SMALL` for a buffer that is too small, before the network runs.
 *
 * As `uflow_detector_detect`; `buffers` is NULL or has as much room as it says, which nobody else reads or writes during the call.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_detect_into(struct uflow_detector *detector,
                                                const struct uflow_image *image,
                                                const struct uflow_options *options,
                                                const struct uflow_buffers *buffers,
                                                struct uflow_result *result);

/**
 * Finds defects in `count` images (1 to 1024) that go through the network together, and fills as many results. `images` is an array of
 * structs, `results` an array of handles, all different. `score_max` differs from that of single images by at most 1e-5. If an image or
 * a network fails, the call fails as `uflow_detector_detect` does, and no result changes. Messages name the element, e.g.
 * `images[3]`.
 *
 * `detector` is NULL (an error) or a detector that was not freed; `images` is NULL (an error) or an array of `count` structs of
 * one size, whose bytes are there and are not changed during the call; `results` is NULL (an error) or an array of `count`
 * pointers, each NULL (an error) or a result that was not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_detect_batch(struct uflow_detector *detector,
                                                 const struct uflow_image *images,
                                                 size_t count,
                                                 const struct uflow_options *options,
                                                 struct uflow_result *const *results);

/**
 * Gives the score and the verdict of an image, without regions. Either pointer may be NULL. Otherwise as `uflow_detector_detect`.
 *
 * As `uflow_detector_detect`; `score` and `anomalous` are NULL or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_score(struct uflow_detector *detector,
                                          const struct uflow_image *image,
                                          const struct uflow_options *options,
                                          float *score,
                                          uint32_t *anomalous);

/**
 * Starts an engine. `options` may be NULL for the defaults. The caller owns `*engine` and frees it with `uflow_engine_free`.
 *
 * Fails with `UFLOW_STATUS_LIBRARY` if ONNX Runtime is not found (the message lists every place that was searched) or if the process
 * already uses another copy of it, with `UFLOW_STATUS_DEVICE` for a precision that the device does not have, with
 * `UFLOW_STATUS_UNAVAILABLE` after `uflow_shutdown`, with `UFLOW_STATUS_DATA` or `UFLOW_STATUS_IO` for a file of trusted keys that is wrong or cannot
 * be read.
 *
 * The first call sets the environment variable `ORT_DISABLE_TELEMETRY` to 1 unless it is set: ONNX Runtime would otherwise collect
 * events for its makers. If another thread may call `getenv` at that moment, set the variable earlier.
 *
 * `options` is NULL or options that were not freed; `engine` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_new(const struct uflow_engine_options *options,
                                      struct uflow_engine **engine);

/**
 * Frees an engine. NULL is allowed. Its models, detectors and streams may be freed earlier or later.
 *
 * `engine` is NULL or an engine that was not freed and that no other thread is using.
 */
void uflow_engine_free(struct uflow_engine *engine);

/**
 * Ends ONNX Runtime and its thread pool, which otherwise sleep until the process ends: for a program that continues without this
 * library, or unloads it.
 *
 * This is final: ONNX Runtime can start only once in a process. Every later `uflow_engine_new` fails with
 * `UFLOW_STATUS_UNAVAILABLE`, also if no engine was made before. Another `uflow_shutdown` succeeds. What needs no engine still
 * works: options, results, segmenters, statuses.
 *
 * Fails with `UFLOW_STATUS_BUSY` while an engine, model, detector, trainer or stream exists. Any thread may call this at any time.
 */
UFLOW_MUST_USE struct uflow_status *uflow_shutdown(void);

/**
 * Loads a model package, a folder or a `.uflow` file (`path`, UTF-8), and warms it up. It shares a backbone that another model of this
 * engine already has. The caller owns `*model` and frees it with `uflow_model_free`.
 *
 * Fails with `UFLOW_STATUS_PACKAGE` if the package is missing, damaged, or not signed by a trusted key where the engine has some
 * (`uflow_engine_options_set_trusted_keys`), `UFLOW_STATUS_NETWORK` if the networks do not match it,
 * `UFLOW_STATUS_DEVICE` if the device is missing, `UFLOW_STATUS_IO` if a file cannot be read.
 *
 * `engine` is NULL (an error) or an engine that was not freed; `path` is NULL (an error) or a text that ends with 0; `model` is
 * NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_load(const struct uflow_engine *engine,
                                       const char *path,
                                       struct uflow_model **model);

/**
 * Loads a model from a repository, `<root>/<name>/<version>/uflow.json`, as `uflow serve` uses it. Version 0 stands for the highest.
 * Otherwise as `uflow_engine_load`; `UFLOW_STATUS_NOT_FOUND` if there is no such model or version, `UFLOW_STATUS_DATA` if `root` is
 * not a repository.
 *
 * `engine` is NULL (an error) or an engine that was not freed; `root` and `name` are NULL (an error) or texts that end with 0;
 * `model` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_load_version(const struct uflow_engine *engine,
                                               const char *root,
                                               const char *name,
                                               uint32_t version,
                                               struct uflow_model **model);

/**
 * Gives the engine's metrics in Prometheus' text format. The caller owns `*text` and frees it with `uflow_text_free`.
 *
 * `engine` is NULL (an error) or an engine that was not freed; `text` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_metrics(const struct uflow_engine *engine,
                                          struct uflow_text **text);

/**
 * Makes options with the defaults. The caller owns `*options` and frees it with `uflow_engine_options_free`.
 *
 * `options` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_new(struct uflow_engine_options **options);

/**
 * Frees options. NULL is allowed.
 *
 * `options` is NULL or options that were not freed.
 */
void uflow_engine_options_free(struct uflow_engine_options *options);

/**
 * Resets all options to their defaults.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_reset(struct uflow_engine_options *options);

/**
 * Writes the options to `*info`. Its texts are valid until the options are freed or this function is called again with them.
 *
 * `options` is NULL (an error) or options that were not freed; `info` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_get_info(const struct uflow_engine_options *options,
                                                   struct uflow_engine_options_info *info);

/**
 * Sets where the networks run: "cpu" (the default), "openvino", "cuda", "cuda:N", "tensorrt" or "tensorrt:N"; N is the GPU's number.
 * A missing device is an error when a model is loaded; nothing falls back to the CPU.
 *
 * `options` is NULL (an error) or options that were not freed; `device` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_device(struct uflow_engine_options *options,
                                                     const char *device);

/**
 * Sets the precision of the networks: "fp32" (the default) on every device, "bf16" on openvino, "bf16" and "fp16" on tensorrt. A
 * precision that the device does not have is an error when an engine is made.
 *
 * `options` is NULL (an error) or options that were not freed; `precision` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_precision(struct uflow_engine_options *options,
                                                        const char *precision);

/**
 * Sets ONNX Runtime's shared library, or the folder that contains it (UTF-8). Without this option, the environment variable
 * `UFLOW_ONNXRUNTIME` names it. Without both, these places are searched in this order: the folder of libuflow (of the program,
 * if libuflow is linked statically); `uflow/` in that folder, i.e. `lib/uflow/` of an installation; `../lib/uflow` and `../lib` of that
 * folder; the `lib/uflow` that this library was installed with; the system's library path. A process can use only one library.
 *
 * `options` is NULL (an error) or options that were not freed; `path` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_onnxruntime(struct uflow_engine_options *options,
                                                          const char *path);

/**
 * Sets the keys that packages must be signed by: a PEM file (`path`, UTF-8) of one or more ed25519 public keys, as `uflow package keygen` and
 * `openssl pkey -pubout` write them. Then `uflow_engine_load` and `uflow_engine_load_version` fail with `UFLOW_STATUS_PACKAGE` for a package that is
 * not signed, that another key signed, or that was changed since. "" accepts every package (the default). `uflow_engine_new` reads the file, and fails
 * with `UFLOW_STATUS_DATA` if it is not such a file and with `UFLOW_STATUS_IO` if it cannot be read.
 *
 * `options` is NULL (an error) or options that were not freed; `path` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_trusted_keys(struct uflow_engine_options *options,
                                                           const char *path);

/**
 * Sets the threads of the networks. 0 (the default): all networks of all engines share one pool, as large as the CPU quota of this
 * process. 1 to 1024: each network has its own pool of so many threads.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_threads(struct uflow_engine_options *options,
                                                      uint32_t threads);

/**
 * Sets the number of worker threads that decode, resize and segment asynchronous frames, 1 to 1024. The default is the CPU quota of
 * this process.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_workers(struct uflow_engine_options *options,
                                                      uint32_t workers);

/**
 * Sets the maximum number of asynchronous frames in a batch (1 to 1024, default 8), and the longest time in milliseconds that a batch
 * waits for frames that are being prepared (default 2). Give streams a capacity of two batches, so that one is prepared while the
 * other runs.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_batching(struct uflow_engine_options *options,
                                                       uint32_t max_batch,
                                                       double max_delay_ms);

/**
 * Sets the maximum number of asynchronous frames inside the engine, 1 to 1048576 (default 64). The capacities of all its streams
 * together cannot exceed it.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_max_in_flight(struct uflow_engine_options *options,
                                                            uint32_t max_in_flight);

/**
 * Sets how large an image may be: the maximum number of pixels (default 268,435,456) and, for encoded images, the maximum number of
 * bytes (default 512 MiB) of the file, and of the memory that decoding it holds at once. Both must be at least 1. Larger images fail
 * with `UFLOW_STATUS_OVER_LIMIT`.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_limits(struct uflow_engine_options *options,
                                                     uint64_t max_pixels,
                                                     uint64_t max_bytes);

/**
 * Sets how many bytes the engine holds for asynchronous frames (default 1 GiB each, 1 MiB to 1 PiB): `max_frame_bytes` for the frames inside,
 * i.e. pixels or files, regions of interest and tensors; `max_work_bytes` in addition for the work of all worker threads together. A
 * frame that does not fit beside those inside has `UFLOW_STATUS_OVERLOADED` as its result, one that never fits `UFLOW_STATUS_OVER_LIMIT`.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_memory(struct uflow_engine_options *options,
                                                     uint64_t max_frame_bytes,
                                                     uint64_t max_work_bytes);

/**
 * Makes options with the defaults, for a product of this name: 1 to 128 bytes of UTF-8 without slashes, backslashes and control
 * characters, not beginning with a dot. The caller owns `*options` and frees it with `uflow_fit_options_free`.
 *
 * `name` is NULL (an error) or a text that ends with 0; `options` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_new(const char *name,
                                           struct uflow_fit_options **options);

/**
 * Frees options. NULL is allowed.
 *
 * `options` is NULL or options that were not freed.
 */
void uflow_fit_options_free(struct uflow_fit_options *options);

/**
 * Resets all options except the name to their defaults.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_reset(struct uflow_fit_options *options);

/**
 * Writes the options to `*info`. Its texts are valid until the options are freed or this function is called again with them.
 *
 * `options` is NULL (an error) or options that were not freed; `info` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_get_info(const struct uflow_fit_options *options,
                                                struct uflow_fit_options_info *info);

/**
 * Sets the backbone: an ONNX file with U-Flow's metadata, or a name that `uflow backbone list` shows (`path`, UTF-8). A name is looked for in
 * the folder `UFLOW_BACKBONES`, or else the user's data folder, and then in `../share/uflow/backbones` beside this library. Default:
 * `efficientnet-lite0-pyramid`, which `make install` puts there; its weights are under Apache-2.0. No backbone is part of this library: if it is not found,
 * `uflow_trainer_new` fails with `UFLOW_STATUS_NOT_FOUND` and says where it looked. `uflow backbone list` has the terms of the others' weights.
 *
 * `options` is NULL (an error) or options that were not freed; `path` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_backbone(struct uflow_fit_options *options,
                                                    const char *path);

/**
 * Sets the size of the network's input in pixels. Default: as many pixels as the backbone recommends, in the shape of the first frame that is added.
 * Each at least 1; at most 4096 × 4096 pixels in all.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_input_size(struct uflow_fit_options *options,
                                                      uint32_t width,
                                                      uint32_t height);

/**
 * Cuts frames that are larger than the network's input into overlapping tiles, so that small defects of large frames are found. Frames are first
 * brought to `width` × `height` pixels, which must be multiples of the stride of the backbone's coarsest feature map; 0 and 0: the size of the
 * first frame that is added, to the nearest such multiples. Neighbouring tiles share at least `overlap` pixels, at most half of a tile; 128 is
 * usual. Each tile costs a run of the network. Not set: whole frames are resized to the network's input.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_tiles(struct uflow_fit_options *options,
                                                 uint32_t width,
                                                 uint32_t height,
                                                 uint32_t overlap);

/**
 * Sets how good images are augmented, a `uflow_augmentation` (default `UFLOW_AUGMENTATION_NONE`).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_augmentation(struct uflow_fit_options *options,
                                                        uint32_t augmentation);

/**
 * Sets how many good images the package keeps at most as golden frames, 0 to 16 (default 3), with what it finds in them: `uflow_model_verify` and
 * `uflow verify` compare another machine with that. Each is a PNG no larger than frames are brought to.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_golden(struct uflow_fit_options *options,
                                                  uint32_t frames);

/**
 * Sets the most passes over the images (default 200). Training stops earlier after `patience` passes (default 4) in which the
 * likelihood of the held-out images hardly rises, and where its time is over (`uflow_fit_options_set_time_budget`). Both must be at least 1.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_epochs(struct uflow_fit_options *options,
                                                  uint32_t epochs,
                                                  uint32_t patience);

/**
 * Sets the most seconds that training takes, all flows of one fit together (default 120): above 0; infinity for no limit. Training that this time ends
 * keeps the best model so far. Such a model depends on the machine's speed and is not repeatable to the bit.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_time_budget(struct uflow_fit_options *options,
                                                       double seconds);

/**
 * Sets the number of images of one optimiser step (at least 1, default 8), Adam's learning rate (above 0, at most 1,
 * default 0.001) and its weight decay (0 to 1, default 0.00001).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_optimizer(struct uflow_fit_options *options,
                                                     uint32_t batch,
                                                     double learning_rate,
                                                     double weight_decay);

/**
 * Sets the steps of each scale's flow, 0 to 64 (default 4, the paper's). 0 makes the model a Gaussian of the features of each scale.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_steps(struct uflow_fit_options *options,
                                                 uint32_t steps);

/**
 * Sets the noise on the features of the finest scale in training, in standard deviations of each channel, 0 to 1 (default 0.05). With a
 * separate flow for each scale it doubles with each coarser scale, up to 0.5.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_noise(struct uflow_fit_options *options,
                                                 double noise);

/**
 * Sets the seed of everything random (default 0). The same frames and seed give the same model on the same kind of CPU.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_seed(struct uflow_fit_options *options,
                                                uint64_t seed);

/**
 * Sets how many bytes of features are kept in memory (default 2 GiB). The rest goes to a temporary file in the system's folder for such
 * files (`TMPDIR`), which is deleted when the trainer is freed.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_memory(struct uflow_fit_options *options,
                                                  uint64_t bytes);

/**
 * Sets the package's defaults for detection, from the reject rate, ε, verdict, score threshold, smallest area, bound and count of tests that are set in
 * `detection`. Its region of interest is stored in the package, and the fair threshold is computed only inside it.
 *
 * `options` and `detection` are NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_detection(struct uflow_fit_options *options,
                                                     const struct uflow_options *detection);

/**
 * Sets the significant bits of 16-bit samples, 1 to 16, of the camera that the model is for: 0 to 2^bits − 1 is black to white. The package
 * records the number, and images without their own use it. 0 (the default): all 16.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_significant_bits(struct uflow_fit_options *options,
                                                            uint32_t bits);

/**
 * Sets the values of floating-point samples (TIFF files) that are black and white; values outside are clipped. The package records
 * them, and a detector reads such files with them. Without a range (the default), files with floating-point samples are refused.
 *
 * Fails with `UFLOW_STATUS_INVALID_ARGUMENT` unless both are finite and `low` is below `high`.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_float_range(struct uflow_fit_options *options,
                                                       float low,
                                                       float high);

/**
 * Sets whether the null is calibrated by cross-fitting: 1 is yes, 0 (the default) is no. A quarter of the images is then held out from
 * training, and three more flows are fitted, each with another quarter held out, so that the null stands on all images. That takes
 * about four times as long. Without cross-fitting the null stands on the images that the model's own training held out; only a package
 * that counts tests by size fits more flows, if those images are fewer than 100.
 *
 * Fails with `UFLOW_STATUS_INVALID_ARGUMENT` for another number.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_cross_fit(struct uflow_fit_options *options,
                                                     uint32_t cross_fit);

/**
 * Writes to `*info` what is known of an image before it is decoded. An encoded image is turned upright as its EXIF data says: this gives
 * the size of its mask, which may be the file's width and height, exchanged. Only the header is read; any thread may call this at
 * any time.
 *
 * Fails with `UFLOW_STATUS_UNDECODABLE` or `UFLOW_STATUS_INVALID_IMAGE` for an invalid image.
 *
 * `image` is NULL (an error) or valid, and the bytes that it points to are there and do not change during the call; `info` is NULL (an
 * error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_image_get_info(const struct uflow_image *image,
                                          struct uflow_image_info *info);

/**
 * Sets the function that receives the log, for the whole process: lines of `level` (a `uflow_log_level`) and of more severe levels. The
 * log is off at first. To turn it off again, give NULL as the callback with `UFLOW_LOG_LEVEL_OFF`; NULL with another level, or a callback
 * with `UFLOW_LOG_LEVEL_OFF`, is an error. When this function returns, the callback that was set before is not running and is
 * not called again. The library itself never prints anything.
 *
 * Any thread of the library may call the callback, several at once. It must not throw, `longjmp`, or call this library. Any thread
 * may call this function at any time, but not from within the callback.
 *
 * Fails with `UFLOW_STATUS_INVALID_ARGUMENT` for an invalid level, and with `UFLOW_STATUS_UNAVAILABLE` in a Rust program that has its own
 * `tracing` subscriber.
 *
 * `callback` is NULL or may be called with `user_data` from any thread until another is set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_log_set_callback(uflow_log_callback callback,
                                            void *user_data,
                                            uint32_t level);

/**
 * The model's name: UTF-8, ends with 0, valid until the model is freed. Empty for NULL.
 *
 * `model` is NULL or a model that was not freed.
 */
const char *uflow_model_name(const struct uflow_model *model);

/**
 * Writes the model's description to `*info`.
 *
 * `model` is NULL (an error) or a model that was not freed; `info` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_model_get_info(const struct uflow_model *model,
                                          struct uflow_model_info *info);

/**
 * Runs the golden frames of the model's package on this engine's device, and compares what they give with what was found where the package was
 * made. NULL if every verdict is the same and every score agrees within the tolerance. `tolerance` is a share of the expected value, or the plain difference
 * for values below 1; 0 is the default: 0.001, or 0.05 if the package was made, or is run now, in less than fp32. `difference` may be NULL; else it gets the
 * largest difference, also if it is too large.
 *
 * Fails with `UFLOW_STATUS_NETWORK` if a frame does not agree (the message names both machines and their versions), with `UFLOW_STATUS_NOT_FOUND` if the
 * package has no golden frames; `uflow package golden` puts some in. The work is done in the calling thread.
 *
 * `model` is NULL (an error) or a model that was not freed; `difference` is NULL or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_model_verify(const struct uflow_model *model,
                                        double tolerance,
                                        double *difference);

/**
 * Frees a model's handle. NULL is allowed.
 *
 * `model` is NULL or a model that was not freed and that no other thread is using.
 */
void uflow_model_free(struct uflow_model *model);

/**
 * Makes options in which nothing is set. The caller owns `*options` and frees it with `uflow_options_free`.
 *
 * `options` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_new(struct uflow_options **options);

/**
 * Frees options. NULL is allowed.
 *
 * `options` is NULL or options that were not freed.
 */
void uflow_options_free(struct uflow_options *options);

/**
 * Resets all options to not set, as `uflow_options_new` makes them.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_reset(struct uflow_options *options);

/**
 * Writes the options that are set to `*info`.
 *
 * `options` is NULL (an error) or options that were not freed; `info` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_get_info(const struct uflow_options *options,
                                            struct uflow_options_info *info);

/**
 * Sets which maps a result keeps: a sum of `uflow_maps` (default `UFLOW_MAPS_NONE`).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_maps(struct uflow_options *options, uint32_t maps);

/**
 * Sets the priority of a frame of a stream, a `uflow_priority` (default `UFLOW_PRIORITY_NORMAL`). Other calls do not wait in a queue,
 * and refuse options with high priority.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_priority(struct uflow_options *options,
                                                uint32_t priority);

/**
 * Sets the time limit of a frame of a stream in milliseconds, in place of the stream's own
 * (`uflow_stream_options_set_time_limit`); 0: the stream's. Other calls refuse options with a time limit.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_time_limit(struct uflow_options *options,
                                                  uint32_t milliseconds);

/**
 * Sets the share of good images that may be rejected: above 0 and below 1, 0.01 for 1%. If no verdict is set, this also means
 * `UFLOW_VERDICT_REJECT`. A detection fails if the model's package knows no good images (`uflow_model_info.good_images` is 0).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_reject_rate(struct uflow_options *options,
                                                   double rate);

/**
 * Sets ε, the number of false alarms expected per image (above 0; a package's default is usually 1). 0.01 allows a hundredth of
 * the false alarms that 1 allows. With `UFLOW_VERDICT_REJECT`, ε only decides which regions an anomalous image has.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_epsilon(struct uflow_options *options,
                                               double epsilon);

/**
 * Sets what makes an image anomalous, a `uflow_verdict`.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_verdict(struct uflow_options *options, uint32_t verdict);

/**
 * Sets the threshold of `score_max`, from 0 to 1, for verdicts that use it.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_score_threshold(struct uflow_options *options,
                                                       float threshold);

/**
 * Sets the smallest region that counts, in pixels of the image. Smaller regions are dropped.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_min_area(struct uflow_options *options, uint32_t pixels);

/**
 * Sets the bound of a region's probability if the image is normal, a `uflow_bound`.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_bound(struct uflow_options *options, uint32_t bound);

/**
 * Sets how the number of tests is counted, a `uflow_tests`. With `UFLOW_TESTS_SIZED` a detection fails if the model's package is not
 * calibrated; `uflow_segment_latents` has no calibration, and assumes that the latents of good images are white noise.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_tests(struct uflow_options *options,
                                             uint32_t tests);

/**
 * Sets the region of interest, in place of the package's own. `mask` has `size` bytes: `height` rows of `width` bytes, `stride` bytes
 * apart (0: without gaps). Pixels with a byte other than 0 count. The mask is copied, and scaled to each image. It must have the
 * image's aspect ratio (within a rounding of one pixel), at any resolution, or exactly the size of the network's input. With a mask of
 * another shape, detection fails; the message names both sizes.
 *
 * Fails with `UFLOW_STATUS_INVALID_ARGUMENT` if the rows do not fit into `size` bytes, or if all of them are 0.
 *
 * `options` is NULL (an error) or options that were not freed; `mask` is NULL (an error) or points to `size` bytes.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_roi(struct uflow_options *options,
                                           const uint8_t *mask,
                                           size_t size,
                                           uint32_t width,
                                           uint32_t height,
                                           size_t stride);

/**
 * Makes the whole image count, also if the package has a region of interest. `uflow_options_reset` returns to the package's region.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_clear_roi(struct uflow_options *options);

/**
 * Makes an empty result. The caller owns `*result` and frees it with `uflow_result_free`.
 *
 * `result` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_new(struct uflow_result **result);

/**
 * Frees a result. NULL is allowed.
 *
 * `result` is NULL or a result that was not freed.
 */
void uflow_result_free(struct uflow_result *result);

/**
 * Copies the contents of `from` to `to`, e.g. to keep the result that a callback received. The memory of `to` is reused.
 *
 * `from` and `to` are NULL (an error) or results that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_copy(const struct uflow_result *from,
                                       struct uflow_result *to);

/**
 * Writes verdict, figures and timings to `*summary`.
 *
 * `result` is NULL (an error) or a result that was not freed; `summary` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_summary(const struct uflow_result *result,
                                              struct uflow_summary *summary);

/**
 * Writes region `index` to `*region`. Region 0 is the most significant. `UFLOW_STATUS_NOT_FOUND` if there is no such region.
 *
 * `result` is NULL (an error) or a result that was not freed; `region` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_region(const struct uflow_result *result,
                                             uint32_t index,
                                             struct uflow_region *region);

/**
 * Gives the corners of ring `ring` of the outline of region `region`, and their number. Ring 0 is the outer one and runs clockwise on
 * the screen; the others are holes. The polygon is closed: its last corner is joined to its first. The corners belong to
 * `result` and are valid until a call fills or frees it.
 *
 * `UFLOW_STATUS_NOT_FOUND` if there is no such region or ring.
 *
 * `result` is NULL (an error) or a result that was not freed; `points` and `count` are NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_outline(const struct uflow_result *result,
                                              uint32_t region,
                                              uint32_t ring,
                                              const struct uflow_point **points,
                                              size_t *count);

/**
 * Gives the mask at the image's size: height × width bytes without gaps, 1 where log₁₀NFA < log₁₀ ε, else 0. It includes regions below
 * the smallest area. `width` and `height` may be NULL. An encoded image is turned upright first, as its EXIF data says, so that width
 * and height may be the file's, exchanged; `uflow_image_get_info` tells them before. The pixels belong to `result` and are
 * valid until a call fills or frees it.
 *
 * `UFLOW_STATUS_NOT_FOUND` if `uflow_options_set_maps` did not ask for it.
 *
 * `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or may be written, `width` and
 * `height` NULL or writable.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_mask(const struct uflow_result *result,
                                           const uint8_t **pixels,
                                           uint32_t *width,
                                           uint32_t *height);

/**
 * Gives the score map (paper, Eq. 2) at the model's map size: height × width numbers in [0, 1] without gaps. Otherwise as
 * `uflow_result_get_mask`.
 *
 * As `uflow_result_get_mask`.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_score_map(const struct uflow_result *result,
                                                const float **pixels,
                                                uint32_t *width,
                                                uint32_t *height);

/**
 * Gives the log₁₀NFA map at the model's map size: height × width numbers without gaps. Otherwise as `uflow_result_get_mask`.
 *
 * As `uflow_result_get_mask`.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_log10_nfa_map(const struct uflow_result *result,
                                                    const float **pixels,
                                                    uint32_t *width,
                                                    uint32_t *height);

/**
 * Gives the latents z of scale `scale` (0 is the finest): channels × height × width numbers without gaps, channel by channel. Writes
 * them to `*latents`, as `uflow_segment_latents` takes them. The numbers belong to `result` and are valid until a call fills or frees it.
 *
 * `UFLOW_STATUS_NOT_FOUND` if there is no such scale, or if `uflow_options_set_maps` did not ask for latents.
 *
 * `result` is NULL (an error) or a result that was not freed; `latents` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_latents(const struct uflow_result *result,
                                              uint32_t scale,
                                              struct uflow_latents *latents);

/**
 * Makes a segmenter whose maps have `width` × `height` pixels, 1 to 8192 each; usually the network's input size. The caller owns
 * `*segmenter` and frees it with `uflow_segmenter_free`.
 *
 * `segmenter` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_segmenter_new(uint32_t width,
                                         uint32_t height,
                                         struct uflow_segmenter **segmenter);

/**
 * Frees a segmenter. NULL is allowed.
 *
 * `segmenter` is NULL or a segmenter that was not freed.
 */
void uflow_segmenter_free(struct uflow_segmenter *segmenter);

/**
 * Segments the latents of one image: an array of `scales` (1 to 16) structs, the finest scale first. Regions are in pixels of an image
 * of `image_width` × `image_height`; both 0: of the maps. Maps are written to `buffers` (NULL: none), everything else to `result`.
 *
 * Of `options` (may be NULL) it uses ε (default 1), verdict (`UFLOW_VERDICT_NFA`), score threshold, smallest area (0), bound
 * (`UFLOW_BOUND_CHERNOFF`), count of tests (`UFLOW_TESTS_PAPER`), region of interest and maps. The latents are read only during the
 * call. As long as the shapes stay the same, it allocates no memory after the first images.
 *
 * Fails with `UFLOW_STATUS_INVALID_ARGUMENT` for invalid shapes, sizes or options, `UFLOW_STATUS_NON_FINITE` for latents that are not
 * finite, `UFLOW_STATUS_BUFFER_TOO_SMALL` for a buffer that is too small. On failure `result` does not change.
 *
 * `segmenter`, `latents` and `result` are NULL (an error) or valid, `options` and `buffers` NULL or valid; the memory that `latents`
 * and `buffers` point to is there, and others do not change it during the call.
 */
UFLOW_MUST_USE struct uflow_status *uflow_segment_latents(struct uflow_segmenter *segmenter,
                                           const struct uflow_latents *latents,
                                           size_t scales,
                                           const struct uflow_options *options,
                                           uint32_t image_width,
                                           uint32_t image_height,
                                           const struct uflow_buffers *buffers,
                                           struct uflow_result *result);

/**
 * The code of a status: 0 (`UFLOW_STATUS_OK`) for NULL.
 *
 * `status` is NULL or a status that was not freed.
 */
uflow_status_code uflow_status_get_code(const struct uflow_status *status);

/**
 * The message of a status: UTF-8, ends with 0, valid until the status is freed; "success" for NULL.
 *
 * `status` is NULL or a status that was not freed.
 */
const char *uflow_status_get_message(const struct uflow_status *status);

/**
 * The name of a code, e.g. "INVALID_IMAGE"; "UNKNOWN" for a number that is not a code. The text is static: do not free it.
 */
const char *uflow_status_code_name(uint32_t code);

/**
 * Frees a status. NULL is allowed.
 *
 * `status` is NULL or a status that was not freed.
 */
void uflow_status_free(struct uflow_status *status);

/**
 * Starts a stream. `options` may be NULL for the defaults. The caller owns `*stream` and frees it with `uflow_stream_free`; `model`
 * may be freed earlier.
 *
 * Fails with `UFLOW_STATUS_OVERLOADED` if the engine's other streams have left too few places for the capacity, and with
 * `UFLOW_STATUS_INVALID_ARGUMENT` if the capacity is larger than the whole engine's.
 *
 * `model` is NULL (an error) or a model that was not freed; `options` is NULL or options that were not freed; `stream` is NULL (an
 * error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_new(const struct uflow_model *model,
                                      const struct uflow_stream_options *options,
                                      struct uflow_stream **stream);

/**
 * Frees a stream. NULL is allowed. Unfinished frames are cancelled: their pixels are released and their results are dropped. Call
 * `uflow_stream_flush` first to wait for them. When this function returns, every frame has been released, and no callback is running
 * or will be called again, except the callback that called this function: a result callback may free its own stream as its last
 * action; a release callback must not. The function waits for running callbacks: do not hold a lock that they take.
 *
 * `stream` is NULL or a stream that was not freed and that no other thread is using.
 */
void uflow_stream_free(struct uflow_stream *stream);

/**
 * Closes a stream: it takes no more frames, and threads that wait in `uflow_stream_submit` get `UFLOW_STATUS_UNAVAILABLE`. Frames
 * inside are finished and delivered as usual; after the last one `uflow_stream_next` gives `UFLOW_STATUS_NOT_FOUND`. Any thread may
 * call this, callbacks too; it does not wait.
 *
 * `stream` is NULL (an error) or a stream that was not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_close(const struct uflow_stream *stream);

/**
 * Cancels the frames that are inside; later frames are not affected. Unfinished frames are released soon, and their results come in
 * turn as `UFLOW_STATUS_CANCELLED`. Any thread may call this, callbacks too; it does not wait.
 *
 * `stream` is NULL (an error) or a stream that was not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_cancel(const struct uflow_stream *stream);

/**
 * Submits a frame and returns without waiting for its result. If the stream is full, waits up to `timeout_ms` milliseconds for a
 * place (0: not at all; `UFLOW_WAIT_FOREVER`: without a limit). `frame` (NULL: all 0) is copied, and comes back with release and
 * result.
 *
 * The bytes that `image` points to are lent until the frame is released (`uflow_stream_options_set_release_callback`). The structs and
 * `options` (NULL: the package's defaults) are read only during the call. A frame that is refused stays the caller's: no
 * callback is called for it.
 *
 * Fails with `UFLOW_STATUS_OVERLOADED` if the stream is still full, `UFLOW_STATUS_INVALID_IMAGE` or `UFLOW_STATUS_OVER_LIMIT` for an
 * invalid image, `UFLOW_STATUS_INVALID_ARGUMENT` for options that do not fit the model, `UFLOW_STATUS_UNAVAILABLE` after
 * `uflow_stream_close`. Errors that are found later, e.g. a file that cannot be decoded or a region of interest too small for the
 * model's maps, are the frame's result.
 *
 * Both callbacks may run before this function returns, the release callback in this very thread: do not hold a lock that they take.
 * The result callback may call this function too; then it does not wait, and the current frame still occupies its place.
 *
 * `stream` and `image` are NULL (an error) or valid, `options` and `frame` NULL or valid; the bytes that `image` points to are there
 * and do not change until the frame is released.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_submit(const struct uflow_stream *stream,
                                         const struct uflow_image *image,
                                         const struct uflow_options *options,
                                         const struct uflow_frame *frame,
                                         uint32_t timeout_ms);

/**
 * Waits up to `timeout_ms` milliseconds (0: not at all; `UFLOW_WAIT_FOREVER`: without a limit) for the next frame to be finished, and
 * writes what the caller attached to it to `*frame` (may be NULL). If the frame succeeded, `*frame_status` is NULL and `result` has the
 * detection. If it failed, `*frame_status` says why, the caller frees it with `uflow_status_free`, and `result` does not change.
 *
 * In an empty stream it waits for a frame to come. Fails with `UFLOW_STATUS_TIMED_OUT` if no frame is finished in time, with
 * `UFLOW_STATUS_NOT_FOUND` if the stream is closed and empty, with `UFLOW_STATUS_INVALID_ARGUMENT` for a stream with a result callback.
 *
 * `stream`, `result` and `frame_status` are NULL (an error) or valid; `frame` is NULL or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_next(const struct uflow_stream *stream,
                                       uint32_t timeout_ms,
                                       struct uflow_frame *frame,
                                       struct uflow_result *result,
                                       struct uflow_status **frame_status);

/**
 * Waits up to `timeout_ms` milliseconds (0: not at all; `UFLOW_WAIT_FOREVER`: without a limit) until every frame that was submitted
 * before the call is finished: its callback has returned or, without a callback, its result is ready for `uflow_stream_next`.
 *
 * Fails with `UFLOW_STATUS_TIMED_OUT`; with `UFLOW_STATUS_BUSY` if the stream's result callback calls it, which would wait for itself.
 *
 * `stream` is NULL (an error) or a stream that was not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_flush(const struct uflow_stream *stream,
                                        uint32_t timeout_ms);

/**
 * The number of frames in the stream: submitted, and the result not delivered yet. 0 for NULL.
 *
 * `stream` is NULL or a stream that was not freed.
 */
uint32_t uflow_stream_pending(const struct uflow_stream *stream);

/**
 * Makes options with the defaults. The caller owns `*options` and frees it with `uflow_stream_options_free`.
 *
 * `options` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_new(struct uflow_stream_options **options);

/**
 * Frees options. NULL is allowed.
 *
 * `options` is NULL or options that were not freed.
 */
void uflow_stream_options_free(struct uflow_stream_options *options);

/**
 * Resets all options to their defaults.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_reset(struct uflow_stream_options *options);

/**
 * Writes the options to `*info`.
 *
 * `options` is NULL (an error) or options that were not freed; `info` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_get_info(const struct uflow_stream_options *options,
                                                   struct uflow_stream_options_info *info);

/**
 * Sets the maximum number of frames in the stream (default 8). A frame is in the stream from its submission until its result is
 * delivered. All streams of an engine share the places that `uflow_engine_options_set_max_in_flight` sets.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_set_capacity(struct uflow_stream_options *options,
                                                       uint32_t capacity);

/**
 * Sets the time limit of each frame in milliseconds, from the moment it has its place in the stream; 0 (the default): no limit.
 * `uflow_options_set_time_limit` sets another one for one frame. It is checked before each step (decoding, network, segmentation). After
 * it no more work is spent on the frame, and its result is `UFLOW_STATUS_TIMED_OUT`. The result is still delivered in turn, which
 * may be later: a reject gate needs its own clock.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_set_time_limit(struct uflow_stream_options *options,
                                                         uint32_t milliseconds);

/**
 * Sets the function that receives the results; NULL (the default): `uflow_stream_next` gives them. A thread of the stream calls it, for
 * one frame at a time, in order.
 *
 * `options` is NULL (an error) or options that were not freed; `callback` may be called with `user_data` from another thread until
 * the stream is freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_set_result_callback(struct uflow_stream_options *options,
                                                              uflow_result_callback callback,
                                                              void *user_data);

/**
 * Sets the function that is called when a frame's bytes are not read any more. It is called once for each frame that was taken, as
 * soon as the pixels are in the network's input and always before the result is delivered. A thread of the engine calls it, or the one
 * that submits the frame; frames of one stream may be released at the same time and in any order. It must not wait for anything,
 * least of all for the stream. Without it (NULL, the default) the delivery of the result releases the frame: before the result
 * callback is called, or when `uflow_stream_next` returns.
 *
 * `options` is NULL (an error) or options that were not freed; `callback` may be called with `user_data` from another thread until
 * the stream is freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_set_release_callback(struct uflow_stream_options *options,
                                                               uflow_release_callback callback,
                                                               void *user_data);

/**
 * The characters: UTF-8, ending with 0, valid until the text is freed. Empty for NULL.
 *
 * `text` is NULL or a text that was not freed.
 */
const char *uflow_text_data(const struct uflow_text *text);

/**
 * The length in bytes, without the final 0. 0 for NULL.
 *
 * `text` is NULL or a text that was not freed.
 */
size_t uflow_text_size(const struct uflow_text *text);

/**
 * Frees a text. NULL is allowed.
 *
 * `text` is NULL or a text that was not freed.
 */
void uflow_text_free(struct uflow_text *text);

/**
 * Makes a trainer: loads the backbone on the engine's device. The caller owns `*trainer` and frees it with `uflow_trainer_free`;
 * `engine` may be freed earlier. Training runs on the CPU, on as many threads as the engine's networks.
 *
 * Fails with `UFLOW_STATUS_NETWORK` if the backbone is not a valid network or does not take such an input, `UFLOW_STATUS_INVALID_ARGUMENT`
 * for rotations of an input that is not square, `UFLOW_STATUS_DEVICE` if the device is missing, `UFLOW_STATUS_IO` if a file cannot be read.
 *
 * `engine` and `options` are NULL (an error) or valid; `trainer` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_new(const struct uflow_engine *engine,
                                       const struct uflow_fit_options *options,
                                       struct uflow_trainer **trainer);

/**
 * Frees a trainer. NULL is allowed.
 *
 * `trainer` is NULL or a trainer that was not freed and that no other thread is using.
 */
void uflow_trainer_free(struct uflow_trainer *trainer);

/**
 * Adds a good frame, which is read only during the call. The call takes as long as the backbone does. A frame that fails is not added;
 * the codes are those of `uflow_detector_detect`. A frame with the same pixels as an earlier one, and a frame whose pixels all have
 * one value, are left out without an error: `uflow_trainer_frames` does not count them, `uflow_trainer_warnings` names them.
 *
 * `trainer` and `image` are NULL (an error) or valid; the bytes that `image` points to are there and do not change
 * during the call.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_add(struct uflow_trainer *trainer,
                                       const struct uflow_image *image);

/**
 * The number of frames that a model would be fitted to. 0 for NULL, and while another thread uses the trainer.
 *
 * `trainer` is NULL or a trainer that was not freed.
 */
size_t uflow_trainer_frames(const struct uflow_trainer *trainer);

/**
 * Leaves out the frames that look defective or of another product, the most unusual first, at most `most`. Each is judged by models that did
 * not see it, and left out only where it is far outside what the others show; a set of good frames loses none. Call it after the last
 * `uflow_trainer_add`; the next model is fitted without them, and its package names them.
 *
 * `*dropped` gets what was left out, one a line, the most unusual first: `frame 12: log10 NFA -3.41`. Frame 0 was added first; frames that
 * were given but not kept are counted. `dropped` may be NULL; otherwise the caller owns `*dropped` and frees it with `uflow_text_free`.
 *
 * Fails with `UFLOW_STATUS_TRAINING` where fewer than 8 frames would be left; none is left out then.
 *
 * `trainer` is NULL (an error) or a trainer that was not freed; `dropped` is NULL or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_drop_doubtful(struct uflow_trainer *trainer,
                                                 uint32_t most,
                                                 struct uflow_text **dropped);

/**
 * Fits a model to the frames added so far and writes it to `path` (UTF-8): a folder, or one file if the name ends in `.uflow`. Folders above
 * it are created. The package is written completely or not at all; an existing package is replaced at the end. This takes
 * minutes. `callback` (may be NULL) is called before the first epoch and after every optimiser step and epoch; it must not use the
 * trainer. The frames are kept: more can be added, and a model fitted again.
 *
 * If a flow of cross-fitting fails, the model is still written, and `uflow_trainer_warnings` says what is missing.
 *
 * Fails with `UFLOW_STATUS_TRAINING` for fewer than 8 frames, for frames that are nearly the same, or for a loss that is not finite
 * from the start, `UFLOW_STATUS_CANCELLED` if the callback cancelled, `UFLOW_STATUS_PACKAGE` or `UFLOW_STATUS_IO`, before training, if
 * `path` cannot be written.
 *
 * `trainer` and `path` are NULL (an error) or valid; `callback` is NULL or may be called with `user_data`.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_fit(struct uflow_trainer *trainer,
                                       const char *path,
                                       uflow_progress_callback callback,
                                       void *user_data);

/**
 * Writes the outcome of the last training whose model was written to `*training`. `UFLOW_STATUS_INVALID_ARGUMENT` before the first.
 *
 * `trainer` is NULL (an error) or a trainer that was not freed; `training` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_get_training(const struct uflow_trainer *trainer,
                                                struct uflow_training *training);

/**
 * Gives the warnings about the last model that was fitted, one a line; empty if there are none. The caller owns `*text` and frees it with
 * `uflow_text_free`. `UFLOW_STATUS_INVALID_ARGUMENT` before the first.
 *
 * `trainer` is NULL (an error) or a trainer that was not freed; `text` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_warnings(const struct uflow_trainer *trainer,
                                            struct uflow_text **text);

/**
 * The version of the loaded library, e.g. "0.1.0". `UFLOW_VERSION` is the header's.
 *
 * The text is static: do not free it. Any thread may call this at any time.
 */
const char *uflow_version(void);

/**
 * The version of the loaded library as a number: 1,000,000 × major + 1,000 × minor + patch. `UFLOW_VERSION_NUMBER` is the header's. A
 * program should check that both have the same major version.
 *
 * Any thread may call this at any time.
 */
uint32_t uflow_version_number(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus


/* Initial values of structs: the size is set, everything else is 0. */
#ifdef __cplusplus
extern "C++" {
template <class T>
inline T uflow_init() {
  T made = T();
  made.struct_size = sizeof(T);
  return made;
}
}
#define UFLOW_IMAGE_INIT (uflow_init<uflow_image>())
#define UFLOW_BUFFERS_INIT (uflow_init<uflow_buffers>())
#define UFLOW_LATENTS_INIT (uflow_init<uflow_latents>())
#define UFLOW_MODEL_INFO_INIT (uflow_init<uflow_model_info>())
#define UFLOW_SUMMARY_INIT (uflow_init<uflow_summary>())
#define UFLOW_REGION_INIT (uflow_init<uflow_region>())
#define UFLOW_TRAINING_INIT (uflow_init<uflow_training>())
#define UFLOW_IMAGE_INFO_INIT (uflow_init<uflow_image_info>())
#define UFLOW_FRAME_INIT (uflow_init<uflow_frame>())
#define UFLOW_OPTIONS_INFO_INIT (uflow_init<uflow_options_info>())
#define UFLOW_ENGINE_OPTIONS_INFO_INIT (uflow_init<uflow_engine_options_info>())
#define UFLOW_STREAM_OPTIONS_INFO_INIT (uflow_init<uflow_stream_options_info>())
#define UFLOW_FIT_OPTIONS_INFO_INIT (uflow_init<uflow_fit_options_info>())
#else
#define UFLOW_IMAGE_INIT {.struct_size = sizeof(struct uflow_image)}
#define UFLOW_BUFFERS_INIT {.struct_size = sizeof(struct uflow_buffers)}
#define UFLOW_LATENTS_INIT {.struct_size = sizeof(struct uflow_latents)}
#define UFLOW_MODEL_INFO_INIT {.struct_size = sizeof(struct uflow_model_info)}
#define UFLOW_SUMMARY_INIT {.struct_size = sizeof(struct uflow_summary)}
#define UFLOW_REGION_INIT {.struct_size = sizeof(struct uflow_region)}
#define UFLOW_TRAINING_INIT {.struct_size = sizeof(struct uflow_training)}
#define UFLOW_IMAGE_INFO_INIT {.struct_size = sizeof(struct uflow_image_info)}
#define UFLOW_FRAME_INIT {.struct_size = sizeof(struct uflow_frame)}
#define UFLOW_OPTIONS_INFO_INIT {.struct_size = sizeof(struct uflow_options_info)}
#define UFLOW_ENGINE_OPTIONS_INFO_INIT {.struct_size = sizeof(struct uflow_engine_options_info)}
#define UFLOW_STREAM_OPTIONS_INFO_INIT {.struct_size = sizeof(struct uflow_stream_options_info)}
#define UFLOW_FIT_OPTIONS_INFO_INIT {.struct_size = sizeof(struct uflow_fit_options_info)}
#endif

#endif  /* UFLOW_H */
