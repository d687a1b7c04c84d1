package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// What exists gets into a state by its ID, with the values of its file in the inventory.
func (it server) ImportResourceState(_ context.Context, asked *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	out := &tfprotov6.ImportResourceStateResponse{}
	if it.cloud == nil {
		out.Diagnostics = problem(noCloud)
		return out, nil
	}
	var found struct {
		Type   string
		Values json.RawMessage
	}
	it.cloud.read(it.cloud.file(it.cloud.find(asked.TypeName, asked.ID)), &found)
	if found.Type != asked.TypeName || found.Values == nil {
		out.Diagnostics = problem(fmt.Sprintf("there is no %s %s", asked.TypeName, asked.ID))
		return out, nil
	}
	kind, _ := it.kind(asked.TypeName, false)
	// Values that the file lacks are null.
	value, err := (&tfprotov6.RawState{JSON: found.Values}).Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov6.NewDynamicValue(kind, value)
	out.ImportedResources = []*tfprotov6.ImportedResource{{TypeName: asked.TypeName, State: &state}}
	return out, err
}

// The inventory's ID of what a cloud names by a path, an address or a plain name.
func (it *cloud) find(kind, id string) string {
	last := id[strings.LastIndex(id, "/")+1:]
	account, _, _ := strings.Cut(last, "@")
	for _, known := range []string{id, kind + "-" + id, kind + "-" + last, kind + "-" + account, last} {
		if it.has(known) {
			return known
		}
	}
	return id
}
