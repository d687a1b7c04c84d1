# The kubelet sets these six for the whole machine, whose kernel the node shares,
# and nothing sets them back when the node is gone: the machine would restart ten
# seconds after a panic, and give more memory than it has. So the kubelet reads
# the values that it wants (setupKernelTunables in its container manager), and
# the machine keeps its own. The files are there until the node ends.
set -eu
mkdir -p /run/machine-settings
while read -r name value; do
    file=/proc/sys/$name
    [ "$(cat "$file")" != "$value" ] || continue
    own=/run/machine-settings/$(basename "$name")
    echo "$value" > "$own"
    mount --bind "$own" "$file"
done <<'END'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END
