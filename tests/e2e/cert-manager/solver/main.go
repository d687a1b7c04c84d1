// What answers an HTTP-01 challenge, as cert-manager's own image does: the module of its command is on no proxy.
package main

import (
	"flag"
	"log"

	"github.com/go-logr/logr"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
)

func main() {
	var it solver.HTTP01Solver
	flag.IntVar(&it.ListenPort, "listen-port", 8089, "")
	flag.StringVar(&it.Domain, "domain", "", "the host of the challenge")
	flag.StringVar(&it.Token, "token", "", "the challenge")
	flag.StringVar(&it.Key, "key", "", "the answer")
	flag.Parse()
	log.Fatal(it.Listen(logr.Discard()))
}
