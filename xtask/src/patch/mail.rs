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

/// Whether git must split or decode the text to get the diff: several mails, or an encoded, flowed or multipart mail. Any other mail has its
/// diff in plain text.
pub fn needs_decoding(text: &str) -> bool {
    let several = text.lines().filter(|it| it.starts_with("From ")).nth(1).is_some();
    is_mail(text)
        && (several
            || is_encoded(text)
            || is_flowed(text)
            || text.lines().any(|it| it.to_ascii_lowercase().starts_with("content-type: multipart/")))
}

/// Whether a mail's text is `format=flowed` (RFC 3676): a line that begins with a blank, as every line of context does, has one more.
fn is_flowed(text: &str) -> bool {
    let head = |it: &str| it.starts_with("content-type:") || it.starts_with([' ', '\t']);
    text.to_ascii_lowercase().lines().any(|it| head(it) && it.contains("format=flowed"))
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

/// What a mail's form has to do with a patch in it that does not apply.
pub fn remark(text: &str) -> Option<&'static str> {
    if !is_mail(text) {
        return None;
    }
    if is_flowed(text) {
        return Some(
            "the mail is `format=flowed`, in which a line that ends with a blank goes on in the next: ask for it by `git send-email`, or as an attachment",
        );
    }
    let lower = text.to_ascii_lowercase();
    let is_mixed = lower.contains("content-type: multipart/");
    let heads: Vec<&str> = text.lines().filter(|it| it.starts_with("diff --git ")).collect();
    let twice = heads.iter().any(|it| heads.iter().filter(|other| *other == it).count() > 1);
    let attached = lower.lines().any(|it| it.starts_with("content-disposition: attachment"));
    (is_mixed && attached && twice).then_some(
        "the mail holds the change twice, in its text and as an attachment, as `stg mail --attach-inline` writes it: keep one of them",
    )
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
