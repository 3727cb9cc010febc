package io.uflow.client;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.DetectResponse;
import io.uflow.v1.DetectionServiceGrpc;
import io.uflow.v1.GetModelRequest;
import io.uflow.v1.ListModelsRequest;
import io.uflow.v1.LoadModelRequest;
import io.uflow.v1.Model;
import io.uflow.v1.ModelServiceGrpc;
import io.uflow.v1.UnloadModelRequest;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * A client of one U-Flow server. Thread-safe. Does not connect before the first call.
 *
 * <pre>{@code
 * try (UFlowClient client = UFlowClient.builder("127.0.0.1:8001").build()) {
 *   DetectRequest frame = Frames.encoded("bracket", Path.of("frame.png")).build();
 *   System.out.println(client.detect(frame).getDetection().getAnomalous());
 * }
 * }</pre>
 *
 * <p>Calls that do not change the server (all but loading and unloading models) are made again
 * within their deadline if the server cannot be reached, is full, or is loading the model.
 */
public final class UFlowClient implements AutoCloseable {
  private static final Duration GOODBYE = Duration.ofSeconds(2);

  private final Endpoint endpoint;
  private final Duration deadline;
  private final ManagedChannel channel;
  private final Set<DetectStream> streams = ConcurrentHashMap.newKeySet();

  private UFlowClient(Endpoint endpoint, Duration deadline) {
    this.endpoint = endpoint;
    this.deadline = deadline;
    this.channel = endpoint.open(null);
  }

  /**
   * A client to be configured.
   *
   * @param address {@code host:port} or {@code http://host:port} without TLS, {@code
   *     https://host:port} with TLS, or another target that gRPC knows, such as {@code
   *     dns:///host:port}
   * @return a builder
   */
  public static Builder builder(String address) {
    return new Builder(address);
  }

  /**
   * Finds defects in one frame.
   *
   * @param frame the frame and its options; {@link Frames} makes them
   * @return the answer; its outcome is a detection
   * @throws UFlowException if the call fails
   */
  public DetectResponse detect(DetectRequest frame) {
    return detect(frame, deadline);
  }

  /**
   * Finds defects in one frame.
   *
   * @param frame the frame and its options
   * @param deadline time for the call with all its retries
   * @return the answer; its outcome is a detection
   * @throws UFlowException if the call fails
   */
  public DetectResponse detect(DetectRequest frame, Duration deadline) {
    return await(detectAsync(frame, deadline));
  }

  /**
   * Finds defects in one frame without blocking.
   *
   * @param frame the frame and its options
   * @param deadline time for the call with all its retries
   * @return the answer, or a {@link UFlowException}. Cancelling the future cancels the call
   */
  public CompletableFuture<DetectResponse> detectAsync(DetectRequest frame, Duration deadline) {
    return call(DetectionServiceGrpc.getDetectMethod(), frame, deadline, true);
  }

  /**
   * Every version of every model of the server.
   *
   * @return the models, ordered by name and version
   * @throws UFlowException if the call fails
   */
  public List<Model> listModels() {
    ListModelsRequest request = ListModelsRequest.getDefaultInstance();
    return await(call(ModelServiceGrpc.getListModelsMethod(), request, deadline, true))
        .getModelsList();
  }

  /**
   * Describes the current version of a model.
   *
   * @param name name of the model
   * @return the model
   * @throws UFlowException NOT_FOUND if there is no such model
   */
  public Model model(String name) {
    return model(name, 0);
  }

  /**
   * Describes a version of a model.
   *
   * @param name name of the model
   * @param version the version; 0 is the current one
   * @return the model
   * @throws UFlowException NOT_FOUND if there is no such model
   */
  public Model model(String name, int version) {
    GetModelRequest request =
        GetModelRequest.newBuilder().setModel(name).setVersion(version).build();
    return await(call(ModelServiceGrpc.getGetModelMethod(), request, deadline, true)).getModel();
  }

  /**
   * Loads a model and waits until it is ready. Not retried.
   *
   * @param name name of the model
   * @param version the version; 0 is the highest in the server's repository
   * @param deadline time for the call; loading may take minutes
   * @return the model
   * @throws UFlowException PERMISSION_DENIED if the server does not allow model control
   */
  public Model loadModel(String name, int version, Duration deadline) {
    LoadModelRequest request =
        LoadModelRequest.newBuilder().setModel(name).setVersion(version).build();
    return await(call(ModelServiceGrpc.getLoadModelMethod(), request, deadline, false)).getModel();
  }

  /**
   * Unloads a model. Not retried.
   *
   * @param name name of the model
   * @param version the version; 0 is all loaded versions
   * @throws UFlowException PERMISSION_DENIED if the server does not allow model control
   */
  public void unloadModel(String name, int version) {
    UnloadModelRequest request =
        UnloadModelRequest.newBuilder().setModel(name).setVersion(version).build();
    await(call(ModelServiceGrpc.getUnloadModelMethod(), request, deadline, false));
  }

  /**
   * Opens a stream with its own connection and thread. Returns at once; the stream connects in the
   * background.
   *
   * @param options window, deadlines and limits
   * @param listener receives the results
   * @return the stream; close it
   */
  public DetectStream openStream(StreamOptions options, StreamListener listener) {
    Objects.requireNonNull(options, "options");
    Objects.requireNonNull(listener, "listener");
    DetectStream stream = new DetectStream(endpoint, options, listener, streams::remove);
    streams.add(stream);
    stream.start();
    if (channel.isShutdown()) {
      stream.close();
      throw new IllegalStateException("the client is closed");
    }
    return stream;
  }

  /** Cancels all calls and streams and closes the connections. */
  @Override
  public void close() {
    channel.shutdownNow();
    streams.forEach(DetectStream::close);
    try {
      channel.awaitTermination(GOODBYE.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private <Q, A> CompletableFuture<A> call(
      MethodDescriptor<Q, A> method, Q request, Duration deadline, boolean retries) {
    StreamOptions.positive(deadline, "deadline");
    return RetryingCall.start(channel, method, request, deadline, retries);
  }

  private static <A> A await(CompletableFuture<A> future) {
    try {
      return future.get();
    } catch (InterruptedException e) {
      future.cancel(true);
      Thread.currentThread().interrupt();
      throw new UFlowException(Status.Code.CANCELLED, "the thread was interrupted", e);
    } catch (ExecutionException e) {
      // A new exception: the stack trace shows the caller, the cause shows where gRPC failed.
      UFlowException cause = (UFlowException) e.getCause();
      throw new UFlowException(cause.code(), cause.description(), cause);
    }
  }

  /** Settings of a client. */
  public static final class Builder {
    private final String target;
    private boolean tls;
    private final TlsChannelCredentials.Builder tlsCredentials = TlsChannelCredentials.newBuilder();
    private String authority;
    private Supplier<String> token;
    private Duration deadline = Duration.ofSeconds(30);
    private Duration keepAlive = Duration.ofSeconds(30);
    private Duration keepAliveTimeout = Duration.ofSeconds(10);
    private String userAgent = "uflow-client-java";
    private boolean roundRobin;

    private Builder(String address) {
      Objects.requireNonNull(address, "address");
      tls = address.startsWith("https://");
      String rest = address.replaceFirst("^https?://", "");
      target = rest.equals(address) ? address : rest.replaceFirst("/$", "");
    }

    /**
     * Turns TLS on. The system's authorities are trusted unless {@link #tlsCa} names others.
     *
     * @return this builder
     */
    public Builder tls() {
      tls = true;
      return this;
    }

    /**
     * Turns TLS on and trusts only these authorities.
     *
     * @param pem PEM file of the authorities
     * @return this builder
     * @throws IOException if the file cannot be read
     */
    public Builder tlsCa(Path pem) throws IOException {
      tlsCredentials.trustManager(pem.toFile());
      return tls();
    }

    /**
     * Turns TLS on and shows this certificate to the server.
     *
     * @param certificate PEM file of the client's certificate chain
     * @param key PEM file of its private key (PKCS #8)
     * @return this builder
     * @throws IOException if a file cannot be read
     */
    public Builder tlsIdentity(Path certificate, Path key) throws IOException {
      tlsCredentials.keyManager(certificate.toFile(), key.toFile());
      return tls();
    }

    /**
     * The name that the server's certificate must have, where it is not the host of the address.
     *
     * @param name host name, with a port if need be
     * @return this builder
     */
    public Builder authority(String name) {
      authority = name;
      return this;
    }

    /**
     * A bearer token. Without TLS everyone on the network can read it.
     *
     * @param bearer the token
     * @return this builder
     */
    public Builder token(String bearer) {
      Objects.requireNonNull(bearer, "bearer");
      return token(() -> bearer);
    }

    /**
     * A bearer token that changes, for example one that is read from a file.
     *
     * @param bearer asked before each call and each connection of a stream; must not block for
     *     long. An exception fails the call or ends the stream
     * @return this builder
     */
    public Builder token(Supplier<String> bearer) {
      token = bearer;
      return this;
    }

    /**
     * The deadline of calls that name none, 30 s by default. Streams have no deadline.
     *
     * @param perCall time for a call with all its retries
     * @return this builder
     */
    public Builder deadline(Duration perCall) {
      StreamOptions.positive(perCall, "deadline");
      deadline = perCall;
      return this;
    }

    /**
     * HTTP/2 pings, which find connections whose other end is gone. By default 30 s and 10 s. Pings
     * are sent only during calls. The server answers pings at any rate, but a proxy may close
     * connections that ping too often. gRPC pings at most every 10 s.
     *
     * @param silence a ping is sent after this time without data from the server
     * @param timeout the connection is lost if the ping is not answered within this time
     * @return this builder
     */
    public Builder keepAlive(Duration silence, Duration timeout) {
      StreamOptions.positive(silence, "silence");
      StreamOptions.positive(timeout, "timeout");
      keepAlive = silence;
      keepAliveTimeout = timeout;
      return this;
    }

    /**
     * The application's name in the header {@code user-agent}, before gRPC's.
     *
     * @param name name and version of the application
     * @return this builder
     */
    public Builder userAgent(String name) {
      userAgent = Objects.requireNonNull(name, "name");
      return this;
    }

    /**
     * Shares the work among all servers that the address resolves to, for example {@code
     * dns:///uflow-headless.line3:8001} (a headless service of Kubernetes). Calls go to the servers
     * in turn; each connection of a stream goes to a random one. Servers that cannot be reached are
     * left out. Without this, all calls go to one server, and so do the streams.
     *
     * @return this builder
     */
    public Builder roundRobin() {
      roundRobin = true;
      return this;
    }

    /**
     * Makes the client.
     *
     * @return the client; close it
     */
    public UFlowClient build() {
      ChannelCredentials credentials =
          tls ? tlsCredentials.build() : InsecureChannelCredentials.create();
      return new UFlowClient(
          new Endpoint(
              target,
              credentials,
              authority,
              token,
              userAgent,
              keepAlive,
              keepAliveTimeout,
              roundRobin),
          deadline);
    }
  }
}
