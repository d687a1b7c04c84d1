#!/usr/bin/env bash
# checkov's check "Ensure EKS clusters run on a supported Kubernetes version" fails the newest version, and passes versions whose support is over.
#
# One would guess: a release of October 2026 knows what EKS supports in October 2026, or at least never prefers an old version to a new one.
# What happens: CKV_AWS_339 compares with a list, 1.29 to 1.35. EKS has had 1.36 since 2 June 2026, and it fails; the standard support of 1.33
# ended on 29 July 2026, after which AWS bills six times the price, and it passes, as does 1.29. A cluster without a version is passed too.
# Versions: checkov 3.3.30 (PyPI). Source: checkov/terraform/checks/resource/aws/EKSPlatformVersion.py. Dates: Amazon EKS user guide,
# "Understand the Kubernetes version lifecycle on EKS". Seen on 2026-11-28.
# What follows for us: the check is left out, with the reason (tests/clouds/checkov.yaml); `doctor --type eks` asks EKS itself.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet checkov==3.3.30
judge() {
    mkdir -p "$1"
    cat > "$1/main.tf" << END
resource "aws_eks_cluster" "this" {
  name     = "trial"
  role_arn = "arn:aws:iam::111122223333:role/trial"
  version  = "$1"
  vpc_config {
    subnet_ids = ["subnet-1", "subnet-2"]
  }
}
END
    result=$(env/bin/checkov --directory "$1" --framework terraform --check CKV_AWS_339 --skip-download --output json 2> /dev/null |
        python3 -c 'import json, sys; it = json.load(sys.stdin)["summary"]; print("passed" if it["passed"] else "failed")') || true
    echo "EKS $1: $result"
}
judge 1.36
[ "$result" = failed ]
judge 1.33
[ "$result" = passed ]
judge 1.29
[ "$result" = passed ]
