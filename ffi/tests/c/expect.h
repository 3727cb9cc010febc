/* What a test program expects of a condition or of a status. A failure prints the line and ends the program. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uflow.h>

#define EXPECT(condition)                                                                \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);            \
      exit(1);                                                                           \
    }                                                                                    \
  } while (0)

#define OK(call)                                                                                                 \
  do {                                                                                                           \
    uflow_status *ok_status = (call);                                                                            \
    if (ok_status != NULL) {                                                                                     \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, uflow_status_code_name(uflow_status_get_code(ok_status)), \
              uflow_status_get_message(ok_status));                                                              \
      exit(1);                                                                                                   \
    }                                                                                                            \
  } while (0)

#define FAILS(expected, call)                                                                                      \
  do {                                                                                                             \
    uflow_status *fail_status = (call);                                                                            \
    if (uflow_status_get_code(fail_status) != (expected) || strlen(uflow_status_get_message(fail_status)) < 3) {   \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, uflow_status_code_name(uflow_status_get_code(fail_status)), \
              uflow_status_get_message(fail_status));                                                              \
      exit(1);                                                                                                     \
    }                                                                                                              \
    uflow_status_free(fail_status);                                                                                \
  } while (0)

#endif
