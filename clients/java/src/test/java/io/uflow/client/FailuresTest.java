package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import java.nio.channels.ClosedChannelException;
import java.security.cert.CertificateException;
import javax.net.ssl.SSLHandshakeException;
import org.junit.jupiter.api.Test;

class FailuresTest {
  @Test
  void aLostConnectionIsUnavailableWhateverTheTransportCallsIt() {
    Status closed =
        Status.UNKNOWN.withDescription("channel closed").withCause(new ClosedChannelException());
    assertEquals(Status.Code.UNAVAILABLE, Failures.of(closed).getCode());
    assertTrue(Failures.mayRetry(Failures.of(closed)));
    Status servers = Status.UNKNOWN.withDescription("channel closed");
    assertEquals(servers, Failures.of(servers));
    assertFalse(Failures.mayRetry(servers));
  }

  @Test
  void aCertificateThatIsNotTrustedIsNoOutage() {
    Exception handshake = new SSLHandshakeException("problem");
    handshake.initCause(new CertificateException());
    Status untrusted = Status.UNAVAILABLE.withCause(handshake);
    assertTrue(Failures.endsStream(untrusted));
    assertFalse(Failures.mayRetry(untrusted));
    assertFalse(Failures.endsStream(Status.UNAVAILABLE));
  }
}
