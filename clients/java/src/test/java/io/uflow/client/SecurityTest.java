package io.uflow.client;

import static io.uflow.client.VerdictsTest.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.uflow.v1.DetectRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Tokens and certificates. */
@Timeout(90)
class SecurityTest {
  private static final String TOKEN = "the-token-of-line-three-0123456789abcdef";

  @TempDir private Path folder;

  @Test
  void callsAndStreamsNeedTheRightToken() throws Exception {
    Path tokens = folder.resolve("tokens");
    Files.writeString(tokens, TOKEN + " inference\n");
    try (TestServer server = TestServer.start("--tokens", tokens.toString())) {
      try (UFlowClient client = UFlowClient.builder(server.address()).token(TOKEN).build()) {
        assertWorks(client);
        assertFails(
            Status.Code.PERMISSION_DENIED,
            "not good for control",
            () -> client.loadModel("cloth", 0, Duration.ofSeconds(9)));
      }
      try (UFlowClient client = UFlowClient.builder(server.address()).build()) {
        assertFails(Status.Code.UNAUTHENTICATED, "a token is needed", client::listModels);
        assertStreamEnds(client, Status.Code.UNAUTHENTICATED, "a token is needed");
      }
      try (UFlowClient client = UFlowClient.builder(server.address()).token("wrong").build()) {
        assertFails(Status.Code.UNAUTHENTICATED, "not known", client::listModels);
        assertStreamEnds(client, Status.Code.UNAUTHENTICATED, "not known");
      }
    }
  }

  @Test
  void theServersAndTheClientsCertificatesAreChecked() throws Exception {
    authority("ca");
    authority("other");
    certificate("server", "ca", "subjectAltName=IP:127.0.0.1,DNS:localhost");
    certificate("client", "ca", "extendedKeyUsage=clientAuth");
    try (TestServer server =
        TestServer.start(
            "--tls-cert",
            file("server.pem"),
            "--tls-key",
            file("server.key"),
            "--tls-client-ca",
            file("ca.pem"))) {
      String address = "https://" + server.address();
      try (UFlowClient client = identified(address).tlsCa(folder.resolve("ca.pem")).build()) {
        assertWorks(client);
      }
      try (UFlowClient client = identified(address).tlsCa(folder.resolve("other.pem")).build()) {
        assertFails(Status.Code.UNAVAILABLE, "certif", client::listModels);
        assertStreamEnds(client, Status.Code.UNAVAILABLE, "certif");
      }
      try (UFlowClient client = identified(address).build()) {
        assertFails(Status.Code.UNAVAILABLE, "certif", client::listModels);
      }
      try (UFlowClient client =
          identified(address).tlsCa(folder.resolve("ca.pem")).authority("elsewhere").build()) {
        assertFails(Status.Code.UNAVAILABLE, "elsewhere", client::listModels);
      }
      try (UFlowClient client =
          UFlowClient.builder(address)
              .tlsCa(folder.resolve("ca.pem"))
              .deadline(Duration.ofSeconds(2))
              .build()) {
        assertThrows(UFlowException.class, client::listModels, "no client certificate");
      }
      try (UFlowClient client =
          UFlowClient.builder(server.address()).deadline(Duration.ofSeconds(2)).build()) {
        assertThrows(UFlowException.class, client::listModels, "plain text");
      }
    }
  }

  private UFlowClient.Builder identified(String address) throws Exception {
    return UFlowClient.builder(address)
        .tlsIdentity(folder.resolve("client.pem"), folder.resolve("client.key"));
  }

  private static void assertWorks(UFlowClient client) throws Exception {
    DetectRequest frame = StreamTest.frames().get(0);
    assertEquals(1, client.listModels().size());
    Recorder recorder = new Recorder();
    try (DetectStream stream = client.openStream(StreamOptions.defaults(), recorder)) {
      stream.send(frame);
      stream.finish();
    }
    assertEquals(client.detect(frame).getDetection(), recorder.results.get(0).detection());
  }

  /** At once, not after the outage limit; with the frame. */
  private static void assertStreamEnds(UFlowClient client, Status.Code code, String said)
      throws Exception {
    StreamOptions options = StreamOptions.defaults().withOutageLimit(Duration.ofDays(1));
    try (DetectStream stream = client.openStream(options, new Recorder())) {
      DetectRequest frame = StreamTest.frames().get(0);
      StreamException error;
      try {
        stream.send(frame);
        error = assertThrows(StreamException.class, stream::finish);
        assertEquals(List.of(new SentFrame(0, frame)), error.unanswered());
      } catch (StreamException early) {
        // The stream had ended before the frame was sent.
        error = early;
      }
      assertEquals(code, error.code());
      assertTrue(error.description().contains(said), error.toString());
    }
  }

  private String file(String name) {
    return folder.resolve(name).toString();
  }

  private void authority(String name) throws Exception {
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN="
            + name
            + " -keyout "
            + file(name + ".key")
            + " -out "
            + file(name + ".pem"));
  }

  private void certificate(String name, String authority, String extension) throws Exception {
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN="
            + name
            + " -keyout "
            + file(name + ".key")
            + " -out "
            + file(name + ".csr"));
    Files.writeString(folder.resolve("extension"), extension + "\n");
    openssl(
        "x509 -req -days 2 -CAcreateserial -in "
            + file(name + ".csr")
            + " -CA "
            + file(authority + ".pem")
            + " -CAkey "
            + file(authority + ".key")
            + " -extfile "
            + file("extension")
            + " -out "
            + file(name + ".pem"));
  }

  private static void openssl(String words) throws Exception {
    TestModels.run(List.of(("openssl " + words).split(" ")), Map.of());
  }
}
