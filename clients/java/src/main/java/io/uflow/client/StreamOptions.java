package io.uflow.client;

import java.time.Duration;
import java.util.Objects;
import java.util.Optional;

/**
 * How a stream sends frames and how long it bears outages.
 *
 * @param window most frames in flight: accepted by {@code send}, without a result. Bounds the
 *     stream's memory. Fewer are with the server at once if the server's own window is smaller
 * @param frameDeadline time for each frame from {@code send} to its result. A frame without an
 *     answer by then gets the error DEADLINE_EXCEEDED, also during an outage. Empty: no limit but
 *     the frame's own {@code time_limit}, which the server counts from the frame's arrival
 * @param firstPause longest pause before the first attempt to connect again. It doubles with each
 *     attempt that brings no answer; the pause is chosen at random between 0 and this bound
 * @param longestPause the bound at which doubling stops
 * @param outageLimit how long an outage may last while frames are unanswered. Then the stream ends
 * @param stallTimeout how long the server may leave frames unanswered without answering any. Then
 *     the stream treats the connection as lost
 */
public record StreamOptions(
    int window,
    Optional<Duration> frameDeadline,
    Duration firstPause,
    Duration longestPause,
    Duration outageLimit,
    Duration stallTimeout) {
  private static final int MOST = 1 << 20;

  /** Sums with the clock do not overflow up to this duration. */
  private static final Duration LONGEST = Duration.ofDays(36_500);

  /**
   * Options that name every value; {@link #defaults} and the methods {@code with…} are shorter.
   *
   * @param window see the record
   * @param frameDeadline see the record
   * @param firstPause see the record
   * @param longestPause see the record
   * @param outageLimit see the record
   * @param stallTimeout see the record
   * @throws IllegalArgumentException for a value outside its range
   */
  public StreamOptions {
    if (window < 1 || window > MOST) {
      throw new IllegalArgumentException("window must be from 1 to " + MOST + ", not " + window);
    }
    Objects.requireNonNull(frameDeadline, "frameDeadline");
    frameDeadline.ifPresent(deadline -> positive(deadline, "frameDeadline"));
    positive(firstPause, "firstPause");
    positive(longestPause, "longestPause");
    positive(outageLimit, "outageLimit");
    positive(stallTimeout, "stallTimeout");
  }

  static void positive(Duration duration, String name) {
    if (duration.isNegative() || duration.isZero() || duration.compareTo(LONGEST) > 0) {
      throw new IllegalArgumentException(
          name + " must be above 0 and at most " + LONGEST + ", not " + duration);
    }
  }

  /**
   * 8 frames in flight, no frame deadline, pauses from 100 ms to 5 s, 60 s of outage, 30 s of
   * stall.
   *
   * @return the defaults
   */
  public static StreamOptions defaults() {
    return new StreamOptions(
        8,
        Optional.empty(),
        Duration.ofMillis(100),
        Duration.ofSeconds(5),
        Duration.ofSeconds(60),
        Duration.ofSeconds(30));
  }

  /**
   * The same with another window.
   *
   * @param frames most frames in flight, at least 1
   * @return the new options
   */
  public StreamOptions withWindow(int frames) {
    return new StreamOptions(
        frames, frameDeadline, firstPause, longestPause, outageLimit, stallTimeout);
  }

  /**
   * The same with a deadline for each frame.
   *
   * @param deadline time from {@code send} to the result
   * @return the new options
   */
  public StreamOptions withFrameDeadline(Duration deadline) {
    return new StreamOptions(
        window, Optional.of(deadline), firstPause, longestPause, outageLimit, stallTimeout);
  }

  /**
   * The same with other pauses between attempts to connect.
   *
   * @param first longest pause before the first attempt
   * @param longest longest pause before any attempt
   * @return the new options
   */
  public StreamOptions withPauses(Duration first, Duration longest) {
    return new StreamOptions(window, frameDeadline, first, longest, outageLimit, stallTimeout);
  }

  /**
   * The same with another limit for outages.
   *
   * @param limit longest outage while frames are unanswered
   * @return the new options
   */
  public StreamOptions withOutageLimit(Duration limit) {
    return new StreamOptions(window, frameDeadline, firstPause, longestPause, limit, stallTimeout);
  }

  /**
   * The same with another stall timeout.
   *
   * @param timeout longest silence of the server while frames are unanswered
   * @return the new options
   */
  public StreamOptions withStallTimeout(Duration timeout) {
    return new StreamOptions(window, frameDeadline, firstPause, longestPause, outageLimit, timeout);
  }
}
