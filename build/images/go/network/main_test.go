package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, area string, addresses ...corev1.NodeAddress) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.NodeSpec{PodCIDR: area},
		Status:     corev1.NodeStatus{Addresses: addresses},
	}
}

func TestEveryOtherNodeWithARangeAndAnAddressIsReached(t *testing.T) {
	at := func(address string) corev1.NodeAddress {
		return corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address}
	}
	named := corev1.NodeAddress{Type: corev1.NodeHostName, Address: "c"}
	nodes := []*corev1.Node{
		node("a", "10.244.0.0/24", at("172.18.0.2")),
		node("b", "10.244.2.0/24", at("172.18.0.3"), at("fc00::3")),
		node("c", "10.244.1.0/24", named, at("172.18.0.4")),
		node("joins", "", at("172.18.0.5")),
		node("starts", "10.244.3.0/24", named),
	}
	mine, others := ranges("a", nodes)
	wanted := map[string]string{"10.244.2.0/24": "172.18.0.3", "10.244.1.0/24": "172.18.0.4"}
	if mine != "10.244.0.0/24" || !maps.Equal(others, wanted) {
		t.Error(mine, others)
	}
}

func TestTheConfigurationIsThatOfOneNodeWithTheRange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "05-pocdeploy.conflist")
	if err := write(file, fmt.Sprintf(configuration, "10.244.0.0/24")); err != nil {
		t.Fatal(err)
	}
	read := func(path string) (out any) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	found, _ := json.Marshal(read(file))
	one, _ := json.Marshal(read("../../node/10-pocdeploy.conflist"))
	if string(found) != string(one) {
		t.Errorf("%s\n%s", found, one)
	}
}
