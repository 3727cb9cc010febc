package io.uflow.client;

import io.grpc.Status;

/** A call, a frame or a stream failed. Keeps the gRPC code and what the server said. */
public class UFlowException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** The gRPC code. */
  private final Status.Code code;

  /** What was said, without the code. */
  private final String description;

  UFlowException(Status.Code code, String description, Throwable cause) {
    super(code + ": " + description, cause);
    this.code = code;
    this.description = description;
  }

  static UFlowException of(Status status) {
    return new UFlowException(status.getCode(), describe(status), status.getCause());
  }

  /** The server's words. gRPC's own failures often say little, and their causes say more. */
  static String describe(Status status) {
    StringBuilder text = new StringBuilder();
    if (status.getDescription() != null) {
      text.append(status.getDescription());
    }
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      String more = cause.getMessage();
      if (more != null && text.indexOf(more) < 0) {
        text.append(text.isEmpty() ? "" : ": ").append(more);
      }
    }
    return text.isEmpty() ? "no description" : text.toString();
  }

  /**
   * The gRPC code, which tells what can be done about the failure.
   *
   * @return the code, never OK
   */
  public Status.Code code() {
    return code;
  }

  /**
   * The server's message without the code. For failures that no server reported, gRPC's or this
   * library's own message.
   *
   * @return the message, never null
   */
  public String description() {
    return description;
  }
}
