package io.uflow.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Where the server is and how to talk to it. Opens channels, each with its own connection. */
record Endpoint(
    String target,
    ChannelCredentials credentials,
    String authority,
    Supplier<String> token,
    String userAgent,
    Duration keepAlive,
    Duration keepAliveTimeout) {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /**
   * A channel whose callbacks run on {@code executor}, or on gRPC's shared threads if it is null.
   */
  ManagedChannel open(Executor executor) {
    ManagedChannelBuilder<?> builder =
        Grpc.newChannelBuilder(target, credentials)
            .userAgent(userAgent)
            // The server bounds its answers (--max-message-mib); a second bound here only breaks
            // streams.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            // Retries are this library's own.
            .disableRetry()
            .keepAliveTime(keepAlive.toNanos(), TimeUnit.NANOSECONDS)
            .keepAliveTimeout(keepAliveTimeout.toNanos(), TimeUnit.NANOSECONDS);
    if (authority != null) {
      builder.overrideAuthority(authority);
    }
    if (token != null) {
      builder.intercept(new Bearer(token));
    }
    if (executor != null) {
      builder.executor(executor);
    }
    return builder.build();
  }

  /** Adds the token to each call. */
  private record Bearer(Supplier<String> token) implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
        @Override
        public void start(Listener<A> listener, Metadata headers) {
          headers.put(AUTHORIZATION, "Bearer " + token.get());
          super.start(listener, headers);
        }
      };
    }
  }
}
