package io.uflow.client;

import io.grpc.Status;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.DetectResponse;
import io.uflow.v1.Detection;
import java.util.Optional;

/**
 * The answer to one frame of a stream: a detection, or the error of this frame.
 *
 * @param number the number that {@link DetectStream#send} returned; the first frame has 0
 * @param request the frame as it was given to {@code send}
 * @param response the server's answer; its {@code sequence} is the one of {@code request}. If the
 *     frame's deadline passed or the server refused to read the frame, the stream makes the answer
 */
public record FrameResult(long number, DetectRequest request, DetectResponse response) {

  /**
   * Whether the frame has a detection.
   *
   * @return false if the frame has an error
   */
  public boolean isDetection() {
    return response.hasDetection();
  }

  /**
   * The detection.
   *
   * @return the detection
   * @throws UFlowException the frame's error, if it has one
   */
  public Detection detection() {
    error()
        .ifPresent(
            error -> {
              throw error;
            });
    return response.getDetection();
  }

  /**
   * Why the frame has no detection.
   *
   * @return the error with its code and the server's message; empty if there is a detection
   */
  public Optional<UFlowException> error() {
    return response.hasDetection() ? Optional.empty() : Optional.of(UFlowException.of(status()));
  }

  Status status() {
    return status(response);
  }

  /** An answer's status: OK with a detection. */
  static Status status(DetectResponse response) {
    return switch (response.getOutcomeCase()) {
      case DETECTION -> Status.OK;
      case ERROR ->
          Status.fromCodeValue(response.getError().getCode())
              .withDescription(response.getError().getMessage());
      case OUTCOME_NOT_SET -> Status.INTERNAL.withDescription("the answer has no outcome");
    };
  }
}
