package io.uflow.client;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A single call that is made again, within its deadline, while that is safe and may help. */
final class RetryingCall<Q, A> implements StreamObserver<A> {
  private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);

  private final ManagedChannel channel;
  private final MethodDescriptor<Q, A> method;
  private final Q request;
  private final Deadline deadline;
  private final boolean retries;
  private final Backoff backoff = new Backoff(FIRST_PAUSE, LONGEST_PAUSE);
  private final CompletableFuture<A> result = new CompletableFuture<>();
  private ClientCall<Q, A> attempt;
  private A answer;

  private RetryingCall(
      ManagedChannel channel,
      MethodDescriptor<Q, A> method,
      Q request,
      Duration deadline,
      boolean retries) {
    this.channel = channel;
    this.method = method;
    this.request = request;
    this.deadline = Deadline.after(deadline.toNanos(), TimeUnit.NANOSECONDS);
    this.retries = retries;
  }

  static <Q, A> CompletableFuture<A> start(
      ManagedChannel channel,
      MethodDescriptor<Q, A> method,
      Q request,
      Duration deadline,
      boolean retries) {
    RetryingCall<Q, A> call = new RetryingCall<>(channel, method, request, deadline, retries);
    call.attempt();
    call.result.whenComplete((answer, error) -> call.cancelled());
    return call.result;
  }

  private synchronized void attempt() {
    if (result.isDone()) {
      return;
    }
    CallOptions options = CallOptions.DEFAULT.withDeadline(deadline);
    attempt = channel.newCall(method, options);
    try {
      ClientCalls.asyncUnaryCall(attempt, request, this);
    } catch (RuntimeException e) {
      // The supplier of the token failed.
      result.completeExceptionally(UFlowException.of(Status.fromThrowable(e).withCause(e)));
    }
  }

  /** Ends the call on the wire if the caller gave up. Does nothing to a call that is done. */
  private synchronized void cancelled() {
    attempt.cancel("the caller gave up", null);
  }

  @Override
  public void onNext(A message) {
    answer = message;
  }

  @Override
  public void onCompleted() {
    result.complete(answer);
  }

  @Override
  public void onError(Throwable error) {
    Status status = Failures.of(Status.fromThrowable(error));
    long pause = backoff.next();
    boolean again =
        retries
            && Failures.mayRetry(status)
            && !channel.isShutdown()
            && pause < deadline.timeRemaining(TimeUnit.NANOSECONDS);
    if (!again) {
      result.completeExceptionally(UFlowException.of(status));
      return;
    }
    CompletableFuture.delayedExecutor(pause, TimeUnit.NANOSECONDS, Runnable::run)
        .execute(
            () -> {
              // gRPC's own pause before it connects again grows to two minutes.
              channel.resetConnectBackoff();
              attempt();
            });
  }
}
