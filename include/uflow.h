/*
 * libuflow 0.1.0: finds defects in images after learning from good images only.
 *
 * Conventions, kept by every function:
 *
 * - Handles are opaque. What `_new`, `_load` and their like give belongs to the caller and ends with the type's `_free`, which
 * takes NULL.
 * - A function that can fail gives a `uflow_status *`: NULL is success. It writes its outputs on success alone.
 * - Structs passed by value begin with `struct_size`, so that they can grow: a field beyond the caller's size is not read, and
 * not written.
 * - Enumerations are 32 bits wide, only ever grow, and begin with 0 = unknown.
 * - No panic crosses: every export goes through a guard. A handle in which one happened says so ever after.
 * - Pointers are checked for NULL and alignment, sizes for overflow; what lies behind them is the caller's word.
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
   * There is no such model or version.
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
   * A bug in the library. The handle it happened in says `UFLOW_STATUS_POISONED` from then on.
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
 * Looks at one image after another with a model: the calling thread does the work and waits for it.
 *
 * It belongs to the caller, who frees it with `uflow_detector_free`. One thread at a time: give each thread its own; those of one
 * model share its networks. Results are the same to the bit as those of the `uflow` command.
 */
typedef struct uflow_detector uflow_detector;

/**
 * ONNX Runtime on a device, and the backbones of the models that were loaded, one of a kind however many models name it.
 *
 * It belongs to the caller, who frees it with `uflow_engine_free`. Any thread may use it at any time. It has worker threads
 * (`uflow_engine_options_set_workers`) for asynchronous use, and one for each backbone; they sleep when there is nothing to
 * do, and end with the engine or the last of its models, whichever is later.
 */
typedef struct uflow_engine uflow_engine;

/**
 * How an engine is set up. What is not set has its default.
 *
 * It belongs to the caller, who frees it with `uflow_engine_options_free`; one thread at a time. An engine keeps nothing of it.
 */
typedef struct uflow_engine_options uflow_engine_options;

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
 * It belongs to the caller, who frees it with `uflow_options_free`; one thread at a time. A call reads it and keeps nothing of it.
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
 * A failure: its code and a message that says what was wrong, where, and what to do.
 *
 * It belongs to the caller, who frees it with `uflow_status_free`. It is never changed: any thread may read it.
 */
typedef struct uflow_status uflow_status;

/**
 * A text: UTF-8, ends with 0. It belongs to the caller, who frees it with `uflow_text_free`; any thread may read it.
 */
typedef struct uflow_text uflow_text;

/**
 * An image that the caller lends for the time of a call. Begin with `UFLOW_IMAGE_INIT`.
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
   * Pixels in a row.
   */
  uint32_t width;
  /**
   * Rows.
   */
  uint32_t height;
  /**
   * A `uflow_format`.
   */
  uint32_t format;
} uflow_image;

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
   * The image score: the maximum of the score map, in [0, 1).
   */
  float score;
  /**
   * The lowest log₁₀NFA of the image; below log₁₀ ε it is a detection.
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
   * Milliseconds for backbone and flow.
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
 * Sets which maps results keep from now on: a sum of `uflow_maps`, `UFLOW_MAPS_NONE` at first.
 *
 * `detector` is NULL (an error) or a detector that was not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_detector_keep_maps(struct uflow_detector *detector, uint32_t maps);

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
 * Looks at an image for its score and verdict alone. `score` or `anomalous` may be NULL where it is not wanted. Otherwise as
 * `uflow_detector_detect`.
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
 * Sets the precision of the networks: "fp32" (the default), "bf16", "fp16" or "int8", where the device has it.
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
 * Sets the threads of the networks; 0 (the default) is the CPU quota of this process.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_threads(struct uflow_engine_options *options,
                                                      uint32_t threads);

/**
 * Sets the worker threads that decode, resize and segment asynchronous frames; the default is the CPU quota of this process.
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_workers(struct uflow_engine_options *options,
                                                      uint32_t workers);

/**
 * Sets the most asynchronous frames in a batch (default 8), and the longest time in milliseconds that a batch waits for frames
 * that are on their way (default 2).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_batching(struct uflow_engine_options *options,
                                                       uint32_t max_batch,
                                                       double max_delay_ms);

/**
 * Sets the most asynchronous frames inside the engine (default 64).
 *
 * `options` is NULL (an error) or options that were not freed.
 */
UFLOW_MUST_USE struct uflow_status *uflow_engine_options_set_max_in_flight(struct uflow_engine_options *options,
                                                            uint32_t max_in_flight);

/**
 * Sets what decoding an encoded image may take: the most pixels (default 268,435,456) and the most bytes, of the file and of
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
 * Fails with `UFLOW_STATUS_LIBRARY` where ONNX Runtime cannot be found; the message names every place that was looked at.
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
 * Loads a model package, a folder or a `.uflow` file (`path`, UTF-8), and warms it up. A backbone that another model of this
 * engine has already is shared with it. `*model` is the caller's, to be freed with `uflow_model_free`.
 *
 * Fails with `UFLOW_STATUS_PACKAGE` for a package that is damaged, `UFLOW_STATUS_NETWORK` for networks that do not do what it says,
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
 * is. Otherwise as `uflow_engine_load`; `UFLOW_STATUS_NOT_FOUND` where there is no such model or version.
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
 * Copies the corners of ring `ring` of region `region`'s outline to `points`, which has room for `capacity`, and their number to
 * `*count`. With `points` NULL and `capacity` 0 it writes the number alone. The polygon is closed: its last corner is joined with
 * its first.
 *
 * `UFLOW_STATUS_BUFFER_TOO_SMALL` where there are more than `capacity`, `UFLOW_STATUS_NOT_FOUND` for a region or ring that is none.
 *
 * `result` is NULL (an error) or a result that was not freed; `points` is NULL or has room; `count` is NULL (an error) or may be
 * written.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_get_outline(const struct uflow_result *result,
                                              uint32_t region,
                                              uint32_t ring,
                                              struct uflow_point *points,
                                              size_t capacity,
                                              size_t *count);

/**
 * Copies the mask at the image's size to `pixels`: height × width bytes without gaps, 1 where log₁₀NFA < log₁₀ ε, else 0; regions
 * under the smallest area are part of it.
 *
 * `UFLOW_STATUS_BUFFER_TOO_SMALL` where `capacity` is less; `UFLOW_STATUS_NOT_FOUND` where `uflow_detector_keep_maps` did not ask for it.
 *
 * `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or has room for `capacity` bytes.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_copy_mask(const struct uflow_result *result,
                                            uint8_t *pixels,
                                            size_t capacity);

/**
 * Copies the score map (Eq. 2), input_height × input_width numbers in [0, 1) without gaps, to `pixels`. Otherwise as
 * `uflow_result_copy_mask`; `capacity` counts numbers.
 *
 * `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or has room for `capacity` numbers.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_copy_score_map(const struct uflow_result *result,
                                                 float *pixels,
                                                 size_t capacity);

/**
 * Copies the log₁₀NFA map, input_height × input_width numbers without gaps, to `pixels`. Otherwise as `uflow_result_copy_mask`;
 * `capacity` counts numbers.
 *
 * `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or has room for `capacity` numbers.
 */
UFLOW_MUST_USE struct uflow_status *uflow_result_copy_log10_nfa_map(const struct uflow_result *result,
                                                     float *pixels,
                                                     size_t capacity);

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

#endif  /* UFLOW_H */

/* Structs with their size set and all else 0. */
#ifdef __cplusplus
#define UFLOW_IMAGE_INIT uflow_image{sizeof(uflow_image)}
#else
#define UFLOW_IMAGE_INIT ((struct uflow_image){.struct_size = sizeof(struct uflow_image)})
#endif
#ifdef __cplusplus
#define UFLOW_MODEL_INFO_INIT uflow_model_info{sizeof(uflow_model_info)}
#else
#define UFLOW_MODEL_INFO_INIT ((struct uflow_model_info){.struct_size = sizeof(struct uflow_model_info)})
#endif
#ifdef __cplusplus
#define UFLOW_SUMMARY_INIT uflow_summary{sizeof(uflow_summary)}
#else
#define UFLOW_SUMMARY_INIT ((struct uflow_summary){.struct_size = sizeof(struct uflow_summary)})
#endif
#ifdef __cplusplus
#define UFLOW_REGION_INIT uflow_region{sizeof(uflow_region)}
#else
#define UFLOW_REGION_INIT ((struct uflow_region){.struct_size = sizeof(struct uflow_region)})
#endif
