#!/usr/bin/env bash
# Makes the pictures of README and docs: a `create` in a terminal of 80 columns, and the application's page in a browser.
# Needs tmux, chromium and python3, and an instance that is not there yet. Run it from the project's folder: bash docs/pictures.sh
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
session=pocdeploy-pictures-$$
# shellcheck disable=SC2064
trap "tmux kill-session -t $session 2>/dev/null || true; rm -rf '$work'" EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ansi2html==1.9.2
cargo build --quiet

# The prompt is a plain one, and the program is called as users call it.
tmux new-session -d -s "$session" -x 80 -y 40 "env PS1='$ ' bash --norc --noprofile"
tmux send-keys -t "$session" "clear; cargo xtask create --yes; echo done > $work/done" Enter
for _ in $(seq 1800); do
    test -e "$work/done" && break
    sleep 1
done
test -e "$work/done" || { echo "create has not ended within 30 minutes" >&2; exit 1; }
tmux capture-pane -t "$session" -e -p | sed -e "s/; echo done.*//" -e 's/clear; //' > "$work/terminal.ansi"
"$work/venv/bin/ansi2html" --scheme=ansi2html --title=create < "$work/terminal.ansi" > "$work/terminal.html"
rows=$(grep -c '' "$work/terminal.ansi")
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=760,$((rows * 17 + 30)) \
    --screenshot="$PWD/docs/terminal.png" "file://$work/terminal.html" 2> "$work/chromium.log" || { cat "$work/chromium.log" >&2; exit 1; }

url=$(cargo xtask url 2> /dev/null)
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=720,420 \
    --screenshot="$PWD/docs/page.png" "$url" 2> "$work/chromium.log" || { cat "$work/chromium.log" >&2; exit 1; }
echo "docs/terminal.png and docs/page.png are of $(date +%F); the instance stays: cargo xtask delete"
