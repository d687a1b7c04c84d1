// Command provisioner makes hostPath volumes on its node: each claim of its
// storage class gets a directory of its own below one base directory, which is
// mounted from the node. It makes and removes directories itself, so no helper
// pod has to start before a volume can be bound. The cluster's default storage
// class is there as soon as it runs. On the only node it is a part of the node,
// like the control plane, and starts with it. With several nodes each has one,
// and a claim waits for its pod's node: see -several-nodes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const (
	provisionerName = "pocdeploy.local/hostpath"
	className       = "standard"
	hostnameLabel   = "kubernetes.io/hostname"
	// A claim's own files, made before it by `bootstrap` in this folder.
	filesAnnotation = "dev.pocdeploy/files"
	prepared        = "prepared"
)

// hostPath provisions below base, which is the same path on the node and in
// this process's own file system.
type hostPath struct {
	base string
	node string
	// Whether other nodes have a provisioner, too.
	several bool
}

// The scheduler writes there for which node a claim's first pod is meant.
const selectedNode = "volume.kubernetes.io/selected-node"

// ShouldProvision says whether the claim's volume belongs on this node.
func (h *hostPath) ShouldProvision(_ context.Context, claim *corev1.PersistentVolumeClaim) bool {
	return !h.several || claim.Annotations[selectedNode] == h.node
}

// ShouldDelete says whether the volume lies on this node.
func (h *hostPath) ShouldDelete(_ context.Context, volume *corev1.PersistentVolume) bool {
	return !h.several || slices.ContainsFunc(terms(volume), func(term corev1.NodeSelectorTerm) bool {
		return slices.ContainsFunc(term.MatchExpressions, func(it corev1.NodeSelectorRequirement) bool {
			return it.Key == hostnameLabel && slices.Contains(it.Values, h.node)
		})
	})
}

func terms(volume *corev1.PersistentVolume) []corev1.NodeSelectorTerm {
	if volume.Spec.NodeAffinity == nil || volume.Spec.NodeAffinity.Required == nil {
		return nil
	}
	return volume.Spec.NodeAffinity.Required.NodeSelectorTerms
}

// Provision creates the volume's directory, open to every user as the pod's
// user is not known here, and describes it as a volume of this node.
func (h *hostPath) Provision(_ context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	claim := options.PVC
	if claim.Spec.Selector != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("claim %s/%s has a selector, which this provisioner does not support", claim.Namespace, claim.Name)
	}
	path := h.directory(options.PVName)
	if err := h.fill(path, claim.Annotations[filesAnnotation]); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			MountOptions:                  options.StorageClass.MountOptions,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: path},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key: hostnameLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{h.node},
					}},
				}},
			}},
		},
	}
	return volume, controller.ProvisioningFinished, nil
}

// fill brings the volume's directory about: with the files that were made for
// it, of which the claim says where they lie below the base, or empty.
func (h *hostPath) fill(path, files string) error {
	if files == "" {
		if err := os.MkdirAll(path, 0o777); err != nil {
			return err
		}
		// The process's umask took bits away from the mode above.
		return os.Chmod(path, 0o777)
	}
	if filepath.Dir(files) != prepared {
		return fmt.Errorf("%s: %q does not lie in %s", filesAnnotation, files, prepared)
	}
	// An earlier try may have moved them.
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.Rename(filepath.Join(h.base, files), path)
}

// Delete removes the directory. A path outside the base directory was not made
// here and is refused.
func (h *hostPath) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	path := h.directory(volume.Name)
	if volume.Spec.HostPath == nil || volume.Spec.HostPath.Path != path {
		return &controller.IgnoredError{Reason: "its path is not one of this provisioner's"}
	}
	return os.RemoveAll(path)
}

func (h *hostPath) directory(volume string) string {
	return filepath.Join(h.base, strings.ReplaceAll(volume, string(filepath.Separator), "_"))
}

// ensureClass makes the default storage class where there is none of its name.
// A claim that comes before it is looked at again after a quarter of a minute.
func ensureClass(ctx context.Context, client kubernetes.Interface, binding storagev1.VolumeBindingMode) error {
	reclaim := corev1.PersistentVolumeReclaimDelete
	class := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        className,
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner:       provisionerName,
		ReclaimPolicy:     &reclaim,
		VolumeBindingMode: &binding,
	}
	return wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			klog.ErrorS(err, "cannot make the storage class yet", "class", className)
			return false, nil
		}
		return true, nil
	})
}

func main() {
	base := flag.String("base", "/var/lib/pocdeploy/volumes", "directory of the node that holds the volumes, mounted at the same path here")
	kubeconfig := flag.String("kubeconfig", "", "how the API server is called; empty: as its pod's service account")
	several := flag.Bool("several-nodes", false, "whether other nodes run one, too: a volume is made on the node of its first pod")
	klog.InitFlags(nil)
	flag.Parse()
	if err := run(&hostPath{base: *base, node: os.Getenv("NODE_NAME"), several: *several}, *kubeconfig); err != nil {
		klog.ErrorS(err, "cannot run")
		os.Exit(1)
	}
}

func run(provisioner *hostPath, kubeconfig string) error {
	if provisioner.node == "" {
		return fmt.Errorf("NODE_NAME is not set")
	}
	settings, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(settings)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	binding := storagev1.VolumeBindingImmediate
	if provisioner.several {
		binding = storagev1.VolumeBindingWaitForFirstConsumer
	}
	if err := ensureClass(ctx, client, binding); err != nil {
		return err
	}
	// One replica on a node: an election would only delay the first volume,
	// and so would the library's quarter of a minute after a failure.
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, 30*time.Second)
	controller.NewProvisionController(ctx, client, provisionerName, provisioner,
		controller.LeaderElection(false), controller.RateLimiter(limiter)).Run(ctx)
	return nil
}
