package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.EquivalentAddressGroup;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.Server;
import io.grpc.StatusOr;
import io.grpc.stub.StreamObserver;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.DetectResponse;
import io.uflow.v1.Detection;
import io.uflow.v1.DetectionServiceGrpc.DetectionServiceImplBase;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Several servers behind one name. */
class RoundRobinTest {
  private final List<Answering> services = new ArrayList<>();
  private final List<Server> servers = new ArrayList<>();
  private final Names names = new Names();
  private UFlowClient client;

  @BeforeEach
  void start() throws Exception {
    for (int i = 0; i < 3; i++) {
      services.add(new Answering());
      servers.add(
          Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
              .addService(services.get(i))
              .build()
              .start());
    }
    NameResolverRegistry.getDefaultRegistry().register(names);
    client = UFlowClient.builder("fleet:///uflow").roundRobin().build();
  }

  @AfterEach
  void stop() throws Exception {
    client.close();
    NameResolverRegistry.getDefaultRegistry().deregister(names);
    for (Server server : servers) {
      server.shutdownNow().awaitTermination();
    }
  }

  @Test
  void callsUseAllServers() {
    // The client may call the first server before it is connected to the others.
    for (int i = 0; i < 300; i++) {
      client.detect(DetectRequest.getDefaultInstance());
    }
    services.forEach(service -> assertTrue(service.calls.get() > 0, "a server got no call"));
  }

  @Test
  void streamsUseAllServers() throws Exception {
    // A server that is not chosen by any of 60 streams: once in 10^10 runs.
    for (int i = 0; i < 60; i++) {
      try (DetectStream stream = client.openStream(StreamOptions.defaults(), result -> {})) {
        stream.send(DetectRequest.getDefaultInstance());
        stream.finish();
      }
    }
    services.forEach(service -> assertTrue(service.streams.get() > 0, "a server got no stream"));
  }

  /** Answers every frame. */
  private static final class Answering extends DetectionServiceImplBase {
    private final AtomicInteger calls = new AtomicInteger();
    private final AtomicInteger streams = new AtomicInteger();

    private static DetectResponse answer(DetectRequest request) {
      return DetectResponse.newBuilder()
          .setSequence(request.getSequence())
          .setDetection(Detection.getDefaultInstance())
          .build();
    }

    @Override
    public void detect(DetectRequest request, StreamObserver<DetectResponse> answers) {
      calls.incrementAndGet();
      answers.onNext(answer(request));
      answers.onCompleted();
    }

    @Override
    public StreamObserver<DetectRequest> detectStream(StreamObserver<DetectResponse> answers) {
      streams.incrementAndGet();
      return new StreamObserver<>() {
        @Override
        public void onNext(DetectRequest request) {
          answers.onNext(answer(request));
        }

        @Override
        public void onError(Throwable reason) {}

        @Override
        public void onCompleted() {
          answers.onCompleted();
        }
      };
    }
  }

  /** Resolves {@code fleet:///…} to the servers. */
  private final class Names extends NameResolverProvider {
    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 5;
    }

    @Override
    public String getDefaultScheme() {
      return "fleet";
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args args) {
      if (!"fleet".equals(target.getScheme())) {
        return null;
      }
      return new NameResolver() {
        @Override
        public String getServiceAuthority() {
          return "uflow";
        }

        @Override
        public void start(Listener2 listener) {
          List<EquivalentAddressGroup> addresses = new ArrayList<>();
          for (Server server : servers) {
            addresses.add(
                new EquivalentAddressGroup(new InetSocketAddress("127.0.0.1", server.getPort())));
          }
          listener.onResult(
              ResolutionResult.newBuilder()
                  .setAddressesOrError(StatusOr.fromValue(addresses))
                  .build());
        }

        @Override
        public void shutdown() {}
      };
    }
  }
}
