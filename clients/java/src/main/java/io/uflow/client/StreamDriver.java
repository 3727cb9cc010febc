package io.uflow.client;

import io.grpc.Metadata;
import io.grpc.Status;
import io.uflow.client.FrameQueue.Entry;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.DetectResponse;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * The thread of a stream. Everything that happens comes to it as an event and is handled there, one
 * event after the other, so that the state below needs no locks.
 *
 * <pre>
 * send() ─► FrameQueue ─► pump() ─► StreamConnection ─► server
 *               ▲                                          │
 *               └─ removed by deliver() ◄─ answered() ◄────┘     lost(): connect again, send again
 * </pre>
 *
 * <p>Invariants: results are delivered from the head of the queue alone. A connection's answers are
 * matched by number with the frames sent on it, and events of a connection that was given up are
 * ignored; so no frame is delivered twice. The events waiting here are bounded by the window.
 */
final class StreamDriver implements Runnable {
  private static final Duration GOODBYE = Duration.ofSeconds(2);
  private static final long NEVER = Long.MAX_VALUE;

  private final Endpoint endpoint;
  private final StreamOptions options;
  private final StreamListener listener;
  private final FrameQueue queue;
  private final Backoff backoff;
  private final LinkedBlockingQueue<Runnable> events = new LinkedBlockingQueue<>();
  private final CompletableFuture<Void> ended = new CompletableFuture<>();

  private boolean running = true;
  private StreamException failure;

  /** Null during a pause. */
  private StreamConnection connection;

  private long retryAt;

  /** Whether the listener was told of an outage that is not over. */
  private boolean inOutage;

  private long outageBegan;

  /** Whether the outage limit runs: it does once frames are unanswered. */
  private boolean limitRuns;

  private long limitBegan;
  private Status lastFailure;

  StreamDriver(
      Endpoint endpoint, StreamOptions options, StreamListener listener, FrameQueue queue) {
    this.endpoint = endpoint;
    this.options = options;
    this.listener = listener;
    this.queue = queue;
    this.backoff = new Backoff(options.firstPause(), options.longestPause());
  }

  /** Completes when the thread is about to end and the connection is closed. */
  CompletableFuture<Void> ended() {
    return ended;
  }

  void post(Runnable event) {
    events.add(event);
  }

  void cancel() {
    post(() -> end(Status.CANCELLED.withDescription("the stream was cancelled")));
  }

  @Override
  public void run() {
    try {
      connect();
      while (running) {
        Runnable event = events.poll();
        if (event == null) {
          // Only now: after a slow listener, answers that came in time must be seen before timers.
          long pause = checkTimers();
          event = running ? events.poll(pause, TimeUnit.NANOSECONDS) : null;
        }
        if (event != null) {
          event.run();
        }
      }
    } catch (Throwable e) {
      // The listener's exception, an interrupt, or a bug: in each case the frames are accounted
      // for.
      end(Status.fromThrowable(e).withDescription("the stream's thread failed").withCause(e));
    }
    if (connection != null) {
      connection.close(GOODBYE);
    }
    if (failure == null) {
      ended.complete(null);
    } else {
      ended.completeExceptionally(failure);
    }
  }

  /** Ends the stream; without a status, all is well. */
  private void end(Status status) {
    if (running) {
      running = false;
      failure = status == null ? null : queue.fail(status);
    }
  }

  private void connect() {
    connection = new StreamConnection(this, endpoint);
    connection.start();
  }

  /** Handles what is due. Returns the nanoseconds until something is due next. */
  private long checkTimers() {
    long now = System.nanoTime();
    long next = expireFrames(now);
    if (!running) {
      return 0;
    }
    boolean waiting = queue.size() > 0;
    if (connection == null) {
      if (retryAt - now <= 0) {
        connect();
      } else {
        next = Math.min(next, retryAt - now);
      }
    }
    if (connection != null && connection.owes(waiting)) {
      long left = connection.waitingSince + options.stallTimeout().toNanos() - now;
      if (left <= 0) {
        String text = "the server has answered nothing for " + options.stallTimeout();
        lost(Status.UNAVAILABLE.withDescription(text));
        return 0;
      }
      next = Math.min(next, left);
    }
    if (limitRuns && waiting) {
      long left = limitBegan + options.outageLimit().toNanos() - now;
      if (left <= 0) {
        String text = "no answer within the outage limit of " + options.outageLimit();
        end(lastFailure.withDescription(text + ": " + UFlowException.describe(lastFailure)));
      }
      next = Math.min(next, left);
    }
    return Math.max(next, 0);
  }

  /** Answers frames whose deadline has passed. Deadlines are in the order of the frames. */
  private long expireFrames(long now) {
    if (options.frameDeadline().isEmpty()) {
      return NEVER;
    }
    for (Entry head = queue.head(); head != null; head = queue.head()) {
      long left = head.deadline - now;
      if (left > 0) {
        return left;
      }
      String text = "no answer within the frame's deadline of " + options.frameDeadline().get();
      deliver(head, refusal(head, Status.DEADLINE_EXCEEDED.withDescription(text)));
    }
    endIfDone();
    return NEVER;
  }

  /** Sends what may be sent. */
  void pump() {
    if (connection == null) {
      // The limit of an outage that began while the stream was idle starts with the next frame.
      startLimit();
      endIfDone();
      return;
    }
    Entry entry = queue.firstNotSentOn(connection);
    while (entry != null && connection.hasRoom()) {
      connection.send(entry, message(entry));
      entry = queue.firstNotSentOn(connection);
    }
    if (queue.isFinishing() && entry == null) {
      connection.halfClose();
      endIfDone();
    }
    startLimit();
  }

  private void startLimit() {
    if (inOutage && !limitRuns && queue.size() > 0) {
      limitRuns = true;
      limitBegan = System.nanoTime();
    }
  }

  private void endIfDone() {
    if (queue.isFinishing() && queue.size() == 0) {
      end(null);
    }
  }

  /** The frame as it is sent: with the stream's number, and with what is left of its deadline. */
  private DetectRequest message(Entry entry) {
    DetectRequest.Builder message = entry.request.toBuilder().setSequence(entry.number);
    if (options.frameDeadline().isPresent()) {
      long left = Math.max(1, entry.deadline - System.nanoTime());
      long own = message.hasTimeLimit() ? nanos(message.getTimeLimit()) : NEVER;
      if (left < own) {
        message
            .getTimeLimitBuilder()
            .setSeconds(left / 1_000_000_000)
            .setNanos((int) (left % 1_000_000_000));
      }
    }
    return message.build();
  }

  private static long nanos(com.google.protobuf.Duration duration) {
    try {
      return Duration.ofSeconds(duration.getSeconds(), duration.getNanos()).toNanos();
    } catch (ArithmeticException e) {
      return NEVER;
    }
  }

  /** The server has accepted the call. */
  void accepted(StreamConnection from, Metadata headers) {
    if (from != connection) {
      return;
    }
    from.accepted(headers, options.window());
    if (queue.size() == 0) {
      restored();
    }
    pump();
  }

  /** The server has answered a frame. */
  void answered(StreamConnection from, DetectResponse response) {
    if (from != connection) {
      return;
    }
    Entry entry = from.onWire.peek();
    if (entry == null || response.getSequence() < entry.number) {
      from.next();
      return;
    }
    if (response.getSequence() != entry.number) {
      String text = "answer " + response.getSequence() + " came before answer " + entry.number;
      lost(Status.INTERNAL.withDescription(text));
      return;
    }
    Status status = FrameResult.status(response);
    if (Failures.isTransient(status)) {
      lost(status);
      return;
    }
    if (status.getCode() == Status.Code.NOT_FOUND) {
      end(status);
      return;
    }
    from.onWire.remove();
    from.waitingSince = System.nanoTime();
    from.progressed = true;
    restored();
    from.next();
    deliver(entry, response);
    pump();
  }

  /** The call has ended. */
  void closed(StreamConnection from, Status status) {
    if (from != connection) {
      return;
    }
    Entry head = from.onWire.peek();
    if (status.getCode() == Status.Code.OUT_OF_RANGE && head != null) {
      // The server refuses to read a message beyond its limit and can only end the call. It has
      // answered every frame before that one.
      from.abandon();
      connection = null;
      deliver(head, refusal(head, status));
      endIfDone();
      retryAt = System.nanoTime();
      return;
    }
    lost(
        status.isOk() ? Status.UNAVAILABLE.withDescription("the server ended the stream") : status);
  }

  /** The connection is of no use any more. */
  private void lost(Status status) {
    StreamConnection old = connection;
    connection = null;
    old.abandon();
    if (Failures.endsStream(status)) {
      end(status);
      return;
    }
    endIfDone();
    if (!running) {
      return;
    }
    long now = System.nanoTime();
    if (old.progressed || now - old.began > options.longestPause().toNanos()) {
      backoff.reset();
    }
    retryAt = now + backoff.next();
    lastFailure = status;
    if (!inOutage) {
      inOutage = true;
      outageBegan = now;
      listener.onConnectionLost(UFlowException.of(status), queue.size());
    }
    startLimit();
  }

  private void restored() {
    if (inOutage) {
      inOutage = false;
      limitRuns = false;
      listener.onConnectionRestored(Duration.ofNanos(System.nanoTime() - outageBegan));
    }
  }

  /** The stream's own answer to a frame. */
  private static DetectResponse refusal(Entry entry, Status status) {
    DetectResponse.Builder response =
        DetectResponse.newBuilder().setModel(entry.request.getModel());
    if (entry.request.hasTimestamp()) {
      response.setTimestamp(entry.request.getTimestamp());
    }
    response
        .getErrorBuilder()
        .setCode(status.getCode().value())
        .setMessage(UFlowException.describe(status));
    return response.build();
  }

  /** Hands the result of the oldest frame to the listener, unless the frame has one already. */
  private void deliver(Entry entry, DetectResponse response) {
    if (entry.done) {
      return;
    }
    entry.done = true;
    queue.removeHead();
    DetectResponse own = response.toBuilder().setSequence(entry.request.getSequence()).build();
    listener.onResult(new FrameResult(entry.number, entry.request, own));
    queue.release();
  }
}
