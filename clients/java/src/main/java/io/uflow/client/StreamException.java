package io.uflow.client;

import io.grpc.Status;
import java.util.List;

/** A stream ended before every frame was answered, or was cancelled. */
public final class StreamException extends UFlowException {
  private static final long serialVersionUID = 1L;

  // Not serialized: frames are large, and whoever reads a serialized exception cannot send them.
  private final transient List<SentFrame> unanswered;

  private StreamException(
      Status.Code code, String description, List<SentFrame> unanswered, Throwable cause) {
    super(code, description, cause);
    this.unanswered = unanswered;
  }

  static StreamException of(Status status, List<SentFrame> unanswered) {
    String description = describe(status) + "; " + account(unanswered);
    return new StreamException(status.getCode(), description, unanswered, status.getCause());
  }

  /** The same for another caller, whose stack trace it shows. */
  StreamException again() {
    return new StreamException(code(), description(), unanswered(), this);
  }

  /**
   * Names the frames. They are consecutive: answers come in order, and the stream numbers frames.
   */
  private static String account(List<SentFrame> frames) {
    if (frames.isEmpty()) {
      return "no frame is unanswered";
    }
    long first = frames.get(0).number();
    long last = frames.get(frames.size() - 1).number();
    return frames.size() == 1
        ? "1 frame is unanswered: number " + first
        : frames.size() + " frames are unanswered: numbers " + first + " to " + last;
  }

  /**
   * The frames that {@link DetectStream#send} accepted and that have no result, in order. They can
   * be sent again on another stream.
   *
   * @return the frames, as they were given to {@code send}; empty after serialization
   */
  public List<SentFrame> unanswered() {
    return unanswered == null ? List.of() : unanswered;
  }
}
