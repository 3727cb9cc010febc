package io.uflow.client;

import java.time.Duration;

/**
 * Receives the results of a stream and hears about its connection.
 *
 * <p>All methods are called one after the other on the stream's own thread. A method that takes
 * long delays later results and, once the window is full, {@link DetectStream#send}. An exception
 * from any method ends the stream.
 */
@FunctionalInterface
public interface StreamListener {
  /**
   * A frame's result. Called once for each frame, in the order of the frames. The frame keeps its
   * place in the window until this method returns.
   *
   * @param result the detection, or the error of this frame
   */
  void onResult(FrameResult result);

  /**
   * The connection is lost or cannot be made, the server is stopping, or the model is not loaded
   * yet. The stream tries again until the outage limit. Called once for each outage.
   *
   * @param cause what happened
   * @param unanswered how many frames are unanswered; the stream will send them again
   */
  default void onConnectionLost(UFlowException cause, int unanswered) {}

  /**
   * The server answers again, or has accepted the stream while no frame is unanswered.
   *
   * @param outage time since {@link #onConnectionLost}
   */
  default void onConnectionRestored(Duration outage) {}
}
