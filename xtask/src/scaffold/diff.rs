//! Patches in git's format, for files that are new and for lines that are replaced.

/// Lines `from..to` of a file, counted from 0, are replaced by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) lines: Vec<String>,
}

/// Lines around a change.
const CONTEXT: usize = 3;

/// The patch that makes a file.
pub(super) fn new_file(path: &str, text: &str) -> String {
    let count = text.lines().count();
    let mut out = format!("diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{count} @@\n");
    text.lines().for_each(|it| out.push_str(&format!("+{it}\n")));
    out
}

/// The patch that edits a file. The edits do not overlap.
pub(super) fn edited(path: &str, text: &str, edits: &[Edit]) -> String {
    let mut edits = edits.to_vec();
    edits.sort_by_key(|it| (it.from, it.to));
    let old: Vec<&str> = text.split_inclusive('\n').collect();
    let mut out = format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n");
    // How many lines the new text is longer by now.
    let mut shift = 0_isize;
    let mut next = 0;
    while next < edits.len() {
        // Edits whose surroundings touch are one hunk.
        let mut last = next;
        while last + 1 < edits.len() && edits[last + 1].from <= edits[last].to + 2 * CONTEXT {
            last += 1;
        }
        let begin = edits[next].from.saturating_sub(CONTEXT);
        let end = (edits[last].to + CONTEXT).min(old.len());
        let mut body = String::new();
        let (mut removed, mut added, mut at) = (0, 0, begin);
        for edit in &edits[next..=last] {
            old[at..edit.from].iter().for_each(|it| line(&mut body, ' ', it));
            old[edit.from..edit.to].iter().for_each(|it| line(&mut body, '-', it));
            // Lines that are added behind the last one, which may lack its end.
            edit.lines.iter().for_each(|it| line(&mut body, '+', &format!("{it}\n")));
            removed += edit.to - edit.from;
            added += edit.lines.len();
            at = edit.to;
        }
        old[at..end].iter().for_each(|it| line(&mut body, ' ', it));
        let (before, after) = (end - begin, end - begin - removed + added);
        let number = |at: usize, count: usize| if count == 0 { at } else { at + 1 };
        let moved = begin.checked_add_signed(shift).unwrap_or(begin);
        out.push_str(&format!("@@ -{},{before} +{},{after} @@\n{body}", number(begin, before), number(moved, after)));
        shift += isize::try_from(added).unwrap_or_default() - isize::try_from(removed).unwrap_or_default();
        next = last + 1;
    }
    out
}

fn line(out: &mut String, sign: char, text: &str) {
    out.push(sign);
    out.push_str(text);
    if !text.ends_with('\n') {
        out.push_str("\n\\ No newline at end of file\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(from: usize, to: usize, lines: &[&str]) -> Edit {
        Edit { from, to, lines: lines.iter().map(|it| (*it).to_owned()).collect() }
    }

    #[test]
    fn edits_far_from_each_other_are_hunks_of_their_own_with_moved_numbers() {
        let text: String = (1..=20).map(|it| format!("{it}\n")).collect();
        let patch = edited("a.py", &text, &[edit(17, 18, &["new"]), edit(1, 1, &["", "one more"])]);
        expect_test::expect![[r#"
            diff --git a/a.py b/a.py
            --- a/a.py
            +++ b/a.py
            @@ -1,4 +1,6 @@
             1
            +
            +one more
             2
             3
             4
            @@ -15,6 +17,6 @@
             15
             16
             17
            -18
            +new
             19
             20
        "#]]
        .assert_eq(&patch);
    }

    #[test]
    fn edits_that_are_near_share_a_hunk_and_a_file_may_lack_its_last_end() {
        let patch = edited("a", "1\n2\n3", &[edit(0, 0, &["0"]), edit(2, 3, &["3", "4"])]);
        assert_eq!(
            patch.lines().skip(3).collect::<Vec<_>>(),
            ["@@ -1,3 +1,5 @@", "+0", " 1", " 2", "-3", "\\ No newline at end of file", "+3", "+4"]
        );
    }

    #[test]
    fn an_empty_file_gets_lines() {
        assert!(edited("a", "", &[edit(0, 0, &["x"])]).ends_with("@@ -0,0 +1,1 @@\n+x\n"));
        assert!(new_file("a", "x\ny\n").ends_with("@@ -0,0 +1,2 @@\n+x\n+y\n"));
    }
}
