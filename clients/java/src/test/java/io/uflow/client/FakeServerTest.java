package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.DetectResponse;
import io.uflow.v1.Detection;
import io.uflow.v1.DetectionServiceGrpc.DetectionServiceImplBase;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the real server does rarely, or only for a moment. */
@Timeout(60)
class FakeServerTest {
  /** What the server does with frame number {@code frame} of call number {@code call}. */
  interface Behaviour {
    void on(int call, long frame, StreamObserver<DetectResponse> answers);
  }

  private static final StreamOptions QUICK =
      StreamOptions.defaults().withPauses(Duration.ofMillis(5), Duration.ofMillis(20));

  private final AtomicInteger calls = new AtomicInteger();
  private final Recorder recorder = new Recorder();
  private volatile Behaviour behaviour = (call, frame, answers) -> answers.onNext(found(frame));
  private volatile String window = "16";
  private Server server;
  private UFlowClient client;

  @BeforeEach
  void start() throws Exception {
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(new Fake())
            .intercept(new WindowHeader())
            .build()
            .start();
    client = UFlowClient.builder("127.0.0.1:" + server.getPort()).build();
  }

  @AfterEach
  void stop() throws Exception {
    client.close();
    server.shutdownNow().awaitTermination();
  }

  /** Sends the header when the call comes, as the real server does, not with the first answer. */
  private final class WindowHeader implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      Metadata own = new Metadata();
      own.put(Metadata.Key.of("uflow-stream-window", Metadata.ASCII_STRING_MARSHALLER), window);
      call.sendHeaders(own);
      return next.startCall(
          new SimpleForwardingServerCall<>(call) {
            @Override
            public void sendHeaders(Metadata none) {}
          },
          headers);
    }
  }

  private final class Fake extends DetectionServiceImplBase {
    @Override
    public void detect(DetectRequest request, StreamObserver<DetectResponse> answers) {
      behaviour.on(calls.getAndIncrement(), request.getSequence(), answers);
    }

    @Override
    public StreamObserver<DetectRequest> detectStream(StreamObserver<DetectResponse> answers) {
      return new FakeStream(calls.getAndIncrement(), answers);
    }
  }

  /** A stream that ends when the client has closed its side and every frame is answered. */
  private final class FakeStream implements StreamObserver<DetectRequest> {
    private final int call;
    private final StreamObserver<DetectResponse> client;
    private int owed;
    private boolean over;

    FakeStream(int call, StreamObserver<DetectResponse> client) {
      this.call = call;
      this.client = client;
    }

    @Override
    public void onNext(DetectRequest request) {
      owed++;
      behaviour.on(call, request.getSequence(), new Answers());
    }

    @Override
    public void onError(Throwable error) {
      over = true;
    }

    @Override
    public void onCompleted() {
      if (!over && owed <= 0) {
        client.onCompleted();
      }
    }

    private final class Answers implements StreamObserver<DetectResponse> {
      @Override
      public void onNext(DetectResponse response) {
        if (!over) {
          owed--;
          client.onNext(response);
        }
      }

      @Override
      public void onError(Throwable error) {
        if (!over) {
          over = true;
          client.onError(error);
        }
      }

      @Override
      public void onCompleted() {
        throw new UnsupportedOperationException("a stream ends by itself");
      }
    }
  }

  private static DetectResponse found(long frame) {
    return DetectResponse.newBuilder()
        .setSequence(frame)
        .setDetection(Detection.newBuilder().setScore(frame))
        .build();
  }

  private static DetectResponse failed(long frame, Status.Code code, String message) {
    DetectResponse.Builder response = DetectResponse.newBuilder().setSequence(frame);
    response.getErrorBuilder().setCode(code.value()).setMessage(message);
    return response.build();
  }

  private void stream(StreamOptions options, int frames) throws InterruptedException {
    try (DetectStream stream = client.openStream(options, recorder)) {
      for (int i = 0; i < frames; i++) {
        stream.send(DetectRequest.newBuilder().setModel("cloth").build());
      }
      stream.finish();
    }
  }

  private void assertAllFound(int frames) {
    recorder.assertEachOnceInOrder(frames);
    for (FrameResult result : recorder.results) {
      assertEquals(result.number(), (long) result.detection().getScore());
    }
  }

  @Test
  void aModelThatIsBeingLoadedIsWaitedFor() throws Exception {
    List<DetectResponse> refusals =
        List.of(
            failed(0, Status.Code.NOT_FOUND, "there is no model `cloth`; no model is loaded"),
            failed(0, Status.Code.UNAVAILABLE, "model `cloth` version 1 is not loaded"),
            failed(0, Status.Code.UNAVAILABLE, "model `cloth` version 1 is being loaded"));
    behaviour =
        (call, frame, answers) ->
            answers.onNext(
                call < 3
                    ? refusals.get(call).toBuilder().setSequence(frame).build()
                    : found(frame));
    stream(QUICK, 5);
    assertAllFound(5);
    assertEquals(1, recorder.lost.size(), "one outage: " + recorder);
    assertEquals(Status.Code.NOT_FOUND, recorder.lost.get(0).code());
    assertEquals(1, recorder.restored.get());
  }

  @Test
  void answersBeforeTheEndCountAndLateOrDoubleOnesDoNot() throws Exception {
    behaviour =
        (call, frame, answers) -> {
          answers.onNext(found(frame));
          answers.onNext(found(frame));
          if (frame > 0) {
            answers.onNext(found(frame - 1));
          }
          if (frame % 7 == 3 && call < 5) {
            answers.onError(Status.UNAVAILABLE.withDescription("stopping").asException());
          }
        };
    stream(QUICK, 60);
    assertAllFound(60);
    assertTrue(calls.get() > 3, "calls: " + calls);
    assertTrue(
        recorder.lost.stream().allMatch(lost -> lost.description().equals("stopping")),
        "late answers are no reason to connect again: " + recorder);
  }

  @Test
  void anAnswerThatSkipsAFrameIsNotBelieved() throws Exception {
    behaviour =
        (call, frame, answers) -> {
          if (call > 0 || frame != 2) {
            answers.onNext(found(frame));
          }
        };
    stream(QUICK, 10);
    assertAllFound(10);
    assertEquals(2, calls.get());
    assertTrue(recorder.lost.get(0).description().contains("answer 3 came before answer 2"));
  }

  @Test
  void theServersWindowIsRespected() throws Exception {
    window = "3";
    AtomicInteger unanswered = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    List<Long> held = new ArrayList<>();
    Executor later = CompletableFuture.delayedExecutor(20, TimeUnit.MILLISECONDS);
    behaviour =
        (call, frame, answers) -> {
          synchronized (held) {
            held.add(frame);
            most.accumulateAndGet(unanswered.incrementAndGet(), Math::max);
            if (held.size() == 3) {
              // A frame beyond the window comes before these answers.
              later.execute(() -> answer(held, unanswered, answers));
            }
          }
        };
    stream(QUICK, 30);
    assertAllFound(30);
    assertEquals(3, most.get());
  }

  private static void answer(
      List<Long> held, AtomicInteger unanswered, StreamObserver<DetectResponse> answers) {
    synchronized (held) {
      for (long number : held) {
        unanswered.decrementAndGet();
        answers.onNext(found(number));
      }
      held.clear();
    }
  }

  @Test
  void aServerThatAcceptsAndNeverAnswersIsAnOutage() throws Exception {
    behaviour = (call, frame, answers) -> {};
    StreamOptions options =
        QUICK.withStallTimeout(Duration.ofMillis(200)).withOutageLimit(Duration.ofMillis(1000));
    StreamException error = assertThrows(StreamException.class, () -> stream(options, 3));
    assertEquals(List.of(0L, 1L, 2L), error.unanswered().stream().map(SentFrame::number).toList());
    assertTrue(error.description().contains("answered nothing for PT0.2S"), error.toString());
    assertTrue(calls.get() >= 2, "it tried again: " + calls);
    assertEquals(1, recorder.lost.size());
    assertEquals(0, recorder.restored.get());
  }

  @Test
  void frameDeadlinesHoldOnAServerThatNeverAnswers() throws Exception {
    behaviour =
        (call, frame, answers) -> {
          if (call > 0) {
            answers.onNext(found(frame));
          }
        };
    StreamOptions options =
        QUICK
            .withWindow(2)
            .withFrameDeadline(Duration.ofMillis(100))
            .withStallTimeout(Duration.ofMillis(700));
    try (DetectStream stream = client.openStream(options, recorder)) {
      int sent = 0;
      // The first connection answers nothing. Its frames fail one by one, until it is given up.
      while (recorder.results.stream().noneMatch(FrameResult::isDetection)) {
        stream.send(DetectRequest.newBuilder().setModel("cloth").build());
        sent++;
      }
      stream.finish();
      recorder.assertEachOnceInOrder(sent);
    }
    assertEquals(Status.Code.DEADLINE_EXCEEDED, recorder.results.get(0).status().getCode());
    assertEquals(1, recorder.lost.size());
  }

  @Test
  void aStreamWithoutUnansweredFramesFinishesDuringAnOutage() throws Exception {
    server.shutdownNow();
    StreamOptions options = QUICK.withFrameDeadline(Duration.ofMillis(100));
    try (DetectStream stream = client.openStream(options, recorder)) {
      recorder.awaitLost(1);
      stream.send(DetectRequest.newBuilder().setModel("cloth").build());
      stream.finish();
    }
    recorder.assertEachOnceInOrder(1);
    try (DetectStream stream = client.openStream(options, recorder)) {
      recorder.awaitLost(2);
      stream.finish();
    }
  }

  @Test
  void permanentErrorsOfTheStreamEndItAtOnce() {
    for (Status.Code code :
        List.of(
            Status.Code.UNAUTHENTICATED,
            Status.Code.PERMISSION_DENIED,
            Status.Code.INVALID_ARGUMENT,
            Status.Code.NOT_FOUND,
            Status.Code.UNIMPLEMENTED)) {
      int before = calls.get();
      behaviour =
          (call, frame, answers) -> {
            if (frame == 2) {
              answers.onError(code.toStatus().withDescription("no").asException());
            } else {
              answers.onNext(found(frame));
            }
          };
      StreamException error = assertThrows(StreamException.class, () -> stream(QUICK, 3));
      assertEquals(code, error.code());
      assertEquals(List.of(2L), error.unanswered().stream().map(SentFrame::number).toList());
      assertEquals(before + 1, calls.get(), "one call");
    }
  }

  @Test
  void singleCallsAreRetriedWhereThatHelps() {
    DetectRequest frame = DetectRequest.newBuilder().setModel("cloth").setSequence(5).build();
    for (Status status :
        List.of(
            Status.UNAVAILABLE,
            Status.RESOURCE_EXHAUSTED,
            Status.NOT_FOUND.withDescription("there is no model `cloth`; no model is loaded"))) {
      calls.set(0);
      behaviour =
          (call, number, answers) -> {
            if (call < 2) {
              answers.onError(status.asException());
            } else {
              answers.onNext(found(number));
              answers.onCompleted();
            }
          };
      assertEquals(found(5), client.detect(frame));
      assertEquals(3, calls.get());
    }
    for (Status status : List.of(Status.INTERNAL, Status.INVALID_ARGUMENT, Status.NOT_FOUND)) {
      calls.set(0);
      behaviour = (call, number, answers) -> answers.onError(status.asException());
      UFlowException error = assertThrows(UFlowException.class, () -> client.detect(frame));
      assertEquals(status.getCode(), error.code());
      assertEquals(1, calls.get());
    }
  }
}
