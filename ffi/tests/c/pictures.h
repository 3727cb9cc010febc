/* Pictures of a product: good ones, and bad ones with a patch of stripes. */
#ifndef PICTURES_H
#define PICTURES_H

#include <string.h>
#include <uflow.h>

enum { SIDE = 64, BYTES = SIDE * SIDE * 3 };

static void good(unsigned char *pixels, unsigned seed) {
  unsigned state = seed * 2654435761u + 1;
  for (int i = 0; i < BYTES; i++) {
    state = state * 1664525u + 1013904223u;
    int x = i / 3 % SIDE, y = i / 3 / SIDE;
    pixels[i] = (unsigned char)((unsigned)(90 + x % 8 * 6 + y % 16 * 3) + (state >> 24) % 24);
  }
}

static void bad(unsigned char *pixels, unsigned seed) {
  good(pixels, seed);
  for (int y = 20; y < 40; y++) {
    memset(pixels + (y * SIDE + 24) * 3, y % 2 ? 255 : 0, 16 * 3);
  }
}

static uflow_image image_of(const unsigned char *pixels) {
  uflow_image image = UFLOW_IMAGE_INIT;
  image.data = pixels;
  image.size = BYTES;
  image.width = SIDE;
  image.height = SIDE;
  image.format = UFLOW_FORMAT_RGB8;
  return image;
}

#endif
