// A provider for OpenTofu that knows the schema of a cloud's provider and nothing else: it reads the schema from a file and calls no cloud.
//
// OpenTofu runs with it as with the real provider, offline: plans, state, dependencies, failures and interruptions are OpenTofu's own. What a
// real provider checks in code (formats of names, enumerations, arguments that exclude each other, changes that need a new resource) it lets
// pass. Its cloud is a folder: see cloud.go.
//
// The environment variable SCHEMA_FILE names the schema; the program's own name says the provider: terraform-provider-aws_v6.69.1.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Type                         json.RawMessage
	Required, Optional, Computed bool
}

type nested struct {
	NestingMode string `json:"nesting_mode"`
	MinItems    int64  `json:"min_items"`
	MaxItems    int64  `json:"max_items"`
	Block       block
}

type block struct {
	Attributes map[string]attribute
	BlockTypes map[string]nested `json:"block_types"`
}

type schema struct{ Block block }

type document struct {
	Schema struct {
		Provider    schema
		Resources   map[string]schema `json:"resource_schemas"`
		DataSources map[string]schema `json:"data_source_schemas"`
	}
}

var modes = map[string]tfprotov6.SchemaNestedBlockNestingMode{
	"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
	"list":   tfprotov6.SchemaNestedBlockNestingModeList,
	"set":    tfprotov6.SchemaNestedBlockNestingModeSet,
	"map":    tfprotov6.SchemaNestedBlockNestingModeMap,
}

func (it block) convert() *tfprotov6.SchemaBlock {
	out := &tfprotov6.SchemaBlock{}
	for name, of := range it.Attributes {
		kind, err := tftypes.ParseJSONType(of.Type) //nolint:staticcheck // the form of `tofu providers schema -json`
		if err != nil {
			panic(fmt.Sprintf("%s: %v", name, err))
		}
		out.Attributes = append(out.Attributes, &tfprotov6.SchemaAttribute{
			Name: name, Type: kind, Required: of.Required, Optional: of.Optional, Computed: of.Computed,
		})
	}
	for name, of := range it.BlockTypes {
		mode, known := modes[of.NestingMode]
		if !known {
			panic(fmt.Sprintf("%s: nesting %q", name, of.NestingMode))
		}
		out.BlockTypes = append(out.BlockTypes, &tfprotov6.SchemaNestedBlock{
			TypeName: name, Nesting: mode, MinItems: of.MinItems, MaxItems: of.MaxItems, Block: of.Block.convert(),
		})
	}
	return out
}

func convert(all map[string]schema) map[string]*tfprotov6.Schema {
	out := map[string]*tfprotov6.Schema{}
	for name, of := range all {
		out[name] = &tfprotov6.Schema{Block: of.Block.convert()}
	}
	return out
}

// A state of the same schema is taken as it is.
func (it server) UpgradeResourceState(_ context.Context, asked *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	of := it.known.Schema.Resources[asked.TypeName]
	kind := (&tfprotov6.Schema{Block: of.Block.convert()}).ValueType()
	value, err := asked.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov6.NewDynamicValue(kind, value)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &state}, err
}

// The embedded interface is nil: OpenTofu calls none of its other methods for this HCL.
type server struct {
	tfprotov6.ProviderServer
	known document
	// Without a folder there is no cloud.
	cloud *cloud
}

func (it server) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	out := &tfprotov6.GetMetadataResponse{}
	for name := range it.known.Schema.Resources {
		out.Resources = append(out.Resources, tfprotov6.ResourceMetadata{TypeName: name})
	}
	for name := range it.known.Schema.DataSources {
		out.DataSources = append(out.DataSources, tfprotov6.DataSourceMetadata{TypeName: name})
	}
	return out, nil
}

func (it server) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	return &tfprotov6.GetProviderSchemaResponse{
		Provider:          &tfprotov6.Schema{Block: it.known.Schema.Provider.Block.convert()},
		ResourceSchemas:   convert(it.known.Schema.Resources),
		DataSourceSchemas: convert(it.known.Schema.DataSources),
	}, nil
}

func (it server) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

func (it server) GetFunctions(context.Context, *tfprotov6.GetFunctionsRequest) (*tfprotov6.GetFunctionsResponse, error) {
	return &tfprotov6.GetFunctionsResponse{}, nil
}

func (it server) ValidateProviderConfig(_ context.Context, asked *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: asked.Config}, nil
}

func (it server) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

func (it server) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

func (it server) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	if it.cloud != nil {
		it.cloud.end()
	}
	return &tfprotov6.StopProviderResponse{}, nil
}

func main() {
	it := server{cloud: openCloud()}
	text, err := os.ReadFile(os.Getenv("SCHEMA_FILE"))
	if err == nil {
		err = json.Unmarshal(text, &it.known)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "read the schema that SCHEMA_FILE names:", err)
		os.Exit(1)
	}
	provider, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(os.Args[0]), "terraform-provider-"), "_")
	address := "registry.opentofu.org/hashicorp/" + provider
	if err := tf6server.Serve(address, func() tfprotov6.ProviderServer { return it }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
