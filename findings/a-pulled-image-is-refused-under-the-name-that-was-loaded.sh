#!/usr/bin/env bash
# An image that was loaded into a node cannot be used under its name any more once a pod has pulled the same image under another.
#
# One would guess: an image that was loaded into a node (`kind load`, `ctr images import`) stays usable with `imagePullPolicy: IfNotPresent`,
# whatever other pods pull; the kubelet's check of credentials concerns images that were pulled with some.
# What happens: since Kubernetes 1.35 (feature KubeletEnsureSecretPulledImages, on by default) a kubelet keeps, by the image's ID, a record of
# what it has pulled, with the names and the credentials. An image without a record counts as loaded and needs no check. Once a pod pulls an
# image of the same ID as registry.example/team/app, even without credentials, the record makes it an image that was pulled, also under the
# name that was loaded, docker.io/library/app; for that name there is no entry, so the kubelet must pull it, and where no registry has it,
# pods wait with ErrImagePull for an image that the node has. It happens where one team loads a build and another pulls the same from a registry.
# Versions: k8s.io/kubernetes v1.36.3 (pkg/kubelet/images/pullmanager). Seen on 2026-11-30, there and on a node.
# Source: https://kubernetes.io/docs/concepts/containers/images/ and image_pull_manager.go (MustAttemptImagePull).
# What follows for us: kubelets of kind's nodes get imagePullCredentialsVerificationPolicy: NeverVerify (provider/kind/config.rs).
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
version=1.36.3
cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/images/pullmanager"
)

const id = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"

func main() {
	background := context.Background()
	folder, err := os.MkdirTemp("", "kubelet")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	records, err := pullmanager.NewFSPullRecordsAccessor(klog.Background(), folder)
	if err != nil {
		panic(err)
	}
	policy, err := pullmanager.NewImagePullCredentialVerificationPolicy(config.NeverVerifyPreloadedImages, nil)
	if err != nil {
		panic(err)
	}
	manager, err := pullmanager.NewImagePullManager(background, records, policy, nil, 1)
	if err != nil {
		panic(err)
	}
	ask := func(name string) {
		must, err := manager.MustAttemptImagePull(background, name, id, nil)
		fmt.Printf("%s must be pulled: %t, %v\n", name, must, err)
	}
	ask("docker.io/library/app:1")
	err = records.WriteImagePulledRecord(klog.Background(), &config.ImagePulledRecord{
		ImageRef: id,
		CredentialMapping: map[string]config.ImagePullCredentials{
			"registry.example/team/app": {NodePodsAccessible: true},
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("a pod pulls it as registry.example/team/app:1, without credentials")
	ask("registry.example/team/app:1")
	ask("docker.io/library/app:1")
}
GO
go mod init trial 2>/dev/null
# The module replaces its parts by folders of its repository; outside it they are modules of their own.
folder=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
parts=$(sed -n 's|^\t\(k8s.io/[^ ]*\) => ./staging/.*|\1|p' "$folder/go.mod")
for part in $parts; do go mod edit -replace "$part=$part@v0${version#1}"; done
go mod edit -require "k8s.io/kubernetes@v$version"
go mod tidy 2>/dev/null
seen=$(go run .)
printf '%s\n' "$seen"
[ "$seen" = "docker.io/library/app:1 must be pulled: false, <nil>
a pod pulls it as registry.example/team/app:1, without credentials
registry.example/team/app:1 must be pulled: false, <nil>
docker.io/library/app:1 must be pulled: true, <nil>" ] || { echo CHANGED; exit 1; }
