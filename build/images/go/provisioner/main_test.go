package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func TestAmongSeveralNodesEachMakesAndRemovesItsOwnVolumes(t *testing.T) {
	ctx := context.Background()
	claim := &corev1.PersistentVolumeClaim{}
	alone := &hostPath{base: t.TempDir(), node: "a"}
	if !alone.ShouldProvision(ctx, claim) || !alone.ShouldDelete(ctx, &corev1.PersistentVolume{}) {
		t.Error("the only node does not serve every claim")
	}
	one, other := &hostPath{base: t.TempDir(), node: "a", several: true}, &hostPath{node: "b", several: true}
	if one.ShouldProvision(ctx, claim) {
		t.Error("a claim without a pod was served")
	}
	claim.Annotations = map[string]string{selectedNode: "a"}
	if !one.ShouldProvision(ctx, claim) || other.ShouldProvision(ctx, claim) {
		t.Error("a claim was not served by its pod's node alone")
	}
	reclaim := corev1.PersistentVolumeReclaimDelete
	class := &storagev1.StorageClass{ReclaimPolicy: &reclaim}
	volume, _, err := one.Provision(ctx, controller.ProvisionOptions{PVName: "pvc-1", PVC: claim, StorageClass: class})
	if err != nil || !one.ShouldDelete(ctx, volume) || other.ShouldDelete(ctx, volume) {
		t.Error("a volume was not removed by its node alone", err)
	}
}

func TestAVolumeIsEmptyAndOpenToEveryUser(t *testing.T) {
	host := &hostPath{base: t.TempDir()}
	path := host.directory("pvc-1")
	for range 2 {
		if err := host.fill(path, ""); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.Stat(path)
	if err != nil || found.Mode().Perm() != 0o777 {
		t.Error(found, err)
	}
}

func TestFilesThatWereMadeForAClaimBecomeItsVolumeOnce(t *testing.T) {
	host := &hostPath{base: t.TempDir()}
	files := filepath.Join(prepared, "k")
	if err := os.MkdirAll(filepath.Join(host.base, files, "pgdata"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := host.directory("pvc-1")
	// The second time is after a try whose volume was not taken.
	for range 2 {
		if err := host.fill(path, files); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(path, "pgdata")); err != nil {
			t.Fatal(err)
		}
	}
	if err := host.fill(host.directory("pvc-2"), files); err == nil {
		t.Error("files that are gone were found")
	}
}

func TestAClaimNamesNothingBesidesPreparedFiles(t *testing.T) {
	host := &hostPath{base: t.TempDir()}
	for _, files := range []string{"pvc-9", "/etc", "prepared", "prepared/../pvc-9", "prepared/a/b"} {
		err := host.fill(host.directory("pvc-1"), files)
		if err == nil || !strings.Contains(err.Error(), "does not lie in") {
			t.Errorf("%s: %v", files, err)
		}
	}
}

func TestAVolumeStaysBelowItsBase(t *testing.T) {
	host := &hostPath{base: "/base"}
	if path := host.directory("../../etc"); path != "/base/.._.._etc" {
		t.Error(path)
	}
}
