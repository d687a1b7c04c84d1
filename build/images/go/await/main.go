// Command await stands in front of a program of the control plane and starts
// it once the API server answers it. Such a program starts together with the
// API server; what it asks before there are answers is tried again after
// pauses that double, and what it could do at once then comes seconds late.
//
// It is called by the program's name, `kube-scheduler --kubeconfig=…`, and
// runs the program of that name in /usr/libexec with the same arguments.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	programs = "/usr/libexec"
	pause    = 50 * time.Millisecond
	// Then the program starts all the same, and says itself what it lacks.
	limit = 2 * time.Minute
)

func main() {
	name := filepath.Base(os.Args[0])
	program := filepath.Join(programs, name)
	if err := wait(name, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "await: %v; starting %s without waiting any longer\n", err, program)
	}
	fmt.Fprintln(os.Stderr, syscall.Exec(program, os.Args, os.Environ()))
	os.Exit(1)
}

// wait returns when the API server of the kubeconfig that the arguments name
// is ready, which it is when its own rules are in place, or as soon as it
// takes whom that kubeconfig names for somebody who may do everything. The
// controller manager looks for the former itself, once a second.
func wait(name string, arguments []string) error {
	file := kubeconfig(arguments)
	if file == "" {
		return fmt.Errorf("no --kubeconfig among the arguments")
	}
	server, err := open(file)
	if err != nil {
		return err
	}
	var last error
	for began := time.Now(); time.Since(began) < limit; time.Sleep(pause) {
		if last = server.isReady(); last == nil {
			return nil
		}
		if name != "kube-controller-manager" && server.mayDoEverything() {
			return nil
		}
	}
	return fmt.Errorf("%s is not ready: %w", server.url, last)
}

func kubeconfig(arguments []string) string {
	for _, argument := range arguments {
		if file, ok := strings.CutPrefix(argument, "--kubeconfig="); ok {
			return file
		}
	}
	return ""
}

type server struct {
	url    string
	client *http.Client
}

// isReady may be asked by anybody, as soon as the rules are in place.
func (s server) isReady() error {
	answer, err := s.client.Get(s.url + "/readyz")
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}

func (s server) mayDoEverything() bool {
	question := []byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",
		"spec":{"resourceAttributes":{"group":"*","resource":"*","verb":"*"}}}`)
	answer, err := s.client.Post(s.url+"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "application/json", bytes.NewReader(question))
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var review struct {
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	return json.NewDecoder(answer.Body).Decode(&review) == nil && review.Status.Allowed
}

func open(file string) (server, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return server{}, err
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server    string `json:"server"`
				Authority []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return server{}, fmt.Errorf("%s: %w", file, err)
	}
	if len(config.Clusters) != 1 || len(config.Users) != 1 {
		return server{}, fmt.Errorf("%s names %d clusters and %d users, not one of each", file, len(config.Clusters), len(config.Users))
	}
	cluster, user := config.Clusters[0].Cluster, config.Users[0].User
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(cluster.Authority) {
		return server{}, fmt.Errorf("%s holds no certificate authority", file)
	}
	pair, err := tls.X509KeyPair(user.Certificate, user.Key)
	if err != nil {
		return server{}, fmt.Errorf("%s: %w", file, err)
	}
	settings := &tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{pair}}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings}, Timeout: 2 * time.Second}
	return server{url: cluster.Server, client: client}, nil
}
