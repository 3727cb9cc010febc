// Command fleet puts load on U-Flow servers with the client for Go and checks every verdict. deploy/fleet.sh runs it while it stops,
// kills and slows down servers.
//
//	fleet -servers ADDRESS[,ADDRESS…] -model NAME -streams 12 -rate 10 -callers 4 -seconds 30 PICTURE…
//
// Each stream sends the pictures in turn, at a fixed rate as a camera does. Each caller makes single calls, one after the other. With one
// address the servers are behind a proxy; with several the client shares its streams and calls among them.
// Before the load, one call for each picture finds its verdict. A verdict under load must have the same decision and a score that differs
// by at most 1e-4: then it belongs to this picture, because the pictures differ by more than that.
//
// Prints one line of JSON and exits with 1 if a verdict is lost, comes twice, is wrong or is out of order.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	uflow "github.com/uflow-rs/uflow/clients/go"
)

type settings struct {
	servers []string
	model   string
	streams int
	rate    float64
	callers int
	length  time.Duration
	stall   time.Duration
}

func parse() (settings, []string) {
	var s settings
	servers := flag.String("servers", "127.0.0.1:8001", "gRPC addresses, with commas between")
	flag.StringVar(&s.model, "model", "cloth", "name of the model")
	flag.IntVar(&s.streams, "streams", 12, "number of streams")
	flag.Float64Var(&s.rate, "rate", 10, "frames a second of each stream")
	flag.IntVar(&s.callers, "callers", 4, "number of callers that make single calls")
	flag.DurationVar(&s.length, "seconds", 30*time.Second, "length of the load, for example 30s")
	flag.DurationVar(&s.stall, "stall", 5*time.Second, "silence after which a stream leaves a server that owes an answer")
	flag.Parse()
	s.servers = strings.Split(*servers, ",")
	return s, flag.Args()
}

// picture is a file and its verdict.
type picture struct {
	content   []byte
	score     float64
	anomalous bool
}

// learn asks for the verdict of each picture, and refuses pictures that a score cannot tell apart.
func learn(client *uflow.Client, s settings, paths []string) ([]picture, error) {
	var pictures []picture
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		answer, err := client.Detect(context.Background(), uflow.Encoded(s.model, content))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found := answer.GetDetection()
		pictures = append(pictures, picture{content, float64(found.GetScore()), found.GetAnomalous()})
	}
	for i := range pictures {
		for j := range i {
			if math.Abs(pictures[i].score-pictures[j].score) < 1e-3 {
				return nil, fmt.Errorf("%s and %s have the same score; leave one out", paths[i], paths[j])
			}
		}
	}
	if len(pictures) == 0 {
		return nil, fmt.Errorf("give at least one picture")
	}
	return pictures, nil
}

func run(s settings, paths []string) (*report, error) {
	client, err := open(s.servers)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	pictures, err := learn(client, s, paths)
	if err != nil {
		return nil, err
	}
	made := &report{}
	until, cancel := context.WithTimeout(context.Background(), s.length)
	defer cancel()
	var work sync.WaitGroup
	for number := range s.streams {
		work.Go(func() { made.addStream(stream(until, client, s, pictures, number)) })
	}
	for number := range s.callers {
		work.Go(func() { made.addCaller(call(until, client, s, pictures, number)) })
	}
	work.Wait()
	return made, nil
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	s, paths := parse()
	made, err := run(s, paths)
	if err != nil {
		log.Fatal(err)
	}
	line, err := json.Marshal(made.summary())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
	if !made.clean() {
		os.Exit(1)
	}
}
