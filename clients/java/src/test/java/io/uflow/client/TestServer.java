package io.uflow.client;

import java.io.File;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The real server, on ports that stay the same when it is started again. */
final class TestServer implements AutoCloseable {
  private final List<String> options;
  private final int grpc = freePort();
  private final int http = freePort();
  private final Path log = Files.createTempFile("uflow-server", ".log");
  private final Thread atExit = new Thread(this::kill);
  private Process process;

  private TestServer(List<String> options) throws IOException {
    this.options = options;
  }

  /** Starts a server and waits until its model takes frames. */
  static TestServer start(String... options) throws IOException, InterruptedException {
    TestServer server = new TestServer(List.of(options));
    server.launch();
    Runtime.getRuntime().addShutdownHook(server.atExit);
    try {
      server.awaitReady();
    } catch (Throwable e) {
      server.close();
      throw e;
    }
    return server;
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0)) {
      return socket.getLocalPort();
    }
  }

  String address() {
    return "127.0.0.1:" + grpc;
  }

  /** Starts the program, again after {@link #kill} or {@link #terminate}. */
  void launch() throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(TestModels.UFLOW.toString(), "serve"));
    command.addAll(List.of("--models", TestModels.model().toString(), "--name", "cloth"));
    command.addAll(List.of("--grpc", address(), "--http", "127.0.0.1:" + http));
    command.addAll(List.of("--threads", "1", "--workers", "1", "--http-tls", "false"));
    // The last bits of a result depend on the frames that share its batch.
    command.addAll(List.of("--max-batch", "1"));
    command.addAll(options);
    process =
        new ProcessBuilder(command)
            .redirectInput(new File("/dev/null"))
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
            .redirectErrorStream(true)
            .start();
  }

  void awaitReady() throws InterruptedException {
    Waiting.until(() -> "the server is ready; its log is " + readLog(), this::isReady);
  }

  private boolean isReady() {
    if (!process.isAlive()) {
      throw new IllegalStateException("the server ended: " + readLog());
    }
    try {
      URI ready = URI.create("http://127.0.0.1:" + http + "/readyz");
      HttpURLConnection connection = (HttpURLConnection) ready.toURL().openConnection();
      connection.setConnectTimeout(1000);
      connection.setReadTimeout(1000);
      int status = connection.getResponseCode();
      connection.disconnect();
      return status == 200;
    } catch (IOException e) {
      return false;
    }
  }

  private String readLog() {
    try {
      return Files.readString(log);
    } catch (IOException e) {
      return e.toString();
    }
  }

  /** SIGKILL. */
  void kill() {
    process.destroyForcibly();
    process.onExit().join();
  }

  /** SIGTERM, and waits for the end. */
  void terminate() throws InterruptedException {
    process.destroy();
    if (!process.waitFor(Waiting.LONG.toSeconds(), TimeUnit.SECONDS)) {
      throw new IllegalStateException("the server did not end on SIGTERM");
    }
  }

  /** Sends a signal, for example STOP or CONT. */
  void signal(String name) throws IOException, InterruptedException {
    String pid = Long.toString(process.pid());
    TestModels.run(List.of("kill", "-" + name, pid), java.util.Map.of());
  }

  @Override
  public void close() {
    kill();
    Runtime.getRuntime().removeShutdownHook(atExit);
    try {
      Files.deleteIfExists(log);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }
}
