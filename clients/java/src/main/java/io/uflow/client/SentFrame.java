package io.uflow.client;

import io.uflow.v1.DetectRequest;

/**
 * A frame that a stream accepted.
 *
 * @param number the number that {@link DetectStream#send} returned; the first frame has 0
 * @param request the frame as it was given to {@code send}
 */
public record SentFrame(long number, DetectRequest request) {}
