/* Memory and threads of this process. */
#ifndef PROCESS_H
#define PROCESS_H

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "expect.h"

static long resident_kib(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  long total = 0, resident = 0;
  EXPECT(file != NULL && fscanf(file, "%ld %ld", &total, &resident) == 2);
  fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Memory that was allocated and not freed. The process's resident memory is larger and varies with the allocator. */
static long allocated_kib(void) {
  struct mallinfo2 info = mallinfo2();
  return (long)((info.uordblks + info.hblkhd) / 1024);
}

static int threads(void) {
  DIR *tasks = opendir("/proc/self/task");
  EXPECT(tasks != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
    count += entry->d_name[0] != '.';
  }
  closedir(tasks);
  return count;
}

#endif
