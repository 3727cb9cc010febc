/* Finds defects in one image file.
 *
 *   cc -std=c11 detect.c $(pkg-config --cflags --libs uflow) -o detect && ./detect bracket.uflow part.png
 *
 * Exit code: 0 good, 3 anomalous, 1 something failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <uflow.h>

static void check(uflow_status *status) {
  if (status != NULL) {
    fprintf(stderr, "detect: %s\n", uflow_status_get_message(status));
    uflow_status_free(status);
    exit(1);
  }
}

static unsigned char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    perror(path);
    exit(1);
  }
  *size = (size_t)ftell(file);
  rewind(file);
  unsigned char *bytes = malloc(*size > 0 ? *size : 1);
  if (bytes == NULL || fread(bytes, 1, *size, file) != *size) {
    perror(path);
    exit(1);
  }
  fclose(file);
  return bytes;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: detect PACKAGE IMAGE\n");
    return 2;
  }
  uflow_engine *engine;
  uflow_model *model;
  uflow_detector *detector;
  uflow_result *result;
  check(uflow_engine_new(NULL, &engine));
  check(uflow_engine_load(engine, argv[1], &model));
  check(uflow_detector_new(model, &detector));
  check(uflow_result_new(&result));

  uflow_image image = UFLOW_IMAGE_INIT;
  unsigned char *bytes = read_file(argv[2], &image.size);
  image.data = bytes;
  image.format = UFLOW_FORMAT_ENCODED;
  check(uflow_detector_detect(detector, &image, NULL, result));
  free(bytes);

  uflow_summary summary = UFLOW_SUMMARY_INIT;
  check(uflow_result_get_summary(result, &summary));
  printf("%s score %.9g log10_nfa %.9g\n", summary.anomalous ? "ANOMALOUS" : "good", (double)summary.score,
         (double)summary.log10_nfa_min);
  for (uint32_t i = 0; i < summary.regions; i++) {
    uflow_region region = UFLOW_REGION_INIT;
    check(uflow_result_get_region(result, i, &region));
    printf("  %ux%u at (%u, %u), %u pixels\n", region.width, region.height, region.x, region.y, region.area);
  }

  uflow_result_free(result);
  uflow_detector_free(detector);
  uflow_model_free(model);
  uflow_engine_free(engine);
  return summary.anomalous ? 3 : 0;
}
