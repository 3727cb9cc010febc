package io.uflow.client;

import io.uflow.v1.DetectRequest;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;

/**
 * A stream of frames. The listener receives the result of each frame exactly once, in the order in
 * which the frames were sent, also if the connection is lost or the server is restarted meanwhile:
 * the stream connects again and sends the unanswered frames again.
 *
 * <pre>{@code
 * try (DetectStream stream = client.openStream(StreamOptions.defaults(), listener)) {
 *   for (DetectRequest frame : frames) {
 *     stream.send(frame);
 *   }
 *   stream.finish();
 * }
 * }</pre>
 *
 * <p>Thread-safe. The stream ends early with a {@link StreamException} if an outage lasts longer
 * than {@link StreamOptions#outageLimit}, or at once for what another attempt cannot change: the
 * codes UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT, UNIMPLEMENTED, a model that the
 * server does not know, and a server certificate that is not trusted. The exception has the
 * unanswered frames.
 */
public final class DetectStream implements AutoCloseable {
  private final FrameQueue queue;
  private final StreamDriver driver;
  private final Thread thread;

  DetectStream(
      Endpoint endpoint,
      StreamOptions options,
      StreamListener listener,
      Consumer<DetectStream> whenEnded) {
    queue = new FrameQueue(options);
    driver = new StreamDriver(endpoint, options, listener, queue);
    thread = new Thread(driver, "uflow-stream");
    thread.setDaemon(true);
    driver.ended().whenComplete((nothing, error) -> whenEnded.accept(this));
  }

  void start() {
    thread.start();
  }

  /**
   * Sends a frame. Waits while as many frames are in flight as the window allows.
   *
   * <p>The frame's {@code sequence} is the caller's own and comes back with the result.
   *
   * @param frame the frame and its options
   * @return the frame's number: 0, 1, 2 …
   * @throws InterruptedException if the thread is interrupted while it waits; the frame is not
   *     accepted
   * @throws StreamException if the stream has ended; the frame is not accepted and not among the
   *     exception's frames
   * @throws IllegalStateException after {@link #finish}, or if a listener calls this while the
   *     window is full, because then no place would ever become free
   */
  public long send(DetectRequest frame) throws InterruptedException {
    if (Thread.currentThread() == thread) {
      return trySend(frame)
          .orElseThrow(
              () -> new IllegalStateException("the window is full and this is the listener"));
    }
    queue.acquire();
    return accept(frame);
  }

  /**
   * Sends a frame if the window has room for it.
   *
   * @param frame the frame and its options
   * @return the frame's number; empty if the window is full
   * @throws StreamException if the stream has ended; the frame is not accepted
   * @throws IllegalStateException after {@link #finish}
   */
  public OptionalLong trySend(DetectRequest frame) {
    return queue.tryAcquire() ? OptionalLong.of(accept(frame)) : OptionalLong.empty();
  }

  private long accept(DetectRequest frame) {
    long number = queue.add(frame);
    driver.post(driver::pump);
    return number;
  }

  /**
   * Closes the sending side and waits until every frame has its result and the connection is
   * closed. Not to be called by a listener.
   *
   * @throws InterruptedException if the thread is interrupted while it waits; the stream goes on
   * @throws StreamException if the stream ended before every frame had its result
   */
  public void finish() throws InterruptedException {
    if (Thread.currentThread() == thread) {
      throw new IllegalStateException("a listener cannot wait for its own stream");
    }
    closeSending();
    try {
      driver.ended().get();
    } catch (ExecutionException e) {
      throw ((StreamException) e.getCause()).again();
    }
  }

  /** Closes the sending side without waiting: {@link #ended} completes after the last result. */
  public void closeSending() {
    queue.finish();
    driver.post(driver::pump);
  }

  /**
   * Completes when the stream has ended and its connection is closed: normally once every frame has
   * its result after {@link #closeSending}, else with a {@link StreamException}.
   *
   * @return a future of one's own; to complete it does nothing to the stream
   */
  public CompletableFuture<Void> ended() {
    return driver.ended().copy();
  }

  /**
   * The frames that were accepted and have no result, in order. After the stream has ended these
   * are the frames that nobody will answer.
   *
   * @return the frames at this moment
   */
  public List<SentFrame> unanswered() {
    return queue.unanswered();
  }

  /**
   * Cancels the stream unless it has ended, and waits until its thread and its connection are gone.
   * A listener's method that runs is not interrupted. What is unanswered stays in {@link
   * #unanswered}.
   */
  @Override
  public void close() {
    driver.cancel();
    if (Thread.currentThread() == thread) {
      return;
    }
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
