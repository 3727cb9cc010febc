package uflow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// LoadTLS makes a configuration for [Config.TLS] from PEM files. An empty caFile means the authorities of the system. certFile and
// keyFile are the certificate that this client shows to the server; both may be empty. The client's certificate is read again for
// each connection, so that it can be replaced while the program runs.
func LoadTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("uflow: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("uflow: %s has no PEM certificate that can be read", caFile)
		}
	}
	if certFile == "" && keyFile == "" {
		return config, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("uflow: client certificate %q with key %q: %w", certFile, keyFile, err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return config, nil
}

// handshakes notes why the last TLS handshake failed. gRPC passes that on as text only, with the code UNAVAILABLE, which does not tell
// a wrong certificate from a server that restarts.
type handshakes struct {
	credentials.TransportCredentials
	refused *atomic.Pointer[error]
}

func newHandshakes(config *tls.Config) handshakes {
	return handshakes{credentials.NewTLS(config), new(atomic.Pointer[error])}
}

func (h handshakes) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, conn)
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	if errors.As(err, &certificate) || errors.As(err, &notTLS) {
		h.refused.Store(&err)
	} else {
		h.refused.Store(nil)
	}
	return secured, info, err
}

func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.refused}
}

// bearer sends the token with each call.
type bearer struct {
	token string
	file  string
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token := b.token
	if b.file != "" {
		content, err := os.ReadFile(b.file)
		if err != nil {
			// A file that is being replaced may be missing for a moment. gRPC turns other errors into UNAUTHENTICATED, which ends a stream.
			return nil, status.Error(codes.Unavailable, "the token cannot be read: "+err.Error())
		}
		token = string(content)
	}
	token = strings.TrimSpace(token)
	if strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) || token == "" {
		return nil, status.Error(codes.Unavailable, "the token is empty or has characters that an HTTP header cannot carry")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity is false because the server takes tokens without TLS too, for example behind a proxy on the same machine.
func (b bearer) RequireTransportSecurity() bool { return false }
