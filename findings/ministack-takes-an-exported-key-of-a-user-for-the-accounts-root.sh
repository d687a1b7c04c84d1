#!/usr/bin/env bash
# MiniStack takes the access key in its own environment for that of the account's root, also if it is a user's.
#
# One would guess: a server that keeps users, keys and their secrets over a restart (PERSIST_STATE=1), and verifies signatures (AUTH=true),
# knows a key by its own records. The environment of the server is that of a program, and not of its callers.
# What happens: started again from a shell that has a user's key exported, as every shell has that uses the AWS CLI, it calls that user
# `root`: the same call with the same key is answered with another ARN. What the user was given by name is gone with it: EKS's access entry
# of the user no longer applies, so that the API server's question about a token of `aws eks get-token` is answered with "not
# authenticated". Nothing is logged. Without the variables in the server's environment the user is there again.
# Versions: ministack 1.5.33, awscli 1.46.3 (PyPI). Seen on 2026-11-29.
# Source: ministack/core/iam_evaluator.py (is_root_access_key, resolve_credential).
# What follows for us: the tests start MiniStack without the variables of the AWS CLI (tests/clouds/emulator.rs).
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet ministack==1.5.33
python3 -m venv cli
cli/bin/pip install --quiet awscli==1.46.3
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start() {
    env -u AWS_SESSION_TOKEN "$@" AUTH=true PERSIST_STATE=1 STATE_DIR="$work/state" GATEWAY_PORT="$port" MINISTACK_HOST=127.0.0.1 \
        venv/bin/ministack > log 2>&1 &
    server=$!
    for _ in $(seq 150); do
        python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && return
        sleep 0.2
    done
    cat log
    exit 1
}
stop() {
    kill "$server"
    wait "$server" || true
    server=
}
aws() {
    AWS_ENDPOINT_URL="http://127.0.0.1:$port" AWS_ACCESS_KEY_ID="$1" AWS_SECRET_ACCESS_KEY="$2" AWS_DEFAULT_REGION=eu-central-1 \
        cli/bin/aws "${@:3}" --output text
}
# What the API server of the cluster would be told about a token of this key.
review() {
    secret=$(grep -o '"_auth_token": "[^"]*"' state/eks.json | cut -d'"' -f4)
    token=$(AWS_ACCESS_KEY_ID="$key" AWS_SECRET_ACCESS_KEY="$word" cli/bin/aws eks get-token --cluster-name trial --region eu-central-1 |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["status"]["token"])')
    python3 - "http://127.0.0.1:$port/_ministack/eks-auth/000000000000/eu-central-1/trial/$secret" "$token" <<'PY'
import json, sys, urllib.request
review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": sys.argv[2]}}
with urllib.request.urlopen(urllib.request.Request(sys.argv[1], json.dumps(review).encode())) as answer:
    print(json.load(answer)["status"]["authenticated"])
PY
}
start -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY
aws test test iam create-user --user-name dev > /dev/null
aws test test iam attach-user-policy --user-name dev --policy-arn arn:aws:iam::aws:policy/AdministratorAccess
read -r key word < <(aws test test iam create-access-key --user-name dev --query 'AccessKey.[AccessKeyId,SecretAccessKey]')
trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
role=$(aws test test iam create-role --role-name trial --assume-role-policy-document "$trust" --query Role.Arn)
aws "$key" "$word" eks create-cluster --name trial --role-arn "$role" --resources-vpc-config subnetIds=subnet-1,subnet-2 > /dev/null
stop
seen=
for how in clean exported clean; do
    if [ "$how" = clean ]; then
        start -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY
    else
        start AWS_ACCESS_KEY_ID="$key" AWS_SECRET_ACCESS_KEY="$word"
    fi
    seen+="$how: $(aws "$key" "$word" sts get-caller-identity --query Arn), token accepted: $(review)
"
    stop
done
printf '%s' "$seen"
[ "$seen" = "clean: arn:aws:iam::000000000000:user/dev, token accepted: True
exported: arn:aws:iam::000000000000:root, token accepted: False
clean: arn:aws:iam::000000000000:user/dev, token accepted: True
" ] || { echo CHANGED; exit 1; }
