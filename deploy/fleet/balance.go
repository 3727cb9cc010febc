package main

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	uflow "github.com/uflow-rs/uflow/clients/go"
)

// open makes a client of one address, or one that shares streams and calls among several. In Kubernetes the addresses come from a
// headless service, "dns:///uflow-headless:8001"; here they are given.
func open(servers []string) (*uflow.Client, error) {
	if len(servers) == 1 {
		return uflow.Open(uflow.Config{Address: servers[0]})
	}
	fleet := manual.NewBuilderWithScheme("fleet")
	var state resolver.State
	for _, server := range servers {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: server}}})
	}
	fleet.InitialState(state)
	return uflow.Open(uflow.Config{
		Address: "fleet:///",
		DialOptions: []grpc.DialOption{
			grpc.WithResolvers(fleet),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		},
	})
}
