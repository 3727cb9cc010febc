/*
 * libuflow 0.1.0: finds defects in images after learning from good images only.
 *
 * Conventions, kept by every function:
 *
 * - Handles are opaque. What `_new`, `_load` and their like give belongs to the caller and ends with the type's `_free`, which
 * takes NULL.
 * - A function that can fail gives a `uflow_status *`: NULL is success. It writes its outputs on success alone.
 * - Plain structs begin with `struct_size`, so that they can grow: a field beyond the caller's size is not read, and not written; one
 * that is set and that the library does not know is an error.
 * - Enumerations are 32 bits wide, only ever grow, and begin with 0 = unknown.
 * - A program that was built with an older header of the same major version goes on with a newer library.
 * - No panic crosses: every export goes through a guard. A handle for one thread at a time in which one happened says so ever after.
 * Running out of memory ends the process.
 * - Pointers are checked for NULL and alignment, sizes for overflow; what lies behind them is the caller's word.
 * - After `fork` the child must not use handles that were made before it. No function is safe in a signal handler.
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

/* A status that nobody looks at is a mistake. */
#if defined(__cplusplus) && __cplusplus >= 201703L
#define UFLOW_MUST_USE [[nodiscard]]
#elif defined(__GNUC__)
#define UFLOW_MUST_USE __attribute__((warn_unused_result))
#else
#define UFLOW_MUST_USE
#endif

/**
 * A time limit that is none: wait as long as it takes.
 */
#define UFLOW_WAIT_FOREVER UINT32_MAX

/**
 * What kind of thing went wrong. New codes may come at the end; numbers are never used again.
 */
enum uflow_status_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Never given for a failure; what `uflow_status_get_code` says of NULL is `UFLOW_STATUS_OK`.
   */
  UFLOW_STATUS_UNKNOWN = 0,
  /**
   * Success.
   */
  UFLOW_STATUS_OK = 1,
  /**
   * A NULL or misaligned pointer, a struct_size of no version, a text that is not UTF-8, a value outside its range.
   */
  UFLOW_STATUS_INVALID_ARGUMENT = 2,
  /**
   * An image whose sizes, stride, format and buffer do not fit together.
   */
  UFLOW_STATUS_INVALID_IMAGE = 3,
  /**
   * Encoded bytes that are not an image that can be read.
   */
  UFLOW_STATUS_UNDECODABLE = 4,
  /**
   * An image or file larger than the configured limit.
   */
  UFLOW_STATUS_OVER_LIMIT = 5,
  /**
   * ONNX Runtime's library was not found, is too old, or is none.
   */
  UFLOW_STATUS_LIBRARY = 6,
  /**
   * The device that was asked for is missing or refuses.
   */
  UFLOW_STATUS_DEVICE = 7,
  /**
   * A network that cannot be loaded or run, or does not do what its package says.
   */
  UFLOW_STATUS_NETWORK = 8,
  /**
   * A network gave values that are not finite.
   */
  UFLOW_STATUS_NON_FINITE = 9,
  /**
   * A model package that is damaged, incomplete or of another format.
   */
  UFLOW_STATUS_PACKAGE = 10,
  /**
   * A data file that is not what it should be.
   */
  UFLOW_STATUS_DATA = 11,
  /**
   * Training that cannot begin or go on.
   */
  UFLOW_STATUS_TRAINING = 12,
  /**
   * Ended by the caller.
   */
  UFLOW_STATUS_CANCELLED = 13,
  /**
   * There is no such model, version, region, ring or map; or a closed stream is empty.
   */
  UFLOW_STATUS_NOT_FOUND = 14,
  /**
   * Too much is being worked on; try again when something is done.
   */
  UFLOW_STATUS_OVERLOADED = 15,
  /**
   * Not done within its time limit.
   */
  UFLOW_STATUS_TIMED_OUT = 16,
  /**
   * Not ready yet, or no more.
   */
  UFLOW_STATUS_UNAVAILABLE = 17,
  /**
   * A file operation that failed.
   */
  UFLOW_STATUS_IO = 18,
  /**
   * A bug in the library. A handle for one thread at a time that it happened in says `UFLOW_STATUS_POISONED` from then on.
   */
  UFLOW_STATUS_INTERNAL = 19,
  /**
   * A buffer of the caller's that is too small; the message says what it takes.
   */
  UFLOW_STATUS_BUFFER_TOO_SMALL = 20,
  /**
   * A handle for one thread at a time is in use by another.
   */
  UFLOW_STATUS_BUSY = 21,
  /**
   * A handle in which a bug was met before. Free it.
   */
  UFLOW_STATUS_POISONED = 22,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_status_code uflow_status_code;
#else
typedef uint32_t uflow_status_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How the bytes of an image are to be read.
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
   * One byte a pixel.
   */
  UFLOW_FORMAT_GRAY8 = 1,
  /**
   * One 16-bit number a pixel in the machine's byte order; no alignment is needed. 0 to 65535 is black to white: a camera
   * that fills the low 12 bits has to be shifted by the caller.
   */
  UFLOW_FORMAT_GRAY16 = 2,
  /**
   * Red, green, blue; a byte each.
   */
  UFLOW_FORMAT_RGB8 = 3,
  /**
   * Blue, green, red; a byte each (OpenCV's order).
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
   * A PNG, JPEG, BMP, TIFF or WebP file; width, height and stride are not read.
   */
  UFLOW_FORMAT_ENCODED = 7,
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
   * Not set: an error.
   */
  UFLOW_VERDICT_UNKNOWN = 0,
  /**
   * A region with NFA < ε.
   */
  UFLOW_VERDICT_NFA = 1,
  /**
   * An image score above the threshold.
   */
  UFLOW_VERDICT_SCORE = 2,
  /**
   * Both of them.
   */
  UFLOW_VERDICT_BOTH = 3,
  /**
   * At least one of them.
   */
  UFLOW_VERDICT_EITHER = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_verdict uflow_verdict;
#else
typedef uint32_t uflow_verdict;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The bound of a region's probability under normality.
 */
enum uflow_bound
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set: an error.
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
   * Not set: an error.
   */
  UFLOW_TESTS_UNKNOWN = 0,
  /**
   * All sizes of region together, as in the paper.
   */
  UFLOW_TESTS_PAPER = 1,
  /**
   * By the size of a region, on the null hypothesis that the package was calibrated to on good images.
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
 * What of the maps a result keeps, to be added up.
 */
enum uflow_maps
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * None: verdict, figures and regions alone.
   */
  UFLOW_MAPS_NONE = 0,
  /**
   * The mask at the image's size.
   */
  UFLOW_MAPS_MASK = 1,
  /**
   * The score map at the network's input size.
   */
  UFLOW_MAPS_SCORE = 2,
  /**
   * The log₁₀NFA map at the network's input size.
   */
  UFLOW_MAPS_LOG10_NFA = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_maps uflow_maps;
#else
typedef uint32_t uflow_maps;
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
   * Not set: an error.
   */
  UFLOW_LOG_LEVEL_UNKNOWN = 0,
  /**
   * What went wrong in the library itself.
   */
  UFLOW_LOG_LEVEL_ERROR = 1,
  /**
   * And what may be a mistake of the set-up; ONNX Runtime's errors.
   */
  UFLOW_LOG_LEVEL_WARNING = 2,
  /**
   * And what is good to know.
   */
  UFLOW_LOG_LEVEL_INFO = 3,
  /**
   * And what helps to find a mistake; ONNX Runtime's warnings.
   */
  UFLOW_LOG_LEVEL_DEBUG = 4,
  /**
   * And everything else.
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
 * How good images are multiplied before training.
 */
enum uflow_augmentation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not set: an error.
   */
  UFLOW_AUGMENTATION_UNKNOWN = 0,
  /**
   * Each image as it is.
   */
  UFLOW_AUGMENTATION_NONE = 1,
  /**
   * And mirrored left to right.
   */
  UFLOW_AUGMENTATION_FLIP = 2,
  /**
   * And turned by 90, 180 and 270 degrees; for square inputs.
   */
  UFLOW_AUGMENTATION_ROTATE = 3,
  /**
   * And all eight turns and mirror images; for square inputs.
   */
  UFLOW_AUGMENTATION_ALL = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_augmentation uflow_augmentation;
#else
typedef uint32_t uflow_augmentation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a progress callback wants.
 */
enum uflow_control
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * No answer: training is cancelled, as by `UFLOW_CONTROL_CANCEL`.
   */
  UFLOW_CONTROL_UNKNOWN = 0,
  /**
   * Go on.
   */
  UFLOW_CONTROL_CONTINUE = 1,
  /**
   * Stop here and write the best model so far. While `fold` is above 0 the model is complete; its null then stands on the images
   * of the flows that are finished, and `uflow_trainer_warnings` says how many those are.
   */
  UFLOW_CONTROL_STOP = 2,
  /**
   * Stop here and write nothing, whatever is finished. A package that is at the path already stays.
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
   * None that this version of the header knows.
   */
  UFLOW_STOP_REASON_UNKNOWN = 0,
  /**
   * All epochs were done.
   */
  UFLOW_STOP_REASON_FINISHED = 1,
  /**
   * The held-out images had not gained for a number of epochs.
   */
  UFLOW_STOP_REASON_PATIENCE = 2,
  /**
   * The progress callback asked for it.
   */
  UFLOW_STOP_REASON_ASKED = 3,
  /**
   * A loss was not finite; the model is the best from before.
   */
  UFLOW_STOP_REASON_DIVERGED = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum uflow_stop_reason uflow_stop_reason;
#else
typedef uint32_t uflow_stop_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Looks at one image after another with a model: the calling thread does the work and waits for it.
 *
 * It belongs to the caller, who frees it with `uflow_detector_free`. One thread at a time: give each thread its own; those of one
 * model share its networks, which take their images in turn. Results are the same to the bit as those of the `uflow` command.
 */
typedef struct uflow_detector uflow_detector;

/**
 * ONNX Runtime on a device, and the backbones of the models that were loaded, one of a kind however many models name it.
 *
 * It belongs to the caller, who frees it with `uflow_engine_free`. Any thread may use it at any time. It has worker threads
 * (`uflow_engine_options_set_workers`) for asynchronous use, and one for each backbone; they sleep when there is nothing to
 * do, and end with the engine or the last of its models and streams, whichever is later. The networks of all engines share ONNX Runtime's pool of
 * threads (but see `uflow_engine_options_set_threads`), which `uflow_shutdown` ends.
 */
typedef struct uflow_engine uflow_engine;

/**
 * How an engine is set up. What is not set has its default.
 *
 * It belongs to the caller, who frees it with `uflow_engine_options_free`; one thread at a time. An engine keeps nothing of it.
 */
typedef struct uflow_engine_options uflow_engine_options;

/**
 * How a model is fitted. What is not set has its default, that of `uflow fit`.
 *
 * It belongs to the caller, who frees it with `uflow_fit_options_free`; one thread at a time. A trainer keeps nothing of it.
 */
typedef struct uflow_fit_options uflow_fit_options;

/**
 * A model, ready to look at images.
 *
 * It belongs to the caller, who frees it with `uflow_model_free`. Any thread may use it at any time. Its memory goes with the
 * last of its handle, its detectors and its streams.
 */
typedef struct uflow_model uflow_model;

/**
 * How a defect is decided, where it differs from what the model's package says.
 *
 * It belongs to the caller, who frees it with `uflow_options_free`. Any thread may use it at any time: a call reads it as it begins, and keeps
 * nothing of it.
 */
typedef struct uflow_options uflow_options;

/**
 * What was found in an image: verdict, score, regions, timings, and the maps that the options asked for.
 *
 * It belongs to the caller, who frees it with `uflow_result_free`; one thread at a time. A call that fills it writes over what was
 * in it: use one again for the next image rather than making a new one, and its memory is used again.
 */
typedef struct uflow_result uflow_result;

/**
 * Segments the latents of one image after another, whatever network they come from: no engine, no model.
 *
 * It belongs to the caller, who frees it with `uflow_segmenter_free`; one thread at a time.
 */
typedef struct uflow_segmenter uflow_segmenter;

/**
 * A failure: its code and a message that says what was wrong, where, and what to do.
 *
 * It belongs to the caller, who frees it with `uflow_status_free`. It is never changed: any thread may read it.
 */
typedef struct uflow_status uflow_status;

/**
 * Frames on their way through a model, handed over without waiting for each: their work overlaps, they share batches with those of
 * other streams of the engine, and results come in the order in which frames were handed over, one for each frame.
 *
 * With a result callback, a thread of the stream's own calls it, one frame at a time: it may take its time, which holds up this stream alone.
 * Without, `uflow_stream_next` gives the results. The release callback must return at once. Callbacks must not throw or `longjmp`, and may
 * call anything but what the functions say of them. A frame alone in its batch has the detector's numbers to the bit; in a batch scores
 * differ by at most 1e-5.
 *
 * It belongs to the caller, who frees it with `uflow_stream_free`. Any thread may use it at any time.
 */
typedef struct uflow_stream uflow_stream;

/**
 * How a stream works. What is not set has its default.
 *
 * It belongs to the caller, who frees it with `uflow_stream_options_free`; one thread at a time. A stream keeps nothing of it.
 */
typedef struct uflow_stream_options uflow_stream_options;

/**
 * A text: UTF-8, ends with 0. It belongs to the caller, who frees it with `uflow_text_free`; any thread may read it.
 */
typedef struct uflow_text uflow_text;

/**
 * Takes good frames and fits a model to them.
 *
 * It belongs to the caller, who frees it with `uflow_trainer_free`; one thread at a time. It has a backbone of its own, and keeps the
 * features of the frames, not the frames.
 */
typedef struct uflow_trainer uflow_trainer;

/**
 * An image that the caller lends: for the time of a call or, to a stream, until it is released. Begin with `UFLOW_IMAGE_INIT`.
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
   * How many bytes there are: at least (height − 1) × stride + width × bytes of a pixel.
   */
  size_t size;
  /**
   * Bytes from the start of one row to the start of the next; 0 means that rows follow each other without a gap.
   */
  size_t stride;
  /**
   * Pixels in a row, at least 1.
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
   * 0.
   */
  uint32_t reserved;
} uflow_image;

/**
 * Memory of the caller's that a call writes maps to; a pointer that is NULL asks for nothing. Begin with `UFLOW_BUFFERS_INIT`.
 */
typedef struct uflow_buffers {
  /**
   * sizeof(uflow_buffers).
   */
  size_t struct_size;
  /**
   * For the mask, image height × image width bytes without gaps: 1 where log₁₀NFA < log₁₀ ε, else 0.
   */
  uint8_t *mask;
  /**
   * Bytes that `mask` has room for.
   */
  size_t mask_capacity;
  /**
   * For the score map, input_height × input_width numbers without gaps.
   */
  float *score_map;
  /**
   * Numbers that `score_map` has room for.
   */
  size_t score_map_capacity;
  /**
   * For the log₁₀NFA map, input_height × input_width numbers without gaps.
   */
  float *log10_nfa_map;
  /**
   * Numbers that `log10_nfa_map` has room for.
   */
  size_t log10_nfa_map_capacity;
} uflow_buffers;

/**
 * Gets a line of the log: `user_data` as it was set, a `uflow_log_level`, and where it comes from and what it says, both UTF-8,
 * ending with 0, and there during the call alone.
 */
typedef void (*uflow_log_callback)(void *user_data,
                                   uint32_t level,
                                   const char *target,
                                   const char *message);

/**
 * What a model's package says. Begin with `UFLOW_MODEL_INFO_INIT`.
 */
typedef struct uflow_model_info {
  /**
   * sizeof(uflow_model_info).
   */
  size_t struct_size;
  /**
   * Version in its repository; 1 where it was loaded from a path.
   */
  uint32_t version;
  /**
   * Columns of the network's input, and of score and log₁₀NFA maps.
   */
  uint32_t input_width;
  /**
   * Rows of the network's input, and of score and log₁₀NFA maps.
   */
  uint32_t input_height;
  /**
   * How many scales it has.
   */
  uint32_t scales;
  /**
   * ε that holds where a call says nothing: false alarms expected per image.
   */
  double epsilon;
  /**
   * A `uflow_verdict` that holds where a call says nothing.
   */
  uint32_t verdict;
  /**
   * Smallest region that counts where a call says nothing, in pixels of the image.
   */
  uint32_t min_area;
  /**
   * The fair threshold of the image score (paper, §4.1.1), from the good training images; NaN where the package has none.
   */
  float fair_threshold;
  /**
   * The score threshold of the package, for verdicts that use it; NaN where it has none (then the fair one holds).
   */
  float score_threshold;
} uflow_model_info;

/**
 * The verdict and its figures. Begin with `UFLOW_SUMMARY_INIT`.
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
   * The image score: the maximum of the score map, in [0, 1].
   */
  float score;
  /**
   * The lowest log₁₀NFA of the maps; where it is below log₁₀ ε there is something that means something.
   */
  float log10_nfa_min;
  /**
   * How many regions there are.
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
   * Milliseconds of waiting for a processor and for the network; 0 but for asynchronous frames.
   */
  double queue_ms;
  /**
   * Milliseconds for resizing and normalisation.
   */
  double preprocess_ms;
  /**
   * Milliseconds for backbone and flow, of the whole batch that the image was in.
   */
  double network_ms;
  /**
   * Milliseconds for maps, mask and regions.
   */
  double segmentation_ms;
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
   * How many pixels it has.
   */
  uint32_t area;
  /**
   * The scale (0 = finest) with the strongest evidence where log₁₀NFA is lowest.
   */
  uint32_t scale;
  /**
   * Mean column of its pixels' centres.
   */
  double centroid_x;
  /**
   * Mean row of its pixels' centres.
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
   * How many rings its outline has: the outer one, then those of its holes.
   */
  uint32_t rings;
  /**
   * 0.
   */
  uint32_t reserved;
} uflow_region;

/**
 * A corner of an outline, in pixels of the image: corners lie between pixels, so x goes from 0 to its width.
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
 * Latents z of one scale as the caller holds them. Begin with `UFLOW_LATENTS_INIT`.
 */
typedef struct uflow_latents {
  /**
   * sizeof(uflow_latents).
   */
  size_t struct_size;
  /**
   * channels × height × width numbers without gaps, one channel after another.
   */
  const float *data;
  /**
   * How many numbers there are.
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
 * Told what was found in a frame: `user_data` as it was set, the frame as it was handed over, and either `status` is NULL and
 * `result` what was found, or `status` says what went wrong and `result` is NULL. Both belong to the stream and are there during
 * the call alone.
 */
typedef void (*uflow_result_callback)(void *user_data,
                                      void *frame,
                                      const struct uflow_status *status,
                                      const struct uflow_result *result);

/**
 * Told that a frame's pixels are not read any more: `user_data` as it was set, and the frame as it was handed over.
 */
typedef void (*uflow_release_callback)(void *user_data, void *frame);

/**
 * Where training is.
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
   * Most epochs there will be.
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
   * Adam's rate in the last step.
   */
  double learning_rate;
  /**
   * Seconds since training began.
   */
  double seconds;
  /**
   * After an epoch, and before the first: negative log-likelihood of the held-out images, in nats per value. NaN within an epoch.
   */
  double held_out_nll;
  /**
   * Then too: the mean of z² on the held-out images of the scale where it is farthest from 1, which white latents have. NaN within
   * an epoch.
   */
  double latent_variance;
  /**
   * The flow that is trained: 0 is the model's own, from 1 on they are those that calibrate its null (cross-fitting).
   */
  uint32_t fold;
  /**
   * Flows in all; 1 without cross-fitting.
   */
  uint32_t folds;
} uflow_progress;

/**
 * Asked before the first epoch, and after every optimiser step and every epoch: `user_data` as it was given, and where training is. Gives a `uflow_control`. It is
 * called by the thread that called `uflow_trainer_fit`, and must not throw or `longjmp`.
 */
typedef uint32_t (*uflow_progress_callback)(void *user_data, const struct uflow_progress *progress);

/**
 * What training came to. Begin with `UFLOW_TRAINING_INIT`.
 */
typedef struct uflow_training {
  /**
   * sizeof(uflow_training).
   */
  size_t struct_size;
  /**
   * Images that were trained on.
   */
  uint32_t images;
  /**
   * Images that were held out to watch it.
   */
  uint32_t held_out;
  /**
   * Epochs begun.
   */
  uint32_t epochs;
  /**
   * The epoch whose model was written; 0 is the one before training.
   */
  uint32_t best_epoch;
  /**
   * A `uflow_stop_reason`.
   */
  uint32_t stop_reason;
  /**
   * The fair threshold of the image score (paper, §4.1.1).
   */
  float fair_threshold;
  /**
   * Negative log-likelihood of the held-out images, in nats per value.
   */
  double held_out_nll;
  /**
   * The mean of z² on the held-out images, of the scale where it is farthest from 1; outside 0.8 to 1.25 the model's numbers of false
   * alarms are not to be trusted.
   */
  double latent_variance;
  /**
   * Seconds it took.
   */
  double seconds;
  /**
   * Good images that the model's calibrated null stands on; 0 where it has none.
   */
  uint32_t null_images;
  /**
   * Good images that it was planned to stand on: more than `null_images` where cross-fitting was stopped or failed.
   */
  uint32_t null_images_planned;
} uflow_training;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a detector. `*detector` is the caller's, to be freed with `uflow_detector_free`; `model` may be freed before it.
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
 * Looks at an image and fills `result`. `options` may be NULL: what the package says. The image is read during the call alone.
 *
 * Fails with `UFLOW_STATUS_INVALID_IMAGE`, `UFLOW_STATUS_UNDECODABLE` or `UFLOW_STATUS_OVER_LIMIT` for an image that is none,
 * `UFLOW_STATUS_INVALID_ARGUMENT` for options that do not fit the model, `UFLOW_STATUS_NETWORK` or `UFLOW_STATUS_NON_FINITE` for a network
 * that fails. Then `result` keeps what it had.
 *
 * `detector`, `image` and `result` are NULL (an error) or what they say; the bytes that `image` names are there and are not
 * changed during the call.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_detect(struct uflow_detector *detector,
                                           const struct uflow_image *image,
                                           const struct uflow_options *options,
                                           struct uflow_result *result);

/**
 * Looks at an image, writes maps to the caller's `buffers` (NULL: to none) and fills `result`. For raw images of one size, with one
 * region of interest, it allocates nothing beside what ONNX Runtime's own run does, once it has seen as many regions. Otherwise as
 * `uflow_detector_detect`; `UFLOW_STATUS_BUFFER_TOO_SMALL` for a buffer without room, before the network runs.
 *
 * As `uflow_detector_detect`; `buffers` is NULL or has as much room as it says, which nobody else reads or writes during the call.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_detect_into(struct uflow_detector *detector,
                                                const struct uflow_image *image,
                                                const struct uflow_options *options,
                                                const struct uflow_buffers *buffers,
                                                struct uflow_result *result);

/**
 * Looks at `count` images (1 to 1024) that go through the network together, and fills as many results: `images` is an array of
 * structs, `results` one of handles, all of them different. Scores differ from those of one image at a time by at most 1e-5.
 * An image or network that fails makes the call fail, as `uflow_detector_detect` does, and every result keeps what it had; for an
 * image, the message says which.
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
 * Looks at an image for its score and verdict alone. `score` or `anomalous` may be NULL where it is not wanted; without `anomalous`
 * nothing is segmented, which is quicker. Otherwise as `uflow_detector_detect`.
 *
 * As `uflow_detector_detect`; `score` and `anomalous` are NULL or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_score(struct uflow_detector *detector,
                                          const struct uflow_image *image,
                                          const struct uflow_options *options,
                                          float *score,
                                          uint32_t *anomalous);

/**
 * Makes options with every default. `*options` is the caller's, to be freed with `uflow_engine_options_free`.
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
 * Sets where the networks run: "cpu" (the default), "openvino", "cuda", "cuda:N", "tensorrt" or "tensorrt:N", N being the GPU.
 * A device that is missing is an error when a model is loaded; nothing falls back to the CPU.
 *
 * `options` is NULL (an error) or options that were not freed; `device` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_device(struct uflow_engine_options *options,
                                                     const char *device);

/**
 * Sets the precision of the networks: "fp32" (the default) on every device, "bf16" on openvino, "bf16" and "fp16" on tensorrt. One that
 * the device has not is an error when an engine is made.
 *
 * `options` is NULL (an error) or options that were not freed; `precision` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_precision(struct uflow_engine_options *options,
                                                        const char *precision);

/**
 * Sets ONNX Runtime's shared library, or the folder it is in (UTF-8). Without it: the variable `UFLOW_ONNXRUNTIME`, beside
 * libuflow, `../lib` of it, `.onnxruntime/lib` in a folder above it, the system's library path. A process can use one only.
 *
 * `options` is NULL (an error) or options that were not freed; `path` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_onnxruntime(struct uflow_engine_options *options,
                                                          const char *path);

/**
 * Sets the threads of the networks. 0 (the default): all networks of all engines share one pool, as large as the CPU quota of this process.
 * Otherwise each network has a pool of its own, of so many threads (at most 1024).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_threads(struct uflow_engine_options *options,
                                                      uint32_t threads);

/**
 * Sets the worker threads that decode, resize and segment asynchronous frames, 1 to 1024; the default is the CPU quota of this process.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_workers(struct uflow_engine_options *options,
                                                      uint32_t workers);

/**
 * Sets the most asynchronous frames in a batch (1 to 1024, default 8), and the longest time in milliseconds that a batch waits for
 * frames that are on their way (default 2). Streams should have room for two batches, so that one is prepared while one runs.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_batching(struct uflow_engine_options *options,
                                                       uint32_t max_batch,
                                                       double max_delay_ms);

/**
 * Sets the most asynchronous frames inside the engine, 1 to 1048576 (default 64): what the capacities of all its streams add up to at most.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_max_in_flight(struct uflow_engine_options *options,
                                                            uint32_t max_in_flight);

/**
 * Sets how large an image may be: the most pixels (default 268,435,456), and for encoded ones the most bytes, of the file and of
 * its pixels (default 1 GiB). Larger ones are `UFLOW_STATUS_OVER_LIMIT`.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_limits(struct uflow_engine_options *options,
                                                     uint64_t max_pixels,
                                                     uint64_t max_bytes);

/**
 * Starts an engine. `options` may be NULL: every default. `*engine` is the caller's, to be freed with `uflow_engine_free`.
 *
 * Fails with `UFLOW_STATUS_LIBRARY` where ONNX Runtime cannot be found (the message names every place that was looked at) or another copy of it
 * is in use, `UFLOW_STATUS_DEVICE` for a precision that the device has not, `UFLOW_STATUS_UNAVAILABLE` after `uflow_shutdown`.
 *
 * The first call sets the process's environment variable `ORT_DISABLE_TELEMETRY` to 1 unless it is set, as ONNX Runtime would else keep a
 * database of events for its makers. Where another thread may be in `getenv` at that moment, set it before.
 *
 * `options` is NULL or options that were not freed; `engine` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_new(const struct uflow_engine_options *options,
                                      struct uflow_engine **engine);

/**
 * Frees an engine. NULL is allowed. Its models, detectors and streams may be freed before or after it.
 *
 * `engine` is NULL or an engine that was not freed and that no other thread is using.
 */
void uflow_engine_free(struct uflow_engine *engine);

/**
 * Ends ONNX Runtime and the threads of its pool, which otherwise sleep until the process ends: for a program that goes on without
 * this library, or unloads it. It starts once in the life of a process: no engine can be made after this (`UFLOW_STATUS_UNAVAILABLE`).
 *
 * Fails with `UFLOW_STATUS_BUSY` while there is an engine, model, detector, trainer or stream. Any thread may call this at any time.
 */
UFLOW_MUST_USE struct uflow_status *uflow_shutdown(void);

/**
 * Loads a model package, a folder or a `.uflow` file (`path`, UTF-8), and warms it up. A backbone that another model of this
 * engine has already is shared with it. `*model` is the caller's, to be freed with `uflow_model_free`.
 *
 * Fails with `UFLOW_STATUS_PACKAGE` for a package that is missing or damaged, `UFLOW_STATUS_NETWORK` for networks that do not do what it says,
 * `UFLOW_STATUS_DEVICE` for a device that is missing, `UFLOW_STATUS_IO` for files that cannot be read.
 *
 * `engine` is NULL (an error) or an engine that was not freed; `path` is NULL (an error) or a text that ends with 0; `model` is
 * NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_load(const struct uflow_engine *engine,
                                       const char *path,
                                       struct uflow_model **model);

/**
 * Loads a model from a repository, `<root>/<name>/<version>/uflow.json`, as `uflow serve` has it; version 0 is the highest there
 * is. Otherwise as `uflow_engine_load`; `UFLOW_STATUS_NOT_FOUND` where there is no such model or version,
 * `UFLOW_STATUS_DATA` where `root` is no repository.
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
 * The engine's metrics in Prometheus' text format. `*text` is the caller's, to be freed with `uflow_text_free`.
 *
 * `engine` is NULL (an error) or an engine that was not freed; `text` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_metrics(const struct uflow_engine *engine,
                                          struct uflow_text **text);

/**
 * Makes options with every default, for a product of this name (1 to 128 letters, digits, `.`, `-`, `_`). `*options` is the caller's, to be freed
 * with `uflow_fit_options_free`.
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
 * Sets the backbone, an ONNX file with U-Flow's metadata (`path`, UTF-8). Without it: `photonet`, the one inside this library, whose weights
 * (and so every model that is fitted on it) are for non-commercial research.
 *
 * `options` is NULL (an error) or options that were not freed; `path` is NULL (an error) or a text that ends with 0.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_backbone(struct uflow_fit_options *options,
                                                    const char *path);

/**
 * Sets the size of the network's input in pixels; without it, the backbone's own. Each at least 1, together at most 4096 × 4096.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_input_size(struct uflow_fit_options *options,
                                                      uint32_t width,
                                                      uint32_t height);

/**
 * Sets how good images are multiplied, a `uflow_augmentation`.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_augmentation(struct uflow_fit_options *options,
                                                        uint32_t augmentation);

/**
 * Sets the most passes over the images (default 16), and after how many passes without a gain on the held-out images it stops
 * (default 4). Both at least 1.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_epochs(struct uflow_fit_options *options,
                                                  uint32_t epochs,
                                                  uint32_t patience);

/**
 * Sets the images of one optimiser step (at least 1, default 8), Adam's rate at the start (above 0, at most 1, default 0.001) and its
 * weight decay (0 to 1, default 0.00001).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_optimizer(struct uflow_fit_options *options,
                                                     uint32_t batch,
                                                     double learning_rate,
                                                     double weight_decay);

/**
 * Sets the steps of each stage of the flow, 1 to 64 (default 4, the paper's).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_steps(struct uflow_fit_options *options, uint32_t steps);

/**
 * Sets the noise on the features in training, in standard deviations of each channel, 0 to 1 (default 0.05).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_noise(struct uflow_fit_options *options,
                                                 double noise);

/**
 * Sets the seed that everything random follows from (default 0): the same frames and seed give the same model on the same kind of CPU.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_seed(struct uflow_fit_options *options,
                                                uint64_t seed);

/**
 * Sets how many bytes of features are kept in memory (default 2 GiB); the rest goes to a temporary file in the system's folder for such
 * files (`TMPDIR`), which is gone when the trainer is freed.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_memory(struct uflow_fit_options *options,
                                                  uint64_t bytes);

/**
 * Sets what the model decides by where a call says nothing, from the ε, verdict, score threshold, smallest area, bound and count of tests
 * of `detection`. A region of interest in it is kept in the package, and only what lies inside counts for the fair threshold.
 *
 * `options` and `detection` are NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_fit_options_set_detection(struct uflow_fit_options *options,
                                                     const struct uflow_options *detection);

/**
 * Sets, for the whole process, the function that gets the log: lines of `level` (a `uflow_log_level`) and graver. NULL, the state at
 * first, ends it: nothing is logged. Nothing is ever printed but what a bug of this library says before it becomes a status. When it returns, the function set before is not running and is
 * not called again.
 *
 * The function is called by whatever thread has something to say, several at once; it must not throw, `longjmp`, or call this
 * library. Any thread may call this at any time, but that function.
 *
 * Fails with `UFLOW_STATUS_INVALID_ARGUMENT` for a level that is none, `UFLOW_STATUS_UNAVAILABLE` in a Rust program that has a `tracing` subscriber.
 *
 * `callback` is NULL or may be called with `user_data` from any thread until another is set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_log_set_callback(uflow_log_callback callback,
                                            void *user_data,
                                            uint32_t level);

/**
 * The model's name: UTF-8, ends with 0, lives as long as `model`. Empty for NULL.
 *
 * `model` is NULL or a model that was not freed.
 */
const char *uflow_model_name(const struct uflow_model *model);

/**
 * Writes what the model's package says to `*info`.
 *
 * `model` is NULL (an error) or a model that was not freed; `info` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_model_get_info(const struct uflow_model *model,
                                          struct uflow_model_info *info);

/**
 * Frees a model's handle. NULL is allowed.
 *
 * `model` is NULL or a model that was not freed and that no other thread is using.
 */
void uflow_model_free(struct uflow_model *model);

/**
 * Makes options that change nothing. `*options` is the caller's, to be freed with `uflow_options_free`.
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
 * Sets which maps a result keeps: a sum of `uflow_maps`, `UFLOW_MAPS_NONE` at first.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_maps(struct uflow_options *options, uint32_t maps);

/**
 * Sets ε, the false alarms expected per image (above 0; a package's default is 1). 0.01 asks for a hundred times fewer than 1.
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
 * Sets the threshold of the image score, for verdicts that use it: a number from 0 to 1.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_score_threshold(struct uflow_options *options,
                                                       float threshold);

/**
 * Sets the smallest region that counts, in pixels of the image.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_min_area(struct uflow_options *options, uint32_t pixels);

/**
 * Sets the bound of a region's probability, a `uflow_bound`.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_bound(struct uflow_options *options, uint32_t bound);

/**
 * Sets how the number of tests is counted, a `uflow_tests`. With `UFLOW_TESTS_SIZED` a detection fails where the model's package
 * has no calibrated null hypothesis; `uflow_segment` has none and takes white noise for it.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_tests(struct uflow_options *options,
                                             uint32_t tests);

/**
 * Sets the region of interest, in place of the package's own: height × width bytes, rows `stride` bytes apart (0: without a gap),
 * where what is not 0 counts. It is copied, and scaled to each image; another size of the same shape will do.
 *
 * `options` is NULL (an error) or options that were not freed; `mask` is NULL (an error) or points to the rows.
 */
UFLOW_MUST_USE struct uflow_status *uflow_options_set_roi(struct uflow_options *options,
                                           const uint8_t *mask,
                                           uint32_t width,
                                           uint32_t height,
                                           size_t stride);

/**
 * Makes an empty result. `*result` is the caller's, to be freed with `uflow_result_free`.
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
 * Copies all that is in `from` to `to`, into memory that is there already: to keep what a callback was shown.
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
 * Writes region `index` to `*region`; the most significant is number 0. `UFLOW_STATUS_NOT_FOUND` from the number of regions on.
 *
 * `result` is NULL (an error) or a result that was not freed; `region` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_region(const struct uflow_result *result,
                                             uint32_t index,
                                             struct uflow_region *region);

/**
 * Gives the corners of ring `ring` of region `region`'s outline and their number. Ring 0 is the outer one and runs clockwise as
 * seen on the screen; the others are holes. The polygon is closed: its last corner is joined with its first. The corners belong to
 * `result`: they are there until a call fills it or frees it.
 *
 * `UFLOW_STATUS_NOT_FOUND` for a region or ring that is none.
 *
 * `result` is NULL (an error) or a result that was not freed; `points` and `count` are NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_outline(const struct uflow_result *result,
                                              uint32_t region,
                                              uint32_t ring,
                                              const struct uflow_point **points,
                                              size_t *count);

/**
 * Gives the mask at the image's size: height × width bytes without gaps, 1 where log₁₀NFA < log₁₀ ε, else 0; regions under the
 * smallest area are part of it. `width` and `height` may be NULL. The pixels belong to `result`: they are there until a call fills it
 * or frees it.
 *
 * `UFLOW_STATUS_NOT_FOUND` where `uflow_options_set_maps` did not ask for it.
 *
 * `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or may be written, `width` and
 * `height` NULL or so.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_mask(const struct uflow_result *result,
                                           const uint8_t **pixels,
                                           uint32_t *width,
                                           uint32_t *height);

/**
 * Gives the score map (Eq. 2) at the network's input size: height × width numbers in [0, 1] without gaps. Otherwise as
 * `uflow_result_get_mask`.
 *
 * As `uflow_result_get_mask`.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_score_map(const struct uflow_result *result,
                                                const float **pixels,
                                                uint32_t *width,
                                                uint32_t *height);

/**
 * Gives the log₁₀NFA map at the network's input size: height × width numbers without gaps. Otherwise as `uflow_result_get_mask`.
 *
 * As `uflow_result_get_mask`.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_log10_nfa_map(const struct uflow_result *result,
                                                    const float **pixels,
                                                    uint32_t *width,
                                                    uint32_t *height);

/**
 * Makes a segmenter whose maps have `width` × `height` pixels, 1 to 8192 each (the network's input size, most often). `*segmenter` is the caller's,
 * to be freed with `uflow_segmenter_free`.
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
 * Segments the latents of one image: `scales` (1 to 16) structs in an array, the finest first. Regions are in pixels of an image of
 * `image_width` × `image_height` (both 0: of the maps). Maps are written to `buffers` (NULL: to none), all else to `result`.
 *
 * From `options` (NULL: none) it takes ε (1), verdict (`UFLOW_VERDICT_NFA`), score threshold, smallest area (0), bound
 * (`UFLOW_BOUND_CHERNOFF`), count of tests (`UFLOW_TESTS_PAPER`), region of interest and maps. The latents are read during the call alone. As long as shapes stay it allocates nothing
 * once it has seen as much as there is to see.
 *
 * Fails with `UFLOW_STATUS_INVALID_ARGUMENT` for shapes, sizes or options that are none, `UFLOW_STATUS_NON_FINITE` for latents that are not
 * finite, `UFLOW_STATUS_BUFFER_TOO_SMALL` for a buffer without room. Then `result` keeps what it had.
 *
 * `segmenter`, `latents` and `result` are NULL (an error) or what they say, `options` and `buffers` NULL or so; what `latents` and
 * `buffers` point to is there, and is not changed by others during the call.
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
 * The code of a status; `UFLOW_STATUS_OK` for NULL.
 *
 * `status` is NULL or a status that was not freed.
 */
uflow_status_code uflow_status_get_code(const struct uflow_status *status);

/**
 * The message of a status: UTF-8, ends with 0, lives as long as the status; "success" for NULL.
 *
 * `status` is NULL or a status that was not freed.
 */
const char *uflow_status_get_message(const struct uflow_status *status);

/**
 * The name of a code, e.g. "INVALID_IMAGE"; "UNKNOWN" for a number that is none. The text is static: never free it.
 */
const char *uflow_status_code_name(uint32_t code);

/**
 * Frees a status. NULL is allowed.
 *
 * `status` is NULL or a status that was not freed.
 */
void uflow_status_free(struct uflow_status *status);

/**
 * Starts a stream. `options` may be NULL: every default. `*stream` is the caller's, to be freed with `uflow_stream_free`; `model` may
 * be freed before it.
 *
 * `UFLOW_STATUS_OVERLOADED` where other streams of the engine have left too few places for its capacity, `UFLOW_STATUS_INVALID_ARGUMENT` for a capacity
 * that is larger than the whole engine's.
 *
 * `model` is NULL (an error) or a model that was not freed; `options` is NULL or options that were not freed; `stream` is NULL (an
 * error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_new(const struct uflow_model *model,
                                      const struct uflow_stream_options *options,
                                      struct uflow_stream **stream);

/**
 * Frees a stream. NULL is allowed. Frames that are not done are given up: they are released, their results are dropped;
 * `uflow_stream_flush` waits for them first. When it returns every frame has been released, no callback will be called any more, and none runs
 * but the one that called it: a result callback may free its stream as the last thing it does, a release callback must not. It
 * waits for callbacks that run: hold no lock that they take.
 *
 * `stream` is NULL or a stream that was not freed and that no other thread is using.
 */
void uflow_stream_free(struct uflow_stream *stream);

/**
 * Closes a stream: no more frames are taken, and a thread that waits in `uflow_stream_submit` is woken with `UFLOW_STATUS_UNAVAILABLE`. What is
 * inside is done and delivered as ever; after the last of it `uflow_stream_next` says `UFLOW_STATUS_NOT_FOUND`. Any thread may call this, callbacks
 * too; it waits for nothing.
 *
 * `stream` is NULL (an error) or a stream that was not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_close(const struct uflow_stream *stream);

/**
 * Gives up the frames that are inside, and goes on with what comes after: those that are not done are released soon, and their results
 * are delivered in their turn as `UFLOW_STATUS_CANCELLED`. Any thread may call this, callbacks too; it waits for nothing.
 *
 * `stream` is NULL (an error) or a stream that was not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_cancel(const struct uflow_stream *stream);

/**
 * Hands a frame over and returns. Where the stream is full it waits for a place, at most `timeout_ms` milliseconds (0: not at all;
 * `UFLOW_WAIT_FOREVER`). `frame` is whatever the caller wants to be told with release and result: a number, a buffer's address, NULL.
 *
 * The bytes that `image` names are lent until the frame is released (`uflow_stream_options_set_release_callback`); the struct itself and
 * `options` (NULL: what the package says) are read during the call alone. A frame that was not taken stays the caller's: no callback is called for it.
 *
 * Fails with `UFLOW_STATUS_OVERLOADED` where the stream is still full, `UFLOW_STATUS_INVALID_IMAGE` or `UFLOW_STATUS_OVER_LIMIT` for an image that
 * is none, `UFLOW_STATUS_INVALID_ARGUMENT` for options that do not fit the model. What is found out later, as a file that cannot be
 * decoded or a region of interest too small for the model's maps, is the frame's result. `UFLOW_STATUS_UNAVAILABLE` after `uflow_stream_close`.
 *
 * Both callbacks may come before it returns, the release callback by this very thread: hold no lock that they take. The result callback may
 * call it too; it does not wait then, and the frame at hand still has its place.
 *
 * `stream`, `image` and `options` are NULL (an error, but for `options`) or what they say; the bytes that `image` names are there and are
 * not changed until the frame is released.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_submit(const struct uflow_stream *stream,
                                         const struct uflow_image *image,
                                         const struct uflow_options *options,
                                         void *frame,
                                         uint32_t timeout_ms);

/**
 * Waits for the next frame to be done, at most `timeout_ms` milliseconds (0: not at all; `UFLOW_WAIT_FOREVER`), and writes what it was
 * handed over as to `*frame` (may be NULL). Either `*frame_status` is NULL then and `result` has what was found, or
 * `*frame_status` says what went wrong with the frame, is the caller's to be freed with `uflow_status_free`, and `result` is as it was.
 *
 * Where nothing is inside it waits for a frame to come. Fails with `UFLOW_STATUS_TIMED_OUT` where no frame is done in time,
 * `UFLOW_STATUS_NOT_FOUND` where the stream is closed and nothing is inside, `UFLOW_STATUS_INVALID_ARGUMENT` for a stream with a result callback.
 *
 * `stream` and `result` are NULL (an error) or what they say; `frame` is NULL or may be written, `frame_status` NULL (an error) or so.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_next(const struct uflow_stream *stream,
                                       uint32_t timeout_ms,
                                       void **frame,
                                       struct uflow_result *result,
                                       struct uflow_status **frame_status);

/**
 * Waits until every frame that was handed over before the call is done, at most `timeout_ms` milliseconds (0: not at all; `UFLOW_WAIT_FOREVER`): its
 * callback has returned or, without a callback, its result is ready for `uflow_stream_next`.
 *
 * Fails with `UFLOW_STATUS_TIMED_OUT`; with `UFLOW_STATUS_BUSY` where the stream's own result callback calls it, which would wait for itself.
 *
 * `stream` is NULL (an error) or a stream that was not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_flush(const struct uflow_stream *stream,
                                        uint32_t timeout_ms);

/**
 * How many frames are in the stream: handed over, and their results not yet delivered. 0 for NULL.
 *
 * `stream` is NULL or a stream that was not freed.
 */
uint32_t uflow_stream_pending(const struct uflow_stream *stream);

/**
 * Makes options with every default. `*options` is the caller's, to be freed with `uflow_stream_options_free`.
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
 * Sets the most frames that are in the stream at a time, from handing over to the end of the delivery of the result (default 8).
 * All streams of an engine share the places that `uflow_engine_options_set_max_in_flight` sets.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_set_capacity(struct uflow_stream_options *options,
                                                       uint32_t capacity);

/**
 * Sets after how many milliseconds, from the moment it has its place in the stream, a frame is of no use any more; 0 (the default) is never. It
 * is looked at before each step (decoding, network, segmentation): from then on no more work is put into the frame, and its result is
 * `UFLOW_STATUS_TIMED_OUT`. The result is delivered in its turn, which may be later: a gate needs a clock of its own.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_set_deadline(struct uflow_stream_options *options,
                                                       uint32_t milliseconds);

/**
 * Sets the function that gets the results; NULL (the default) for a stream that is asked with `uflow_stream_next`. It is called by
 * a thread of the stream, for one frame at a time, in order.
 *
 * `options` is NULL (an error) or options that were not freed; `callback` may be called with `user_data` from another thread until
 * the stream is freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_set_result_callback(struct uflow_stream_options *options,
                                                              uflow_result_callback callback,
                                                              void *user_data);

/**
 * Sets the function that is told that a frame's bytes are not read any more. It is called once for each frame that was taken, as
 * soon as the frame is in the network's input and always before its result is delivered, by a thread of the engine or the one
 * that hands the frame over; frames of one stream may be released at the same time and in any order. It must not wait for
 * anything, the stream least of all. Without it (NULL, the default) a frame is released by the delivery of its result: before the
 * result callback is called, or by the return of `uflow_stream_next`.
 *
 * `options` is NULL (an error) or options that were not freed; `callback` may be called with `user_data` from another thread until
 * the stream is freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_stream_options_set_release_callback(struct uflow_stream_options *options,
                                                               uflow_release_callback callback,
                                                               void *user_data);

/**
 * The text itself; lives as long as `text`. Empty for NULL.
 *
 * `text` is NULL or a text that was not freed.
 */
const char *uflow_text_data(const struct uflow_text *text);

/**
 * Its length in bytes, without the 0 at its end. 0 for NULL.
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
 * Loads the backbone, on the engine's device, and makes room for features. `*trainer` is the caller's, to be freed with
 * `uflow_trainer_free`; `engine` may be freed before it. Training runs on the CPU, on as many threads as the engine's networks.
 *
 * Fails with `UFLOW_STATUS_NETWORK` for a backbone that is none or takes no such input, `UFLOW_STATUS_INVALID_ARGUMENT` for turns of an input that is not
 * square, `UFLOW_STATUS_DEVICE` for a device that is missing, `UFLOW_STATUS_IO` for a file that cannot be read.
 *
 * `engine` and `options` are NULL (an error) or what they say; `trainer` is NULL (an error) or may be written.
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
 * Adds a good frame. It is read during the call alone, which takes as long as the backbone does. A frame that fails is not added; the
 * codes are those of `uflow_detector_detect`. A frame with the same pixels as an earlier one, and a frame whose pixels all have one
 * value, are left out and are no failure: `uflow_trainer_frames` does not count them, `uflow_trainer_warnings` names them.
 *
 * `trainer` and `image` are NULL (an error) or what they say; the bytes that `image` names are there and are not changed during
 * the call.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_add(struct uflow_trainer *trainer,
                                       const struct uflow_image *image);

/**
 * How many frames a model would be fitted to. 0 for NULL, and while another thread uses the trainer.
 *
 * `trainer` is NULL or a trainer that was not freed.
 */
size_t uflow_trainer_frames(const struct uflow_trainer *trainer);

/**
 * Fits a model to the frames added so far and writes it to `path` (UTF-8): a folder, or one file where it ends in `.uflow`. It is there
 * whole or not at all; a package that is there already is replaced at the end, folders above it are made. It takes minutes; `callback` (may
 * be NULL) is asked before the first epoch and after every optimiser step and epoch, and must not use the trainer. The frames stay: more
 * may be added, and a model fitted again.
 *
 * A flow of cross-fitting that fails does not cost the model: the package is written, and `uflow_trainer_warnings` says what is missing.
 *
 * Fails with `UFLOW_STATUS_TRAINING` for fewer than 8 frames, frames that are practically one picture, or a loss that is not finite from the start, `UFLOW_STATUS_CANCELLED` where the
 * callback said so, `UFLOW_STATUS_PACKAGE` or `UFLOW_STATUS_IO` for a path that cannot be written, before training.
 *
 * `trainer` and `path` are NULL (an error) or what they say; `callback` is NULL or may be called with `user_data`.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_fit(struct uflow_trainer *trainer,
                                       const char *path,
                                       uflow_progress_callback callback,
                                       void *user_data);

/**
 * What the last training that was written came to. `UFLOW_STATUS_INVALID_ARGUMENT` before the first.
 *
 * `trainer` is NULL (an error) or a trainer that was not freed; `training` is NULL (an error) or a struct with its size set.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_get_training(const struct uflow_trainer *trainer,
                                                struct uflow_training *training);

/**
 * What the user should know of the last model that was fitted, a line each; empty where there is nothing to say. `*text` is the
 * caller's, to be freed with `uflow_text_free`. `UFLOW_STATUS_INVALID_ARGUMENT` before the first.
 *
 * `trainer` is NULL (an error) or a trainer that was not freed; `text` is NULL (an error) or may be written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_trainer_warnings(const struct uflow_trainer *trainer,
                                            struct uflow_text **text);

/**
 * Version of the library that is loaded, e.g. "0.1.0"; `UFLOW_VERSION` is that of the header.
 *
 * The text is static: never free it. Any thread may call this at any time.
 */
const char *uflow_version(void);

/**
 * Version of the library that is loaded as a number: 1,000,000 × major + 1,000 × minor + patch, as `UFLOW_VERSION_NUMBER` is of
 * the header. A program should find the same major version in both.
 *
 * Any thread may call this at any time.
 */
uint32_t uflow_version_number(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus


/* To begin structs with: their size set, and all else 0. */
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
#else
#define UFLOW_IMAGE_INIT {.struct_size = sizeof(struct uflow_image)}
#define UFLOW_BUFFERS_INIT {.struct_size = sizeof(struct uflow_buffers)}
#define UFLOW_LATENTS_INIT {.struct_size = sizeof(struct uflow_latents)}
#define UFLOW_MODEL_INFO_INIT {.struct_size = sizeof(struct uflow_model_info)}
#define UFLOW_SUMMARY_INIT {.struct_size = sizeof(struct uflow_summary)}
#define UFLOW_REGION_INIT {.struct_size = sizeof(struct uflow_region)}
#define UFLOW_TRAINING_INIT {.struct_size = sizeof(struct uflow_training)}
#endif

#endif  /* UFLOW_H */
