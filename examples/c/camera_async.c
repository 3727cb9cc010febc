/* A trigger camera with a ring of buffers: frames are submitted without waiting for each, verdicts come by callback, in order.
 *
 *   cc -std=c11 camera_async.c $(pkg-config --cflags --libs uflow) -o camera_async && ./camera_async bracket.uflow 1000
 *
 * The camera is simulated: `expose` fills a buffer as a driver would. The point is who owns a buffer when:
 *
 *   free --take_buffer--> camera --uflow_stream_submit--> library --on_release--> free
 *
 * A buffer comes back as soon as its pixels are in the network's input, before the verdict: a short ring serves a long queue.
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uflow.h>

enum { WIDTH = 640, HEIGHT = 480, BUFFERS = 6 };

#if defined(__STDC_NO_ATOMICS__)
#error "this example needs C11 atomics"
#endif
#include <stdatomic.h>

typedef struct {
  unsigned char pixels[WIDTH * HEIGHT];
  atomic_int is_free;
} buffer;

typedef struct {
  unsigned verdicts, anomalous, failed;
} counts;

static void check(uflow_status *status) {
  if (status != NULL) {
    fprintf(stderr, "camera_async: %s\n", uflow_status_get_message(status));
    uflow_status_free(status);
    exit(1);
  }
}

/* The library does not read the buffer any more: the camera may fill it again. Called by threads of the engine. */
static void on_release(void *user_data, const uflow_frame *frame) {
  (void)user_data;
  atomic_store(&((buffer *)frame->buffer)->is_free, 1);
}

/* A verdict on frame number `frame->id`. Called by the stream's thread, for one frame at a time, in the order of the frames. The buffer
 * may hold a later frame by now. A program that wants to show the image sets no release callback, and reuses the buffer here. */
static void on_result(void *user_data, const uflow_frame *frame, const uflow_status *status, const uflow_result *result) {
  counts *counts_so_far = user_data;
  counts_so_far->verdicts++;
  if (status != NULL) {
    counts_so_far->failed++;
    fprintf(stderr, "camera_async: frame %llu: %s\n", (unsigned long long)frame->id, uflow_status_get_message(status));
    return;
  }
  uflow_summary summary = UFLOW_SUMMARY_INIT;
  uflow_status *failure = uflow_result_get_summary(result, &summary);
  if (failure != NULL) { /* not check(): only the main thread may call exit() while the engine works */
    uflow_status_free(failure);
    counts_so_far->failed++;
    return;
  }
  counts_so_far->anomalous += summary.anomalous; /* reject_gate.c shows what a line does here */
}

static buffer *take_buffer(buffer *ring) {
  for (;;) {
    for (unsigned i = 0; i < BUFFERS; i++) {
      int expected = 1;
      if (atomic_compare_exchange_strong(&ring[i].is_free, &expected, 0)) {
        return &ring[i];
      }
    }
    /* A driver would wait for its next buffer here. */
    const struct timespec moment = {0, 200000};
    nanosleep(&moment, NULL);
  }
}

static void expose(buffer *target, unsigned number) {
  for (unsigned i = 0; i < WIDTH * HEIGHT; i++) {
    target->pixels[i] = (unsigned char)(96 + (i % WIDTH + number) % 64 + (i / WIDTH) % 32);
  }
}

int main(int argc, char **argv) {
  char *end = NULL;
  unsigned long frames = argc == 3 ? strtoul(argv[2], &end, 10) : 0;
  if (frames == 0 || end == argv[2] || *end != '\0') {
    fprintf(stderr, "usage: camera_async PACKAGE FRAMES\n");
    return 2;
  }
  buffer *ring = calloc(BUFFERS, sizeof *ring);
  if (ring == NULL) {
    perror("camera_async");
    return 1;
  }
  for (unsigned i = 0; i < BUFFERS; i++) {
    atomic_init(&ring[i].is_free, 1);
  }
  counts totals = {0, 0, 0};

  uflow_engine *engine;
  uflow_model *model;
  uflow_stream_options *options;
  uflow_stream *stream;
  check(uflow_engine_new(NULL, &engine));
  check(uflow_engine_load(engine, argv[1], &model));
  check(uflow_stream_options_new(&options));
  check(uflow_stream_options_set_capacity(options, 16));
  check(uflow_stream_options_set_release_callback(options, on_release, NULL));
  check(uflow_stream_options_set_result_callback(options, on_result, &totals));
  check(uflow_stream_new(model, options, &stream));
  uflow_stream_options_free(options);

  for (unsigned number = 0; number < frames; number++) {
    buffer *taken = take_buffer(ring);
    expose(taken, number);
    uflow_image image = UFLOW_IMAGE_INIT;
    image.data = taken->pixels;
    image.size = sizeof taken->pixels;
    image.width = WIDTH;
    image.height = HEIGHT;
    image.format = UFLOW_FORMAT_GRAY8;
    uflow_frame frame = UFLOW_FRAME_INIT;
    frame.id = number;
    frame.buffer = taken;
    /* A line that cannot wait gives a time-out of 0, and counts UFLOW_STATUS_OVERLOADED as a part that was not inspected. */
    check(uflow_stream_submit(stream, &image, NULL, &frame, UFLOW_WAIT_FOREVER));
  }
  check(uflow_stream_flush(stream, UFLOW_WAIT_FOREVER));
  uflow_stream_free(stream);
  uflow_model_free(model);
  uflow_engine_free(engine);
  free(ring);
  printf("%lu frames, %u verdicts: %u anomalous, %u failed\n", frames, totals.verdicts, totals.anomalous, totals.failed);
  return totals.failed == 0 && totals.verdicts == frames ? 0 : 1;
}
