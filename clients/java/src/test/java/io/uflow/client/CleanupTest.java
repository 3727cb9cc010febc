package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.grpc.Status;
import io.uflow.v1.DetectRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Nothing is left behind. */
@Timeout(90)
class CleanupTest {
  private static final Path DESCRIPTORS = Path.of("/proc/self/fd");

  @Test
  void cancelledStreamsLeaveNoThreadAndNoSocket() throws Exception {
    DetectRequest frame = StreamTest.frames().get(0);
    try (TestServer server = TestServer.start()) {
      streamAndCancel(server.address(), frame);
      awaitNoThreads();
      long sockets = sockets();
      for (int i = 0; i < 3; i++) {
        streamAndCancel(server.address(), frame);
      }
      // One during a pause between two attempts.
      server.kill();
      Recorder recorder = new Recorder();
      try (UFlowClient client = UFlowClient.builder(server.address()).build();
          DetectStream stream = client.openStream(StreamOptions.defaults(), recorder)) {
        stream.send(frame);
        recorder.awaitLost(1);
      }
      awaitNoThreads();
      Waiting.until("sockets are closed", () -> sockets() <= sockets);
    }
  }

  private static void streamAndCancel(String address, DetectRequest frame) throws Exception {
    try (UFlowClient client = UFlowClient.builder(address).build()) {
      Recorder recorder = new Recorder();
      DetectStream cancelled = client.openStream(StreamOptions.defaults(), recorder);
      DetectStream left = client.openStream(StreamOptions.defaults(), new Recorder());
      for (int i = 0; i < 50; i++) {
        cancelled.send(frame);
      }
      left.send(frame);
      cancelled.close();
      int results = recorder.results.size();
      StreamException error =
          (StreamException)
              assertThrows(ExecutionException.class, () -> cancelled.ended().get()).getCause();
      assertEquals(Status.Code.CANCELLED, error.code());
      assertEquals(50 - results, error.unanswered().size(), "results and account are complete");
      recorder.assertEachOnceInOrder(results);
      assertThrows(StreamException.class, () -> cancelled.trySend(frame));
      cancelled.close();
      assertFalse(left.ended().isDone() && left.unanswered().size() > 0);
      // The client closes the other stream.
    }
  }

  /** gRPC keeps its shared threads for a second after the last channel. */
  private static void awaitNoThreads() throws InterruptedException {
    Waiting.until(() -> "threads have ended: " + threads(), () -> threads().isEmpty());
  }

  private static List<String> threads() {
    return Thread.getAllStackTraces().keySet().stream()
        .map(Thread::getName)
        .filter(name -> name.startsWith("uflow-") || name.startsWith("grpc-"))
        .toList();
  }

  private static long sockets() {
    try (Stream<Path> descriptors = Files.list(DESCRIPTORS)) {
      return descriptors.filter(CleanupTest::isSocket).count();
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static boolean isSocket(Path descriptor) {
    try {
      return Files.readSymbolicLink(descriptor).toString().startsWith("socket:");
    } catch (IOException e) {
      // Closed meanwhile.
      return false;
    }
  }
}
