/* What a forked child gets from libuflow: an engine of its own if it was forked before there was one, else a status from every function
 * that can fail, and no hang.
 *
 *   fork PACKAGE
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <uflow.h>
#include <unistd.h>

#include "expect.h"

enum { SIDE = 64 };

static unsigned char pixels[SIDE * SIDE];

static uflow_image picture(void) {
  uflow_image image = UFLOW_IMAGE_INIT;
  image.data = pixels;
  image.size = sizeof pixels;
  image.width = image.height = SIDE;
  image.format = UFLOW_FORMAT_GRAY8;
  return image;
}

static void expect_forked(uflow_status *status) {
  EXPECT(uflow_status_get_code(status) == UFLOW_STATUS_FORKED);
  EXPECT(strstr(uflow_status_get_message(status), "exec") != NULL);
  uflow_status_free(status);
}

/* Waits for a child that must end by itself. */
static void expect_child(pid_t child) {
  int status = -1;
  EXPECT(child > 0 && waitpid(child, &status, 0) == child);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void use(const char *package) {
  uflow_engine *engine;
  uflow_model *model;
  uflow_detector *detector;
  uflow_options *options;
  uflow_stream *stream;
  OK(uflow_options_new(&options));
  OK(uflow_engine_new(NULL, &engine));
  OK(uflow_engine_load(engine, package, &model));
  OK(uflow_detector_new(model, &detector));
  OK(uflow_stream_new(model, NULL, &stream));
  uflow_image image = picture();
  float score;
  OK(uflow_detector_score(detector, &image, NULL, &score, NULL));
  OK(uflow_stream_submit(stream, &image, NULL, NULL, 0));

  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    alarm(60);
    uflow_result *result = NULL;
    uflow_engine *other;
    uflow_status *frame_status;
    expect_forked(uflow_detector_score(detector, &image, NULL, &score, NULL));
    expect_forked(uflow_options_set_epsilon(options, 0.5));
    expect_forked(uflow_result_new(&result));
    expect_forked(uflow_stream_submit(stream, &image, NULL, NULL, UFLOW_WAIT_FOREVER));
    expect_forked(uflow_stream_next(stream, UFLOW_WAIT_FOREVER, NULL, result, &frame_status));
    expect_forked(uflow_stream_flush(stream, UFLOW_WAIT_FOREVER));
    expect_forked(uflow_engine_new(NULL, &other));
    expect_forked(uflow_log_set_callback(NULL, NULL, UFLOW_LOG_LEVEL_OFF));
    expect_forked(uflow_shutdown());
    EXPECT(uflow_stream_pending(stream) == 0);
    uflow_stream_free(stream);
    uflow_detector_free(detector);
    uflow_model_free(model);
    uflow_engine_free(engine);
    uflow_options_free(options);
    exit(0); /* with the exit handlers of every library */
  }
  expect_child(child);

  /* The parent is as it was. */
  OK(uflow_detector_score(detector, &image, NULL, &score, NULL));
  OK(uflow_stream_flush(stream, UFLOW_WAIT_FOREVER));
  uflow_stream_free(stream);
  uflow_detector_free(detector);
  uflow_model_free(model);
  uflow_engine_free(engine);
  uflow_options_free(options);
}

int main(int argc, char **argv) {
  EXPECT(argc == 2);
  alarm(120);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    alarm(120);
    use(argv[1]);
    exit(0);
  }
  expect_child(child);
  use(argv[1]);
  puts("done");
  return 0;
}
