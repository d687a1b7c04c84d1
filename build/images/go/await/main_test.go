package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestTheKubeconfigIsFoundAmongTheArguments(t *testing.T) {
	if file := kubeconfig([]string{"--v=2", "--kubeconfig=/etc/a.conf"}); file != "/etc/a.conf" {
		t.Error(file)
	}
	if file := kubeconfig([]string{"--authentication-kubeconfig=/etc/b.conf"}); file != "" {
		t.Error(file)
	}
}

// A server that is ready or not, and that lets who calls do everything or not.
func TestWhoMayDoEverythingNeedNotWaitForTheRules(t *testing.T) {
	for _, state := range []struct{ ready, everything bool }{{true, false}, {false, true}, {false, false}} {
		answering := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
			switch {
			case in.URL.Path == "/readyz" && !state.ready:
				out.WriteHeader(http.StatusInternalServerError)
			case in.URL.Path != "/readyz":
				fmt.Fprintf(out, `{"status":{"allowed":%t}}`, state.everything)
			}
		}))
		defer answering.Close()
		server := server{url: answering.URL, client: answering.Client()}
		if ready := server.isReady() == nil; ready != state.ready {
			t.Errorf("%+v: ready is %t", state, ready)
		}
		if may := server.mayDoEverything(); may != state.everything {
			t.Errorf("%+v: may is %t", state, may)
		}
	}
}

func TestAKubeconfigIsReadOrTheReasonTold(t *testing.T) {
	answering := httptest.NewTLSServer(http.NotFoundHandler())
	defer answering.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: answering.Certificate().Raw})
	encoded := base64.StdEncoding.EncodeToString(certificate)
	for text, want := range map[string]string{
		"clusters: []\nusers: []\n":                                 "names 0 clusters and 0 users, not one of each",
		"clusters: [{cluster: {server: a}}]\nusers: [{user: {}}]\n": "holds no certificate authority",
		"clusters: [{cluster: {server: a, certificate-authority-data: " + encoded + "}}]\nusers: [{user: {}}]\n": "tls: failed to find any PEM data in certificate input",
	} {
		file := filepath.Join(t.TempDir(), "admin.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(file); err == nil || err.Error() != file+" "+want && err.Error() != file+": "+want {
			t.Errorf("%v, not %s", err, want)
		}
	}
}
