package io.uflow.client;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.uflow.client.FrameQueue.Entry;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.DetectResponse;
import io.uflow.v1.DetectionServiceGrpc;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.concurrent.TimeUnit;

/**
 * One attempt: a channel of its own with one call. Its own, so that no pause of gRPC's delays the
 * next attempt, host names are resolved again, and nothing goes out on a connection that is half
 * open. Only for the stream's thread, but for the callbacks, which post to it.
 */
final class StreamConnection extends ClientCall.Listener<DetectResponse> {
  private static final Metadata.Key<String> WINDOW =
      Metadata.Key.of("uflow-stream-window", Metadata.ASCII_STRING_MARSHALLER);

  private final StreamDriver driver;
  private final ManagedChannel channel;
  private final ClientCall<DetectRequest, DetectResponse> call;
  private boolean halfClosed;

  /** Frames that the server has not answered, also those that have a result already. */
  final ArrayDeque<Entry> onWire = new ArrayDeque<>();

  final long began = System.nanoTime();

  /** Since when the server owes something: the attempt, its last answer, or the first frame. */
  long waitingSince = began;

  /** Whether the server has answered a frame. */
  boolean progressed;

  /** Whether the server has accepted the call. */
  private boolean accepted;

  /** Frames that may be on the wire. One until the server's header names its window. */
  private int window = 1;

  StreamConnection(StreamDriver driver, Endpoint endpoint) {
    this.driver = driver;
    channel = endpoint.open(Runnable::run);
    call = channel.newCall(DetectionServiceGrpc.getDetectStreamMethod(), CallOptions.DEFAULT);
  }

  void start() {
    call.start(this, new Metadata());
    call.request(1);
  }

  boolean hasRoom() {
    return onWire.size() < window && !halfClosed && call.isReady();
  }

  void send(Entry entry, DetectRequest message) {
    if (onWire.isEmpty()) {
      waitingSince = System.nanoTime();
    }
    entry.sentOn = this;
    onWire.add(entry);
    call.sendMessage(message);
  }

  /** Whether the server owes an answer, or its consent while frames are waiting. */
  boolean owes(boolean waiting) {
    return !onWire.isEmpty() || (waiting && !accepted);
  }

  /** Lets the next answer come. */
  void next() {
    call.request(1);
  }

  /** Tells the server that no further frame comes. */
  void halfClose() {
    if (!halfClosed) {
      halfClosed = true;
      call.halfClose();
    }
  }

  /** Opens the window that the server and the options allow. */
  void accepted(Metadata headers, int most) {
    accepted = true;
    window = most;
    try {
      String servers = headers.get(WINDOW);
      if (servers != null) {
        window = Math.max(1, Math.min(most, Integer.parseInt(servers)));
      }
    } catch (NumberFormatException e) {
      // Not a window; the header is advice.
    }
  }

  /** Ends the call and the connection at once. */
  void abandon() {
    call.cancel("the stream gave this connection up", null);
    channel.shutdownNow();
  }

  /** Closes the channel and waits for its sockets. A call that is half-closed may end properly. */
  void close(Duration patience) {
    if (halfClosed) {
      channel.shutdown();
      await(patience);
    }
    abandon();
    await(patience);
  }

  private void await(Duration patience) {
    try {
      channel.awaitTermination(patience.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public void onHeaders(Metadata headers) {
    driver.post(() -> driver.accepted(this, headers));
  }

  @Override
  public void onReady() {
    driver.post(driver::pump);
  }

  @Override
  public void onMessage(DetectResponse response) {
    driver.post(() -> driver.answered(this, response));
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    driver.post(() -> driver.closed(this, Failures.of(status)));
  }
}
