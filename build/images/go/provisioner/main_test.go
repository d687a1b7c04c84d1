package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
