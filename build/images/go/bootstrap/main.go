// Command bootstrap makes the files of a database's first instance before
// there is an API server: what the operator's Job would do once it runs is done
// while the control plane starts.
//
// Everything about it is the operator's own: its library says which command the
// Job would run, with which settings and which volumes, and how the claim for
// the files looks; the command is run in a container of the database's image.
// The one thing that the command asks of an API server, the Cluster as it was
// read here, it is told by this process.
//
// It reads a Cluster as JSON and writes one JSON object: the claim with which
// the operator takes the files over, or the reason why the Job has to make
// them. The provisioner gives the claim the folder that it names. Asked twice
// for the same Cluster it makes the files once; who asks meanwhile waits.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	apiv1 "github.com/cloudnative-pg/cloudnative-pg/api/v1"
	"github.com/cloudnative-pg/cloudnative-pg/pkg/reconciler/persistentvolumeclaim"
	"github.com/cloudnative-pg/cloudnative-pg/pkg/specs"
	corev1 "k8s.io/api/core/v1"
)

const (
	// Names the folder, relative to the provisioner's, that the claim's volume
	// becomes.
	filesAnnotation = "dev.pocdeploy/files"
	prepared        = "prepared"
	lockFile        = "lock"
	// How the folders of what is being made begin.
	scratch       = "scratch-"
	firstInstance = 1
	// A fresh database is made in some two seconds.
	limit = 2 * time.Minute
)

type answer struct {
	Claim  *corev1.PersistentVolumeClaim `json:"claim,omitempty"`
	Reason string                        `json:"reason,omitempty"`
}

func main() {
	volumes := flag.String("volumes", "/var/lib/pocdeploy/volumes", "the provisioner's folder")
	operator := flag.String("operator", "", "the operator's image, which holds the program that makes the files")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	found, err := run(ctx, os.Stdin, *volumes, *operator)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bootstrap:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, input io.Reader, volumes, operator string) (answer, error) {
	text, err := io.ReadAll(input)
	if err != nil {
		return answer{}, err
	}
	cluster := &apiv1.Cluster{}
	if err := json.Unmarshal(text, cluster); err != nil {
		return answer{}, fmt.Errorf("read the Cluster: %w", err)
	}
	cluster.SetDefaults()
	// The operator takes the image over before it does anything else.
	cluster.Status.Image = cluster.Spec.ImageName
	job, reason := job(cluster)
	if reason != "" {
		return answer{Reason: reason}, nil
	}
	folder := folderOf(text, operator)
	claim, err := claim(cluster, folder)
	if err != nil {
		return answer{}, err
	}
	free, err := lock(ctx, filepath.Join(volumes, prepared))
	if err != nil {
		return answer{}, err
	}
	defer free()
	if _, err := os.Stat(filepath.Join(volumes, folder)); err == nil {
		return answer{Claim: claim}, nil
	}
	if err := clean(ctx, filepath.Join(volumes, prepared)); err != nil {
		return answer{}, err
	}
	return answer{Claim: claim}, makeFiles(ctx, cluster, job, operator, filepath.Join(volumes, folder))
}

// lock makes the folder and waits until nobody else makes files in it. What a
// process that was killed held is free.
func lock(ctx context.Context, folder string) (func() error, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file.Close, nil
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("another process makes files: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// clean removes what was begun and cut off, and what was made of another
// Cluster and is not wanted any more: no claim names it, else there would be no
// reason to make files.
func clean(ctx context.Context, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		switch {
		case entry.Name() == lockFile:
			continue
		case strings.HasPrefix(entry.Name(), scratch):
			discard(ctx, path)
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// folderOf names a folder after what its files are made of.
func folderOf(cluster []byte, operator string) string {
	digest := sha256.Sum256(slices.Concat(cluster, []byte(operator)))
	return filepath.Join(prepared, hex.EncodeToString(digest[:6]))
}

// job is what the operator's Job would run, or the reason why it has to.
func job(cluster *apiv1.Cluster) (corev1.PodSpec, string) {
	if reason := unfit(cluster); reason != "" {
		return corev1.PodSpec{}, reason
	}
	out := specs.CreatePrimaryJobViaInitdb(*cluster, firstInstance).Spec.Template.Spec
	return out, needsMore(out)
}

// unfit says why the files cannot be made before the cluster is there.
func unfit(cluster *apiv1.Cluster) string {
	bootstrap := cluster.Spec.Bootstrap
	switch {
	case bootstrap.InitDB == nil:
		return "the database is not made by initdb"
	case bootstrap.InitDB.Import != nil:
		return "the database is imported"
	case cluster.Spec.ImageCatalogRef != nil:
		return "the database's image is named by a catalogue in the cluster"
	case cluster.IsReplica():
		return "the database follows another"
	case cluster.ShouldCreateWalArchiveVolume() || cluster.ContainsTablespaces():
		return "the database has further volumes"
	case len(cluster.GetJobEnabledPluginNames()) > 0:
		return "plugins take part"
	case cluster.Spec.StorageConfiguration.StorageClass != nil || cluster.Spec.StorageConfiguration.PersistentVolumeClaimTemplate != nil:
		return "the volume is of a class of its own"
	}
	return ""
}

// needsMore says what the Job would be given by the cluster, besides its volume
// and scratch space.
func needsMore(job corev1.PodSpec) string {
	for _, volume := range job.Volumes {
		if volume.EmptyDir == nil && volume.PersistentVolumeClaim == nil {
			return "the database is made with the volume " + volume.Name
		}
	}
	container := job.Containers[0]
	if len(container.EnvFrom) > 0 {
		return "the database is made with variables from the cluster"
	}
	for _, variable := range container.Env {
		// It is there to make the Job wait for the Secret, and is not read.
		if variable.ValueFrom != nil && variable.Name != "APP_USERNAME" {
			return "the database is made with the variable " + variable.Name
		}
	}
	return ""
}

// claim is the operator's own, ready to be taken over as after a restore.
func claim(cluster *apiv1.Cluster, folder string) (*corev1.PersistentVolumeClaim, error) {
	out, err := persistentvolumeclaim.Build(cluster, &persistentvolumeclaim.CreateConfiguration{
		Status:     persistentvolumeclaim.StatusReady,
		NodeSerial: firstInstance,
		Calculator: persistentvolumeclaim.NewPgDataCalculator(),
		Storage:    cluster.Spec.StorageConfiguration,
	})
	if err != nil {
		return nil, err
	}
	out.APIVersion, out.Kind = "v1", "PersistentVolumeClaim"
	// The operator sets itself as owner when it takes the claim over; it has no
	// identity yet that could be named.
	out.OwnerReferences = nil
	out.Annotations[filesAnnotation] = folder
	return out, nil
}
