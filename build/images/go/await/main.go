// Command await stands in front of a program of the control plane and starts
// it once the API server serves. Such a program starts together with the API
// server; what it asks before there are answers is tried again after pauses
// that double, and what it could do at once then comes seconds late.
//
// It is called by the program's name, `kube-scheduler --kubeconfig=…`, and
// runs the program of that name in /usr/libexec with the same arguments.
package main

import (
	"crypto/tls"
	"crypto/x509"
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
	program := filepath.Join(programs, filepath.Base(os.Args[0]))
	if err := wait(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "await: %v; starting %s without waiting any longer\n", err, program)
	}
	fmt.Fprintln(os.Stderr, syscall.Exec(program, os.Args, os.Environ()))
	os.Exit(1)
}

// wait returns when the API server of the kubeconfig that the arguments name
// is ready. Whoever is not known may ask for that too, as soon as the server's
// own rules are in place, which is the last thing that it does.
func wait(arguments []string) error {
	file := kubeconfig(arguments)
	if file == "" {
		return fmt.Errorf("no --kubeconfig among the arguments")
	}
	url, client, err := server(file)
	if err != nil {
		return err
	}
	var last string
	for began := time.Now(); time.Since(began) < limit; time.Sleep(pause) {
		answer, err := client.Get(url + "/readyz")
		if err != nil {
			last = err.Error()
			continue
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		last = answer.Status
	}
	return fmt.Errorf("%s is not ready: %s", url, last)
}

func kubeconfig(arguments []string) string {
	for _, argument := range arguments {
		if file, ok := strings.CutPrefix(argument, "--kubeconfig="); ok {
			return file
		}
	}
	return ""
}

func server(file string) (string, *http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server    string `json:"server"`
				Authority []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return "", nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(config.Clusters) != 1 {
		return "", nil, fmt.Errorf("%s names %d clusters, not one", file, len(config.Clusters))
	}
	cluster := config.Clusters[0].Cluster
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(cluster.Authority) {
		return "", nil, fmt.Errorf("%s holds no certificate authority", file)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities}}
	return cluster.Server, &http.Client{Transport: transport, Timeout: 2 * time.Second}, nil
}
