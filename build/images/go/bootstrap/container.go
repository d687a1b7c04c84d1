package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	apiv1 "github.com/cloudnative-pg/cloudnative-pg/api/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	containerd = "/run/containerd/containerd.sock"
	// Where the operator's image is mounted, in the folder of what is being made.
	programsFolder = "operator"
	// Of the processor's time, where all pods together have 1024, as has what the
	// node itself runs: the control plane is to start first.
	share = "128"
)

// makeFiles runs the Job's command in a container, and gives the folder its
// name when the command has ended well.
func makeFiles(ctx context.Context, cluster *apiv1.Cluster, job corev1.PodSpec, operator, folder string) error {
	if err := await(ctx, containerd); err != nil {
		return err
	}
	server, err := serve(cluster)
	if err != nil {
		return err
	}
	defer server.close()
	work, err := os.MkdirTemp(filepath.Dir(folder), scratch)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	account, programs, made := filepath.Join(work, "account"), filepath.Join(work, programsFolder), filepath.Join(work, "made")
	if err := server.account(account); err != nil {
		return err
	}
	if err := os.Mkdir(programs, 0o755); err != nil {
		return err
	}
	if err := ctr(ctx, "images", "mount", operator, programs); err != nil {
		return err
	}
	defer func() { _ = ctr(context.WithoutCancel(ctx), "images", "unmount", "--rm", programs) }()
	container := job.Containers[0]
	mounts := []mount{
		{account, accountPath, "ro"},
		{filepath.Join(programs, "manager"), container.Command[0], "ro"},
	}
	for _, it := range container.VolumeMounts {
		from := made
		if !isClaim(job, it.Name) {
			from = filepath.Join(work, "volume-"+it.Name)
		}
		if err := open(from); err != nil {
			return err
		}
		mounts = append(mounts, mount{from, it.MountPath, "rw"})
	}
	user := fmt.Sprintf("%d:%d", cluster.GetPostgresUID(), cluster.GetPostgresGID())
	name := filepath.Base(work)
	arguments := []string{"run", "--rm", "--net-host", "--read-only", "--user", user, "--cgroup", "/" + name, "--cpu-shares", share}
	for _, it := range inOrder(mounts) {
		arguments = append(arguments, "--mount", "type=bind,src="+it.from+",dst="+it.to+",options=rbind:"+it.mode)
	}
	for _, it := range append(container.Env, server.environment()...) {
		if it.ValueFrom == nil {
			arguments = append(arguments, "--env", it.Name+"="+it.Value)
		}
	}
	arguments = append(arguments, container.Image, name)
	if err := ctr(ctx, append(arguments, container.Command...)...); err != nil {
		return err
	}
	return os.Rename(made, folder)
}

// discard ends what a process that was cut off left behind: its container, which
// has the name of its folder, and the operator's image, which is mounted there.
// What of it is not there is no loss.
func discard(ctx context.Context, work string) {
	_ = ctr(ctx, "tasks", "rm", "--force", filepath.Base(work))
	_ = ctr(ctx, "containers", "rm", filepath.Base(work))
	_ = ctr(ctx, "images", "unmount", "--rm", filepath.Join(work, programsFolder))
}

// await waits until somebody listens on the socket.
func await(ctx context.Context, socket string) error {
	for {
		connection, err := net.Dial("unix", socket)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func isClaim(job corev1.PodSpec, volume string) bool {
	for _, it := range job.Volumes {
		if it.Name == volume && it.PersistentVolumeClaim != nil {
			return true
		}
	}
	return false
}

// open makes a folder that every user may write to, as the cluster's own
// volumes are; one that is there is of a volume that is mounted twice.
func open(folder string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	// The process's umask took bits away from the mode above.
	return os.Chmod(folder, 0o777)
}

type mount struct{ from, to, mode string }

// inOrder sorts so that what lies in another's folder is mounted after it.
func inOrder(mounts []mount) []mount {
	sort.SliceStable(mounts, func(a, b int) bool { return mounts[a].to < mounts[b].to })
	return mounts
}

// ctr calls containerd where the kubelet's images are; what it says is told
// only where it fails.
func ctr(ctx context.Context, arguments ...string) error {
	var said bytes.Buffer
	command := exec.CommandContext(ctx, "ctr", append([]string{"--namespace", "k8s.io"}, arguments...)...)
	command.Stdout, command.Stderr = &said, &said
	if err := command.Run(); err != nil {
		return fmt.Errorf("ctr %s: %w: %s", arguments[0], err, words(said.String()))
	}
	return nil
}

// words is what a person wants to read of it: the operator's program writes a
// line of JSON for each event, and what other programs say is one of them.
func words(said string) string {
	var out []string
	for line := range strings.Lines(said) {
		var event struct{ Level, Msg, Error, Pipe string }
		switch err := json.Unmarshal([]byte(line), &event); {
		case err != nil && !strings.Contains(line, "level=warning"):
			out = append(out, strings.TrimSpace(line))
		case err == nil && event.Pipe == "stderr":
			out = append(out, strings.TrimSpace(event.Msg))
		case err == nil && event.Level == "error":
			out = append(out, event.Msg+": "+event.Error)
		}
	}
	return strings.Join(slices.Compact(out), "\n")
}
