#!/usr/bin/env bash
# OpenTofu writes a changed state into the file of the old one.
#
# One would guess: a state in a file is the only record of what exists and costs money, so it is written beside the old one and renamed, as
# lock files and databases are. A hard link to the old one, by which backup programs keep versions, then stays what it was.
# What happens: the file is cut to nothing and written from its start, with the same inode. A hard link changes with it, a program that reads
# meanwhile sees a part, and a power cut in that moment leaves no state in this file; `terraform.tfstate.backup` has the one before the run.
# Terraform 1.13.3 has the same code, from which OpenTofu came.
# Version: github.com/opentofu/opentofu v1.12.6. Seen on 2026-11-30.
# Source: internal/states/statemgr/filesystem.go (Seek, then Truncate, then the new text), and its comment about the backup.
# What follows for us: a state that is no whole JSON object is replaced by the backup, and what the cloud has is taken into it
# (xtask/src/provider/cloud/state.rs).
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export GOFLAGS='-modcacherw -buildvcs=false' TF_CLI_CONFIG_FILE=/dev/null
# Its go.mod has directives that `go install` refuses, so it is built as the main module.
folder=$(go mod download -json github.com/opentofu/opentofu@v1.12.6 | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
cp -r --no-preserve=mode "$folder" source
(cd source && CGO_ENABLED=0 go build -o "$work/tofu" ./cmd/tofu)
cat > main.tf <<'HCL'
variable "word" { type = string }
resource "terraform_data" "kept" { input = var.word }
HCL
./tofu init -no-color > init.log
./tofu apply -no-color -auto-approve -var word=first > first.log
ln terraform.tfstate version-one
before=$(stat -c %i terraform.tfstate)
./tofu apply -no-color -auto-approve -var word=second > second.log
after=$(stat -c %i terraform.tfstate)
linked=$(grep -o '"output": *{[^}]*\|"input": *{[^}]*' -z version-one | tr -d '\0' | grep -o '"value": "[a-z]*"' | sort -u | tr '\n' ' ')
kept=$(grep -c '"first"' terraform.tfstate.backup || true)
echo "same inode: $([ "$before" = "$after" ] && echo yes || echo no); the hard link of the first state says: $linked; lines of the first value in the backup: $kept"
[ "$before" = "$after" ] && [ "$linked" = '"value": "second" ' ] && [ "$kept" -ge 1 ] || { echo CHANGED; exit 1; }
