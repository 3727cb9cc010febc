package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class BackoffTest {
  @Test
  void pausesAreRandomBelowABoundThatDoublesUpToTheLongest() {
    Backoff backoff = new Backoff(Duration.ofMillis(100), Duration.ofSeconds(5));
    long[] highest = new long[10];
    long[] lowest = new long[10];
    java.util.Arrays.fill(lowest, Long.MAX_VALUE);
    for (int round = 0; round < 300; round++) {
      for (int i = 0; i < highest.length; i++) {
        long pause = backoff.next();
        highest[i] = Math.max(highest[i], pause);
        lowest[i] = Math.min(lowest[i], pause);
      }
      backoff.reset();
    }
    for (int i = 0; i < highest.length; i++) {
      long bound = Math.min(100_000_000L << i, 5_000_000_000L);
      assertTrue(highest[i] <= bound && highest[i] > bound / 2, i + ": " + highest[i]);
      assertTrue(lowest[i] >= 0 && lowest[i] < bound / 2, i + ": " + lowest[i]);
    }
  }
}
