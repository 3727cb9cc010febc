package io.uflow.client;

import io.grpc.Status;
import io.uflow.v1.DetectRequest;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.Semaphore;

/**
 * A stream's frames without a result, in order. Senders add frames at the end, the stream's thread
 * takes them from the head.
 *
 * <p>Invariant: a frame that {@link #add} accepted leaves the queue when its result is handed to
 * the listener, or stays for ever. So nothing is lost, whenever the stream ends.
 */
final class FrameQueue {
  /** More than any window, so that every blocked sender wakes up. */
  private static final int EVERYONE = 1 << 30;

  /** A frame and where it is. */
  static final class Entry {
    final long number;
    final DetectRequest request;

    /** When the frame fails, by {@link System#nanoTime}. Meaningless without a frame deadline. */
    final long deadline;

    /** The connection that the frame was sent on last. Only for the stream's thread. */
    StreamConnection sentOn;

    /** Whether the frame has its result already. Only for the stream's thread. */
    boolean done;

    private Entry(long number, DetectRequest request, long deadline) {
      this.number = number;
      this.request = request;
      this.deadline = deadline;
    }
  }

  private final ArrayDeque<Entry> frames = new ArrayDeque<>();
  private final Semaphore places;
  private final long deadlineNanos;
  private long next;
  private boolean finishing;
  private StreamException failure;

  FrameQueue(StreamOptions options) {
    places = new Semaphore(options.window(), true);
    deadlineNanos = options.frameDeadline().map(Duration::toNanos).orElse(0L);
  }

  /** Waits for a place. */
  void acquire() throws InterruptedException {
    places.acquire();
  }

  /** Takes a place if there is one. */
  boolean tryAcquire() {
    return places.tryAcquire();
  }

  /** Gives the place of a frame back. */
  void release() {
    places.release();
  }

  /** Accepts a frame, for which a place must have been taken. */
  synchronized long add(DetectRequest request) {
    if (failure != null || finishing) {
      places.release();
      if (failure != null) {
        throw failure.again();
      }
      throw new IllegalStateException("the stream's sending side is closed");
    }
    frames.add(new Entry(next, request, System.nanoTime() + deadlineNanos));
    return next++;
  }

  /** No further frames are accepted. */
  synchronized void finish() {
    finishing = true;
  }

  /** Whether the sending side is closed. */
  synchronized boolean isFinishing() {
    return finishing;
  }

  /** Accepts no further frames, wakes every sender, and accounts for the frames that are left. */
  synchronized StreamException fail(Status status) {
    failure = StreamException.of(status, unanswered());
    places.release(EVERYONE);
    return failure;
  }

  synchronized Entry head() {
    return frames.peek();
  }

  synchronized void removeHead() {
    frames.remove();
  }

  synchronized int size() {
    return frames.size();
  }

  /** The first frame that was not sent on a connection. */
  synchronized Entry firstNotSentOn(StreamConnection connection) {
    for (Entry entry : frames) {
      if (entry.sentOn != connection) {
        return entry;
      }
    }
    return null;
  }

  synchronized List<SentFrame> unanswered() {
    return frames.stream().map(entry -> new SentFrame(entry.number, entry.request)).toList();
  }
}
