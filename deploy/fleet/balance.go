package main

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	uflow "github.com/uflow-rs/uflow/clients/go"
)

// open makes a client of one address, or one that shares streams and calls among several. In Kubernetes the addresses come from a
// headless service, "dns:///uflow-headless:8001"; here they are given.
func open(servers []string) (*uflow.Client, error) {
	config := uflow.Config{Address: servers[0], AttemptTimeout: 5 * time.Second}
	if len(servers) > 1 {
		fleet := manual.NewBuilderWithScheme("fleet")
		var state resolver.State
		for _, server := range servers {
			state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: server}}})
		}
		fleet.InitialState(state)
		config.Address, config.RoundRobin = "fleet:///uflow", true
		config.DialOptions = []grpc.DialOption{grpc.WithResolvers(fleet)}
	}
	return uflow.Open(config)
}
