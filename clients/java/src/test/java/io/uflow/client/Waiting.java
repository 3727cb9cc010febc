package io.uflow.client;

import static org.junit.jupiter.api.Assertions.fail;

import java.time.Duration;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** Waits for conditions, with a limit that only a broken machine or a bug reaches. */
final class Waiting {
  static final Duration LONG = Duration.ofSeconds(40);

  private Waiting() {}

  static void until(Supplier<String> what, BooleanSupplier condition) throws InterruptedException {
    long end = System.nanoTime() + LONG.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - end > 0) {
        fail("did not happen: " + what.get());
      }
      Thread.sleep(10);
    }
  }

  static void until(String what, BooleanSupplier condition) throws InterruptedException {
    until(() -> what, condition);
  }
}
