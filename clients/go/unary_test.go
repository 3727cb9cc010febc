package uflow_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	uflow "github.com/uflow-rs/uflow/clients/go"
	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// failure checks the code of an error and that its message has a text.
func failure(t *testing.T, err error, code codes.Code, text string) *uflow.Error {
	t.Helper()
	var failed *uflow.Error
	if !errors.As(err, &failed) || failed.Code != code || !strings.Contains(failed.Message, text) {
		t.Fatalf("got %v, want %v with %q", err, code, text)
	}
	if status.Code(err) != code {
		t.Fatalf("status.Code gives %v for %v", status.Code(err), err)
	}
	return failed
}

func TestVerdictsAreThoseOfTheCommand(t *testing.T) {
	clean(t)
	pictures := large(t)
	client := serve(t, "--max-batch", "1").client(uflow.Config{})
	stream, err := client.OpenStream(t.Context(), uflow.StreamConfig{})
	must(t, err)
	go func() {
		for _, picture := range pictures {
			_, _ = stream.Send(t.Context(), uflow.Encoded("cloth", picture.bytes))
		}
		stream.CloseSend()
	}()
	anomalous := 0
	for _, picture := range pictures {
		answer, err := client.Detect(t.Context(), uflow.Encoded("cloth", picture.bytes))
		must(t, err)
		result, err := stream.Recv(t.Context())
		must(t, err)
		streamed, err := result.Detection()
		must(t, err)
		for _, found := range []*uflowpb.Detection{answer.GetDetection(), streamed} {
			if got := verdictOf(found); got != picture.want {
				t.Errorf("%s: got %+v, the command says %+v", picture.path, got, picture.want)
			}
		}
		if picture.want.Anomalous {
			anomalous++
		}
	}
	if anomalous == 0 || anomalous == len(pictures) {
		t.Errorf("%d of %d pictures are anomalous; the comparison needs both", anomalous, len(pictures))
	}
}

func TestEveryOptionReachesTheServer(t *testing.T) {
	clean(t)
	client := serve(t, "--max-batch", "1").client(uflow.Config{})
	var defect picture
	for _, picture := range large(t) {
		if picture.want.Regions == 1 && picture.want.PValue > 1e-8 && picture.want.Anomalous {
			defect = picture
		}
	}
	decoded, err := png.Decode(bytes.NewReader(defect.bytes))
	must(t, err)
	size := decoded.Bounds().Size()
	pixels := make([]byte, 0, 3*size.X*size.Y)
	for y := range size.Y {
		for x := range size.X {
			c := color.NRGBAModel.Convert(decoded.At(x, y)).(color.NRGBA)
			pixels = append(pixels, c.R, c.G, c.B)
		}
	}
	request := uflow.Raw("cloth", &uflowpb.RawImage{
		Pixels: pixels, Width: uint32(size.X), Height: uint32(size.Y), Format: uflowpb.PixelFormat_PIXEL_FORMAT_RGB8,
	})
	request.Sequence = 77
	request.Version = 1
	request.Priority = uflowpb.Priority_PRIORITY_HIGH
	request.Outputs = &uflowpb.Outputs{
		Mask: uflowpb.MaskFormat_MASK_FORMAT_RAW, ScoreMap: uflowpb.MapFormat_MAP_FORMAT_F32,
		Log10NfaMap: uflowpb.MapFormat_MAP_FORMAT_PNG, Latents: true,
	}
	answer, err := client.Detect(t.Context(), request)
	must(t, err)
	found := answer.GetDetection()
	if got := verdictOf(found); got != defect.want {
		t.Errorf("raw pixels: got %+v, want %+v", got, defect.want)
	}
	if answer.GetSequence() != 77 || answer.GetModel() != "cloth" || answer.GetVersion() != 1 {
		t.Errorf("the answer is for %d, %s %d", answer.GetSequence(), answer.GetModel(), answer.GetVersion())
	}
	if len(found.GetMask().GetData()) != size.X*size.Y || len(found.GetLatents()) == 0 ||
		len(found.GetScoreMap().GetData()) != 96*96*4 || len(found.GetLog10NfaMap().GetData()) == 0 {
		t.Errorf("outputs are missing in %v", found.GetScore())
	}

	// Everything counts but the defect.
	outline := image.NewGray(image.Rect(0, 0, size.X, size.Y))
	box := found.GetRegions()[0].GetBox()
	for i := range outline.Pix {
		x, y := uint32(i%outline.Stride), uint32(i/outline.Stride)
		if x < box.GetX() || y < box.GetY() || x >= box.GetX()+box.GetWidth() || y >= box.GetY()+box.GetHeight() {
			outline.Pix[i] = 255
		}
	}
	var outside bytes.Buffer
	must(t, png.Encode(&outside, outline))
	elsewhere := uflow.Encoded("cloth", defect.bytes)
	elsewhere.Options = &uflowpb.DetectOptions{Roi: outside.Bytes()}
	answer, err = client.Detect(t.Context(), elsewhere)
	must(t, err)
	if score := answer.GetDetection().GetScore(); score >= found.GetScore() {
		t.Errorf("roi: without the defect the score is %v, with it %v", score, found.GetScore())
	}
	for name, options := range map[string]*uflowpb.DetectOptions{
		"epsilon":     {Epsilon: proto.Float64(1e-300), Verdict: uflowpb.Verdict_VERDICT_NFA},
		"reject rate": {RejectRate: proto.Float64(1e-9)},
		"score":       {Verdict: uflowpb.Verdict_VERDICT_SCORE, ScoreThreshold: proto.Float32(1)},
		"area":        {MinArea: proto.Uint32(1 << 30)},
	} {
		request := uflow.Encoded("cloth", defect.bytes)
		request.Options = options
		answer, err := client.Detect(t.Context(), request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if answer.GetDetection().GetAnomalous() {
			t.Errorf("%s: the frame is anomalous with %v", name, options)
		}
	}
}

func TestModels(t *testing.T) {
	clean(t)
	client := serve(t).client(uflow.Config{})
	listed, err := client.ListModels(t.Context())
	must(t, err)
	if len(listed) != 1 || listed[0].GetName() != "cloth" || listed[0].GetState() != uflowpb.ModelState_MODEL_STATE_READY {
		t.Errorf("listed: %v", listed)
	}
	described, err := client.GetModel(t.Context(), "cloth", 0)
	must(t, err)
	if description := described.GetDescription(); description.GetInputWidth() != 96 || len(description.GetDecision()) == 0 {
		t.Errorf("described: %v", described)
	}
	_, err = client.GetModel(t.Context(), "silk", 0)
	failure(t, err, codes.NotFound, "there is no model `silk`")
	_, err = client.LoadModel(t.Context(), "cloth", 0)
	failure(t, err, codes.PermissionDenied, "--model-control explicit")
}

func TestFramesThatCannotBeUsed(t *testing.T) {
	clean(t)
	client := serve(t, "--max-message-mib", "1").client(uflow.Config{Token: "the-server-needs-none"})
	good := large(t)[0].bytes
	_, err := client.Detect(t.Context(), uflow.Encoded("cloth", good[:len(good)/2]))
	failure(t, err, codes.InvalidArgument, "")
	_, err = client.Detect(t.Context(), uflow.Encoded("silk", good))
	failure(t, err, codes.NotFound, "there is no model `silk`")
	_, err = client.Detect(t.Context(), uflow.Encoded("cloth", make([]byte, 2<<20)))
	failure(t, err, codes.OutOfRange, "too large")
	_, err = client.Detect(t.Context(), uflow.Encoded("\xff", good))
	failure(t, err, codes.InvalidArgument, "UTF-8")
	_, err = client.Detect(t.Context(), nil)
	failure(t, err, codes.InvalidArgument, "nil")
	_, err = client.Detect(t.Context(), uflow.Encoded("cloth", good))
	must(t, err)
}

func TestDeadlines(t *testing.T) {
	clean(t)
	server := serve(t)
	request := uflow.Encoded("cloth", large(t)[0].bytes)
	client := server.client(uflow.Config{Timeout: 200 * time.Millisecond})
	patient := server.client(uflow.Config{})

	request.TimeLimit = durationpb.New(time.Nanosecond)
	_, err := patient.Detect(t.Context(), request)
	failure(t, err, codes.DeadlineExceeded, "")
	request.TimeLimit = nil

	server.signal(syscall.SIGSTOP)
	_, err = client.Detect(t.Context(), request)
	if failure(t, err, codes.DeadlineExceeded, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is no context.DeadlineExceeded", err)
	}
	// The context's deadline goes before the default, also where it is longer.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := client.Detect(ctx, request)
		answered <- err
	}()
	time.Sleep(300 * time.Millisecond)
	server.signal(syscall.SIGCONT)
	must(t, <-answered)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Detect(cancelled, request)
	if failure(t, err, codes.Canceled, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v is no context.Canceled", err)
	}
}

func TestACallSurvivesARestart(t *testing.T) {
	clean(t)
	server := serve(t)
	request := uflow.Encoded("cloth", large(t)[0].bytes)
	client := server.client(uflow.Config{Timeout: patience, Backoff: uflow.Backoff{Max: 200 * time.Millisecond}})
	once := server.client(uflow.Config{MaxAttempts: 1})
	_, err := client.Detect(t.Context(), request)
	must(t, err)

	// The server has the frame and dies with it.
	server.signal(syscall.SIGSTOP)
	answered := make(chan error, 1)
	go func() {
		_, err := client.Detect(t.Context(), request)
		answered <- err
	}()
	time.Sleep(100 * time.Millisecond)
	server.kill()
	_, err = once.Detect(t.Context(), request)
	failure(t, err, codes.Unavailable, "connection refused")
	server.start()
	must(t, <-answered)
	server.loaded()
}

func TestAConfigurationIsChecked(t *testing.T) {
	clean(t)
	for name, config := range map[string]uflow.Config{
		"no address":      {},
		"two tokens":      {Address: "127.0.0.1:1", Token: "a", TokenFile: "b"},
		"wrong token":     {Address: "127.0.0.1:1", Token: "a\nb"},
		"no such file":    {Address: "127.0.0.1:1", TokenFile: "/nonexistent/token"},
		"negative limits": {Address: "127.0.0.1:1", ConnectTimeout: -1},
	} {
		if client, err := uflow.Open(config); err == nil {
			t.Errorf("%s: accepted", name)
			must(t, client.Close())
		}
	}
}
