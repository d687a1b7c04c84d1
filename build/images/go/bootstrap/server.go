package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	apiv1 "github.com/cloudnative-pg/cloudnative-pg/api/v1"
	corev1 "k8s.io/api/core/v1"
)

// Where a program in a pod looks for how to call the API server.
const accountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// server answers the only question that is asked of an API server while the
// files are made: how the Cluster reads. Nobody but this machine reaches it.
type server struct {
	listener    net.Listener
	certificate []byte
}

func serve(cluster *apiv1.Cluster) (*server, error) {
	shown := cluster.DeepCopy()
	shown.APIVersion, shown.Kind = apiv1.SchemeGroupVersion.String(), apiv1.ClusterKind
	text, err := json.Marshal(shown)
	if err != nil {
		return nil, err
	}
	pair, err := certificate(net.IPv4(127, 0, 0, 1))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	handler := http.NewServeMux()
	path := "/apis/" + shown.APIVersion + "/namespaces/" + shown.Namespace + "/clusters/" + shown.Name
	handler.HandleFunc("GET "+path, func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "application/json")
		_, _ = out.Write(text)
	})
	settings := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	answering := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = answering.Serve(tls.NewListener(listener, settings)) }()
	return &server{listener, pair.Certificate[0]}, nil
}

// close ends the connections that wait for a request, too: the process does.
func (s *server) close() { s.listener.Close() }

// account makes a folder of what a pod is given to call the API server.
func (s *server) account(folder string) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate})
	if err := os.WriteFile(filepath.Join(folder, "ca.crt"), authority, 0o644); err != nil {
		return err
	}
	// Nobody asks who calls; a client wants to have one.
	return os.WriteFile(filepath.Join(folder, "token"), []byte("none"), 0o644)
}

func (s *server) environment() []corev1.EnvVar {
	host, port, _ := net.SplitHostPort(s.listener.Addr().String())
	return []corev1.EnvVar{{Name: "KUBERNETES_SERVICE_HOST", Value: host}, {Name: "KUBERNETES_SERVICE_PORT", Value: port}}
}

// certificate signs itself, for as long as the files are made.
func certificate(address net.IP) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{address},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	text, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{text}, PrivateKey: key}, err
}
