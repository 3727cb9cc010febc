// Command check reads a dashboard with Grafana's own types: unknown fields, wrong types and missing options are errors.
//
//	go run . ../uflow.json
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	if len(os.Args) != 2 {
		fail("usage: check DASHBOARD.json")
	}
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	plugins.RegisterDefaultPlugins()
	var read dashboard.Dashboard
	// Both return an empty list of errors, which is not nil, if all is well.
	if err := read.UnmarshalJSONStrict(data); err != nil && err.Error() != "" {
		fail(err)
	}
	if err := read.Validate(); err != nil && err.Error() != "" {
		fail(err)
	}
	if len(read.Panels) == 0 {
		fail("the dashboard has no panels")
	}
	fmt.Printf("%s: %d panels\n", os.Args[1], len(read.Panels))
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
