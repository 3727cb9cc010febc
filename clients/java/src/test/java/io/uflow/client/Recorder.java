package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;

/** Keeps what a stream reports. */
final class Recorder implements StreamListener {
  final List<FrameResult> results = new CopyOnWriteArrayList<>();
  final List<UFlowException> lost = new CopyOnWriteArrayList<>();
  final AtomicInteger restored = new AtomicInteger();

  @Override
  public void onResult(FrameResult result) {
    results.add(result);
  }

  @Override
  public void onConnectionLost(UFlowException cause, int unanswered) {
    lost.add(cause);
  }

  @Override
  public void onConnectionRestored(Duration outage) {
    restored.incrementAndGet();
  }

  void awaitResults(int count) throws InterruptedException {
    Waiting.until(() -> count + " results; there are " + this, () -> results.size() >= count);
  }

  void awaitLost(int count) throws InterruptedException {
    Waiting.until(() -> count + " losses; there are " + this, () -> lost.size() >= count);
  }

  /** Each frame has exactly one result, and the results came in the order of the frames. */
  void assertEachOnceInOrder(int frames) {
    assertEquals(
        LongStream.range(0, frames).boxed().toList(),
        results.stream().map(FrameResult::number).toList());
  }

  @Override
  public String toString() {
    return results.size() + " results, " + restored + " restored, lost: " + lost;
  }
}
