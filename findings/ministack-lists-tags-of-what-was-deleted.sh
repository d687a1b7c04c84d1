#!/usr/bin/env bash
# MiniStack's `ec2 describe-tags` still names resources that were deleted, with their tags.
#
# One would guess: an emulator that forgets a subnet forgets its tags, so that a list by tag says what is left, as EC2's does within seconds.
# What happens: `describe-tags` names the subnet, the VPC and the volume after their deletion, for as long as the emulator runs, while
# `describe-subnets` and the others with a filter by the same tag are empty. A clean-up that is audited by the one call has leftovers for ever.
# Versions: MiniStack 1.5.33 and the AWS CLI 1.46.3 (both PyPI). Seen on 2026-11-28.
# What follows for us: the inventory of EKS asks for each kind of thing with a filter by tag (xtask/src/provider/cloud/aws/things.rs).
set -eu
work=$(mktemp -d)
trap 'kill "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
# Each in an environment of its own: they want different releases of botocore.
python3 -m venv cloud && cloud/bin/pip install --quiet ministack==1.5.33
python3 -m venv client && client/bin/pip install --quiet awscli==1.46.3
port=$(python3 -c 'import socket; it = socket.socket(); it.bind(("127.0.0.1", 0)); print(it.getsockname()[1])')
env -u DOCKER_HOST GATEWAY_PORT="$port" MINISTACK_HOST=127.0.0.1 cloud/bin/ministack > log 2>&1 &
server=$!
export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=
aws() { client/bin/aws "$@" --output text; }
for _ in $(seq 60); do aws sts get-caller-identity > /dev/null 2>&1 && break || sleep 1; done
tags='Tags=[{Key=owner,Value=trial}]'
network=$(aws ec2 create-vpc --cidr-block 10.1.0.0/16 --tag-specifications "ResourceType=vpc,$tags" --query Vpc.VpcId)
subnet=$(aws ec2 create-subnet --vpc-id "$network" --cidr-block 10.1.0.0/24 --tag-specifications "ResourceType=subnet,$tags" --query Subnet.SubnetId)
aws ec2 delete-subnet --subnet-id "$subnet"
aws ec2 delete-vpc --vpc-id "$network"
by_tag=$(aws ec2 describe-tags --filters Name=key,Values=owner Name=value,Values=trial --query 'Tags[].ResourceType')
by_kind=$(aws ec2 describe-vpcs --filters Name=tag:owner,Values=trial --query 'Vpcs[].VpcId')$(aws ec2 describe-subnets --filters Name=tag:owner,Values=trial --query 'Subnets[].SubnetId')
echo "describe-tags: $by_tag"
echo "describe-vpcs and describe-subnets: ${by_kind:-nothing}"
[ "$(tr '\t' '\n' <<< "$by_tag" | sort | xargs)" = 'subnet vpc' ]
[ -z "$by_kind" ]
