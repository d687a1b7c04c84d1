package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/cloudnative-pg/cloudnative-pg/api/v1"
)

const shipped = `{"metadata":{"name":"db","namespace":"ns"},"spec":{"instances":1,"imageName":"localhost/postgresql:17-x",
	"bootstrap":{"initdb":{"database":"d","owner":"o","dataChecksums":true}},"storage":{"size":"1Gi"}}}`

// with is the shipped Cluster with what the text says besides.
func with(t *testing.T, more string) *apiv1.Cluster {
	t.Helper()
	cluster := &apiv1.Cluster{}
	for _, text := range []string{shipped, more} {
		if err := json.Unmarshal([]byte(text), cluster); err != nil {
			t.Fatal(err)
		}
	}
	cluster.SetDefaults()
	cluster.Status.Image = cluster.Spec.ImageName
	return cluster
}

func TestWhatTheClusterWouldHaveToGiveIsLeftToTheJob(t *testing.T) {
	for more, want := range map[string]string{
		`{}`: "",
		`{"spec":{"bootstrap":{"initdb":{"postInitSQL":["SELECT 1"]}}}}`:                                                            "",
		`{"spec":{"bootstrap":{"initdb":null,"recovery":{"source":"s"}}}}`:                                                          "not made by initdb",
		`{"spec":{"bootstrap":{"initdb":{"import":{"type":"monolith","databases":["*"]}}}}}`:                                        "imported",
		`{"spec":{"walStorage":{"size":"1Gi"}}}`:                                                                                    "further volumes",
		`{"spec":{"storage":{"storageClass":"fast"}}}`:                                                                              "class of its own",
		`{"spec":{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]}}`:                                       "variable A",
		`{"spec":{"envFrom":[{"configMapRef":{"name":"c"}}]}}`:                                                                      "variables from the cluster",
		`{"spec":{"projectedVolumeTemplate":{"sources":[{"configMap":{"name":"c"}}]}}}`:                                             "volume projected",
		`{"spec":{"bootstrap":{"initdb":{"postInitSQLRefs":{"secretRefs":[{"name":"s","key":"k"}]}}}}}`:                             "volume",
		`{"spec":{"ephemeralVolumeSource":{"volumeClaimTemplate":{"spec":{"accessModes":["ReadWriteOnce"]}}}}}`:                     "volume scratch-data",
		`{"spec":{"imageName":"","imageCatalogRef":{"apiGroup":"postgresql.cnpg.io","kind":"ImageCatalog","major":17,"name":"c"}}}`: "catalogue",
	} {
		_, reason := job(with(t, more))
		if (reason == "") != (want == "") || !strings.Contains(reason, want) {
			t.Errorf("%s: %q, not %q", more, reason, want)
		}
	}
}

func TestTheJobsOwnCommandIsRun(t *testing.T) {
	spec, reason := job(with(t, `{}`))
	if reason != "" {
		t.Fatal(reason)
	}
	command := strings.Join(spec.Containers[0].Command, " ")
	for _, part := range []string{"/controller/manager instance init", "-k", "--app-db-name d --app-user o"} {
		if !strings.Contains(command, part) {
			t.Errorf("no %q in %q", part, command)
		}
	}
}

func TestTheClaimIsOneThatTheOperatorTakesOver(t *testing.T) {
	made, err := claim(with(t, `{}`), "prepared/k")
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != "db-1" || made.Namespace != "ns" || len(made.OwnerReferences) != 0 {
		t.Errorf("%s/%s of %v", made.Namespace, made.Name, made.OwnerReferences)
	}
	for key, want := range map[string]string{"cnpg.io/nodeSerial": "1", "cnpg.io/pvcStatus": "ready", filesAnnotation: "prepared/k"} {
		if made.Annotations[key] != want {
			t.Errorf("%s is %q", key, made.Annotations[key])
		}
	}
	if made.Labels["cnpg.io/cluster"] != "db" || made.Labels["cnpg.io/pvcRole"] != "PG_DATA" {
		t.Error(made.Labels)
	}
}

func TestFilesAreMadeOnceAndTheRestIsCleanedAway(t *testing.T) {
	volumes := t.TempDir()
	first := folderOf([]byte(shipped), "operator:1")
	for _, name := range []string{first, filepath.Join(prepared, "other")} {
		if err := os.MkdirAll(filepath.Join(volumes, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// What is there needs no containerd, and there is none here.
	found, err := run(context.Background(), strings.NewReader(shipped), volumes, "operator:1")
	if err != nil || found.Claim.Annotations[filesAnnotation] != first {
		t.Fatal(found, err)
	}
	if other := folderOf([]byte(shipped), "operator:2"); other == first {
		t.Error("another operator, the same files")
	}
	if err := clean(context.Background(), filepath.Join(volumes, prepared)); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(volumes, prepared))
	if err != nil || len(left) != 1 || left[0].Name() != lockFile {
		t.Error(left, err)
	}
}

func TestWhoComesSecondWaitsUntilTheFirstIsDone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), prepared)
	free, err := lock(context.Background(), folder)
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := lock(soon, folder); err == nil || !strings.Contains(err.Error(), "another process makes files") {
		t.Error(err)
	}
	if err := free(); err != nil {
		t.Fatal(err)
	}
	if _, err := lock(context.Background(), folder); err != nil {
		t.Error(err)
	}
}

func TestThePodsAccountReachesTheClusterAndNothingElse(t *testing.T) {
	server, err := serve(with(t, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	folder := filepath.Join(t.TempDir(), "account")
	if err := server.account(folder); err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	variables := server.environment()
	base := "https://" + variables[0].Value + ":" + variables[1].Value + "/apis/postgresql.cnpg.io/v1/namespaces/ns/clusters/"
	for name, want := range map[string]int{"db": http.StatusOK, "other": http.StatusNotFound} {
		answer, err := client.Get(base + name)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s", name, answer.Status)
		}
		if want == http.StatusOK && !strings.Contains(string(text), `"kind":"Cluster"`) {
			t.Errorf("%s", text)
		}
	}
}

func TestWhatLiesInAnothersFolderIsMountedAfterIt(t *testing.T) {
	sorted := inOrder([]mount{{to: "/run/secrets"}, {to: "/controller/manager"}, {to: "/run"}, {to: "/controller"}})
	var got []string
	for _, it := range sorted {
		got = append(got, it.to)
	}
	if strings.Join(got, " ") != "/controller /controller/manager /run /run/secrets" {
		t.Error(got)
	}
}

func TestAFailureIsToldInWordsAndNotInEvents(t *testing.T) {
	said := `time="2026-01-01T00:00:00Z" level=warning msg="DEPRECATION"
{"level":"info","msg":"Creating new data directory","initDbOptions":["-k"]}
{"level":"info","logger":"initdb","msg":"The files belonging","pipe":"stdout"}
{"level":"info","logger":"initdb","msg":"initdb: error: invalid locale name\n","pipe":"stderr"}
{"level":"error","msg":"Error while bootstrapping","error":"exit status 1","stacktrace":"a\nb"}
Error: exit status 1
`
	want := "initdb: error: invalid locale name\nError while bootstrapping: exit status 1\nError: exit status 1"
	if got := words(said); got != want {
		t.Errorf("%q, not %q", got, want)
	}
}
