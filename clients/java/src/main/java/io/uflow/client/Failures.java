package io.uflow.client;

import io.grpc.Status;
import java.io.IOException;
import java.security.cert.CertificateException;

/** What a status means for work that may be done again. Detection has no side effects. */
final class Failures {
  private Failures() {}

  /**
   * The status, with one code for every lost connection. Netty's transport says UNKNOWN if a call
   * comes between the end of the connection and gRPC's notice of it. A status that a server sent
   * has no cause.
   */
  static Status of(Status status) {
    return status.getCode() == Status.Code.UNKNOWN && hasCause(status, IOException.class)
        ? Status.UNAVAILABLE.withDescription(status.getDescription()).withCause(status.getCause())
        : status;
  }

  /** Whether a single call may succeed if it is made again. */
  static boolean mayRetry(Status status) {
    return switch (status.getCode()) {
      case UNAVAILABLE -> !isUntrusted(status);
      // The protocol's words for it: the server is full, try again later.
      case RESOURCE_EXHAUSTED -> true;
      default -> isNotLoadedYet(status);
    };
  }

  /** Whether a stream that ended with this status would end so again. */
  static boolean endsStream(Status status) {
    return switch (status.getCode()) {
      case UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT, OUT_OF_RANGE, UNIMPLEMENTED ->
          true;
      case NOT_FOUND -> !isNotLoadedYet(status);
      default -> isUntrusted(status);
    };
  }

  /** What the error of a single frame means for its stream. */
  static boolean isTransient(Status status) {
    return status.getCode() == Status.Code.UNAVAILABLE || isNotLoadedYet(status);
  }

  /**
   * A server that has just started knows no model until it has looked at its repository, and says
   * so. A name that it does not know beside others is a mistake.
   */
  private static boolean isNotLoadedYet(Status status) {
    String said = status.getDescription();
    return status.getCode() == Status.Code.NOT_FOUND
        && said != null
        && said.endsWith("no model is loaded");
  }

  /** Whether the server's certificate was refused. gRPC reports this as UNAVAILABLE. */
  private static boolean isUntrusted(Status status) {
    return hasCause(status, CertificateException.class);
  }

  private static boolean hasCause(Status status, Class<? extends Exception> kind) {
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      if (kind.isInstance(cause)) {
        return true;
      }
    }
    return false;
  }
}
