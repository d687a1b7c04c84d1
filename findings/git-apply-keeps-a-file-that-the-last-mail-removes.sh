#!/usr/bin/env bash
# `git apply` of a mailbox keeps the file that its last mail removes, and ends with 0.
#
# One would guess: `git apply` of what `git format-patch --stdout` wrote makes the tree that `git am` makes, without the commits; it does
# follow one file through several mails (the second change below fits only what the first one made).
# What happens: each part is checked against what the parts before it left, but the results are written in two rounds: all removals, then
# all contents. A file that an earlier mail made or changed is thus written after its removal. With --verbose each part "applied cleanly".
# GNU patch, which goes from part to part, is right.
# Versions: git 2.39.5 (Debian); GNU patch 2.7.6. Source: write_out_results in git's apply.c, "phase 0 is to remove, phase 1 is to create".
# Seen on 2026-11-27.
# What follows for us: one step per mail, and per file that comes twice: xtask/src/patch, test
# `a_mailbox_makes_the_tree_that_its_history_ends_with` of tests/patches.rs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=n@example.com GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=n@example.com
git --version
git --version | grep -qF 'git version 2.39.5' || echo "seen with git 2.39.5: another version may differ"
patch --version | head -n 1
git init --quiet -b main origin
cd origin
printf 'one\n' > old
git add . && git commit --quiet -m base
printf 'one\n' > new && git add . && git commit --quiet -m "new is made"
printf 'two\n' >> new && git commit --quiet -am "new is changed"
git rm --quiet new && git commit --quiet -m "new is removed"
printf 'two\n' >> old && git commit --quiet -am "old is changed"
git rm --quiet old && git commit --quiet -m "old is removed"
git format-patch --quiet --stdout HEAD~5 > ../mailbox
left=$(git ls-files)
test -z "$left"
cd ..
for name in am apply patch; do
    git clone --quiet origin $name
    git -C $name reset --quiet --hard HEAD~5
done
git -C am am --quiet ../mailbox
echo "git am:    exit $?, files: $(git -C am ls-files | tr '\n' ' ')"
test -z "$(git -C am ls-files)"
(cd patch && patch --quiet --strip=1 < ../mailbox)
echo "GNU patch: exit $?, files: $(ls patch | tr '\n' ' ')"
test -z "$(ls patch)"
git -C apply apply --verbose ../mailbox > said 2>&1
echo "git apply: exit $?, files: $(ls apply | tr '\n' ' ')"
sed 's/^/    /' said
test "$(ls apply | tr '\n' ' ')" = "new old " || { echo "CHANGED: git apply removes what the mailbox removes"; exit 1; }
test "$(grep -c 'applied cleanly\|Applied patch' said)" = 5
