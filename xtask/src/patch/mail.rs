//! Mails: the output of `git format-patch`, and patches sent by mail. git decodes them (`mailsplit`, `mailinfo`).

/// Whether the text is a mail or a mailbox, by the rule of `git am`: it starts with a `From ` line, or has only headers up to the first
/// empty line.
pub fn is_mail(text: &str) -> bool {
    if text.starts_with("From ") {
        return true;
    }
    let head: Vec<&str> = text.lines().take_while(|it| !it.trim_end().is_empty()).collect();
    let is_header = |it: &str| {
        it.starts_with([' ', '\t'])
            || it.split_once(':').is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|it| (33..=126).contains(&it)))
    };
    let names = ["from:", "subject:", "date:"];
    let has_name = head.iter().any(|it| names.iter().any(|name| it.to_ascii_lowercase().starts_with(name)));
    head.first().is_some_and(|it| !it.starts_with([' ', '\t'])) && has_name && head.iter().all(|it| is_header(it))
}

/// Whether git must split or decode the text to get the diff: several mails, or an encoded or multipart mail. Any other mail has its diff
/// in plain text.
pub fn needs_decoding(text: &str) -> bool {
    let several = text.lines().filter(|it| it.starts_with("From ")).nth(1).is_some();
    is_mail(text) && (several || is_encoded(text) || text.lines().any(|it| it.to_ascii_lowercase().starts_with("content-type: multipart/")))
}

/// Whether the mail's content is encoded, so that the text does not show the diff.
pub fn is_encoded(text: &str) -> bool {
    text.lines().any(|it| {
        let line = it.to_ascii_lowercase();
        line.strip_prefix("content-transfer-encoding:").is_some_and(|it| matches!(it.trim(), "base64" | "quoted-printable"))
    })
}

/// Whether a mail without a diff is the cover letter of a series: it has the number 0 in its name or subject.
pub fn is_cover_letter(name: &str, text: &str) -> bool {
    let numbered = || text.lines().find(|it| it.starts_with("Subject:")).is_some_and(|it| it.contains(" 0/") || it.contains(" 00/"));
    is_mail(text) && (name.starts_with("0000-") || name.contains("cover-letter") || numbered())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_told_from_a_plain_diff() {
        for text in ["From 1 Mon Sep 17 00:00:00 2001\n", "From: a@b.c\nSubject: x\n continued\n\nbody\n"] {
            assert!(is_mail(text), "{text}");
        }
        for text in ["diff --git a/x b/x\n", "Index: x\n====\n", "# HG changeset patch\n", "", "note: this\nchanges x\n\n"] {
            assert!(!is_mail(text), "{text}");
        }
    }
}
