package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Life cycle of resources: plans leave open what a cloud would decide, applications fill it in and keep a list of what exists.

const noCloud = "this provider has no cloud: CLOUD_FOLDER is not set"

func problem(summary string) []*tfprotov6.Diagnostic {
	return []*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: summary}}
}

func (it server) kind(name string, data bool) (tftypes.Type, block) {
	of := it.known.Schema.Resources[name]
	if data {
		of = it.known.Schema.DataSources[name]
	}
	return (&tfprotov6.Schema{Block: of.Block.convert()}).ValueType(), of.Block
}

// The provider's default tags or labels are on everything.
func (it server) ConfigureProvider(_ context.Context, asked *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	out := &tfprotov6.ConfigureProviderResponse{}
	if it.cloud == nil {
		return out, nil
	}
	config, err := asked.Config.Unmarshal((&tfprotov6.Schema{Block: it.known.Schema.Provider.Block.convert()}).ValueType())
	if err != nil {
		return nil, err
	}
	all, _ := plain(config).(map[string]any)
	if blocks, found := all["default_tags"].([]any); found && len(blocks) > 0 {
		all, _ = blocks[0].(map[string]any)
		it.cloud.tags, _ = all["tags"].(map[string]any)
	}
	if labels, found := all["default_labels"].(map[string]any); found {
		it.cloud.tags = labels
	}
	return out, nil
}

// Attributes with a resource's own tags and the provider's.
var ofAll = map[string]string{"tags_all": "tags", "effective_labels": "labels", "terraform_labels": "labels"}

func (it server) withTags(value tftypes.Value, given map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, given)
	all, _ := plain(value).(map[string]any)
	for name, own := range ofAll {
		merged := map[string]any{}
		maps.Copy(merged, it.cloud.tags)
		if of, found := all[own].(map[string]any); found {
			maps.Copy(merged, of)
		}
		out[name] = merged
	}
	return out
}

// Planned values are those of the configuration; what the provider computes is unknown at creation, and stays later.
func (it server) PlanResourceChange(_ context.Context, asked *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	kind, of := it.kind(asked.TypeName, false)
	proposed, err := asked.ProposedNewState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	prior, err := asked.PriorState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	if prior.IsNull() {
		if proposed, err = leaveOpen(of, proposed); err != nil {
			return nil, err
		}
	}
	if proposed, err = it.takeBlocks(asked.TypeName, of, prior, proposed); err != nil {
		return nil, err
	}
	planned, err := tfprotov6.NewDynamicValue(kind, proposed)
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: &planned, UnsafeToUseLegacyTypeSystem: true}, err
}

func (it server) ApplyResourceChange(stopped context.Context, asked *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	out := &tfprotov6.ApplyResourceChangeResponse{NewState: asked.PriorState, UnsafeToUseLegacyTypeSystem: true}
	if it.cloud == nil {
		out.Diagnostics = problem(noCloud)
		return out, nil
	}
	kind, of := it.kind(asked.TypeName, false)
	prior, err := asked.PriorState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	planned, err := asked.PlannedState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	step := "update"
	switch {
	case planned.IsNull():
		step = "delete"
	case prior.IsNull():
		step = "create"
	}
	fault := it.cloud.fault(stopped, asked.TypeName, step)
	if fault != nil && !errors.Is(fault, errLost) {
		out.Diagnostics = problem(fmt.Sprintf("%s of %s: %v", step, asked.TypeName, fault))
		return out, nil
	}
	if step == "delete" {
		if err := it.cloud.remove(asked.TypeName, text(prior, "id")); err != nil {
			out.Diagnostics = problem(fmt.Sprintf("deleting %s: %v", text(prior, "id"), err))
			return out, nil
		}
		if fault != nil {
			out.Diagnostics = problem(fmt.Sprintf("%s of %s: %v", step, asked.TypeName, fault))
			return out, nil
		}
		out.NewState = asked.PlannedState
		return out, nil
	}
	id := text(prior, "id")
	if step == "create" {
		if id, err = it.cloud.name(asked.TypeName, planned); err != nil {
			out.Diagnostics = problem(fmt.Sprintf("creating %s: %v", asked.TypeName, err))
			return out, nil
		}
	}
	made, err := fill(of, planned, asked.TypeName, id, it.withTags(planned, it.cloud.values(asked.TypeName)))
	if err != nil {
		return nil, err
	}
	if err := it.cloud.write(asked.TypeName, id, made); err != nil {
		return nil, err
	}
	if fault != nil {
		out.Diagnostics = problem(fmt.Sprintf("%s of %s: %v", step, asked.TypeName, fault))
		return out, nil
	}
	state, err := tfprotov6.NewDynamicValue(kind, made)
	out.NewState = &state
	return out, err
}

// A resource that is not in the list any more is not in the state either.
func (it server) ReadResource(stopped context.Context, asked *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	out := &tfprotov6.ReadResourceResponse{NewState: asked.CurrentState}
	if it.cloud == nil {
		return out, nil
	}
	if fault := it.cloud.fault(stopped, asked.TypeName, "read"); fault != nil {
		out.Diagnostics = problem(fmt.Sprintf("reading %s: %v", asked.TypeName, fault))
		return out, nil
	}
	kind, _ := it.kind(asked.TypeName, false)
	current, err := asked.CurrentState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	if !it.cloud.has(text(current, "id")) {
		gone, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, nil))
		out.NewState = &gone
		return out, err
	}
	return out, nil
}

func (it server) ReadDataSource(_ context.Context, asked *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	kind, of := it.kind(asked.TypeName, true)
	config, err := asked.Config.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	open, err := leaveOpen(of, config)
	if err != nil {
		return nil, err
	}
	var values map[string]any
	if it.cloud != nil {
		values = it.cloud.values("data." + asked.TypeName)
	}
	read, err := fill(of, open, asked.TypeName, asked.TypeName, values)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov6.NewDynamicValue(kind, read)
	return &tfprotov6.ReadDataSourceResponse{State: &state}, err
}

// Computed attributes that nothing sets become unknown, also in blocks.
func leaveOpen(of block, value tftypes.Value) (tftypes.Value, error) {
	return change(of, value, func(_ string, of attribute, it tftypes.Value) (tftypes.Value, error) {
		if of.Computed && it.IsNull() {
			return tftypes.NewValue(it.Type(), tftypes.UnknownValue), nil
		}
		return it, nil
	})
}

// Blocks that the cloud fills by itself, such as Google's `master_auth`, are those for which values are given: unknown before they are made,
// and kept later.
func (it server) takeBlocks(kind string, of block, prior, value tftypes.Value) (tftypes.Value, error) {
	if it.cloud == nil || value.IsNull() {
		return value, nil
	}
	var before, fields map[string]tftypes.Value
	if err := value.As(&fields); err != nil {
		return value, err
	}
	if !prior.IsNull() {
		if err := prior.As(&before); err != nil {
			return value, err
		}
	}
	given := it.cloud.values(kind)
	for name := range of.BlockTypes {
		if _, found := given[name]; !found {
			continue
		}
		fields[name] = tftypes.NewValue(fields[name].Type(), tftypes.UnknownValue)
		if kept, found := before[name]; found {
			fields[name] = kept
		}
	}
	return tftypes.NewValue(value.Type(), fields), nil
}

// Unknown attributes get the given values, or made-up ones: `aws_vpc-1.arn`. A given block that the configuration lacks is added.
func fill(of block, value tftypes.Value, name, id string, given map[string]any) (tftypes.Value, error) {
	path := id
	filled, err := change(of, value, func(attribute string, _ attribute, it tftypes.Value) (tftypes.Value, error) {
		if it.IsFullyKnown() {
			return it, nil
		}
		if set, found := given[attribute]; found {
			return valueOf(it.Type(), set, value)
		}
		if attribute == "id" {
			return tftypes.NewValue(tftypes.String, id), nil
		}
		return madeUp(path+"."+attribute, it.Type()), nil
	})
	if err != nil || len(given) == 0 {
		return filled, err
	}
	var fields map[string]tftypes.Value
	if err := filled.As(&fields); err != nil {
		return filled, err
	}
	for nested := range of.BlockTypes {
		if set, found := given[nested]; found {
			if fields[nested], err = valueOf(fields[nested].Type(), set, value); err != nil {
				return filled, fmt.Errorf("%s.%s: %w", name, nested, err)
			}
		}
	}
	return tftypes.NewValue(filled.Type(), fields), nil
}

// Calls the function for each attribute of the block and of the blocks in it.
func change(of block, value tftypes.Value, with func(string, attribute, tftypes.Value) (tftypes.Value, error)) (tftypes.Value, error) {
	if value.IsNull() || !value.IsKnown() {
		return value, nil
	}
	var fields map[string]tftypes.Value
	if err := value.As(&fields); err != nil {
		return value, err
	}
	var err error
	for name, attribute := range of.Attributes {
		if fields[name], err = with(name, attribute, fields[name]); err != nil {
			return value, fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, nested := range of.BlockTypes {
		it := fields[name]
		if it.IsNull() || !it.IsKnown() {
			continue
		}
		if nested.NestingMode == "single" {
			if fields[name], err = change(nested.Block, it, with); err != nil {
				return value, err
			}
			continue
		}
		var list []tftypes.Value
		if err := it.As(&list); err != nil {
			return value, err
		}
		for at := range list {
			if list[at], err = change(nested.Block, list[at], with); err != nil {
				return value, err
			}
		}
		fields[name] = tftypes.NewValue(it.Type(), list)
	}
	return tftypes.NewValue(value.Type(), fields), nil
}

// A value of the type that says where it comes from; collections are empty.
func madeUp(path string, of tftypes.Type) tftypes.Value {
	switch {
	case of.Is(tftypes.String):
		return tftypes.NewValue(of, path)
	case of.Is(tftypes.Bool):
		return tftypes.NewValue(of, false)
	case of.Is(tftypes.Number):
		return tftypes.NewValue(of, 1)
	case of.Is(tftypes.List{}), of.Is(tftypes.Set{}):
		return tftypes.NewValue(of, []tftypes.Value{})
	case of.Is(tftypes.Map{}):
		return tftypes.NewValue(of, map[string]tftypes.Value{})
	}
	return tftypes.NewValue(of, nil)
}

// A JSON value as a value of the type; what an object lacks is null. `{name}` in a text is the resource's attribute `name`.
func valueOf(of tftypes.Type, value any, resource tftypes.Value) (tftypes.Value, error) {
	switch value := value.(type) {
	case nil:
		return tftypes.NewValue(of, nil), nil
	case string:
		for {
			before, rest, found := strings.Cut(value, "{")
			name, after, closed := strings.Cut(rest, "}")
			if !found || !closed {
				return tftypes.NewValue(of, value), nil
			}
			value = before + text(resource, name) + after
		}
	case bool:
		return tftypes.NewValue(of, value), nil
	case float64:
		return tftypes.NewValue(of, value), nil
	case []any:
		inner := of
		switch of := of.(type) {
		case tftypes.List:
			inner = of.ElementType
		case tftypes.Set:
			inner = of.ElementType
		}
		list := []tftypes.Value{}
		for _, it := range value {
			one, err := valueOf(inner, it, resource)
			if err != nil {
				return one, err
			}
			list = append(list, one)
		}
		return tftypes.NewValue(of, list), nil
	case map[string]any:
		fields := map[string]tftypes.Value{}
		switch of := of.(type) {
		case tftypes.Object:
			for name, kind := range of.AttributeTypes {
				it := value[name]
				// An empty collection of blocks is a list, never null.
				if _, isList := kind.(tftypes.List); isList && it == nil {
					it = []any{}
				}
				one, err := valueOf(kind, it, resource)
				if err != nil {
					return one, err
				}
				fields[name] = one
			}
		case tftypes.Map:
			for name, it := range value {
				one, err := valueOf(of.ElementType, it, resource)
				if err != nil {
					return one, err
				}
				fields[name] = one
			}
		}
		return tftypes.NewValue(of, fields), nil
	}
	return tftypes.Value{}, fmt.Errorf("no value: %v", value)
}

// A text attribute of a resource; empty without it.
func text(value tftypes.Value, name string) string {
	var fields map[string]tftypes.Value
	if value.IsNull() || value.As(&fields) != nil {
		return ""
	}
	var out string
	if it, found := fields[name]; found && it.IsKnown() && !it.IsNull() {
		_ = it.As(&out)
	}
	return out
}
