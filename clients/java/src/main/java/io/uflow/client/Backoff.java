package io.uflow.client;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Exponential back-off with full jitter: clients that lost the same server do not come back at the
 * same moment. Not thread-safe.
 */
final class Backoff {
  private final long first;
  private final long longest;
  private long bound;

  Backoff(Duration first, Duration longest) {
    this.longest = longest.toNanos();
    this.first = Math.min(first.toNanos(), this.longest);
    this.bound = this.first;
  }

  /** The next pause in nanoseconds. */
  long next() {
    long pause = ThreadLocalRandom.current().nextLong(bound + 1);
    bound = bound > longest / 2 ? longest : 2 * bound;
    return pause;
  }

  void reset() {
    bound = first;
  }
}
