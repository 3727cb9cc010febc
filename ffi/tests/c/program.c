/* Everything that libuflow does, as a C program uses it, and what it must not do: leak, keep threads, print, write past the end.
 *
 *   program FOLDER CYCLES FRAMES [BACKBONE]
 *
 * Fits its own model in FOLDER, on the default backbone or on BACKBONE; calls every function, correctly and incorrectly; shares a model
 * among 8 threads for FRAMES frames; makes and frees each kind of handle CYCLES times. tools/check_library.sh runs it as it is,
 * under AddressSanitizer and UndefinedBehaviorSanitizer, and under Valgrind.
 */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <uflow.h>
#include <unistd.h>

#include "expect.h"
#include "pictures.h"
#include "process.h"

enum { GOOD = 12, THREADS = 8, KINDS = 4 };

/* ---- fitting ---- */

static uint32_t on_progress(void *user_data, const uflow_progress *progress) {
  int *calls = user_data;
  EXPECT(progress->struct_size >= sizeof *progress && progress->epoch <= progress->epochs);
  (*calls)++;
  return *calls == -1 ? UFLOW_CONTROL_CANCEL : UFLOW_CONTROL_CONTINUE;
}

static uint32_t on_progress_cancel(void *user_data, const uflow_progress *progress) {
  (void)user_data;
  (void)progress;
  return UFLOW_CONTROL_CANCEL;
}

static void fit(const uflow_engine *engine, const char *package, const char *backbone) {
  uflow_fit_options *options;
  uflow_trainer *trainer;
  OK(uflow_fit_options_new("program", &options));
  OK(uflow_fit_options_set_input_size(options, SIDE, SIDE));
  if (backbone != NULL) {
    OK(uflow_fit_options_set_backbone(options, backbone));
  }
  OK(uflow_fit_options_set_epochs(options, 2, 2));
  OK(uflow_fit_options_set_steps(options, 2));
  FAILS(UFLOW_STATUS_INVALID_ARGUMENT, uflow_fit_options_set_epochs(options, 0, 0));
  OK(uflow_fit_options_set_time_budget(options, 600.0));
  OK(uflow_trainer_new(engine, options, &trainer));
  uflow_fit_options_free(options);
  unsigned char pixels[BYTES];
  for (unsigned i = 0; i < GOOD; i++) {
    good(pixels, i);
    uflow_image image = image_of(pixels);
    OK(uflow_trainer_add(trainer, &image));
  }
  EXPECT(uflow_trainer_frames(trainer) == GOOD);
  int calls = 0;
  FAILS(UFLOW_STATUS_CANCELLED, uflow_trainer_fit(trainer, package, on_progress_cancel, NULL));
  /* A full disk, as far as the library can tell: a status, and nothing on standard error. */
  struct rlimit before, full;
  EXPECT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &before) == 0);
  full = before;
  full.rlim_cur = 4096;
  EXPECT(setrlimit(RLIMIT_FSIZE, &full) == 0);
  FAILS(UFLOW_STATUS_IO, uflow_trainer_fit(trainer, package, NULL, NULL));
  EXPECT(setrlimit(RLIMIT_FSIZE, &before) == 0 && access(package, F_OK) != 0);
  OK(uflow_trainer_fit(trainer, package, on_progress, &calls));
  EXPECT(calls > 2);
  uflow_training training = UFLOW_TRAINING_INIT;
  OK(uflow_trainer_get_training(trainer, &training));
  EXPECT(training.images + training.held_out == GOOD);
  uflow_text *warnings;
  OK(uflow_trainer_warnings(trainer, &warnings));
  EXPECT(uflow_text_size(warnings) == strlen(uflow_text_data(warnings)));
  uflow_text_free(warnings);
  uflow_trainer_free(trainer);
}

/* ---- one image ---- */

static void detect(const uflow_model *model) {
  uflow_detector *detector;
  uflow_options *options;
  uflow_result *result;
  OK(uflow_detector_new(model, &detector));
  OK(uflow_options_new(&options));
  OK(uflow_result_new(&result));
  OK(uflow_options_set_epsilon(options, 1e200));
  OK(uflow_options_set_maps(options, UFLOW_MAPS_MASK | UFLOW_MAPS_SCORE | UFLOW_MAPS_LOG10_NFA));

  /* The pixels end where their memory ends, so that a tool sees a read past them. */
  unsigned char *pixels = malloc(BYTES);
  bad(pixels, 1);
  uflow_image image = image_of(pixels);
  OK(uflow_detector_detect(detector, &image, options, result));
  uflow_summary summary = UFLOW_SUMMARY_INIT;
  OK(uflow_result_get_summary(result, &summary));
  EXPECT(summary.anomalous == 1 && summary.regions > 0 && summary.width == SIDE);
  for (uint32_t i = 0; i < summary.regions; i++) {
    uflow_region region = UFLOW_REGION_INIT;
    OK(uflow_result_get_region(result, i, &region));
    EXPECT(region.area > 0 && region.rings > 0);
    for (uint32_t ring = 0; ring < region.rings; ring++) {
      const uflow_point *points;
      size_t count;
      OK(uflow_result_get_outline(result, i, ring, &points, &count));
      EXPECT(count >= 4 && points[count - 1].x <= SIDE && points[count - 1].y <= SIDE);
    }
  }
  uint32_t width, height;
  const uint8_t *mask;
  OK(uflow_result_get_mask(result, &mask, &width, &height));
  unsigned anomalous = 0;
  for (uint32_t i = 0; i < width * height; i++) {
    anomalous += mask[i];
  }
  EXPECT(anomalous > 0);

  uint8_t *own = malloc(SIDE * SIDE);
  float *scores = malloc(SIDE * SIDE * sizeof *scores);
  uflow_buffers buffers = UFLOW_BUFFERS_INIT;
  buffers.mask = own;
  buffers.mask_capacity = SIDE * SIDE;
  buffers.mask_width = buffers.mask_height = SIDE;
  buffers.score_map = scores;
  buffers.score_map_capacity = SIDE * SIDE;
  buffers.map_width = buffers.map_height = SIDE;
  OK(uflow_detector_detect_into(detector, &image, options, &buffers, result));
  OK(uflow_result_get_mask(result, &mask, NULL, NULL));
  EXPECT(memcmp(own, mask, SIDE * SIDE) == 0);
  buffers.mask_capacity--;
  FAILS(UFLOW_STATUS_BUFFER_TOO_SMALL, uflow_detector_detect_into(detector, &image, options, &buffers, result));

  float score = -1;
  uint32_t verdict = 9;
  OK(uflow_detector_score(detector, &image, options, &score, &verdict));
  EXPECT(score == summary.score && verdict == summary.anomalous);

  image.format = UFLOW_FORMAT_ENCODED;
  FAILS(UFLOW_STATUS_UNDECODABLE, uflow_detector_detect(detector, &image, options, result));
  image = image_of(pixels);
  image.size--;
  FAILS(UFLOW_STATUS_INVALID_IMAGE, uflow_detector_detect(detector, &image, options, result));
  FAILS(UFLOW_STATUS_INVALID_ARGUMENT, uflow_detector_detect(NULL, NULL, NULL, NULL));

  unsigned char *several = malloc(3 * BYTES);
  uflow_image images[3];
  uflow_result *results[3];
  for (unsigned i = 0; i < 3; i++) {
    bad(several + i * BYTES, i);
    images[i] = image_of(several + i * BYTES);
    OK(uflow_result_new(&results[i]));
  }
  OK(uflow_detector_detect_batch(detector, images, 3, options, results));
  OK(uflow_result_get_summary(results[1], &summary));
  EXPECT(summary.score > score - 1e-4f && summary.score < score + 1e-4f);
  for (unsigned i = 0; i < 3; i++) {
    uflow_result_free(results[i]);
  }

  uint8_t half[2] = {1, 0};
  OK(uflow_options_set_roi(options, half, sizeof half, 2, 1, 0));
  image = image_of(pixels);
  OK(uflow_detector_detect(detector, &image, options, result));

  free(several);
  free(scores);
  free(own);
  free(pixels);
  uflow_result_free(result);
  uflow_options_free(options);
  uflow_detector_free(detector);
}

/* ---- streams ---- */

typedef struct {
  pthread_mutex_t lock;
  unsigned released, found, failed;
  uint64_t next;
} tally;

static void on_release(void *user_data, const uflow_frame *frame) {
  tally *counts = user_data;
  EXPECT(frame->id != 0 && frame->timestamp == 7 * frame->id && frame->buffer != NULL);
  pthread_mutex_lock(&counts->lock);
  counts->released++;
  pthread_mutex_unlock(&counts->lock);
}

static void on_result(void *user_data, const uflow_frame *frame, const uflow_status *status, const uflow_result *result) {
  tally *counts = user_data;
  EXPECT(frame->id == counts->next++ && frame->timestamp == 7 * frame->id && frame->buffer != NULL);
  if (status != NULL) {
    EXPECT(result == NULL && uflow_status_get_code(status) == UFLOW_STATUS_UNDECODABLE);
    counts->failed++;
    return;
  }
  uflow_summary summary = UFLOW_SUMMARY_INIT;
  OK(uflow_result_get_summary(result, &summary));
  counts->found++;
}

static uflow_frame frame_of(uint64_t id, unsigned char *pixels) {
  uflow_frame frame = UFLOW_FRAME_INIT;
  frame.id = id;
  frame.timestamp = 7 * id;
  frame.buffer = pixels;
  return frame;
}

static void stream(const uflow_model *model, unsigned frames) {
  tally counts = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0, 1};
  uflow_stream_options *options;
  uflow_stream *stream;
  OK(uflow_stream_options_new(&options));
  OK(uflow_stream_options_set_capacity(options, 4));
  OK(uflow_stream_options_set_release_callback(options, on_release, &counts));
  OK(uflow_stream_options_set_result_callback(options, on_result, &counts));
  OK(uflow_stream_new(model, options, &stream));
  unsigned char *pixels = malloc(BYTES);
  bad(pixels, 1);
  for (uint64_t i = 1; i <= frames; i++) {
    uflow_image image = image_of(pixels);
    uflow_frame frame = frame_of(i, pixels);
    if (i % 10 == 0) {
      image.format = UFLOW_FORMAT_ENCODED;
    }
    OK(uflow_stream_submit(stream, &image, NULL, &frame, UFLOW_WAIT_FOREVER));
  }
  OK(uflow_stream_flush(stream, UFLOW_WAIT_FOREVER));
  EXPECT(uflow_stream_pending(stream) == 0);
  EXPECT(counts.released == frames && counts.found + counts.failed == frames && counts.failed == frames / 10);
  uflow_stream_free(stream);

  /* Freed with frames inside: every buffer comes back. */
  OK(uflow_stream_options_set_result_callback(options, NULL, NULL));
  OK(uflow_stream_new(model, options, &stream));
  counts.released = 0;
  for (uint64_t i = 1; i <= 4; i++) {
    uflow_image image = image_of(pixels);
    uflow_frame frame = frame_of(i, pixels);
    OK(uflow_stream_submit(stream, &image, NULL, &frame, 0));
  }
  uflow_image image = image_of(pixels);
  FAILS(UFLOW_STATUS_OVERLOADED, uflow_stream_submit(stream, &image, NULL, NULL, 0));
  uflow_result *result;
  OK(uflow_result_new(&result));
  uflow_frame frame = UFLOW_FRAME_INIT;
  uflow_status *status;
  OK(uflow_stream_next(stream, UFLOW_WAIT_FOREVER, &frame, result, &status));
  EXPECT(frame.id == 1 && frame.buffer == pixels && status == NULL);
  uflow_stream_free(stream);
  EXPECT(counts.released == 4);
  free(pixels);
  uflow_result_free(result);
  uflow_stream_options_free(options);
}

/* ---- a model shared by threads ---- */

typedef struct {
  const uflow_model *model;
  float expected[KINDS];
  unsigned frames, first;
} share;

static void *work(void *argument) {
  const share *shared = argument;
  uflow_detector *detector;
  OK(uflow_detector_new(shared->model, &detector));
  unsigned char pixels[KINDS][BYTES];
  for (unsigned i = 0; i < KINDS; i++) {
    bad(pixels[i], i);
  }
  for (unsigned i = 0; i < shared->frames; i++) {
    unsigned kind = (shared->first + i) % KINDS;
    uflow_image image = image_of(pixels[kind]);
    float score;
    OK(uflow_detector_score(detector, &image, NULL, &score, NULL));
    EXPECT(score == shared->expected[kind]);
  }
  uflow_detector_free(detector);
  return NULL;
}

static void share_a_model(const uflow_model *model, unsigned frames) {
  share shares[THREADS];
  pthread_t handles[THREADS];
  uflow_detector *detector;
  OK(uflow_detector_new(model, &detector));
  for (unsigned i = 0; i < KINDS; i++) {
    unsigned char pixels[BYTES];
    bad(pixels, i);
    uflow_image image = image_of(pixels);
    OK(uflow_detector_score(detector, &image, NULL, &shares[0].expected[i], NULL));
  }
  uflow_detector_free(detector);
  for (unsigned i = 0; i < THREADS; i++) {
    memcpy(shares[i].expected, shares[0].expected, sizeof shares[i].expected);
    shares[i].model = model;
    shares[i].frames = frames / THREADS;
    shares[i].first = i;
    EXPECT(pthread_create(&handles[i], NULL, work, &shares[i]) == 0);
  }
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join(handles[i], NULL);
  }
}

/* ---- latents ---- */

static void segment(void) {
  float *z = malloc(8 * 16 * 16 * sizeof *z);
  for (int i = 0; i < 8 * 16 * 16; i++) {
    int x = i % 16, y = i / 16 % 16;
    z[i] = x > 4 && x < 9 && y > 4 && y < 9 ? 9.0f : (float)(i % 7) / 4.0f - 0.75f;
  }
  uflow_segmenter *segmenter;
  uflow_result *result;
  OK(uflow_segmenter_new(128, 128, &segmenter));
  OK(uflow_result_new(&result));
  uflow_latents latents = UFLOW_LATENTS_INIT;
  latents.data = z;
  latents.size = 8 * 16 * 16;
  latents.channels = 8;
  latents.height = 16;
  latents.width = 16;
  OK(uflow_segment_latents(segmenter, &latents, 1, NULL, 0, 0, NULL, result));
  uflow_summary summary = UFLOW_SUMMARY_INIT;
  OK(uflow_result_get_summary(result, &summary));
  EXPECT(summary.anomalous == 1 && summary.regions == 1);
  latents.size--;
  FAILS(UFLOW_STATUS_INVALID_ARGUMENT, uflow_segment_latents(segmenter, &latents, 1, NULL, 0, 0, NULL, result));
  uflow_result_free(result);
  uflow_segmenter_free(segmenter);
  free(z);
}

/* ---- making and freeing ---- */

static void cycle(const uflow_engine *engine, const char *package) {
  uflow_engine_options *engine_options;
  uflow_model *model;
  uflow_detector *detector;
  uflow_options *options;
  uflow_result *result;
  uflow_segmenter *segmenter;
  uflow_stream *stream;
  uflow_stream_options *stream_options;
  uflow_text *text;
  OK(uflow_engine_options_new(&engine_options));
  OK(uflow_engine_load(engine, package, &model));
  OK(uflow_detector_new(model, &detector));
  OK(uflow_options_new(&options));
  OK(uflow_result_new(&result));
  OK(uflow_segmenter_new(32, 32, &segmenter));
  OK(uflow_stream_options_new(&stream_options));
  OK(uflow_stream_new(model, stream_options, &stream));
  OK(uflow_engine_metrics(engine, &text));
  unsigned char pixels[BYTES];
  bad(pixels, 1);
  uflow_image image = image_of(pixels);
  OK(uflow_detector_detect(detector, &image, options, result));
  OK(uflow_stream_submit(stream, &image, options, NULL, 0));
  uflow_text_free(text);
  uflow_stream_free(stream);
  uflow_stream_options_free(stream_options);
  uflow_segmenter_free(segmenter);
  uflow_result_free(result);
  uflow_options_free(options);
  uflow_detector_free(detector);
  uflow_model_free(model);
  uflow_engine_options_free(engine_options);
}

static void on_log(void *user_data, uint32_t level, const char *target, const char *message) {
  EXPECT(level >= UFLOW_LOG_LEVEL_ERROR && strlen(target) > 0 && strlen(message) > 0);
  (void)user_data;
}

static void *run(void *argument) {
  char **argv = argument;
  unsigned cycles = (unsigned)strtoul(argv[2], NULL, 10), frames = (unsigned)strtoul(argv[3], NULL, 10);
  char package[4096];
  EXPECT(snprintf(package, sizeof package, "%s/program.uflow", argv[1]) < (int)sizeof package);

  EXPECT(UFLOW_STATUS_OK == 0 && uflow_status_get_code(NULL) == 0);
  EXPECT(strcmp(uflow_version(), UFLOW_VERSION) == 0 && uflow_version_number() == UFLOW_VERSION_NUMBER);
  OK(uflow_log_set_callback(on_log, NULL, UFLOW_LOG_LEVEL_DEBUG));
  uflow_engine *engine;
  uflow_model *model;
  OK(uflow_engine_new(NULL, &engine));
  FAILS(UFLOW_STATUS_PACKAGE, uflow_engine_load(engine, "/nothing/here", &model));
  fit(engine, package, argv[4]);
  OK(uflow_engine_load(engine, package, &model));
  EXPECT(strcmp(uflow_model_name(model), "program") == 0);
  detect(model);
  stream(model, 50);
  segment();
  share_a_model(model, frames);

  /* The minimum in the second and in the last fifth of the cycles: threads that free a model may be late, a leak remains. */
  long early = LONG_MAX, late = LONG_MAX, resident_early = LONG_MAX, resident_late = LONG_MAX;
  for (unsigned i = 0; i < cycles; i++) {
    cycle(engine, package);
    long now = allocated_kib(), resident = resident_kib();
    if (i >= cycles / 5 && i < 2 * cycles / 5) {
      early = now < early ? now : early;
      resident_early = resident < resident_early ? resident : resident_early;
    }
    if (i >= 4 * cycles / 5) {
      late = now < late ? now : late;
      resident_late = resident < resident_late ? resident : resident_late;
    }
  }
  if (cycles >= 5) {
    printf("%u cycles, KiB early and late: %ld and %ld allocated, %ld and %ld resident\n", cycles, early, late, resident_early,
           resident_late);
  }
  OK(uflow_log_set_callback(NULL, NULL, 0));
  uflow_detector *last;
  OK(uflow_detector_new(model, &last));
  uflow_engine_free(engine);
  FAILS(UFLOW_STATUS_BUSY, uflow_shutdown());
  uflow_model_free(model);
  FAILS(UFLOW_STATUS_BUSY, uflow_shutdown());
  uflow_detector_free(last);
  OK(uflow_shutdown());
  /* It is final: no engine any more. It may be called again, and what needs no engine still works. */
  FAILS(UFLOW_STATUS_UNAVAILABLE, uflow_engine_new(NULL, &engine));
  OK(uflow_shutdown());
  FAILS(UFLOW_STATUS_UNAVAILABLE, uflow_engine_new(NULL, &engine));
  segment();
  struct timespec pause = {0, 20000000};
  /* This thread, and the one that waits for it. */
  for (int i = 0; i < 250 && threads() > 2; i++) {
    nanosleep(&pause, NULL);
  }
  printf("%d threads more than at the start\n", threads() - 2);
  EXPECT(cycles < 100 || (late - early < 1024 && resident_late - resident_early < 65536));
  EXPECT(threads() == 2);
  puts("done");
  return NULL;
}

/* All work is in a thread that ends before the process, so that tools see its thread-local memory freed. */
int main(int argc, char **argv) {
  pthread_t thread;
  EXPECT(argc == 4 || argc == 5);
  EXPECT(pthread_create(&thread, NULL, run, argv) == 0 && pthread_join(thread, NULL) == 0);
  return 0;
}
