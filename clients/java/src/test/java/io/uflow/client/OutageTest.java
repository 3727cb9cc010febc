package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.Detection;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Streams whose real server is killed, stopped, restarted, or stays away. */
@Timeout(90)
class OutageTest {
  private TestServer server;
  private UFlowClient client;
  private final Recorder recorder = new Recorder();

  @BeforeEach
  void start() throws Exception {
    server = TestServer.start();
    client = UFlowClient.builder(server.address()).build();
  }

  @AfterEach
  void stop() {
    if (client != null) {
      client.close();
      server.close();
    }
  }

  private static CompletableFuture<Void> sendAll(DetectStream stream, List<DetectRequest> frames) {
    return CompletableFuture.runAsync(
        () -> {
          try {
            for (DetectRequest frame : frames) {
              stream.send(frame);
            }
            stream.finish();
          } catch (InterruptedException e) {
            throw new IllegalStateException(e);
          }
        });
  }

  @Test
  void aServerThatIsKilledTwiceAndThenStoppedLosesAndDoublesNothing() throws Exception {
    List<DetectRequest> pictures = StreamTest.frames();
    List<Detection> expected = new ArrayList<>();
    for (DetectRequest picture : pictures) {
      expected.add(client.detect(picture).getDetection());
    }
    int count = 400;
    List<DetectRequest> frames = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      frames.add(pictures.get(i % pictures.size()));
    }
    try (DetectStream stream = client.openStream(StreamOptions.defaults(), recorder)) {
      CompletableFuture<Void> sending = sendAll(stream, frames);
      recorder.awaitResults(50);
      server.kill();
      server.launch();
      // The second kill comes as soon as frames flow again.
      int first = recorder.results.size();
      recorder.awaitResults(first + 1);
      server.kill();
      recorder.awaitLost(2);
      server.launch();
      recorder.awaitResults(recorder.results.size() + 50);
      server.terminate();
      recorder.awaitLost(3);
      server.launch();
      sending.get(Waiting.LONG.toSeconds(), TimeUnit.SECONDS);
    }
    recorder.assertEachOnceInOrder(count);
    for (int i = 0; i < count; i++) {
      assertEquals(
          expected.get(i % expected.size()), recorder.results.get(i).detection(), "frame " + i);
    }
    assertEquals(3, recorder.lost.size(), recorder.toString());
    assertEquals(3, recorder.restored.get());
  }

  @Test
  void aConnectionThatReachesItsAgeIsReplacedWithoutALoss() throws Exception {
    try (TestServer aging =
            TestServer.start("--max-connection-age-seconds", "1", "--drain-seconds", "1");
        UFlowClient other = UFlowClient.builder(aging.address()).build();
        DetectStream stream = other.openStream(StreamOptions.defaults(), recorder)) {
      List<DetectRequest> frames = StreamTest.frames();
      int sent = 0;
      while (recorder.restored.get() < 2) {
        stream.send(frames.get(sent++ % frames.size()));
      }
      stream.finish();
      recorder.assertEachOnceInOrder(sent);
      assertTrue(recorder.results.stream().allMatch(FrameResult::isDetection));
    }
  }

  @Test
  void aServerThatPausesIsWaitedForOrLeftWhenTheStallTimeoutSaysSo() throws Exception {
    DetectRequest frame = StreamTest.frames().get(0);
    Recorder patient = new Recorder();
    StreamOptions impatient =
        StreamOptions.defaults().withWindow(4).withStallTimeout(Duration.ofMillis(1500));
    try (DetectStream waits = client.openStream(StreamOptions.defaults(), patient);
        DetectStream leaves = client.openStream(impatient, recorder)) {
      for (DetectStream stream : List.of(waits, leaves)) {
        stream.send(frame);
      }
      patient.awaitResults(1);
      recorder.awaitResults(1);
      server.signal("STOP");
      for (int i = 0; i < 3; i++) {
        waits.send(frame);
        leaves.send(frame);
      }
      recorder.awaitLost(1);
      assertTrue(recorder.lost.get(0).description().contains("answered nothing for"));
      server.signal("CONT");
      waits.finish();
      leaves.finish();
    }
    recorder.assertEachOnceInOrder(4);
    patient.assertEachOnceInOrder(4);
    assertEquals(List.of(), patient.lost);
  }

  @Test
  void aServerThatStaysAwayEndsTheStreamAndTheFramesComeBack() throws Exception {
    List<DetectRequest> frames = StreamTest.frames();
    StreamOptions options =
        StreamOptions.defaults().withWindow(4).withOutageLimit(Duration.ofMillis(1500));
    try (DetectStream stream = client.openStream(options, recorder)) {
      stream.send(frames.get(0));
      recorder.awaitResults(1);
      server.kill();
      CompletableFuture<Void> sending = sendAll(stream, frames);
      ExecutionException ended = assertThrows(ExecutionException.class, () -> stream.ended().get());
      StreamException error = (StreamException) ended.getCause();
      assertEquals(Status.Code.UNAVAILABLE, error.code());
      assertTrue(error.description().contains("outage limit of PT1.5S"), error.toString());
      assertTrue(
          error.description().contains("4 frames are unanswered: numbers 1 to 4"),
          error.toString());
      assertEquals(frames.subList(0, 4), requests(error.unanswered()));
      assertEquals(
          LongStream.rangeClosed(1, 4).boxed().toList(),
          error.unanswered().stream().map(SentFrame::number).toList());
      assertEquals(error.unanswered(), stream.unanswered());
      // The sender was blocked by the window. It hears of the end as well.
      assertThrows(ExecutionException.class, sending::get);
    }
    recorder.assertEachOnceInOrder(1);
    assertEquals(1, recorder.lost.size());

    // The frames can be sent again elsewhere.
    server.launch();
    Recorder second = new Recorder();
    try (DetectStream stream = client.openStream(StreamOptions.defaults(), second)) {
      for (DetectRequest frame : frames.subList(0, 4)) {
        stream.send(frame);
      }
      stream.finish();
    }
    second.assertEachOnceInOrder(4);
  }

  private static List<DetectRequest> requests(List<SentFrame> frames) {
    return frames.stream().map(SentFrame::request).toList();
  }

  @Test
  void anIdleStreamOutlivesAnOutageAndFrameDeadlinesHoldDuringOne() throws Exception {
    DetectRequest frame = StreamTest.frames().get(0);
    StreamOptions options =
        StreamOptions.defaults()
            .withOutageLimit(Waiting.LONG)
            .withFrameDeadline(Duration.ofSeconds(2));
    try (DetectStream stream = client.openStream(options, recorder)) {
      stream.send(frame);
      recorder.awaitResults(1);
      server.kill();
      recorder.awaitLost(1);
      stream.send(frame);
      recorder.awaitResults(2);
      assertEquals(Status.Code.DEADLINE_EXCEEDED, recorder.results.get(1).status().getCode());
      server.launch();
      Waiting.until("the idle stream is restored", () -> recorder.restored.get() == 1);
      server.awaitReady();
      stream.send(frame);
      stream.finish();
    }
    recorder.assertEachOnceInOrder(3);
    assertTrue(recorder.results.get(2).isDetection());
  }
}
