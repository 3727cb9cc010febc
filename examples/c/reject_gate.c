/* A trigger camera that drives a reject gate: every part that is anomalous, and every part without a verdict, leaves the conveyor.
 *
 *   cc -std=c11 reject_gate.c $(pkg-config --cflags --libs uflow) -lpthread -o reject_gate
 *   ./reject_gate bracket.uflow 60 20 part1.png part2.png ...      60 parts; verdicts that take 20 ms longer
 *
 * Conveyor and camera are simulated: part n shows file n modulo the number of files. The point is how a verdict finds its part:
 *
 * - Each part has a slot on the conveyor. The slot travels with the frame as `frame.id`, and the verdict is stored under that number.
 * - The buffer travels as `frame.buffer`, and only the release callback uses it. A buffer is released long before its verdict; with four
 *   buffers it holds another part by then. A program that keeps the slot inside the buffer rejects the wrong part.
 *
 * Prints the rejected slots. Exit code: 0 done, 1 something failed.
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uflow.h>

enum { BUFFERS = 4, GATE = 8 /* slots between camera and gate */ };

typedef enum { PENDING, PASS, REJECT } decision;

typedef struct {
  unsigned char *bytes;
  size_t size, capacity;
  int is_free;
} buffer;

/* Shared by camera, callbacks and gate; `lock` protects all of it. */
typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  buffer ring[BUFFERS];
  decision *slots;
  unsigned count;
  long delay_ms;
} line;

static void check(uflow_status *status) {
  if (status != NULL) {
    fprintf(stderr, "reject_gate: %s\n", uflow_status_get_message(status));
    uflow_status_free(status);
    exit(1);
  }
}

static void wait_ms(long milliseconds) {
  const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* The library does not read the buffer any more: the camera may fill it again. Called by threads of the engine. */
static void on_release(void *user_data, const uflow_frame *frame) {
  line *shared = user_data;
  buffer *released = frame->buffer;
  pthread_mutex_lock(&shared->lock);
  released->is_free = 1;
  pthread_cond_broadcast(&shared->changed);
  pthread_mutex_unlock(&shared->lock);
}

/* The verdict on the part in slot `frame->id`. Called by the stream's thread, for one frame at a time, in order. */
static void on_result(void *user_data, const uflow_frame *frame, const uflow_status *status, const uflow_result *result) {
  line *shared = user_data;
  uflow_summary summary = UFLOW_SUMMARY_INIT;
  decision found = REJECT; /* a part without a verdict must not pass */
  if (status != NULL) {
    fprintf(stderr, "reject_gate: slot %u: %s\n", (unsigned)frame->id, uflow_status_get_message(status));
  } else {
    uflow_status *failure = uflow_result_get_summary(result, &summary);
    if (failure == NULL && !summary.anomalous) {
      found = PASS;
    }
    uflow_status_free(failure);
  }
  wait_ms(shared->delay_ms);
  pthread_mutex_lock(&shared->lock);
  shared->slots[frame->id] = found;
  pthread_cond_broadcast(&shared->changed);
  pthread_mutex_unlock(&shared->lock);
}

/* The part in a slot is at the gate. The simulated conveyor stops until the verdict is there. A real one does not: it rejects a part that is
 * still PENDING, and the stream gives up late frames by itself (uflow_stream_options_set_time_limit). */
static unsigned gate(line *shared, unsigned slot) {
  pthread_mutex_lock(&shared->lock);
  while (shared->slots[slot] == PENDING) {
    pthread_cond_wait(&shared->changed, &shared->lock);
  }
  unsigned rejected = shared->slots[slot] == REJECT;
  pthread_mutex_unlock(&shared->lock);
  if (rejected) {
    printf("rejected %u\n", slot);
  }
  return rejected;
}

static buffer *take_buffer(line *shared) {
  pthread_mutex_lock(&shared->lock);
  for (;;) {
    for (unsigned i = 0; i < BUFFERS; i++) {
      if (shared->ring[i].is_free) {
        shared->ring[i].is_free = 0;
        pthread_mutex_unlock(&shared->lock);
        return &shared->ring[i];
      }
    }
    pthread_cond_wait(&shared->changed, &shared->lock);
  }
}

/* What the camera's driver does: the next image, into the buffer. */
static void expose(buffer *target, const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  target->size = 0;
  for (;;) {
    if (target->size == target->capacity) {
      target->capacity = target->capacity == 0 ? 65536 : 2 * target->capacity;
      target->bytes = realloc(target->bytes, target->capacity);
      if (target->bytes == NULL) {
        perror("reject_gate");
        exit(1);
      }
    }
    size_t got = fread(target->bytes + target->size, 1, target->capacity - target->size, file);
    if (got == 0) {
      break;
    }
    target->size += got;
  }
  fclose(file);
}

int main(int argc, char **argv) {
  if (argc < 5 || atoi(argv[2]) < 1 || atol(argv[3]) < 0) {
    fprintf(stderr, "usage: reject_gate PACKAGE PARTS DELAY_MS IMAGE...\n");
    return 2;
  }
  line shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  shared.count = (unsigned)atoi(argv[2]);
  shared.delay_ms = atol(argv[3]);
  shared.slots = calloc(shared.count, sizeof *shared.slots); /* all PENDING */
  if (shared.slots == NULL) {
    perror("reject_gate");
    return 1;
  }
  for (unsigned i = 0; i < BUFFERS; i++) {
    shared.ring[i].is_free = 1;
  }

  uflow_engine *engine;
  uflow_model *model;
  uflow_stream_options *options;
  uflow_stream *stream;
  check(uflow_engine_new(NULL, &engine));
  check(uflow_engine_load(engine, argv[1], &model));
  check(uflow_stream_options_new(&options));
  check(uflow_stream_options_set_capacity(options, 2 * GATE));
  check(uflow_stream_options_set_release_callback(options, on_release, &shared));
  check(uflow_stream_options_set_result_callback(options, on_result, &shared));
  check(uflow_stream_new(model, options, &stream));
  uflow_stream_options_free(options);

  unsigned rejected = 0;
  for (unsigned slot = 0; slot < shared.count + GATE; slot++) { /* each step moves the conveyor by one slot */
    if (slot < shared.count) {
      buffer *taken = take_buffer(&shared);
      expose(taken, argv[4 + slot % (unsigned)(argc - 4)]);
      uflow_image image = UFLOW_IMAGE_INIT;
      image.data = taken->bytes;
      image.size = taken->size;
      image.format = UFLOW_FORMAT_ENCODED;
      uflow_frame frame = UFLOW_FRAME_INIT;
      frame.id = slot;
      frame.timestamp = slot; /* a line has its encoder's count here */
      frame.buffer = taken;
      check(uflow_stream_submit(stream, &image, NULL, &frame, UFLOW_WAIT_FOREVER));
    }
    if (slot >= GATE) {
      rejected += gate(&shared, slot - GATE);
    }
  }
  uflow_stream_free(stream);
  uflow_model_free(model);
  uflow_engine_free(engine);
  for (unsigned i = 0; i < BUFFERS; i++) {
    free(shared.ring[i].bytes);
  }
  free(shared.slots);
  printf("%u parts, %u rejected\n", shared.count, rejected);
  return 0;
}
