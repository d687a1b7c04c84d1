#!/usr/bin/env bash
# A commit that `git rebase` drops, since the new base has its change already, hands its note to the commit before it.
#
# One would guess: with `notes.rewriteRef` set, notes follow commits that are rewritten; a commit that is dropped has no successor, so its note
# stays where it is, and no other commit changes its note.
# What happens: git prints "dropping ... -- patch contents already upstream" and then records the dropped commit as rewritten into the last
# commit that it made. With the mode `overwrite` that commit loses its own note, with `concatenate` (the default) it has both, and only with
# `ignore` it keeps its own alone, since its own note comes first. The same pairs go to the hook post-rewrite.
# Versions: git 2.39.5 (Debian's package 1:2.39.5-0+deb12u3). Source: record_in_rewritten and flush_rewritten_pending in git's sequencer.c. Seen on 2026-11-28.
# What follows for us: the notes with the file names of patches are rewritten with `ignore` (xtask/src/tasks/patch/commits.rs); test
# `the_queue_follows_a_source_that_was_replaced_by_hand` of tests/moved.rs, and the test of real applications with a patch that upstream took.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=n@example.com GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=n@example.com
# Debian's package alone, unpacked beside the system's git: its parts find each other by these two folders.
version=2.39.5-0+deb12u3
apt-get download --quiet "git=1:$version" > /dev/null 2>&1
dpkg-deb --extract git_*.deb unpacked
export PATH="$work/unpacked/usr/bin:$PATH" GIT_EXEC_PATH="$work/unpacked/usr/lib/git-core" GIT_TEMPLATE_DIR=
git --version
git --version | grep -qxF 'git version 2.39.5'
change() {
    sed -i "$1s/.*/$2/" file
    git commit --quiet --all -m "$2"
}
for mode in overwrite concatenate ignore; do
    git init --quiet -b main "$mode"
    cd "$mode"
    git config notes.rewriteRef refs/notes/commits
    git config notes.rewriteMode "$mode"
    seq 1 30 > file
    git add file && git commit --quiet -m base
    for it in "2 one" "15 two" "28 three"; do
        change ${it% *} "${it#* }"
        git notes add -m "note of ${it#* }"
    done
    git branch work
    git reset --quiet --hard main~3
    change 15 two
    git rebase --quiet --onto main work~3 work 2> said.txt
    grep -q 'patch contents already upstream' said.txt
    for subject in one three; do
        commit=$(git log --format=%H --grep "^$subject$" main..work)
        echo "$mode: $subject has: $(git notes show "$commit" | grep . | tr '\n' ',')"
    done > told.txt
    cat told.txt
    case $mode in
        overwrite) grep -qx 'overwrite: one has: note of two,' told.txt ;;
        concatenate) grep -qx 'concatenate: one has: note of one,note of two,' told.txt ;;
        ignore) grep -qx 'ignore: one has: note of one,' told.txt ;;
    esac
    grep -q ': three has: note of three,$' told.txt
    cd ..
done
