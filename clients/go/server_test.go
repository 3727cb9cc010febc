package uflow_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	uflow "github.com/uflow-rs/uflow/clients/go"
	"github.com/uflow-rs/uflow/clients/go/uflowpb"
)

// patience bounds every wait of the tests. Nothing waits that long unless something is broken.
const patience = 30 * time.Second

var repository = sync.OnceValue(func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
})

func command(arguments ...string) *exec.Cmd {
	program := os.Getenv("UFLOW")
	if program == "" {
		program = filepath.Join(repository(), "target", "debug", "uflow")
	}
	made := exec.Command(program, arguments...)
	made.SysProcAttr = dieWithTests()
	made.Env = os.Environ()
	library := filepath.Join(repository(), ".onnxruntime", "lib")
	if _, err := os.Stat(library); err == nil && os.Getenv("UFLOW_ONNXRUNTIME") == "" {
		made.Env = append(made.Env, "UFLOW_ONNXRUNTIME="+library)
	}
	return made
}

// start starts a process from a thread that lives as long as the tests. Linux ends a child with the thread that made it (Pdeathsig).
func start(process *exec.Cmd) error {
	done := make(chan error)
	starter() <- func() { done <- process.Start() }
	return <-done
}

var starter = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

func output(t *testing.T, arguments ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	process := command(arguments...)
	process.Stdout, process.Stderr = &stdout, &stderr
	err := start(process)
	if err == nil {
		err = process.Wait()
	}
	if err != nil {
		t.Fatalf("%v: %v (set UFLOW to the uflow program)\n%s", process.Args, err, stderr.Bytes())
	}
	return stdout.Bytes()
}

// models returns the folder with the model cloth/1 and its pictures, which the first call makes.
func models(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("UFLOW_TEST_MODELS")
	if folder == "" {
		folder = filepath.Join(repository(), "clients", "go", "build", "models")
	}
	must(t, os.MkdirAll(folder, 0o777))
	pictures := filepath.Join(folder, "D")
	if _, err := os.Stat(pictures); err != nil {
		made := filepath.Join(folder, fmt.Sprintf("D.%d", os.Getpid()))
		output(t, "demo", "--data-only", "--out", made, "--products", "woven-cloth", "--train", "60")
		must(t, os.Rename(made, pictures))
	}
	if _, err := os.Stat(filepath.Join(folder, "cloth", "1", "uflow.json")); err != nil {
		output(t, "fit", "--good", filepath.Join(pictures, "data", "woven_cloth", "train", "good"),
			"--out", filepath.Join(folder, "cloth", "1"), "--name", "cloth", "--epochs", "3", "--input-size", "96", "--json",
			"--backbone", filepath.Join(repository(), "assets", "photonet.onnx"))
	}
	return folder
}

// picture is a file and what the command finds in it.
type picture struct {
	path  string
	bytes []byte
	want  verdict
}

type verdict struct {
	Score        float32
	ScoreMax     float32
	Log10NFAMin  float32
	Anomalous    bool
	PValue       float64
	Extrapolated bool
	Regions      int
	Area         uint32
}

func verdictOf(found *uflowpb.Detection) verdict {
	made := verdict{
		Score: found.GetScore(), ScoreMax: found.GetScoreMax(), Log10NFAMin: found.GetLog10NfaMin(), Anomalous: found.GetAnomalous(),
		PValue: found.GetPValue(), Extrapolated: found.GetPExtrapolated(), Regions: len(found.GetRegions()),
	}
	for _, region := range found.GetRegions() {
		made.Area += region.GetArea()
	}
	return made
}

// judge reads pictures and asks `uflow detect` for their verdicts.
func judge(t *testing.T, paths []string) []picture {
	t.Helper()
	arguments := append([]string{"detect", "--model", filepath.Join(models(t), "cloth", "1"), "--json"}, paths...)
	byPath := make(map[string]picture)
	for line := range bytes.Lines(output(t, arguments...)) {
		var found struct {
			Path         string      `json:"path"`
			Score        json.Number `json:"score"`
			ScoreMax     json.Number `json:"score_max"`
			Log10NFAMin  json.Number `json:"log10_nfa_min"`
			Anomalous    bool        `json:"anomalous"`
			PValue       float64     `json:"p_value"`
			Extrapolated bool        `json:"p_extrapolated"`
			Regions      []struct {
				Area uint32 `json:"area"`
			} `json:"regions"`
		}
		must(t, json.Unmarshal(line, &found))
		single := func(number json.Number) float32 {
			value, err := strconv.ParseFloat(number.String(), 32)
			must(t, err)
			return float32(value)
		}
		content, err := os.ReadFile(found.Path)
		must(t, err)
		want := verdict{
			Score: single(found.Score), ScoreMax: single(found.ScoreMax), Log10NFAMin: single(found.Log10NFAMin),
			Anomalous: found.Anomalous, PValue: found.PValue, Extrapolated: found.Extrapolated, Regions: len(found.Regions),
		}
		for _, region := range found.Regions {
			want.Area += region.Area
		}
		byPath[found.Path] = picture{found.Path, content, want}
	}
	judged := make([]picture, 0, len(paths))
	for _, path := range paths {
		if byPath[path].bytes == nil {
			t.Fatalf("the command gives no verdict on %s", path)
		}
		judged = append(judged, byPath[path])
	}
	return judged
}

var known struct{ large, small []picture }

// large returns the test pictures of the product.
func large(t *testing.T) []picture {
	t.Helper()
	if known.large == nil {
		paths, _ := filepath.Glob(filepath.Join(models(t), "D", "data", "woven_cloth", "test", "*", "*.png"))
		known.large = judge(t, paths)
	}
	return known.large
}

// small returns the centres of the same pictures. The server needs a few milliseconds for one.
func small(t *testing.T) []picture {
	t.Helper()
	if known.small == nil {
		folder := t.TempDir()
		var paths []string
		for i, picture := range large(t) {
			whole, err := png.Decode(bytes.NewReader(picture.bytes))
			must(t, err)
			part := image.NewRGBA(image.Rect(0, 0, 96, 96))
			draw.Draw(part, part.Rect, whole, image.Pt(80, 80), draw.Src)
			var file bytes.Buffer
			must(t, png.Encode(&file, part))
			paths = append(paths, filepath.Join(folder, fmt.Sprintf("%03d.png", i)))
			must(t, os.WriteFile(paths[i], file.Bytes(), 0o600))
		}
		known.small = judge(t, paths)
	}
	return known.small
}

// server is a `uflow serve` process.
type server struct {
	t         *testing.T
	arguments []string
	address   string
	process   *exec.Cmd
	exited    chan struct{}
	ready     chan struct{}
	mu        sync.Mutex
	log       strings.Builder
}

// serve starts a server and waits until its model takes frames. The test's end kills it.
func serve(t *testing.T, arguments ...string) *server {
	t.Helper()
	s := &server{t: t, arguments: arguments, address: "127.0.0.1:0"}
	t.Cleanup(func() {
		if s.process != nil {
			s.kill()
		}
		if t.Failed() {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Logf("the server's log:\n%s", s.log.String())
		}
	})
	s.start()
	return s.loaded()
}

var listening = regexp.MustCompile(`listening grpc=(\S+)`)

// start starts the server, after the first time on the same port again, and waits until it listens.
func (s *server) start() {
	s.t.Helper()
	arguments := append([]string{"serve", "--models", models(s.t), "--grpc", s.address, "--http", "127.0.0.1:0"}, s.arguments...)
	process := command(arguments...)
	stderr, err := process.StderrPipe()
	must(s.t, err)
	must(s.t, start(process))
	s.process, s.exited, s.ready = process, make(chan struct{}), make(chan struct{})
	exited, ready, address := s.exited, s.ready, make(chan string, 1)
	go func() {
		defer close(exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			line := lines.Text()
			s.mu.Lock()
			fmt.Fprintln(&s.log, line)
			s.mu.Unlock()
			if found := listening.FindStringSubmatch(line); found != nil {
				address <- found[1]
			}
			if strings.Contains(line, "model is ready") {
				close(ready)
			}
		}
		_ = process.Wait()
	}()
	select {
	case s.address = <-address:
	case <-exited:
		s.t.Fatalf("the server did not start (%v)", process.Args)
	case <-time.After(patience):
		s.t.Fatal("the server does not listen")
	}
}

func (s *server) loaded() *server {
	s.t.Helper()
	wait(s.t, s.ready, "the model")
	return s
}

func (s *server) signal(signal syscall.Signal) { _ = s.process.Process.Signal(signal) }

func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	<-s.exited
	s.process = nil
}

func (s *server) client(config uflow.Config) *uflow.Client {
	s.t.Helper()
	config.Address = s.address
	return open(s.t, config)
}

func open(t *testing.T, config uflow.Config) *uflow.Client {
	t.Helper()
	client, err := uflow.Open(config)
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	return client
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, event <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("%s: nothing happened within %v", what, patience)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after %v", what, patience)
		}
	}
}

// clean checks at the end of the test, after all other cleanups, that no goroutine and no socket is left. Call it first.
func clean(t *testing.T) {
	t.Helper()
	starter()
	goroutines, sockets := runtime.NumGoroutine(), countSockets()
	t.Cleanup(func() {
		for end := time.Now().Add(patience / 4); runtime.NumGoroutine() > goroutines || countSockets() > sockets; {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				t.Errorf("goroutines: %d before, %d after; sockets: %d before, %d after\n%s",
					goroutines, runtime.NumGoroutine(), sockets, countSockets(), stacks)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// countSockets is 0 where the system has no /proc.
func countSockets() int {
	links, _ := filepath.Glob("/proc/self/fd/*")
	count := 0
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:") {
			count++
		}
	}
	return count
}
