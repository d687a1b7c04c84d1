//! A folder of pages that are served as they are.

use crate::recognise::{Framework, Recognised, Stack, tree::Tree};

pub(super) const PORT: u16 = 8080;
/// What serves pages: wheels that every package index has.
pub(super) const SERVER: [&str; 2] = ["gunicorn", "whitenoise"];

pub(super) fn recognise(tree: &Tree) -> Option<Recognised> {
    let file =
        ["index.html", "public/index.html", "dist/index.html", "site/index.html", "www/index.html"].into_iter().find(|it| tree.has(it))?;
    let folder = file.rsplit_once('/').map_or(".", |it| it.0);
    let mut out = Recognised::new(Stack::Site, Framework::Site, PORT);
    out.signal(
        file,
        0,
        "is a page, and nothing here is a server",
        format!("{} is served", if folder == "." { "the folder" } else { folder }),
    );
    out.target = Some(folder.to_owned());
    out.extra.extend(SERVER.map(str::to_owned));
    Some(out)
}
