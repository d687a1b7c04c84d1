// Command network connects the pods of a cluster's nodes, which all are on one
// network of the engine. For its own node it writes the configuration of the
// plugins that give pods their addresses, from the range that the cluster gave
// the node, and it keeps one route to each other node's range. It is needed
// from the second node on: see 10-pocdeploy.conflist for one.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	// Routes of this program, among others in the node. Any number above those
	// in linux/rtnetlink.h serves.
	protocol = 80
	// How often routes are set that another program removed.
	again = 10 * time.Second
)

// The plugins are those of 10-pocdeploy.conflist.
const configuration = `{
  "cniVersion": "0.4.0",
  "name": "pocdeploy",
  "plugins": [
    {
      "type": "ptp",
      "mtu": 1500,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "ranges": [[{ "subnet": "%s" }]],
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
`

// ranges says what the own node's pods have for addresses, and for every other
// node's range its address. A node without one of the two is left out: it has
// just joined.
func ranges(own string, nodes []*corev1.Node) (string, map[string]string) {
	mine, others := "", map[string]string{}
	for _, node := range nodes {
		if node.Name == own {
			mine = node.Spec.PodCIDR
			continue
		}
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP && node.Spec.PodCIDR != "" {
				others[node.Spec.PodCIDR] = address.Address
				break
			}
		}
	}
	return mine, others
}

// write brings about a file as a whole, so that containerd never reads a part.
func write(path, content string) error {
	if found, err := os.ReadFile(path); err == nil && string(found) == content {
		return nil
	}
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	if err := os.WriteFile(part, []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// connect sets the routes, and removes those of nodes that are gone.
func connect(others map[string]string) error {
	for area, address := range others {
		_, to, err := net.ParseCIDR(area)
		if err != nil {
			return err
		}
		route := &netlink.Route{Dst: to, Gw: net.ParseIP(address), Protocol: protocol}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s via %s: %w", area, address, err)
		}
	}
	found, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return err
	}
	for _, route := range found {
		if address, wanted := others[route.Dst.String()]; !wanted || address != route.Gw.String() {
			if err := netlink.RouteDel(&route); err != nil {
				return fmt.Errorf("remove route %s: %w", route.Dst, err)
			}
		}
	}
	return nil
}

func main() {
	file := flag.String("configuration", "/etc/cni/net.d/05-pocdeploy.conflist", "the file that containerd reads, before 10-pocdeploy.conflist")
	klog.InitFlags(nil)
	flag.Parse()
	if err := run(*file, os.Getenv("NODE_NAME")); err != nil {
		klog.ErrorS(err, "cannot run")
		os.Exit(1)
	}
}

func run(file, own string) error {
	if own == "" {
		return fmt.Errorf("NODE_NAME is not set")
	}
	settings, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(settings)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	change := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { change() }, UpdateFunc: func(any, any) { change() }, DeleteFunc: func(any) { change() },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for {
		found, err := nodes.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		mine, others := ranges(own, found)
		if mine != "" {
			if err := write(file, fmt.Sprintf(configuration, mine)); err != nil {
				return err
			}
		}
		if err := connect(others); err != nil {
			klog.ErrorS(err, "cannot connect the nodes yet")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(again):
		}
	}
}
