package uflow_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	uflow "github.com/uflow-rs/uflow/clients/go"
)

const (
	goodToken    = "0123456789abcdef"
	metricsToken = "fedcba9876543210"
)

func TestTokens(t *testing.T) {
	clean(t)
	file := filepath.Join(t.TempDir(), "tokens")
	must(t, os.WriteFile(file, []byte(goodToken+" inference\n"+metricsToken+" metrics\n"), 0o600))
	server := serve(t, "--tokens", file)
	request := uflow.Encoded("cloth", small(t)[0].bytes)
	mine := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(mine, []byte(goodToken+"\n"), 0o600))
	for name, test := range map[string]struct {
		config uflow.Config
		code   codes.Code
		text   string
	}{
		"right":       {uflow.Config{Token: goodToken}, codes.OK, ""},
		"file":        {uflow.Config{TokenFile: mine}, codes.OK, ""},
		"missing":     {uflow.Config{}, codes.Unauthenticated, "a token is needed"},
		"wrong":       {uflow.Config{Token: "0123456789abcdee"}, codes.Unauthenticated, "the token is not known"},
		"wrong scope": {uflow.Config{Token: metricsToken}, codes.PermissionDenied, "not good for inference"},
	} {
		t.Run(name, func(t *testing.T) {
			client := server.client(test.config)
			_, unary := client.Detect(t.Context(), request)
			stream, err := client.OpenStream(t.Context(), uflow.StreamConfig{})
			must(t, err)
			_, _ = stream.Send(t.Context(), request)
			stream.CloseSend()
			result, streamed := stream.Recv(t.Context())
			if test.code == codes.OK {
				must(t, unary)
				must(t, streamed)
				_, err := result.Detection()
				must(t, err)
				return
			}
			failure(t, unary, test.code, test.text)
			failure(t, streamed, test.code, test.text)
			var ended *uflow.StreamError
			if !errors.As(streamed, &ended) || len(ended.Unanswered) != 1 || ended.Unanswered[0].Request != request {
				t.Errorf("the frame is not given back: %v", streamed)
			}
		})
	}
}

func TestATokenFileIsReadForEachCall(t *testing.T) {
	clean(t)
	file := filepath.Join(t.TempDir(), "tokens")
	must(t, os.WriteFile(file, []byte(goodToken+" inference\n"), 0o600))
	server := serve(t, "--tokens", file)
	mine := filepath.Join(t.TempDir(), "token")
	write := func(token string) { must(t, os.WriteFile(mine, []byte(token+"\n"), 0o600)) }
	write(metricsToken)
	client := server.client(uflow.Config{TokenFile: mine, MaxAttempts: 1})
	_, err := client.ListModels(t.Context())
	failure(t, err, codes.Unauthenticated, "not known")
	must(t, os.Remove(mine))
	_, err = client.ListModels(t.Context())
	failure(t, err, codes.Unavailable, "the token cannot be read")

	// A stream waits for the file.
	pictures, seen := small(t), &observer{}
	stream := stream(t, client, seen.config(uflow.StreamConfig{}))
	accepted := pump(t, stream, pictures[:1], 3)
	eventually(t, "tried", func() bool { return seen.losses() > 0 })
	write(goodToken)
	for range 3 {
		result, err := receive(t, stream)
		must(t, err)
		must(t, onlyError(result.Detection()))
	}
	expectEnd(t, stream)
	if accepted() != 3 {
		t.Errorf("%d accepted", accepted())
	}
}

// authority is a certificate authority made with openssl.
type authority struct {
	t      *testing.T
	folder string
}

func newAuthority(t *testing.T) authority {
	a := authority{t, t.TempDir()}
	a.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test authority",
		"-keyout", "ca.key", "-out", "ca.pem")
	return a
}

func (a authority) openssl(arguments ...string) {
	a.t.Helper()
	command := exec.Command("openssl", arguments...)
	command.Dir = a.folder
	if output, err := command.CombinedOutput(); err != nil {
		a.t.Fatalf("%v: %v\n%s", command.Args, err, output)
	}
}

func (a authority) file(name string) string { return filepath.Join(a.folder, name) }

// sign makes NAME.pem and NAME.key.
func (a authority) sign(name string) {
	a.t.Helper()
	must(a.t, os.WriteFile(a.file("names"), []byte("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"), 0o600))
	a.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN="+name,
		"-keyout", name+".key", "-out", name+".csr")
	a.openssl("x509", "-req", "-in", name+".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
		"-extfile", "names", "-out", name+".pem")
}

func TestTLS(t *testing.T) {
	clean(t)
	ours, others := newAuthority(t), newAuthority(t)
	ours.sign("server")
	ours.sign("client")
	others.sign("client")
	server := serve(t, "--tls-cert", ours.file("server.pem"), "--tls-key", ours.file("server.key"), "--tls-client-ca", ours.file("ca.pem"))
	request := uflow.Encoded("cloth", small(t)[0].bytes)
	load := func(ca authority, certificate, key string) *tls.Config {
		config, err := uflow.LoadTLS(ca.file("ca.pem"), certificate, key)
		must(t, err)
		return config
	}

	right := server.client(uflow.Config{TLS: load(ours, ours.file("client.pem"), ours.file("client.key")), Token: goodToken})
	_, err := right.Detect(t.Context(), request)
	must(t, err)
	stream, err := right.OpenStream(t.Context(), uflow.StreamConfig{})
	must(t, err)
	_, err = stream.Send(t.Context(), request)
	must(t, err)
	result, err := stream.Recv(t.Context())
	must(t, err)
	must(t, onlyError(result.Detection()))

	// The certificate of the server is wrong: no try repairs that, so both fail long before their limits.
	wrong := server.client(uflow.Config{TLS: load(others, ours.file("client.pem"), ours.file("client.key")), Timeout: patience})
	var unknown x509.UnknownAuthorityError
	began := time.Now()
	_, err = wrong.Detect(t.Context(), request)
	if failure(t, err, codes.Unavailable, "certificate"); !errors.As(err, &unknown) {
		t.Errorf("%v does not hold the failure of x509", err)
	}
	stream, err = wrong.OpenStream(t.Context(), uflow.StreamConfig{MaxOutage: patience})
	must(t, err)
	_, err = stream.Recv(t.Context())
	if failure(t, err, codes.Unavailable, "certificate"); !errors.As(err, &unknown) {
		t.Errorf("%v does not hold the failure of x509", err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("a wrong certificate was tried for %v", took)
	}

	for name, config := range map[string]*tls.Config{
		"no client certificate":    load(ours, "", ""),
		"wrong client certificate": load(ours, others.file("client.pem"), others.file("client.key")),
		"plaintext":                nil,
	} {
		refused := server.client(uflow.Config{TLS: config, MaxAttempts: 1})
		if _, err := refused.Detect(t.Context(), request); err == nil {
			t.Errorf("%s: the server answered", name)
		} else {
			failure(t, err, codes.Unavailable, "")
		}
	}
	if _, err := uflow.LoadTLS(ours.file("server.key"), "", ""); err == nil {
		t.Error("a key is no authority")
	}
	if _, err := uflow.LoadTLS("", ours.file("client.pem"), others.file("client.key")); err == nil {
		t.Error("a key of another certificate was accepted")
	}
}

func onlyError[T any](_ T, err error) error { return err }
