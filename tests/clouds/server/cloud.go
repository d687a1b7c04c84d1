package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// The cloud is a folder, named by the environment variable CLOUD_FOLDER, so that it outlives this process and others can read and change it:
//
//	inventory/ID.json  what exists: {"type", "id", "values"}
//	values.json        values of a cloud, by type: {"aws_eks_cluster": {"endpoint": "https://…"}, "data.aws_availability_zones": {…}}
//	faults.json        [{"type": "aws_eks_cluster", "on": "create", "does": "fail", "times": 1, "seconds": 3}]
//	blockers/NAME      while there is a file, networks cannot be deleted
//
// A fault fails, throttles, is lost (it is made, and the answer does not come), hangs until it is stopped, or is slow.
type cloud struct {
	folder string
	turn   *sync.Mutex
	stop   chan struct{}
	// The provider's default tags or labels.
	tags map[string]any
	// IDs of what is being made. A cloud makes a thing whole or not at all, also when its client is killed, so that no file says it.
	taken map[string]bool
}

type fault struct {
	Type, On, Does string
	Times          int
	Seconds        float64
}

var (
	errFailed    = errors.New("InternalFailure: the request failed")
	errThrottled = errors.New("ThrottlingException: Rate exceeded")
	errLost      = errors.New("connection reset by peer")
	errStopped   = errors.New("the request was cancelled")
)

// What load balancers and network interfaces hold.
var held = []string{
	"aws_vpc", "aws_subnet", "aws_internet_gateway", "google_compute_network", "google_compute_subnetwork", "azurerm_resource_group",
}

// Blocks that the clouds fill by themselves, unless values.json has others.
var own = map[string]map[string]any{
	"azurerm_kubernetes_cluster": {"kubelet_identity": []any{map[string]any{"client_id": "{name}.kubelet", "object_id": "{name}.kubelet"}}},
	"google_container_cluster":   {"master_auth": []any{map[string]any{"cluster_ca_certificate": "{name}.ca"}}},
}

func openCloud() *cloud {
	folder := os.Getenv("CLOUD_FOLDER")
	if folder == "" {
		return nil
	}
	return &cloud{folder: folder, turn: &sync.Mutex{}, stop: make(chan struct{}), taken: map[string]bool{}}
}

// Ends what waits.
func (it *cloud) end() {
	it.turn.Lock()
	defer it.turn.Unlock()
	select {
	case <-it.stop:
	default:
		close(it.stop)
	}
}

func (it *cloud) read(name string, into any) {
	if text, err := os.ReadFile(filepath.Join(it.folder, name)); err == nil {
		if err := json.Unmarshal(text, into); err != nil {
			fmt.Fprintln(os.Stderr, name, err)
		}
	}
}

// A file is there whole or not at all.
func (it *cloud) put(name string, value any) error {
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	path := filepath.Join(it.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (it *cloud) file(id string) string {
	return filepath.Join("inventory", strings.NewReplacer("/", "_", " ", "_").Replace(id)+".json")
}

func (it *cloud) has(id string) bool {
	_, err := os.Stat(filepath.Join(it.folder, it.file(id)))
	return err == nil
}

func (it *cloud) values(name string) map[string]any {
	all := map[string]map[string]any{}
	it.read("values.json", &all)
	out := map[string]any{}
	maps.Copy(out, own[name])
	maps.Copy(out, all[name])
	return out
}

// Resources that are what they connect: a second creation is the same resource, or refused.
var connections = map[string][]string{
	"aws_iam_role_policy_attachment":                 {"role", "policy_arn"},
	"aws_route_table_association":                    {"subnet_id", "route_table_id"},
	"azurerm_role_assignment":                        {"scope", "role_definition_name", "principal_id"},
	"google_artifact_registry_repository_iam_member": {"repository", "role", "member"},
	"google_project_iam_member":                      {"project", "role", "member"},
}

// The clouds refuse a second one of these.
var single = []string{"aws_route_table_association", "azurerm_role_assignment"}

// The name of a new resource: its own if it has one, else a counted one. Two of one name cannot be.
func (it *cloud) name(kind string, planned tftypes.Value) (string, error) {
	it.turn.Lock()
	defer it.turn.Unlock()
	if attributes, found := connections[kind]; found {
		parts := []string{}
		for _, it := range attributes {
			parts = append(parts, text(planned, it))
		}
		id := kind + "-" + strings.Join(parts, "/")
		if it.has(id) && slices.Contains(single, kind) {
			return "", fmt.Errorf("AlreadyExists: %s already exists", id)
		}
		return id, nil
	}
	for _, attribute := range []string{"name", "repository_id", "account_id", "role_name"} {
		if name := text(planned, attribute); name != "" && name != "this" {
			id := kind + "-" + name
			if it.has(id) || it.taken[id] {
				return "", fmt.Errorf("EntityAlreadyExists: %s already exists", name)
			}
			it.taken[id] = true
			return id, nil
		}
	}
	for number := 1; ; number++ {
		id := fmt.Sprintf("%s-%d", kind, number)
		if !it.has(id) && !it.taken[id] {
			it.taken[id] = true
			return id, nil
		}
	}
}

func (it *cloud) write(kind, id string, value tftypes.Value) error {
	it.turn.Lock()
	defer it.turn.Unlock()
	delete(it.taken, id)
	return it.put(it.file(id), map[string]any{"type": kind, "id": id, "values": plain(value)})
}

func (it *cloud) remove(kind, id string) error {
	if slices.Contains(held, kind) {
		if holders, _ := os.ReadDir(filepath.Join(it.folder, "blockers")); len(holders) > 0 {
			return fmt.Errorf("DependencyViolation: %s has dependencies (%s) and cannot be deleted", id, holders[0].Name())
		}
	}
	err := os.Remove(filepath.Join(it.folder, it.file(id)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// The fault of this step, if there is one; it is used up.
func (it *cloud) fault(stopped context.Context, kind, step string) error {
	found := it.nextFault(kind, step)
	if found == nil {
		return nil
	}
	wait := func(limit time.Duration) error {
		select {
		case <-it.stop:
			return errStopped
		case <-stopped.Done():
			return errStopped
		case <-time.After(limit):
			return nil
		}
	}
	switch found.Does {
	case "fail":
		return errFailed
	case "throttle":
		return errThrottled
	case "lost":
		return errLost
	case "hang":
		return wait(time.Hour)
	case "slow":
		return wait(time.Duration(found.Seconds * float64(time.Second)))
	}
	return fmt.Errorf("faults.json: what does %q do?", found.Does)
}

func (it *cloud) nextFault(kind, step string) *fault {
	it.turn.Lock()
	defer it.turn.Unlock()
	var all []fault
	it.read("faults.json", &all)
	for at, one := range all {
		if one.Times > 0 && one.On == step && (one.Type == kind || one.Type == "*") {
			all[at].Times--
			if err := it.put("faults.json", all); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			return &one
		}
	}
	return nil
}

// A value as JSON; unknown and null ones are left out.
func plain(value tftypes.Value) any {
	if value.IsNull() || !value.IsKnown() {
		return nil
	}
	var text string
	if value.As(&text) == nil {
		return text
	}
	var yes bool
	if value.As(&yes) == nil {
		return yes
	}
	var number big.Float
	if value.As(&number) == nil {
		return json.Number(number.Text('f', -1))
	}
	var fields map[string]tftypes.Value
	if value.As(&fields) == nil {
		out := map[string]any{}
		for name, it := range fields {
			if one := plain(it); one != nil {
				out[name] = one
			}
		}
		return out
	}
	var list []tftypes.Value
	if value.As(&list) == nil {
		out := []any{}
		for _, it := range list {
			out = append(out, plain(it))
		}
		return out
	}
	return value.String()
}
