package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.PixelFormat;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Streams on a real server that stays. */
@Timeout(90)
class StreamTest {
  private static TestServer server;
  private static UFlowClient client;
  private static List<DetectRequest> frames;

  @BeforeAll
  static void start() throws Exception {
    server = TestServer.start("--max-message-mib", "1");
    client = UFlowClient.builder(server.address()).build();
    frames = frames();
  }

  @AfterAll
  static void stop() {
    if (client != null) {
      client.close();
      server.close();
    }
  }

  static List<DetectRequest> frames() throws IOException, InterruptedException {
    List<DetectRequest> frames = new ArrayList<>();
    for (Path picture : TestModels.pictures()) {
      frames.add(Frames.encoded("cloth", picture).build());
    }
    return frames;
  }

  @Test
  void aThousandFramesComeBackInOrderAndTheWindowHolds() throws Exception {
    int window = 5;
    AtomicInteger inFlight = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    Recorder recorder = new Recorder();
    StreamListener listener =
        result -> {
          inFlight.decrementAndGet();
          recorder.onResult(result);
        };
    StreamOptions options = StreamOptions.defaults().withWindow(window);
    try (DetectStream stream = client.openStream(options, listener)) {
      for (int i = 0; i < 1000; i++) {
        assertEquals(i, stream.send(frames.get(i % frames.size())));
        most.accumulateAndGet(inFlight.incrementAndGet(), Math::max);
      }
      stream.finish();
      assertEquals(List.of(), stream.unanswered());
    }
    assertEquals(window, most.get(), "the window is used and never exceeded");
    recorder.assertEachOnceInOrder(1000);
    assertEquals(List.of(), recorder.lost);
    for (int i = frames.size(); i < 1000; i++) {
      assertEquals(
          recorder.results.get(i - frames.size()).detection(), recorder.results.get(i).detection());
    }
  }

  @Test
  void aListenerThatBlocksHoldsTheSenderBack() throws Exception {
    CountDownLatch proceed = new CountDownLatch(1);
    Recorder recorder = new Recorder();
    StreamListener listener =
        result -> {
          try {
            assertTrue(proceed.await(Waiting.LONG.toSeconds(), TimeUnit.SECONDS));
          } catch (InterruptedException e) {
            throw new IllegalStateException(e);
          }
          recorder.onResult(result);
        };
    StreamOptions options = StreamOptions.defaults().withWindow(2);
    try (DetectStream stream = client.openStream(options, listener)) {
      stream.send(frames.get(0));
      stream.send(frames.get(1));
      assertTrue(stream.trySend(frames.get(2)).isEmpty());
      Thread sender =
          new Thread(
              () -> {
                try {
                  stream.send(frames.get(2));
                } catch (InterruptedException e) {
                  throw new IllegalStateException(e);
                }
              });
      sender.start();
      Waiting.until("send waits", () -> sender.getState() == Thread.State.WAITING);
      // The first is with the listener by now, or its answer is still on the way.
      int unanswered = stream.unanswered().size();
      assertTrue(unanswered == 1 || unanswered == 2, unanswered + " frames are unanswered");
      proceed.countDown();
      sender.join();
      stream.finish();
      assertThrows(IllegalStateException.class, () -> stream.send(frames.get(0)));
    }
    recorder.assertEachOnceInOrder(3);
  }

  @Test
  void aListenerMaySendButNotWaitForItself() throws Exception {
    Recorder recorder = new Recorder();
    DetectStream[] self = new DetectStream[1];
    CountDownLatch all = new CountDownLatch(6);
    StreamListener listener =
        result -> {
          recorder.onResult(result);
          all.countDown();
          if (result.number() == 0) {
            assertThrows(IllegalStateException.class, () -> self[0].finish());
          }
          if (result.number() < 4) {
            // Two frames were sent at first, so that there is room for one more in a window of 3.
            assertTrue(self[0].trySend(result.request()).isPresent());
            assertThrows(IllegalStateException.class, () -> fill(self[0]));
          }
        };
    StreamOptions options = StreamOptions.defaults().withWindow(3);
    try (DetectStream stream = client.openStream(options, listener)) {
      self[0] = stream;
      stream.send(frames.get(0));
      stream.send(frames.get(1));
      assertTrue(all.await(Waiting.LONG.toSeconds(), TimeUnit.SECONDS));
      stream.finish();
    }
    assertTrue(recorder.results.size() >= 6);
    recorder.assertEachOnceInOrder(recorder.results.size());
  }

  private static void fill(DetectStream stream) throws InterruptedException {
    while (true) {
      stream.send(frames.get(0));
    }
  }

  @Test
  void onlyTheBadFrameFails() throws Exception {
    byte[] broken = "no picture".getBytes();
    // Far beyond the server's limit and its HTTP/2 window, so that it refuses while more comes.
    byte[] pixels = new byte[4000 * 2000 * 3];
    DetectRequest tooLarge =
        Frames.raw("cloth", pixels, 4000, 2000, PixelFormat.PIXEL_FORMAT_RGB8).build();
    List<DetectRequest> sent =
        List.of(
            frames.get(0),
            Frames.encoded("cloth", broken).build(),
            frames.get(1),
            tooLarge,
            frames.get(2),
            frames.get(3).toBuilder()
                .setTimeLimit(com.google.protobuf.Duration.newBuilder().setNanos(1000))
                .build(),
            frames.get(4),
            frames.get(5).toBuilder().clearEncoded().build());
    Recorder recorder = new Recorder();
    try (DetectStream stream = client.openStream(StreamOptions.defaults(), recorder)) {
      for (DetectRequest frame : sent) {
        stream.send(frame);
      }
      stream.finish();
    }
    recorder.assertEachOnceInOrder(sent.size());
    assertEquals(
        List.of(
            Status.Code.OK,
            Status.Code.INVALID_ARGUMENT,
            Status.Code.OK,
            Status.Code.OUT_OF_RANGE,
            Status.Code.OK,
            Status.Code.DEADLINE_EXCEEDED,
            Status.Code.OK,
            Status.Code.INVALID_ARGUMENT),
        recorder.results.stream().map(result -> result.status().getCode()).toList());
    assertEquals(List.of(), recorder.lost, "a frame that is too large is no outage");
    FrameResult large = recorder.results.get(3);
    assertTrue(large.error().orElseThrow().description().contains("too large"), large.toString());
    assertThrows(UFlowException.class, large::detection);
    assertFalse(large.isDetection());
    VerdictsTest.assertFails(Status.Code.OUT_OF_RANGE, "too large", () -> client.detect(tooLarge));
  }

  @Test
  void aFrameDeadlineFailsTheFrameAndNotTheStream() throws Exception {
    StreamOptions options = StreamOptions.defaults().withFrameDeadline(Duration.ofMillis(1));
    Recorder recorder = new Recorder();
    try (DetectStream stream = client.openStream(options, recorder)) {
      for (int i = 0; i < 30; i++) {
        stream.send(frames.get(0));
      }
      stream.finish();
    }
    recorder.assertEachOnceInOrder(30);
    for (FrameResult result : recorder.results) {
      assertEquals(Status.Code.DEADLINE_EXCEEDED, result.status().getCode());
    }
    StreamOptions generous = StreamOptions.defaults().withFrameDeadline(Waiting.LONG);
    Recorder second = new Recorder();
    try (DetectStream stream = client.openStream(generous, second)) {
      stream.send(frames.get(0));
      stream.finish();
    }
    assertTrue(second.results.get(0).isDetection());
  }

  @Test
  void aModelThatTheServerDoesNotKnowEndsTheStreamWithAnAccount() throws Exception {
    Recorder recorder = new Recorder();
    try (DetectStream stream = client.openStream(StreamOptions.defaults(), recorder)) {
      stream.send(frames.get(0));
      DetectRequest unknown = frames.get(1).toBuilder().setModel("felt").build();
      stream.send(unknown);
      StreamException error = assertThrows(StreamException.class, stream::finish);
      assertEquals(Status.Code.NOT_FOUND, error.code());
      assertTrue(error.description().contains("no model `felt`; there are cloth"));
      assertTrue(error.description().contains("1 frame is unanswered: number 1"));
      assertEquals(List.of(new SentFrame(1, unknown)), error.unanswered());
      assertThrows(StreamException.class, () -> stream.send(frames.get(0)));
    }
    recorder.assertEachOnceInOrder(1);
  }

  @Test
  void aListenerThatThrowsEndsTheStreamWithAnAccount() throws Exception {
    StreamListener listener =
        result -> {
          if (result.number() == 1) {
            throw new IllegalStateException("disk full");
          }
        };
    try (DetectStream stream = client.openStream(StreamOptions.defaults(), listener)) {
      for (int i = 0; i < 4; i++) {
        stream.send(frames.get(i));
      }
      StreamException error = assertThrows(StreamException.class, stream::finish);
      assertTrue(error.description().contains("disk full"), error.toString());
      assertEquals(List.of(2L, 3L), error.unanswered().stream().map(SentFrame::number).toList());
    }
  }
}
