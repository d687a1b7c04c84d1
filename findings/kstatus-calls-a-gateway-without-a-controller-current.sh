#!/usr/bin/env bash
# kstatus calls eight objects "Current" that do nothing yet, or that their controller has refused.
#
# One would guess: kstatus, the library by which Flux, kpt and others wait for objects, is sure of an object before it says Current, "the
# desired state of the resource is fully reconciled".
# What happens: beside a dozen built-in kinds it knows the conditions Ready, Reconciling and Stalled, and every object without one of them
# is Current. So a Gateway that waits for its controller is, and an HTTPRoute that no Gateway takes, an autoscaler without metrics, an
# APIService without a server. A Job is Current as soon as it has started. And `observedGeneration` counts in the status only, not in a
# condition: Ready of generation 1 is Current in generation 2.
# Versions: sigs.k8s.io/cli-utils v0.37.2. Seen on 2026-11-27.
# Source: pkg/kstatus/status/generic.go (checkGenericProperties, checkReadyCondition) and core.go (jobConditions) of that module.
# What follows for us: xtask/src/cluster/verdict has rules of its own for these; tests/fixtures/verdicts.yaml holds them.
set -eu
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
cat > main.go <<'GO'
package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

var objects = []string{
	`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a"},"status":{"startTime":"2026-11-27T10:00:00Z","active":1}}`,
	`{"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway","metadata":{"name":"a","generation":1},"status":{"conditions":[{"type":"Accepted","status":"Unknown","reason":"Pending"},{"type":"Programmed","status":"Unknown","reason":"Pending"}]}}`,
	`{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":"a","generation":1},"status":{"parents":[{"conditions":[{"type":"Accepted","status":"False","reason":"NoMatchingParent"}]}]}}`,
	`{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"a"},"status":{"conditions":[{"type":"ScalingActive","status":"False","reason":"FailedGetResourceMetric"}]}}`,
	`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"a"},"status":{"conditions":[{"type":"Available","status":"False","reason":"MissingEndpoints"}]}}`,
	`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}`,
	`{"apiVersion":"example.com/v1","kind":"Unseen","metadata":{"name":"a","generation":1}}`,
	`{"apiVersion":"example.com/v1","kind":"ReadyOfGeneration1","metadata":{"name":"a","generation":2},"status":{"conditions":[{"type":"Ready","status":"True","observedGeneration":1}]}}`,
	// For comparison: what it does see.
	`{"apiVersion":"example.com/v1","kind":"SeenAsGeneration1","metadata":{"name":"a","generation":2},"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True"}]}}`,
}

func main() {
	for _, text := range objects {
		var o map[string]any
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			panic(err)
		}
		r, err := status.Compute(&unstructured.Unstructured{Object: o})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%-24s %s\n", o["kind"], r.Status)
	}
}
GO
printf 'module finding\ngo 1.24\nrequire sigs.k8s.io/cli-utils v0.37.2\n' > go.mod
echo "sigs.k8s.io/cli-utils v0.37.2"
GOFLAGS=-mod=mod go run . 2> log > said || { cat log; exit 1; }
sed 's/^/    /' said
test "$(grep -c ' Current$' said)" = 8 || { echo "CHANGED: kstatus judges one of the first eight otherwise"; exit 1; }
grep -q 'SeenAsGeneration1 *InProgress' said || { echo "CHANGED: observedGeneration of the status no longer counts"; exit 1; }
