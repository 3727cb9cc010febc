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
import java.util.List;
import java.util.Map;
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
    Duration keepAliveTimeout,
    boolean roundRobin) {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private static final Map<String, ?> CALLS_IN_TURN = balancing("round_robin", Map.of());

  /**
   * A stream has a channel for each connection. With round_robin it would go to the server that
   * connects first, and would not see that this server asks for the end of the connection.
   */
  private static final Map<String, ?> STREAMS_ANYWHERE =
      balancing("pick_first", Map.of("shuffleAddressList", true));

  private static Map<String, ?> balancing(String policy, Map<String, ?> options) {
    return Map.of("loadBalancingConfig", List.of(Map.of(policy, options)));
  }

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
    if (roundRobin) {
      // Streams have an executor, calls do not.
      builder.defaultServiceConfig(executor == null ? CALLS_IN_TURN : STREAMS_ANYWHERE);
      builder.disableServiceConfigLookUp();
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
